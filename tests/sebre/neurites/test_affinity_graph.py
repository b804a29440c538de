"""Affinities of labels."""

import numpy as np

from sebre.neurites.affinity_graph import (
    NEAREST,
    UNKNOWN,
    affinities_of,
    edge_ends,
    eroded,
    graph_offsets,
)


def test_edges_join_voxels_of_one_neurite_to_the_voxel_before():
    labels = np.array([[[1, 1, 2], [1, 3, 0]]])
    along_z, along_y, along_x = affinities_of(labels)
    assert (along_z == UNKNOWN).all()  # there is one section
    np.testing.assert_array_equal(along_y, [[[255, 255, 255], [1, 0, 255]]])
    np.testing.assert_array_equal(along_x, [[[255, 1, 0], [255, 0, 255]]])


def test_label_0_is_membrane_if_so_wanted():
    labels = np.array([[[1, 0, 0]]])
    assert affinities_of(labels, zero_is_border=True)[2].tolist() == [[[255, 0, 0]]]


def test_every_edge_is_that_of_its_two_ends():
    labels = np.random.default_rng(0).integers(1, 3, (5, 6, 7))
    for offset in graph_offsets(3):
        (found,) = affinities_of(labels, [offset])
        for place in np.ndindex(labels.shape):
            other = tuple(np.add(place, offset))
            inside = all(0 <= n < size for n, size in zip(other, labels.shape, strict=True))
            wanted = labels[place] == labels[other] if inside else UNKNOWN
            assert found[place] == wanted


def test_long_edges_are_as_long_in_nm_along_each_axis():
    assert graph_offsets(6)[3:] == ((-6, 0, 0), (0, -6, 0), (0, 0, -6))
    assert graph_offsets(6, (30, 10, 10))[3:] == ((-2, 0, 0), (0, -6, 0), (0, 0, -6))
    assert graph_offsets(0) == NEAREST


def test_edges_longer_than_the_volume_are_none():
    own, other = edge_ends((2, 5, 5), (-6, 0, 0))
    assert np.zeros((2, 5, 5))[own].size == np.zeros((2, 5, 5))[other].size == 0


def test_erosion_takes_one_voxel_on_both_sides():
    labels = np.zeros((3, 6, 6), int)
    labels[:, :, :3], labels[:, :, 3:] = 1, 2
    assert eroded(labels)[1, 2].tolist() == [1, 1, 0, 0, 2, 2]
    labels[2] = 5
    assert eroded(labels)[1, 2, 0] == 0
    assert eroded(labels, in_plane=True)[1, 2, 0] == 1
