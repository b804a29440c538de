"""`Dataset`, and every name that users of Matterport's `mrcnn.utils` import.

Box, anchor, mask and metric functions live in their own modules and are re-exported here.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from mrcnn.anchors import generate_anchors, generate_pyramid_anchors
from mrcnn.boxes import (
    apply_box_deltas,
    box_area,
    box_refinement,
    denorm_boxes,
    norm_boxes,
    pairwise_iou,
)
from mrcnn.fetch import fetch
from mrcnn.metrics import (
    compute_ap,
    compute_ap_range,
    compute_matches,
    compute_overlaps_masks,
    compute_recall,
)
from mrcnn.molding import (
    expand_mask,
    extract_bboxes,
    minimize_mask,
    mold_mask,
    unmold_mask,
)
from mrcnn.pictures import read_picture, to_rgb8, unreadable
from mrcnn.reduced import read_reduced
from mrcnn.resizing import ReducedPicture, resize, resize_image, resize_mask

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


class Dataset:
    """Images with their classes and masks; subclass it for a data set of your own.

    Call `add_class` and `add_image` for everything, then `prepare()`. Override `load_mask`
    and, if the images are not files, `load_image`. Class 0 is the background.

    Attributes:
        image_info: list of dicts with id, source, path and what `add_image` was given.
        class_info: list of dicts with source, id and name; row 0 is the background.
        num_classes, class_ids, class_names, num_images, sources, source_class_ids,
        class_from_source_map, image_from_source_map: set by `prepare`.

    Source: Matterport `utils.Dataset`.
    """

    def __init__(self, class_map: Any = None):
        """`class_map` is not used; it is part of Matterport's signature."""
        self._image_ids = np.arange(0)
        self.image_info: list[dict[str, Any]] = []
        self.class_info: list[dict[str, Any]] = [{"source": "", "id": 0, "name": "BG"}]
        self.source_class_ids: dict[str, list[int]] = {}

    def add_class(self, source: str, class_id: int, class_name: str) -> None:
        """Add a class; a second one of the same source and id is ignored.

        Args:
            source: name of the collection the class belongs to, without a full stop.
            class_id: number of the class in its source.
            class_name: what is shown; the text before a first comma.

        Raises:
            ValueError: a full stop in `source`.
        """
        if "." in source:
            raise ValueError(f"Source name {source!r} contains a full stop; choose another one.")
        if any(c["source"] == source and c["id"] == class_id for c in self.class_info):
            return
        self.class_info.append({"source": source, "id": class_id, "name": class_name})

    def add_image(self, source: str, image_id: Any, path: str | Path | None, **kwargs: Any) -> None:
        """Add an image; keyword arguments are kept in its `image_info`."""
        self.image_info.append({"id": image_id, "source": source, "path": path, **kwargs})

    def image_reference(self, image_id: int) -> str:
        """Text that helps to find the image, for messages; "" unless overridden."""
        return ""

    def prepare(self, class_map: Any = None) -> None:
        """Number classes and images. Call it after the last `add_class` and `add_image`.

        `class_map` is not used; it is part of Matterport's signature.
        """
        self.num_classes = len(self.class_info)
        self.class_ids = np.arange(self.num_classes)
        self.class_names = [c["name"].split(",")[0] for c in self.class_info]
        self.num_images = len(self.image_info)
        self._image_ids = np.arange(self.num_images)
        self.class_from_source_map = {
            f"{c['source']}.{c['id']}": i for i, c in enumerate(self.class_info)
        }
        self.image_from_source_map = {
            f"{image['source']}.{image['id']}": i for i, image in enumerate(self.image_info)
        }
        self.sources = list(dict.fromkeys(c["source"] for c in self.class_info))
        # The background belongs to every source.
        self.source_class_ids = {
            source: [i for i, c in enumerate(self.class_info) if i == 0 or c["source"] == source]
            for source in self.sources
        }

    @property
    def image_ids(self) -> np.ndarray:
        """Internal ids 0 .. N-1; empty before `prepare`."""
        return self._image_ids

    def map_source_class_id(self, source_class_id: str) -> int:
        """Internal id of a class such as "coco.12".

        Raises:
            KeyError: no such class.
        """
        return self.class_from_source_map[source_class_id]

    def get_source_class_id(self, class_id: int, source: str) -> int:
        """Number that the class has in its source.

        Raises:
            ValueError: the class belongs to another source.
        """
        info = self.class_info[class_id]
        if info["source"] != source:
            raise ValueError(
                f"Class {class_id} ({info['name']!r}) belongs to source {info['source']!r}, "
                f"not to {source!r}."
            )
        return info["id"]

    def source_image_link(self, image_id: int) -> Any:
        """Path of the image; override it to give a link."""
        return self.image_info[image_id]["path"]

    def load_image(self, image_id: int) -> np.ndarray:
        """Read an image.

        Grey pictures become RGB and an alpha channel is dropped. Integers of more than 8
        bits are scaled to 0 .. 255 by the bits in use: the highest bit set in the picture
        decides (12-bit camera data in a 16-bit file is divided by 16, full 16-bit data by
        256, small values stay as they are). Floats from 0 to 1 are multiplied by 255.

        Returns:
            uint8 [H, W, 3].

        Raises:
            ValueError: the file is missing, cannot be decoded, or is no such picture.
        """
        path = self.image_info[image_id]["path"]
        if path is None:
            raise ValueError(
                f"Image {image_id} has no path. Give add_image a path, or override load_image."
            )
        try:
            image = read_picture(path)
        except Exception as error:
            raise unreadable(path, error) from error
        return to_rgb8(image, path)

    def load_reduced(self, image_id: int, max_side: int | None) -> ReducedPicture:
        """Read an image at reduced scale; see `mrcnn.reduced.read_reduced`.

        Where `load_image` is overridden, what it gives is taken, not reduced.
        """
        path = self.image_info[image_id]["path"]
        if path is None or type(self).load_image is not Dataset.load_image:
            image = np.asarray(self.load_image(image_id))
            return ReducedPicture(image, image.shape)
        return read_reduced(path, max_side)

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Masks of an image; override it.

        Returns:
            masks bool [H, W, N] and class ids int32 [N]; a negative id marks a crowd. This
            one warns and returns arrays of shape (0, 0, 0) and (0,).
        """
        logger.warning(
            "%s does not define load_mask: image %s has no masks.", type(self).__name__, image_id
        )
        return np.empty((0, 0, 0), bool), np.empty(0, np.int32)

    def load_mask_at(
        self, image_id: int, shape: Sequence[int], rows: np.ndarray, columns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Some rows and columns of the masks of an image.

        Override it where masks can be read without all of them in memory at once.

        Args:
            image_id: internal id.
            shape: (H, W, ...) px of the image.
            rows: int [h], in rising order.
            columns: int [w].

        Returns:
            masks bool [h, w, N] and class ids int32 [N]; see `load_mask`.

        Raises:
            ValueError: the masks do not have the size of the image.
        """
        masks, class_ids = fitting_masks(shape, *self.load_mask(image_id))
        return masks[rows[:, None], columns[None, :]], class_ids


def fitting_masks(
    shape: Sequence[int], masks: np.ndarray, class_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What `Dataset.load_mask` gave, as bool [H, W, N] and int32 [N].

    Args:
        shape: (H, W, ...) px of the image.
        masks: [H, W, N], or any shape [..., 0].
        class_ids: [N].

    Raises:
        ValueError: they do not fit each other, or the image.
    """
    masks, class_ids = np.asarray(masks), np.asarray(class_ids, np.int32)
    if masks.shape[-1] == 0:
        masks = np.zeros((*shape[:2], 0), bool)
    if masks.shape != (*shape[:2], len(class_ids)):
        raise ValueError(
            f"the image has shape {tuple(shape)}, but its masks {masks.shape}, and there are "
            f"{len(class_ids)} class ids; masks must be [H, W, N] with N class ids."
        )
    return masks.astype(bool, copy=False), class_ids


def compute_iou(
    box: np.ndarray, boxes: np.ndarray, box_area: float, boxes_area: np.ndarray
) -> np.ndarray:
    """IoU of one box [4] with boxes [N, 4], whose areas are given; float [N].

    Source: Matterport `utils.compute_iou`.
    """
    height = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0])
    width = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1])
    intersection = np.maximum(height, 0) * np.maximum(width, 0)
    union = box_area + boxes_area - intersection
    return np.where(union > 0, intersection / np.where(union > 0, union, 1), 0.0)


def compute_overlaps(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """IoU of every pair of boxes [n, 4] and [m, 4], float64 [n, m].

    Source: Matterport `utils.compute_overlaps`.
    """
    return pairwise_iou(np.reshape(boxes1, (-1, 4)), np.reshape(boxes2, (-1, 4)))


def non_max_suppression(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Greedy non-maximum suppression.

    Args:
        boxes: [N, 4].
        scores: [N].
        threshold: boxes whose IoU with a better one is larger than this are dropped.

    Returns:
        int32 [K], rows kept, best first.

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

    Raises:
        ValueError: `x` is not a matrix.

    Source: Matterport `utils.trim_zeros`.
    """
    x = np.asarray(x)
    if x.ndim != 2:
        raise ValueError(f"trim_zeros takes a matrix [N, M]; got shape {x.shape}.")
    return x[x.any(axis=1)]


def batch_slice(
    inputs: Any,
    graph_fn: Callable,
    batch_size: int,
    names: Sequence[str] | None = None,
) -> Any:
    """Run a function on every item of a batch and stack what it returns.

    Kept for old code: it unrolls a loop. Functions that work on whole batches are faster.

    Args:
        inputs: tensor, or list of tensors, with a leading batch dimension.
        graph_fn: takes one item of each, returns a tensor or a list of tensors.
        batch_size: number of items.
        names: not used; part of Matterport's signature.

    Returns:
        One tensor [batch_size, ...], or a list of them if `graph_fn` returns several.

    Source: Matterport `utils.batch_slice`.
    """
    if not isinstance(inputs, list):
        inputs = [inputs]
    items = [graph_fn(*(x[i] for x in inputs)) for i in range(batch_size)]
    items = [item if isinstance(item, (tuple, list)) else [item] for item in items]
    stacked = [ops.stack(column, axis=0) for column in zip(*items, strict=True)]
    return stacked[0] if len(stacked) == 1 else stacked


def download_trained_weights(coco_model_path: str | Path, verbose: int = 1) -> None:
    """Download the COCO weights of Matterport's release v2.0 (`COCO_MODEL_URL`).

    Args:
        coco_model_path: file to write; it appears when the download is complete. One that is
            there is kept.
        verbose: above 0, a progress bar is drawn.

    Raises:
        OSError: no connection, an HTTP error, or a download cut short.

    Source: Matterport `utils.download_trained_weights`.
    """
    fetch(COCO_MODEL_URL, coco_model_path, progress=verbose > 0)
