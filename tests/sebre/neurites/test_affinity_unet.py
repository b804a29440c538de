"""The network of affinities and its loss."""

import numpy as np
import pytest

from sebre.neurites.affinity_graph import UNKNOWN
from sebre.neurites.affinity_unet import (
    BalancedCrossEntropy,
    build_network,
    network_step,
    plan_levels,
    receptive_margin,
    zero_weights,
)


def _with_statistics(model):
    """The network as after a training: statistics that are not those of its start."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            gamma, beta, mean, variance = layer.get_weights()
            values = rng.uniform(0.5, 1.5, (4, len(gamma)))
            layer.set_weights([values[0], beta, values[1] - 1, values[2]])
    return model


@pytest.mark.parametrize("voxel_nm", [(10, 10, 10), (40, 10, 10)])
def test_tiles_agree_with_the_whole_up_to_the_margin(voxel_nm):
    model = _with_statistics(build_network(3, voxel_nm, (4, 6)))
    levels = plan_levels(voxel_nm, 2)
    margin, step = receptive_margin(levels), network_step(levels)
    core = [2 * n for n in step]
    rng = np.random.default_rng(0)
    shape = [2 * m + c for m, c in zip(margin, core, strict=True)]
    whole = rng.standard_normal([1, *(n + 2 * s for n, s in zip(shape, step, strict=True)), 1])
    tile = whole[:, *(slice(s, s + n) for s, n in zip(step, shape, strict=True))]
    inner = [slice(m, m + c) for m, c in zip(margin, core, strict=True)]
    moved = [slice(s + m, s + m + c) for s, m, c in zip(step, margin, core, strict=True)]
    ours = np.asarray(model(tile.astype(np.float32)))[0][*inner]
    theirs = np.asarray(model(whole.astype(np.float32)))[0][*moved]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert theirs.std() > 1e-3


def test_kernels_and_steps_stay_within_sections_until_voxels_are_even():
    levels = plan_levels((40, 10, 10), 3)
    assert [level.strides for level in levels] == [(1, 2, 2), (1, 2, 2), (2, 2, 2)]
    assert [level.kernel for level in levels] == [(1, 3, 3), (1, 3, 3), (3, 3, 3)]
    assert network_step(levels) == (2, 8, 8)


def test_the_loss_is_the_weighted_mean_over_known_edges():
    logits = np.random.default_rng(0).standard_normal((1, 2, 2, 2, 3)).astype(np.float32)
    wanted = np.random.default_rng(1).choice([0, 1, UNKNOWN], logits.shape).astype(np.uint8)
    weights = np.array([2.0, 3.0, 4.0])
    probability = 1 / (1 + np.exp(-logits))
    weigh = np.where(wanted == 1, 1.0, weights) * (wanted != UNKNOWN)
    losses = -np.log(np.where(wanted == 1, probability, 1 - probability))
    found = float(BalancedCrossEntropy(weights)(wanted, logits))
    assert found == pytest.approx((weigh * losses).sum() / weigh.sum(), rel=1e-5)


def test_a_volume_of_unknown_edges_has_no_loss():
    nothing = np.full((1, 2, 2, 2, 1), UNKNOWN, np.uint8)
    assert float(BalancedCrossEntropy([5.0])(nothing, np.ones(nothing.shape))) == 0


def test_edges_of_0_weigh_as_much_in_all_as_those_of_1():
    edges = np.array([[1] * 8 + [0] * 2 + [UNKNOWN] * 5, [1] * 15], np.uint8)
    assert zero_weights(edges) == [4.0, 10.0]
