"""From a picture to what the network takes, and back.

Mini masks, the image meta vector, molding and unmolding. Plain NumPy; boxes are
(y1, x1, y2, x2) with y2 and x2 one past the last pixel.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mrcnn.boxes import denorm_boxes, norm_boxes
from mrcnn.config import Config
from mrcnn.resizing import as_picture, resize, resize_image, resize_mask

__all__ = [
    "compose_image_meta",
    "expand_mask",
    "extract_bboxes",
    "inside_box",
    "minimize_mask",
    "mold_image",
    "mold_inputs",
    "mold_mask",
    "parse_image_meta",
    "parse_image_meta_graph",
    "resize",
    "resize_image",
    "resize_mask",
    "strips",
    "unmold_boxes",
    "unmold_detections",
    "unmold_image",
    "unmold_mask",
    "values_in_box",
    "visible_box",
]

_STRIP_PX = 2**20  # of a mask that are pasted at once


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
    full = np.zeros(tuple(image_shape[:2]), bool)
    _paste(full, mask, bbox)
    return full


def _paste(full: np.ndarray, mask: np.ndarray, bbox: Sequence[int]) -> None:
    y1, x1, y2, x2 = visible_box(bbox, full.shape)
    for top, bottom in strips(y1, y2, x2 - x1):
        full[top:bottom, x1:x2] = inside_box(mask, bbox, (top, x1, bottom, x2))


def visible_box(bbox: Sequence[int], image_shape: Sequence[int]) -> tuple[int, int, int, int]:
    """The part of a box (y1, x1, y2, x2) px inside an image; without area if there is none.

    Raises:
        ValueError: a box without area.
    """
    y1, x1, y2, x2 = _int_box(bbox)
    height, width = image_shape[:2]
    y1, x1 = min(max(y1, 0), height), min(max(x1, 0), width)
    return y1, x1, max(min(y2, height), y1), max(min(x2, width), x1)


def strips(start: int, stop: int, across: int) -> Iterator[tuple[int, int]]:
    """Parts of a range of rows (or columns) of `across` px, of about a million px each."""
    step = max(1, _STRIP_PX // max(across, 1))
    for first in range(start, stop, step):
        yield first, min(first + step, stop)


def inside_box(mask: np.ndarray, bbox: Sequence[int], window: Sequence[int]) -> np.ndarray:
    """Which pixels of a window belong to a mask that is pasted into its box.

    That is worked out for the window alone, so that large masks can be made strip by strip.

    Args:
        mask: [28, 28] float.
        bbox: (y1, x1, y2, x2) px.
        window: (y1, x1, y2, x2) px, inside the box.

    Returns:
        bool [window height, window width].
    """
    y1, x1, y2, x2 = window
    return values_in_box(mask, bbox, np.arange(y1, y2), np.arange(x1, x2)) >= 0.5


def values_in_box(
    mask: np.ndarray, bbox: Sequence[int], rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """A mask resized to its box, at some rows and columns of the picture.

    Equal to `resize`: bilinear, 0 outside the mask.

    Args:
        mask: [28, 28] float.
        bbox: (y1, x1, y2, x2) px.
        rows: int [h], inside the box.
        columns: int [w], inside the box.

    Returns:
        [h, w] of the mask's dtype.
    """
    y1, x1, y2, x2 = _int_box(bbox)
    down = _interpolation(mask.shape[0], y2 - y1, rows - y1)
    across = _interpolation(mask.shape[1], x2 - x1, columns - x1)
    # Rounded to float32 where the mask is: `resize` compares such values to one half.
    values = (down @ mask.astype(np.float64) @ across.T).astype(mask.dtype)
    # `resize` does not leave the range of its input, which matters to a mask without zeros.
    return np.maximum(values, mask.min()) if mask.min() >= 0.5 else values


def _interpolation(count: int, length: int, pixels: np.ndarray) -> np.ndarray:
    """Weights [pixels, count] of `count` values for px of `length`, centres aligned."""
    places = (pixels + 0.5) * (count / length) - 0.5
    below = np.floor(places).astype(int)
    weights = np.zeros((len(pixels), count + 2))  # one value of 0 at each end
    row = np.arange(len(pixels))
    weights[row, below + 1] = 1 - (places - below)
    weights[row, below + 2] = places - below
    return weights[:, 1:-1]


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
        images: N pictures [H, W, C] of 0 to 255, or what stands for them (`ReducedPicture`).
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
        image = as_picture(image)
        if len(image.shape) != 3 or image.shape[-1] != config.IMAGE_CHANNEL_COUNT:
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


def unmold_boxes(
    detections: np.ndarray,
    original_image_shape: Sequence[int],
    image_shape: Sequence[int],
    window: Sequence[int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `unmold_detections` does but for the masks; arguments as there.

    Returns:
        boxes int32 [N, 4] px, class ids int32 [N], scores float32 [N], and the rows of
        `detections` that were kept, int [N].
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
    return boxes[keep], class_ids[keep], scores[keep], keep


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
    boxes, class_ids, scores, rows = unmold_boxes(
        detections, original_image_shape, image_shape, window
    )
    # One plane after the other: a mask is written, and later read, in one piece.
    masks = np.zeros((len(rows), *original_image_shape[:2]), bool)
    for full, row, box, class_id in zip(masks, rows, boxes, class_ids, strict=True):
        _paste(full, mrcnn_mask[row, :, :, class_id], box)
    return boxes, class_ids, scores, np.moveaxis(masks, 0, -1)
