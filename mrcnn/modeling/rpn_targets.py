"""Which anchors the region proposal network shall call object, and how to move them."""

from typing import Any

import numpy as np

from mrcnn.config import Config
from mrcnn.structures.boxes import box_refinement, pairwise_iou

POSITIVE_IOU = 0.7
_NEGATIVE_IOU = 0.3
_CROWD_IOU = 0.001


def build_rpn_targets(
    image_shape: Any,
    anchors: np.ndarray,
    gt_class_ids: np.ndarray,
    gt_boxes: np.ndarray,
    config: Config,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Match anchors with ground truth and draw the sample to train on.

    Positive: IoU >= 0.7 with some box, or the best IoU (shared or not) of a box. Negative:
    IoU < 0.3 with every box, and clear of crowds. At most half of
    RPN_TRAIN_ANCHORS_PER_IMAGE are positive; negatives fill it up.

    Args:
        image_shape: not used; part of Matterport's signature.
        anchors: [A, (y1, x1, y2, x2)] px.
        gt_class_ids: int [M]; below 0 a crowd. M may be 0: then all anchors are negative.
        gt_boxes: [M, (y1, x1, y2, x2)] px.
        config: RPN_TRAIN_ANCHORS_PER_IMAGE (N here) and RPN_BBOX_STD_DEV are used.
        rng: source of the random choice; None takes NumPy's global one.

    Returns:
        rpn_match int32 [A]: 1 positive, -1 negative, 0 not used; rpn_bbox float64
        [N, (dy, dx, log dh, log dw)] / RPN_BBOX_STD_DEV of the positives in the order of
        the anchors, then zeros.

    Source: Matterport `model.build_rpn_targets`; Ren et al. 2015 (Faster R-CNN), 3.1.2.
    """
    random = np.random if rng is None else rng
    anchors = np.asfortranarray(anchors, np.float64)  # contiguous columns
    gt_boxes = np.asarray(gt_boxes, np.float64).reshape(-1, 4)
    crowd = np.asarray(gt_class_ids).reshape(-1) < 0
    boxes = gt_boxes[~crowd]

    match = np.zeros(len(anchors), np.int32)
    nearest = np.zeros(len(anchors), np.int64)
    best = np.zeros(len(anchors))
    if len(boxes):
        overlaps = pairwise_iou(boxes, anchors)  # [M, A]: long rows are quick to reduce
        nearest, best = overlaps.argmax(axis=0), overlaps.max(axis=0)
    match[best < _NEGATIVE_IOU] = -1
    if crowd.any():
        match[(pairwise_iou(gt_boxes[crowd], anchors) >= _CROWD_IOU).any(axis=0)] = 0
    if len(boxes):
        best_of_box = overlaps.max(axis=1, keepdims=True)
        # A box that touches no anchor would tie with all of them at 0.
        match[((overlaps == best_of_box) & (best_of_box > 0)).any(axis=0)] = 1
        match[best >= POSITIVE_IOU] = 1

    total = config.RPN_TRAIN_ANCHORS_PER_IMAGE
    _drop_surplus(match, 1, total // 2, random)
    positive = np.flatnonzero(match == 1)
    _drop_surplus(match, -1, total - len(positive), random)

    rpn_bbox = np.zeros((total, 4))
    if len(positive):
        deltas = box_refinement(anchors[positive], boxes[nearest[positive]])
        rpn_bbox[: len(positive)] = deltas / config.RPN_BBOX_STD_DEV
    return match, rpn_bbox


def _drop_surplus(match: np.ndarray, value: int, limit: int, random: Any) -> None:
    """Set all but `limit` random ones of the entries equal to `value` to 0, in place."""
    indices = np.flatnonzero(match == value)
    if len(indices) > limit:
        match[random.choice(indices, len(indices) - limit, replace=False)] = 0
