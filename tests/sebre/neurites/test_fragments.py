"""Fragments, mergers, growth: parts of a volume agree with the whole."""

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sebre.neurites.affinity_graph import NEAREST, edge_ends
from sebre.neurites.cells import FolderStore, Lattice, MemoryStore, read_box
from sebre.neurites.fragments import as_level, watershed_fragments
from sebre.neurites.growing import grow
from sebre.neurites.merging import join_all, merge_by_mean
from sebre.neurites.scoring.segment_scores import score_segments
from sebre.neurites.whole_volumes import Decoding, Workshop, read_segments, run_here, run_stages


def _segments(near, cell, decoding):
    """Segments of affinities that are there, in cells of a size."""
    lattice, store = Lattice(near.shape[1:], cell), MemoryStore()
    for place in lattice.places():
        store.put("affinities", place, near[(slice(None), *lattice.box(place))])
    shop = Workshop(lattice, store, decoding)
    run_stages(shop, run_here(shop))
    return read_segments(shop, tuple(slice(0, n) for n in near.shape[1:]))


def _same_parts(a, b):
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).shape[1]
    return pairs == len(np.unique(a)) == len(np.unique(b))


def _whole_components(near, level):
    numbers = np.arange(near[0].size).reshape(near.shape[1:])
    ends = []
    for axis in range(3):
        own, other = edge_ends(near.shape[1:], NEAREST[axis])
        joined = near[axis][own] >= level
        ends.append((numbers[own][joined], numbers[other][joined]))
    rows, columns = (np.concatenate(part) for part in zip(*ends, strict=True))
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(numbers.size,) * 2)
    return connected_components(graph, directed=False)[1].reshape(numbers.shape)


@pytest.mark.parametrize("cell", [(40, 44, 52), (16, 16, 16), (11, 44, 7)])
def test_components_of_cells_are_those_of_the_whole(sure, cell):
    noisy = sure.copy()
    noisy[:, ::3, ::5, ::2] = 200  # edges that join bodies here and there
    decoding = Decoding("components", 0.75, min_voxels=1, reach=0)
    found = _segments(noisy, cell, decoding)
    wanted = _whole_components(noisy, as_level(0.75))
    large = np.bincount(wanted.ravel())[wanted] >= 10  # smaller ones are not kept
    assert _same_parts(found[large], wanted[large])
    assert len(np.unique(found)) > 3


@pytest.mark.parametrize("method", ["components", "watershed"])
@pytest.mark.parametrize("cell", [(40, 44, 52), (16, 24, 24)])
def test_bodies_are_found(volume, sure, method, cell):
    found = _segments(sure, cell, Decoding(method, 0.6))
    scores = score_segments(volume.labels, found)
    assert scores.rand_error < 0.05 and scores.merge_errors == scores.split_errors == 0


def test_small_segments_are_dropped(volume, sure):
    sizes = np.bincount(volume.labels.ravel())[1:]
    least = int(np.sort(sizes)[5])
    found = _segments(sure, (16, 24, 24), Decoding("components", 0.6, min_voxels=least - 200))
    assert found.max() < len(sizes)
    assert (np.bincount(found.ravel())[1:] >= least - 200).all()


def test_segments_of_flat_stacks_stay_in_their_section(sure):
    for method in ("components", "watershed"):
        found = _segments(sure, (16, 24, 24), Decoding(method, 0.6, flat=True))
        for first, second in zip(found[:-1], found[1:], strict=True):
            assert not (set(np.unique(first)) & set(np.unique(second)) - {0})


def test_the_watershed_gives_a_basin_to_every_voxel(sure):
    found = watershed_fragments(sure)
    assert found.min() == 1
    assert (watershed_fragments(np.zeros((3, 4, 5, 6), np.uint8)) == 1).all()


@pytest.mark.parametrize("flat", [False, True])
def test_growth_of_a_part_is_that_of_the_whole(sure, flat):
    rng = np.random.default_rng(0)
    shape = sure.shape[1:]
    seeds = np.where(rng.random(shape) < 0.004, rng.integers(1, 900, shape), 0).astype(np.uint32)
    whole = grow(seeds, sure, 4, flat)
    part = grow(seeds[:20, :30, :30], sure[:, :20, :30, :30], 4, flat)
    np.testing.assert_array_equal(part[:16, :26, :26], whole[:16, :26, :26])
    kept = seeds > 0
    np.testing.assert_array_equal(whole[kept], seeds[kept])
    assert (whole > 0).sum() > 5 * kept.sum()


def _slow_merge(count, edges, threshold):
    """Mergers by the highest mean, by looking at all of them each time."""
    groups = [{n} for n in range(count)]
    while True:
        best, pair = -1.0, None
        for i in range(len(groups)):
            for j in range(i):
                between = [
                    (s, c)
                    for a, b, s, c in edges
                    if (a in groups[i] and b in groups[j]) or (b in groups[i] and a in groups[j])
                ]
                if between:
                    mean = sum(s for s, _ in between) / sum(c for _, c in between)
                    if mean > best:
                        best, pair = mean, (i, j)
        if pair is None or best < 255 * threshold:
            return groups
        groups[pair[1]] |= groups.pop(pair[0])


def test_mergers_take_the_highest_mean_first():
    rng = np.random.default_rng(0)
    count = 14
    pairs = [(a, b) for a in range(count) for b in range(a) if rng.random() < 0.3]
    counts = rng.integers(1, 40, len(pairs))
    sums = (counts * rng.uniform(0, 255, len(pairs))).astype(int)
    edges = [(*p, s, c) for p, s, c in zip(pairs, sums.tolist(), counts.tolist(), strict=True)]
    ends, others = np.array(pairs).T
    found = merge_by_mean(count, ends, others, sums, counts, [0.8, 0.6, 0.4])
    for roots, threshold in zip(found, [0.8, 0.6, 0.4], strict=True):
        groups = {frozenset(np.flatnonzero(roots == root)) for root in np.unique(roots)}
        assert groups == {frozenset(g) for g in _slow_merge(count, edges, threshold)}
    assert len({len(np.unique(roots)) for roots in found}) == 3


def test_segments_are_named_by_their_first_fragment():
    assert join_all(5, np.array([4, 1]), np.array([1, 3])).tolist() == [0, 1, 2, 1, 1]


def test_a_box_is_put_together_from_cells(tmp_path):
    values = np.arange(2 * 9 * 10 * 11).reshape(2, 9, 10, 11)
    lattice, store = Lattice((9, 10, 11), (4, 4, 5)), FolderStore(tmp_path)
    for place in lattice.places():
        store.put("values", place, values[(slice(None), *lattice.box(place))])
    box = (slice(3, 9), slice(0, 5), slice(4, 11))
    np.testing.assert_array_equal(
        read_box(store, "values", lattice, box), values[(slice(None), *box)]
    )
    blocks = lattice.blocks((8, 4, 10))
    assert sorted(place for block in blocks for place in block) == lattice.places()
    assert len(blocks) == 2 * 3 * 2
