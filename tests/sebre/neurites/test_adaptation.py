"""A network made fit for another volume, and sections that are far apart."""

from dataclasses import replace

import numpy as np
import pytest

from sebre.neurites.affinity_graph import graph_offsets
from sebre.neurites.affinity_prediction import AffinityNetwork
from sebre.neurites.affinity_unet import build_network
from sebre.neurites.learning.adaptation import match_histogram, self_trained, with_own_statistics
from sebre.neurites.scoring.far_sections import EVERY, filled_between, main, thinned
from sebre.neurites.volume_files import open_volume
from sebre.neurites.whole_volumes import Decoding


@pytest.fixture(scope="module")
def network():
    voxel_nm = (10.0, 10.0, 10.0)
    return AffinityNetwork(build_network(3, voxel_nm, (4,)), graph_offsets(), voxel_nm, 1, "none")


def test_gray_values_are_as_often_as_those_of_the_other_volume(volume):
    rng = np.random.default_rng(0)
    other = np.clip(rng.normal(90, 20, volume.raw.shape), 0, 255).astype(np.uint8)
    matched = match_histogram(volume.raw, other)
    for share in (10, 50, 90):
        assert abs(np.percentile(matched, share) - np.percentile(other, share)) <= 3
    order = np.argsort(volume.raw[0, 0], kind="stable")
    assert (np.diff(matched[0, 0][order].astype(int)) >= 0).all()
    np.testing.assert_array_equal(match_histogram(volume.raw, volume.raw), volume.raw)


def test_statistics_become_those_of_the_volume_and_the_network_stays(network, volume):
    before = network.model.get_weights()
    made = with_own_statistics(network, volume.raw, tiles=4)
    for old, now in zip(before, network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)
    norms = [m.get_layer("down0a_bn").get_weights() for m in (made.model, network.model)]
    (scale, _, mean, _), (old_scale, _, old_mean, _) = norms
    assert np.abs(mean - old_mean).max() > 0.01
    np.testing.assert_array_equal(scale, old_scale)


def test_self_training_changes_a_copy(network, volume):
    decoding, before = Decoding("watershed", 0.1), network.model.get_weights()
    made = self_trained(network, volume.raw, decoding, steps=1, patch=(16, 24, 24))
    for old, now in zip(before, network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)
    changed = zip(made.model.get_weights(), before, strict=True)
    assert (
        max(np.abs(a - b).max() for a, b in changed) > 0 and made.thresholds == network.thresholds
    )


def test_every_fourth_section_with_its_labels(volume, tmp_path):
    file = tmp_path / "volume.npz"
    np.savez(file, raw=volume.raw, labels=volume.labels, voxel_nm=volume.voxel_nm)
    main([str(file), "--out", str(tmp_path / "far")])
    whole = open_volume(file)
    for first in range(EVERY):
        far = open_volume(tmp_path / "far" / f"every_4th_{first}.npz")
        assert far.voxel_nm == (40.0, 10.0, 10.0)
        for section, labels, n in zip(far.raw, far.labels, range(first, 40, EVERY), strict=True):
            moves = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
            fits = [m for m in moves if (np.roll(volume.raw[n], m, (0, 1)) == section).all()]
            assert len(fits) == 1
            np.testing.assert_array_equal(np.roll(volume.labels[n], fits[0], (0, 1)), labels)
    thin = thinned(whole)
    filled = filled_between(thin)
    assert filled.raw.shape == (37, 44, 52) and filled.voxel_nm == (10.0, 10.0, 10.0)
    np.testing.assert_array_equal(filled.raw[::EVERY], thin.raw)
    assert filled_between(replace(thin, voxel_nm=None)).voxel_nm is None
