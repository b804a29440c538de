"""Regions and head targets made in NumPy, to look at; training makes its own in the graph."""

from typing import Any

import numpy as np

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.structures.boxes import box_refinement, pairwise_iou
from mrcnn.structures.resampling import resize

_AROUND_OBJECTS = 0.9  # share of the random regions drawn near ground truth


def generate_random_rois(
    image_shape: Any,
    count: int,
    gt_class_ids: np.ndarray,
    gt_boxes: np.ndarray,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Random boxes as a proposal network might give: 90 % near objects, 10 % anywhere.

    Args:
        image_shape: [h, w, ...] px.
        count: number of boxes.
        gt_class_ids: not used; part of Matterport's signature.
        gt_boxes: [M, 4] px; each gets an equal share of boxes that lie within one box size of it.
            Without any, all boxes are drawn from the whole image.
        rng: source of the random numbers; None seeds one from NumPy's global one.

    Returns:
        int32 [count, (y1, x1, y2, x2)] px, inside the image, none without area.

    Source: Matterport `model.generate_random_rois`.
    """
    rng = rng or np.random.default_rng(np.random.randint(2**31))
    height, width = (int(side) for side in image_shape[:2])
    gt_boxes = np.asarray(gt_boxes, np.int64).reshape(-1, 4)
    near = int(_AROUND_OBJECTS * count / len(gt_boxes)) if len(gt_boxes) else 0
    y1, x1, y2, x2 = np.repeat(gt_boxes, near, axis=0).T
    rest = np.zeros(count - len(y1), np.int64)
    (y1, y2), (x1, x2) = (
        _intervals(
            np.concatenate([np.maximum(2 * low - high, 0), rest]),
            np.concatenate([np.minimum(2 * high - low, length), rest + length]),
            rng,
        )
        for low, high, length in ((y1, y2, height), (x1, x2, width))
    )
    return np.stack([y1, x1, y2, x2], axis=1).astype(np.int32)


def _intervals(
    low: np.ndarray, high: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers low <= start < end <= high; high must exceed low."""
    first = rng.integers(low, high + 1)
    second = rng.integers(low, high)
    second += second >= first  # skips `first`: every pair is equally likely
    return np.minimum(first, second), np.maximum(first, second)


def build_detection_targets(
    rpn_rois: np.ndarray,
    gt_class_ids: np.ndarray,
    gt_boxes: np.ndarray,
    gt_masks: np.ndarray,
    config: Config,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Targets of the heads for given regions, for inspection.

    Positive is an IoU above 0.5 with some object; at most ROI_POSITIVE_RATIO of the
    TRAIN_ROIS_PER_IMAGE (T) places. The rest is filled with other regions, repeated if they are too
    few. Drawn with NumPy's global generator.

    Args:
        rpn_rois: [N, (y1, x1, y2, x2)] px, N at least 1.
        gt_class_ids: int [M]; rows of class 0 are padding.
        gt_boxes: [M, 4] px.
        gt_masks: bool [H, W, M], or mini masks [h, w, M] with USE_MINI_MASK.
        config: Config.

    Returns:
        rois int32 [T, 4] px; class ids int32 [T], 0 for background; box deltas float32
        [T, NUM_CLASSES, 4] / BBOX_STD_DEV and masks float32 [T, *MASK_SHAPE, NUM_CLASSES] of 0 and
        1, both filled in for the class alone.

    Source: Matterport `model.build_detection_targets`.
    """
    rois = np.asarray(rpn_rois)
    if not len(rois):
        raise UserError("No regions were given; rpn_rois must have at least one row.")
    real = np.flatnonzero(np.asarray(gt_class_ids))
    gt_class_ids, gt_boxes = np.asarray(gt_class_ids)[real], np.asarray(gt_boxes)[real]
    overlaps = pairwise_iou(rois, gt_boxes.reshape(-1, 4))
    best = overlaps.max(axis=1, initial=0.0)

    total = config.TRAIN_ROIS_PER_IMAGE
    positive = _draw(np.flatnonzero(best > 0.5), int(total * config.ROI_POSITIVE_RATIO))
    missing = total - len(positive)
    others = np.flatnonzero(best <= 0.5)
    if len(others):
        negative = _draw(others, missing)
        extra = np.random.choice(negative, missing - len(negative))
        is_object = np.arange(total) < len(positive)
        keep = np.concatenate([positive, negative, extra])
    else:  # nothing but objects: positives repeat
        keep = np.concatenate([positive, np.random.choice(np.flatnonzero(best > 0.5), missing)])
        is_object = np.ones(total, bool)

    rois = rois[keep].astype(np.int32)
    class_ids = np.zeros(total, np.int32)
    deltas = np.zeros((total, config.NUM_CLASSES, 4), np.float32)
    masks = np.zeros((total, *config.MASK_SHAPE, config.NUM_CLASSES), np.float32)
    for row in np.flatnonzero(is_object):
        instance = overlaps[keep[row]].argmax()
        label = class_ids[row] = gt_class_ids[instance]
        deltas[row, label] = box_refinement(rois[row], gt_boxes[instance]) / config.BBOX_STD_DEV
        masks[row, ..., label] = _mask_target(
            gt_masks[..., real[instance]], gt_boxes[instance], rois[row], config
        )
    return rois, class_ids, deltas, masks


def _draw(indices: np.ndarray, limit: int) -> np.ndarray:
    """At most `limit` of the indices, without repetition."""
    if len(indices) <= limit:
        return indices
    return np.random.choice(indices, limit, replace=False)


def _mask_target(
    mask: np.ndarray, gt_box: np.ndarray, roi: np.ndarray, config: Config
) -> np.ndarray:
    """The part of one mask inside a region, at MASK_SHAPE, rounded to 0 or 1."""
    y1, x1, y2, x2 = (int(side) for side in roi)
    if config.USE_MINI_MASK:
        gy1, gx1, gy2, gx2 = (int(side) for side in gt_box)
        full = np.zeros((max(y2, gy2), max(x2, gx2)))
        full[gy1:gy2, gx1:gx2] = np.around(resize(mask.astype(np.float64), (gy2 - gy1, gx2 - gx1)))
        mask = full
    return np.around(resize(mask[y1:y2, x1:x2].astype(np.float64), config.MASK_SHAPE))
