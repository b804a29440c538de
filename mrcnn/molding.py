"""From a picture to what the network takes, and back.

Mini masks, the image meta vector, molding and unmolding. Plain NumPy; boxes are
(y1, x1, y2, x2) with y2 and x2 one past the last pixel.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mrcnn.boxes import denorm_boxes, norm_boxes
from mrcnn.config import Config
from mrcnn.resizing import resize, resize_image, resize_mask

__all__ = [
    "compose_image_meta",
    "expand_mask",
    "extract_bboxes",
    "minimize_mask",
    "mold_image",
    "mold_inputs",
    "mold_mask",
    "parse_image_meta",
    "parse_image_meta_graph",
    "resize",
    "resize_image",
    "resize_mask",
    "unmold_detections",
    "unmold_image",
    "unmold_mask",
]


def extract_bboxes(mask: np.ndarray) -> np.ndarray:
    """Tight boxes of masks [H, W, N], int32 [N, 4] px; all zero for an empty mask.

    Source: Matterport `utils.extract_bboxes`.
    """
    mask = np.asarray(mask)
    boxes = np.zeros((mask.shape[-1], 4), np.int32)
    for box, in_row, in_column in zip(boxes, mask.any(axis=1).T, mask.any(axis=0).T, strict=True):
        rows, columns = np.flatnonzero(in_row), np.flatnonzero(in_column)
        if rows.size:
            box[:] = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    return boxes


def _int_box(bbox: Sequence[int]) -> tuple[int, int, int, int]:
    y1, x1, y2, x2 = (int(side) for side in bbox[:4])
    if y2 <= y1 or x2 <= x1:
        raise ValueError(
            f"Box {(y1, x1, y2, x2)} (y1, x1, y2, x2) has no area. Drop instances with an "
            "empty mask before resizing their masks."
        )
    return y1, x1, y2, x2


def minimize_mask(bbox: np.ndarray, mask: np.ndarray, mini_shape: Sequence[int]) -> np.ndarray:
    """The part of each mask inside its box, resized to `mini_shape`.

    Args:
        bbox: [N, 4] px.
        mask: [H, W, N] bool.
        mini_shape: (h, w) px.

    Returns:
        bool [h, w, N].

    Raises:
        ValueError: a box without area.

    Source: Matterport `utils.minimize_mask`.
    """
    mini = np.zeros((*mini_shape, mask.shape[-1]), bool)
    for i in range(mask.shape[-1]):
        y1, x1, y2, x2 = _int_box(bbox[i])
        part = mask[y1:y2, x1:x2, i].astype(np.float64)
        mini[..., i] = np.around(resize(part, mini_shape))
    return mini


def expand_mask(bbox: np.ndarray, mini_mask: np.ndarray, image_shape: Sequence[int]) -> np.ndarray:
    """Inverse of `minimize_mask`: mini masks [h, w, N] -> bool [H, W, N].

    Raises:
        ValueError: a box without area.

    Source: Matterport `utils.expand_mask`.
    """
    mask = np.zeros((*image_shape[:2], mini_mask.shape[-1]), bool)
    for i in range(mask.shape[-1]):
        y1, x1, y2, x2 = _int_box(bbox[i])
        part = resize(mini_mask[..., i].astype(np.float64), (y2 - y1, x2 - x1))
        mask[y1:y2, x1:x2, i] = np.around(part)
    return mask


def mold_mask(mask: np.ndarray, config: Config) -> None:
    """Does nothing; it is an empty stub in Matterport's `utils` too."""


def unmold_mask(mask: np.ndarray, bbox: Sequence[int], image_shape: Sequence[int]) -> np.ndarray:
    """Paste one mask of the network into its box.

    Args:
        mask: [28, 28] float, 0 to 1; a pixel belongs to the object from 0.5 on.
        bbox: (y1, x1, y2, x2) px in the image; what lies outside the image is cut off.
        image_shape: (H, W, ...) px.

    Returns:
        bool [H, W], False outside the box.

    Raises:
        ValueError: a box without area.

    Source: Matterport `utils.unmold_mask`.
    """
    y1, x1, y2, x2 = _int_box(bbox)
    height, width = image_shape[:2]
    inside = resize(mask, (y2 - y1, x2 - x1)) >= 0.5
    full = np.zeros((height, width), bool)
    top, left = max(y1, 0), max(x1, 0)
    full[top : max(y2, 0), left : max(x2, 0)] = inside[
        top - y1 : max(height - y1, 0), left - x1 : max(width - x1, 0)
    ]
    return full


def mold_image(images: np.ndarray, config: Config) -> np.ndarray:
    """Subtract MEAN_PIXEL from images [..., C] (RGB order); float64 of the same shape.

    Source: Matterport `model.mold_image`.
    """
    return images.astype(np.float32) - config.MEAN_PIXEL


def unmold_image(normalized_images: np.ndarray, config: Config) -> np.ndarray:
    """Inverse of `mold_image`, uint8 (truncated).

    Source: Matterport `model.unmold_image`.
    """
    return (normalized_images + config.MEAN_PIXEL).astype(np.uint8)


def fit_image(image: np.ndarray, config: Config, mode: str | None = None) -> tuple:
    """`resize_image` by the IMAGE_* settings; `mode` in place of IMAGE_RESIZE_MODE."""
    return resize_image(
        image,
        min_dim=config.IMAGE_MIN_DIM,
        max_dim=config.IMAGE_MAX_DIM,
        min_scale=config.IMAGE_MIN_SCALE,
        mode=config.IMAGE_RESIZE_MODE if mode is None else mode,
    )


def mold_inputs(
    images: Sequence[np.ndarray], config: Config
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures of any size to one batch of the network.

    Args:
        images: N pictures [H, W, C] of 0 to 255.
        config: its IMAGE_* settings, MEAN_PIXEL and NUM_CLASSES are used.

    Returns:
        molded images float32 [N, h, w, C]; image metas float64 [N, 12 + NUM_CLASSES];
        windows int32 [N, 4], px of the molded images.

    Raises:
        ValueError: no pictures, a picture of another number of channels, or molded shapes
            that differ (possible in modes "none" and "pad64").

    Source: Matterport `MaskRCNN.mold_inputs`.
    """
    if len(images) == 0:
        raise ValueError("No images were given; at least one is needed.")
    molded, metas, windows = [], [], []
    for index, image in enumerate(images):
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[-1] != config.IMAGE_CHANNEL_COUNT:
            raise ValueError(
                f"Image {index} has shape {image.shape}; it must be [height, width, "
                f"{config.IMAGE_CHANNEL_COUNT}] (IMAGE_CHANNEL_COUNT)."
            )
        resized, window, scale, _, _ = fit_image(image, config)
        no_classes = np.zeros(config.NUM_CLASSES, np.int32)
        molded.append(mold_image(resized, config).astype(np.float32))
        metas.append(compose_image_meta(0, image.shape, resized.shape, window, scale, no_classes))
        windows.append(window)
    shapes = {image.shape for image in molded}
    if len(shapes) > 1:
        raise ValueError(
            f"Images of one batch have different molded shapes: {sorted(shapes)}. Use "
            "IMAGE_RESIZE_MODE 'square', or pass pictures of one shape together."
        )
    return np.stack(molded), np.stack(metas), np.array(windows, np.int32)


def compose_image_meta(
    image_id: int,
    original_image_shape: Sequence[int],
    image_shape: Sequence[int],
    window: Sequence[int],
    scale: float,
    active_class_ids: Sequence[int],
) -> np.ndarray:
    """What the graph must know of an image, in one vector.

    Args:
        image_id: internal id.
        original_image_shape: [H, W, C] before resizing.
        image_shape: [h, w, C] of the molded image.
        window: (y1, x1, y2, x2) of the picture in the molded image, px.
        scale: factor of the resizing.
        active_class_ids: [NUM_CLASSES] of 0 and 1, classes of the image's source.

    Returns:
        float64 [12 + NUM_CLASSES], the arguments one after the other.

    Source: Matterport `model.compose_image_meta`.
    """
    parts = (
        [image_id],
        original_image_shape,
        image_shape,
        window,
        [scale],
        active_class_ids,
    )
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def parse_image_meta(meta: np.ndarray) -> dict[str, np.ndarray]:
    """The parts of metas [B, 12 + C] by name; int32, `scale` float32.

    Source: Matterport `model.parse_image_meta`.
    """
    return {
        name: part.astype(np.float32 if name == "scale" else np.int32)
        for name, part in parse_image_meta_graph(meta).items()
    }


def parse_image_meta_graph(meta: Any) -> dict[str, Any]:
    """The same for tensors; the dtype stays.

    Source: Matterport `model.parse_image_meta_graph`.
    """
    return {
        "image_id": meta[:, 0],
        "original_image_shape": meta[:, 1:4],
        "image_shape": meta[:, 4:7],
        "window": meta[:, 7:11],
        "scale": meta[:, 11],
        "active_class_ids": meta[:, 12:],
    }


def unmold_detections(
    detections: np.ndarray,
    mrcnn_mask: np.ndarray,
    original_image_shape: Sequence[int],
    image_shape: Sequence[int],
    window: Sequence[int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Detections of one image, from the network's frame to the original picture's.

    Args:
        detections: [D, (y1, x1, y2, x2, class id, score)], normalised to the molded image;
            the first row of class 0 ends the list.
        mrcnn_mask: [D, h, w, C].
        original_image_shape: (H, W, ...) px.
        image_shape: (h, w, ...) px of the molded image.
        window: (y1, x1, y2, x2) px of the picture in the molded image.

    Returns:
        boxes int32 [N, 4] px, class ids int32 [N], scores float32 [N], masks bool
        [H, W, N]. Boxes without area in the original picture are left out.

    Source: Matterport `MaskRCNN.unmold_detections`.
    """
    ends = np.flatnonzero(detections[:, 4] == 0)
    detections = detections[: ends[0]] if ends.size else detections
    class_ids = detections[:, 4].astype(np.int32)
    scores = detections[:, 5]
    wy1, wx1, wy2, wx2 = norm_boxes(window, image_shape[:2])
    shift = np.array([wy1, wx1, wy1, wx1])
    scale = np.array([wy2 - wy1, wx2 - wx1, wy2 - wy1, wx2 - wx1])
    boxes = denorm_boxes((detections[:, :4] - shift) / scale, original_image_shape[:2])

    keep = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    masks = np.zeros((*original_image_shape[:2], len(keep)), bool)
    for target, row in enumerate(keep):
        chosen = mrcnn_mask[row, :, :, class_ids[row]]
        masks[..., target] = unmold_mask(chosen, boxes[row], original_image_shape)
    return boxes[keep], class_ids[keep], scores[keep], masks
