"""Every name that users of Matterport's `mrcnn.utils` import; most are re-exported here."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from mrcnn.data.dataset import Dataset
from mrcnn.data.resizing import resize_image, resize_mask
from mrcnn.errors import UserError
from mrcnn.io.download import fetch
from mrcnn.modeling.anchors import generate_anchors, generate_pyramid_anchors
from mrcnn.structures.boxes import (
    apply_box_deltas,
    box_area,
    box_refinement,
    denorm_boxes,
    norm_boxes,
    pairwise_iou,
)
from mrcnn.structures.masks import (
    expand_mask,
    extract_bboxes,
    minimize_mask,
    mold_mask,
    unmold_mask,
)
from mrcnn.structures.matching import (
    compute_ap,
    compute_ap_range,
    compute_matches,
    compute_overlaps_masks,
    compute_recall,
)
from mrcnn.structures.resampling import resize

__all__ = [
    "COCO_MODEL_URL",
    "Dataset",
    "apply_box_deltas",
    "batch_slice",
    "box_refinement",
    "box_refinement_graph",
    "compute_ap",
    "compute_ap_range",
    "compute_iou",
    "compute_matches",
    "compute_overlaps",
    "compute_overlaps_masks",
    "compute_recall",
    "denorm_boxes",
    "download_trained_weights",
    "expand_mask",
    "extract_bboxes",
    "generate_anchors",
    "generate_pyramid_anchors",
    "minimize_mask",
    "mold_mask",
    "non_max_suppression",
    "norm_boxes",
    "resize",
    "resize_image",
    "resize_mask",
    "trim_zeros",
    "unmold_mask",
]

logger = logging.getLogger(__name__)

COCO_MODEL_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"

box_refinement_graph = box_refinement


def compute_iou(
    box: np.ndarray, boxes: np.ndarray, box_area: float, boxes_area: np.ndarray
) -> np.ndarray:
    """IoU of one box [4] with boxes [N, 4], areas given; float [N].
    Source: Matterport `utils.compute_iou`."""
    height = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0])
    width = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1])
    intersection = np.maximum(height, 0) * np.maximum(width, 0)
    union = box_area + boxes_area - intersection
    return np.where(union > 0, intersection / np.where(union > 0, union, 1), 0.0)


def compute_overlaps(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """IoU of boxes [n, 4] with boxes [m, 4], float64 [n, m].
    Source: Matterport `utils.compute_overlaps`."""
    return pairwise_iou(np.reshape(boxes1, (-1, 4)), np.reshape(boxes2, (-1, 4)))


def non_max_suppression(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Rows of `boxes` [N, 4] that are kept, int32 [K], best of `scores` [N] first.
    Greedy: boxes whose IoU with a better one exceeds `threshold` are dropped.
    Source: Matterport `utils.non_max_suppression`.
    """
    boxes = np.reshape(boxes, (-1, 4))
    if boxes.dtype.kind != "f":
        boxes = boxes.astype(np.float32)
    areas = box_area(boxes)
    order = np.argsort(np.asarray(scores), kind="stable")[::-1]
    keep = []
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(best)
        iou = compute_iou(boxes[best], boxes[rest], areas[best], areas[rest])
        order = rest[iou <= threshold]
    return np.array(keep, np.int32)


def trim_zeros(x: np.ndarray) -> np.ndarray:
    """Rows of a matrix [N, M] that are not all zero (padding).
    Source: Matterport `utils.trim_zeros`."""
    x = np.asarray(x)
    if x.ndim != 2:
        raise UserError(f"trim_zeros takes a matrix [N, M]; got shape {x.shape}.")
    return x[x.any(axis=1)]


def batch_slice(
    inputs: Any, graph_fn: Callable, batch_size: int, names: Sequence[str] | None = None
) -> Any:
    """Run a function on each of `batch_size` items and stack what it returns.

    Kept for old code: it unrolls a loop. `inputs` is a tensor [batch, ...] or a list of such;
    `graph_fn` takes one item of each and returns a tensor or a list of tensors, and so does this.
    `names` is not used. Source: Matterport `utils.batch_slice`.
    """
    if not isinstance(inputs, list):
        inputs = [inputs]
    items = [graph_fn(*(x[i] for x in inputs)) for i in range(batch_size)]
    items = [item if isinstance(item, (tuple, list)) else [item] for item in items]
    stacked = [ops.stack(column, axis=0) for column in zip(*items, strict=True)]
    return stacked[0] if len(stacked) == 1 else stacked


def download_trained_weights(coco_model_path: str | Path, verbose: int = 1) -> None:
    """Download the COCO weights of Matterport's release v2.0 (`COCO_MODEL_URL`).

    The file appears when it is complete; one that is there is kept. `verbose` above 0 draws a
    progress bar. Source: Matterport `utils.download_trained_weights`.
    """
    fetch(COCO_MODEL_URL, coco_model_path, progress=verbose > 0)
