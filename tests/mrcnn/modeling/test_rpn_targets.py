"""Anchor matching against the golden cases, and the sampling."""

import time

import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.modeling.anchors import config_anchors
from mrcnn.modeling.rpn_targets import build_rpn_targets
from mrcnn.structures.boxes import apply_box_deltas

CASES = ("plain", "crowd", "larger", "ties", "nonsquare")


class _Config(Config):
    NAME = "rpn"


@pytest.fixture(scope="module")
def case_of(golden):
    arrays = np.load(golden / "rpn_targets.npz")

    def load(name):
        case = {key[len(name) + 1 :]: arrays[key] for key in arrays.files if key.startswith(name)}
        config = _Config(RPN_ANCHOR_SCALES=tuple(case["scales"]))
        return case, config, config_anchors(config, case["image_shape"])

    return load


def _unlimited(config, anchors):
    """The same configuration, with room for every anchor in the sample."""
    return _Config(
        RPN_ANCHOR_SCALES=config.RPN_ANCHOR_SCALES,
        RPN_TRAIN_ANCHORS_PER_IMAGE=2 * len(anchors),
    )


@pytest.mark.parametrize("name", CASES)
def test_matching_equals_golden(case_of, name):
    case, config, anchors = case_of(name)
    assert len(anchors) == case["anchor_count"]
    match, deltas = build_rpn_targets(
        case["image_shape"],
        anchors,
        case["gt_class_ids"],
        case["gt_boxes"],
        _unlimited(config, anchors),
    )
    np.testing.assert_array_equal(match, case["match_unsampled"])
    positive = np.flatnonzero(match == 1)
    np.testing.assert_array_equal(positive, case["positive_indices"])
    np.testing.assert_allclose(deltas[: len(positive)], case["positive_deltas"], rtol=0, atol=1e-9)
    assert not deltas[len(positive) :].any()


@pytest.mark.parametrize("name", CASES)
def test_sample_is_a_subset_with_golden_counts(case_of, name):
    case, config, anchors = case_of(name)
    match, deltas = build_rpn_targets(
        case["image_shape"], anchors, case["gt_class_ids"], case["gt_boxes"], config
    )
    assert match.dtype == np.int32 and deltas.dtype == np.float64
    assert deltas.shape == tuple(case["rpn_bbox_shape"])
    counts = [(match == 1).sum(), (match == -1).sum()]
    np.testing.assert_array_equal(counts, case["sampled_counts_pos_neg"])
    used = match != 0
    np.testing.assert_array_equal(match[used], case["match_unsampled"][used])


@pytest.fixture(scope="module")
def anchors384():
    config = _Config(RPN_ANCHOR_SCALES=(8, 16, 32, 64, 128))
    return config, config_anchors(config, (384, 384))


def _boxes(count, seed=0):
    rng = np.random.default_rng(seed)
    origin = rng.integers(0, 250, (count, 2))
    return np.concatenate([origin, origin + rng.integers(8, 130, (count, 2))], axis=1)


def test_no_ground_truth_samples_negatives_only(anchors384):
    config, anchors = anchors384
    match, deltas = build_rpn_targets(
        (384, 384, 3), anchors, np.zeros(0, np.int32), np.zeros((0, 4), np.int32), config
    )
    assert (match == -1).sum() == 256 and (match == 1).sum() == 0
    assert deltas.shape == (256, 4) and not deltas.any()


def test_crowds_alone_are_neither_positive_nor_negative(anchors384):
    config, anchors = anchors384
    crowd = np.array([[0, 0, 384, 384]])
    match, _ = build_rpn_targets((384, 384, 3), anchors, np.array([-1]), crowd, config)
    inside = (anchors[:, :2] >= 0).all(axis=1) & (anchors[:, 2:] <= 384).all(axis=1)
    # The whole image is a crowd: only boxes smaller than 0.001 of it may be negative.
    area = (anchors[:, 2] - anchors[:, 0]) * (anchors[:, 3] - anchors[:, 1])
    assert not (match[inside & (area > 0.0011 * 384 * 384)]).any()
    assert (match == 1).sum() == 0


def test_surplus_positives_are_cut_to_half_and_deltas_follow_anchor_order(anchors384):
    config, anchors = anchors384
    config = _Config(RPN_ANCHOR_SCALES=(8, 16, 32, 64, 128), RPN_TRAIN_ANCHORS_PER_IMAGE=8)
    boxes = _boxes(12)
    match, deltas = build_rpn_targets(
        (384, 384, 3), anchors, np.ones(12, int), boxes, config, np.random.default_rng(1)
    )
    assert (match == 1).sum() == 4 and (match == -1).sum() == 4
    moved = apply_box_deltas(anchors[match == 1], deltas[:4] * config.RPN_BBOX_STD_DEV)
    distance = np.abs(moved[:, None] - boxes[None]).max(axis=-1).min(axis=1)
    assert distance.max() < 1e-9


def test_seeded_sampling_repeats_and_differs_by_seed(anchors384):
    config, anchors = anchors384

    def match(seed):
        rng = np.random.default_rng(seed)
        boxes = _boxes(5)
        return build_rpn_targets((384, 384), anchors, np.ones(5, int), boxes, config, rng)[0]

    np.testing.assert_array_equal(match(3), match(3))
    assert (match(3) != match(4)).any()


def test_global_numpy_seed_rules_without_a_generator(anchors384):
    config, anchors = anchors384
    results = []
    for _ in range(2):
        np.random.seed(5)
        results.append(
            build_rpn_targets((384, 384), anchors, np.ones(3, int), _boxes(3), config)[0]
        )
    np.testing.assert_array_equal(*results)


def test_a_box_away_from_every_anchor_makes_nothing_positive():
    config = _Config(RPN_TRAIN_ANCHORS_PER_IMAGE=64)
    anchors = np.array([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    box = np.array([[100, 100, 120, 120]])
    match, _ = build_rpn_targets((128, 128), anchors, np.array([1]), box, config)
    np.testing.assert_array_equal(match, [-1, -1])


def test_matching_is_vectorised(anchors384):
    """36,828 anchors and 8 boxes: far below what a loop over anchors could reach."""
    config, anchors = anchors384
    rng = np.random.default_rng(0)
    boxes = _boxes(8)
    spent = []
    for _ in range(5):
        start = time.process_time()
        build_rpn_targets((384, 384), anchors, np.ones(8, int), boxes, config, rng)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.05
