"""Random regions and NumPy head targets: properties."""

import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.data.sampled_rois import build_detection_targets, generate_random_rois
from mrcnn.structures.boxes import apply_box_deltas, pairwise_iou
from mrcnn.structures.masks import extract_bboxes, minimize_mask

SHAPE = (96, 128, 3)
BOXES = np.array([[10, 10, 30, 40], [50, 60, 90, 120]])


def _config(**overrides):
    return Config(NAME="t", NUM_CLASSES=4, TRAIN_ROIS_PER_IMAGE=30, **overrides)


def _ground_truth(mini):
    masks = np.zeros((96, 128, 2), bool)
    masks[10:30, 10:40, 0] = True
    masks[50:90, 60:120, 1] = True
    boxes = extract_bboxes(masks)
    return np.array([2, 3]), boxes, minimize_mask(boxes, masks, (56, 56)) if mini else masks


def test_random_rois_have_area_and_lie_inside_the_image():
    rois = generate_random_rois(SHAPE, 500, np.ones(2, int), BOXES)
    assert rois.shape == (500, 4) and rois.dtype == np.int32
    assert (rois[:, :2] >= 0).all() and (rois[:, 2] <= 96).all() and (rois[:, 3] <= 128).all()
    assert (rois[:, 2:] > rois[:, :2]).all()


def test_nine_tenths_of_random_rois_lie_within_a_box_size_of_an_object():
    rois = generate_random_rois(SHAPE, 1000, np.ones(2, int), BOXES)
    for box, part in zip(BOXES, (rois[:450], rois[450:900]), strict=True):
        size = np.tile(box[2:] - box[:2], 2)
        reach = box + size * [-1, -1, 1, 1]
        assert (part[:, :2] >= reach[:2]).all() and (part[:, 2:] <= reach[2:]).all()
    anywhere = rois[900:]
    assert anywhere[:, :2].min() < 8 and anywhere[:, 3].max() > 120


def test_random_rois_without_objects_and_repeatable():
    no_boxes = np.zeros((0, 4), int)
    first, second = (
        generate_random_rois(SHAPE, 50, np.zeros(0), no_boxes, np.random.default_rng(4))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first, axis=0)) > 40


@pytest.mark.parametrize("mini", [True, False])
def test_detection_targets_share_class_shape_and_deltas(mini):
    config = _config(USE_MINI_MASK=mini)
    class_ids, boxes, masks = _ground_truth(mini)
    proposals = generate_random_rois(SHAPE, 400, class_ids, boxes)
    rois, targets, deltas, target_masks = build_detection_targets(
        proposals, class_ids, boxes, masks, config
    )
    assert rois.shape == (30, 4) and rois.dtype == np.int32
    assert targets.shape == (30,) and targets.dtype == np.int32
    assert deltas.shape == (30, 4, 4) and deltas.dtype == np.float32
    assert target_masks.shape == (30, 28, 28, 4) and target_masks.dtype == np.float32

    overlaps = pairwise_iou(rois, boxes)
    positive = targets > 0
    assert 0 < positive.sum() <= int(30 * config.ROI_POSITIVE_RATIO)
    np.testing.assert_array_equal(positive, overlaps.max(axis=1) > 0.5)
    for row in np.flatnonzero(positive):
        instance = overlaps[row].argmax()
        assert targets[row] == class_ids[instance]
        moved = apply_box_deltas(rois[row], deltas[row, targets[row]] * config.BBOX_STD_DEV)
        np.testing.assert_allclose(moved, boxes[instance], atol=1e-3)
        # A rectangle fills of the region what its box covers.
        covered = (
            np.maximum(
                np.minimum(rois[row, 2:], boxes[instance, 2:])
                - np.maximum(rois[row, :2], boxes[instance, :2]),
                0,
            ).prod()
            / (rois[row, 2:] - rois[row, :2]).prod()
        )
        assert abs(target_masks[row, ..., targets[row]].mean() - covered) < 0.12
    other = np.ones((30, 4), bool)
    other[np.arange(30), targets] = ~positive
    assert not deltas[other].any()
    assert not target_masks.transpose(0, 3, 1, 2)[other].any()


def test_negatives_repeat_to_fill_the_places():
    class_ids, boxes, masks = _ground_truth(True)
    proposals = np.array([[10, 10, 30, 40], [0, 100, 9, 120], [0, 50, 9, 60]])
    rois, targets, _, _ = build_detection_targets(proposals, class_ids, boxes, masks, _config())
    assert targets[0] == 2 and not targets[1:].any()
    assert {tuple(roi) for roi in rois[1:]} == {(0, 100, 9, 120), (0, 50, 9, 60)}


def test_positives_repeat_when_there_is_nothing_else():
    class_ids, boxes, masks = _ground_truth(False)
    _, targets, _, _ = build_detection_targets(
        boxes, class_ids, boxes, masks, _config(USE_MINI_MASK=False)
    )
    assert set(targets) == {2, 3}


def test_padding_rows_and_images_without_objects_give_background():
    empty = np.zeros(3, int), np.zeros((3, 4), int), np.zeros((56, 56, 3), bool)
    _, targets, deltas, masks = build_detection_targets(BOXES, *empty, _config())
    assert not targets.any() and not deltas.any() and not masks.any()


def test_no_proposals_is_an_error():
    with pytest.raises(ValueError, match="at least one row"):
        build_detection_targets(np.zeros((0, 4)), *_ground_truth(True), _config())
