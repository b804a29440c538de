"""Matching of detections with ground truth, and average precision of one image.

All classes of an image are pooled; a dataset's mean AP is the mean over its images.
"""

import numpy as np

from mrcnn.errors import UserError
from mrcnn.structures.boxes import pairwise_iou


def compute_overlaps_masks(masks1: np.ndarray, masks2: np.ndarray) -> np.ndarray:
    """IoU of masks [H, W, n] with masks [H, W, m], float32 [n, m]; 0 for a pair of empty masks.

    Bool, or numbers, of which those above 0.5 are inside.
    Source: Matterport `utils.compute_overlaps_masks`.
    """
    masks1, masks2 = np.asarray(masks1), np.asarray(masks2)
    if masks1.shape[-1] == 0 or masks2.shape[-1] == 0:
        return np.zeros((masks1.shape[-1], masks2.shape[-1]), np.float32)
    if masks1.shape[:2] != masks2.shape[:2]:
        raise UserError(
            f"Masks of {masks1.shape[:2]} and {masks2.shape[:2]} px cannot be compared; both "
            "must be in the frame of the same image (expand mini masks first)."
        )
    flat1 = (masks1 > 0.5).reshape(-1, masks1.shape[-1]).astype(np.float32)
    flat2 = (masks2 > 0.5).reshape(-1, masks2.shape[-1]).astype(np.float32)
    intersection = flat1.T @ flat2
    union = flat1.sum(axis=0)[:, None] + flat2.sum(axis=0)[None, :] - intersection
    return np.where(union > 0, intersection / np.maximum(union, 1), 0).astype(np.float32)


def compute_matches(
    gt_boxes: np.ndarray,
    gt_class_ids: np.ndarray,
    gt_masks: np.ndarray,
    pred_boxes: np.ndarray,
    pred_class_ids: np.ndarray,
    pred_scores: np.ndarray,
    pred_masks: np.ndarray,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Match predictions, best score first, with ground truth by mask IoU.

    A prediction takes the not yet matched object of its own class with the highest IoU of at least
    `iou_threshold`. Rows with an all-zero box are padding and are dropped. Boxes [n or m, 4] px,
    class ids and scores [n or m], masks [H, W, n or m]. `score_threshold`: pairs of a lower IoU are
    not looked at (the reference compares this value with IoUs, not with scores).

    Returns:
        gt_match float64 [n], the prediction of each object; pred_match float64 [m], the object of
        each prediction; -1 where there is none; overlaps float32 [m, n]. Predictions are numbered
        by descending score.

    Source: Matterport `utils.compute_matches`.
    """
    gt_class_ids, pred_class_ids, overlaps = _sorted_overlaps(
        gt_boxes, gt_class_ids, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks
    )
    gt_match, pred_match = _match(
        gt_class_ids, pred_class_ids, overlaps, iou_threshold, score_threshold
    )
    return gt_match, pred_match, overlaps


def _sorted_overlaps(
    gt_boxes, gt_class_ids, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class ids without padding, predictions by descending score, and their overlaps."""
    gt_rows = _real_rows(gt_boxes)
    rows = _real_rows(pred_boxes)
    scores = np.asarray(pred_scores)[rows]
    # Stable, then reversed: among equal scores the later prediction comes first, as in the
    # reference.
    rows = rows[np.argsort(scores, kind="stable")[::-1]]
    overlaps = compute_overlaps_masks(
        np.asarray(pred_masks)[..., rows], np.asarray(gt_masks)[..., gt_rows]
    )
    return np.asarray(gt_class_ids)[gt_rows], np.asarray(pred_class_ids)[rows], overlaps


def _real_rows(boxes: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.asarray(boxes).reshape(-1, 4).any(axis=1))


def _match(
    gt_class_ids: np.ndarray,
    pred_class_ids: np.ndarray,
    overlaps: np.ndarray,
    iou_threshold: float,
    score_threshold: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    gt_match = np.full(len(gt_class_ids), -1.0)
    pred_match = np.full(len(pred_class_ids), -1.0)
    # Compared in float64 as in the reference: a float32 threshold would let pairs match that
    # lie one rounding error below it.
    overlaps = overlaps.astype(np.float64)
    lowest = max(iou_threshold, score_threshold)
    for i, class_id in enumerate(pred_class_ids):
        for j in np.argsort(overlaps[i], kind="stable")[::-1]:
            if overlaps[i, j] < lowest:
                break
            if gt_match[j] == -1 and gt_class_ids[j] == class_id:
                gt_match[j], pred_match[i] = i, j
                break
    return gt_match, pred_match


def compute_ap(
    gt_boxes: np.ndarray,
    gt_class_ids: np.ndarray,
    gt_masks: np.ndarray,
    pred_boxes: np.ndarray,
    pred_class_ids: np.ndarray,
    pred_scores: np.ndarray,
    pred_masks: np.ndarray,
    iou_threshold: float = 0.5,
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Average precision of one image at one mask IoU threshold; arguments as `compute_matches`.

    An image without ground truth has AP 0.0, whatever was predicted, so that the result is always a
    number: leave such images out of a mean AP.

    Returns:
        AP; precisions [m + 2], made monotone; recalls [m + 2]; overlaps [m, n].

    Source: Matterport `utils.compute_ap`; area under the curve as in PASCAL VOC 2010.
    """
    gt_class_ids, pred_class_ids, overlaps = _sorted_overlaps(
        gt_boxes, gt_class_ids, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks
    )
    ap, precisions, recalls = _average_precision(
        gt_class_ids, pred_class_ids, overlaps, iou_threshold
    )
    return ap, precisions, recalls, overlaps


def _average_precision(
    gt_class_ids: np.ndarray, pred_class_ids: np.ndarray, overlaps: np.ndarray, iou_threshold: float
) -> tuple[float, np.ndarray, np.ndarray]:
    _, pred_match = _match(gt_class_ids, pred_class_ids, overlaps, iou_threshold)
    hits = np.cumsum(pred_match > -1)
    precisions = np.concatenate([[0], hits / (np.arange(len(hits)) + 1), [0]])
    # float32, because the reference's recalls have its rounding.
    recalls = hits.astype(np.float32) / np.float32(max(len(gt_class_ids), 1))
    recalls = np.concatenate([[0], recalls, [1]])
    precisions = np.maximum.accumulate(precisions[::-1])[::-1]
    ap = float(np.sum(np.diff(recalls) * precisions[1:]))
    return ap, precisions, recalls


def compute_ap_range(
    gt_box: np.ndarray,
    gt_class_id: np.ndarray,
    gt_mask: np.ndarray,
    pred_box: np.ndarray,
    pred_class_id: np.ndarray,
    pred_score: np.ndarray,
    pred_mask: np.ndarray,
    iou_thresholds: np.ndarray | None = None,
    verbose: int = 1,
) -> float:
    """Mean of `compute_ap` over IoU thresholds, 0.5 to 0.95 in steps of 0.05 by default.

    `verbose` prints the AP at every threshold and their mean.
    Source: Matterport `utils.compute_ap_range`.
    """
    thresholds = np.arange(0.5, 1.0, 0.05) if iou_thresholds is None else iou_thresholds
    if len(thresholds) == 0:
        raise UserError("iou_thresholds is empty; give at least one, or None for 0.5 to 0.95.")
    found = _sorted_overlaps(
        gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask
    )
    aps = [_average_precision(*found, threshold)[0] for threshold in thresholds]
    mean = float(np.mean(aps))
    if verbose:
        for threshold, ap in zip(thresholds, aps, strict=True):
            print(f"AP @{threshold:.2f}:\t {ap:.3f}")
        print(f"AP @{thresholds[0]:.2f}-{thresholds[-1]:.2f}:\t {mean:.3f}")
    return mean


def compute_recall(
    pred_boxes: np.ndarray, gt_boxes: np.ndarray, iou: float
) -> tuple[float, np.ndarray]:
    """Share of ground-truth boxes [n, 4] px that are the best match of some predicted box [m, 4].

    `iou` is the lowest box IoU of a match. Returns recall, 0.0 without ground truth, and the rows
    of `pred_boxes` that match, int [k]. Source: Matterport `utils.compute_recall`.
    """
    pred_boxes = np.asarray(pred_boxes).reshape(-1, 4)
    gt_boxes = np.asarray(gt_boxes).reshape(-1, 4)
    if len(gt_boxes) == 0:
        return 0.0, np.zeros(0, np.int64)
    overlaps = pairwise_iou(pred_boxes, gt_boxes)
    positive_ids = np.flatnonzero(overlaps.max(axis=1) >= iou)
    matched = np.unique(overlaps.argmax(axis=1)[positive_ids])
    return len(matched) / len(gt_boxes), positive_ids
