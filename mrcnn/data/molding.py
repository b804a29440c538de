"""From a picture to what the network takes, and back: molding, the meta vector, unmolding."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mrcnn.config import Config
from mrcnn.data.resizing import resize_image
from mrcnn.errors import UserError
from mrcnn.imageio.reduced import ReducedPicture, as_picture
from mrcnn.structures.boxes import denorm_boxes, norm_boxes
from mrcnn.structures.mask_formats import Masks, demand_format, paste_contours, paste_rle
from mrcnn.structures.masks import paste_mask


def mold_image(images: np.ndarray, config: Config) -> np.ndarray:
    """Subtract MEAN_PIXEL from images [..., C] (RGB order); float64 of the same shape.
    Source: Matterport `model.mold_image`."""
    return images.astype(np.float32) - config.MEAN_PIXEL


def unmold_image(normalized_images: np.ndarray, config: Config) -> np.ndarray:
    """Inverse of `mold_image`, uint8 (truncated).
    Source: Matterport `model.unmold_image`."""
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
    """Pictures of any size to one batch of the network, by the settings of `config`.

    Args:
        images: N pictures [H, W, C] of 0 to 255, or what stands for them (`ReducedPicture`).
        config: IMAGE_*, MEAN_PIXEL and NUM_CLASSES are used.

    Returns:
        molded images float32 [N, h, w, C]; image metas float64 [N, 12 + NUM_CLASSES]; windows int32
        [N, 4], px of the molded images.

    Source: Matterport `MaskRCNN.mold_inputs`.
    """
    if len(images) == 0:
        raise UserError("No images were given; at least one is needed.")
    molded, metas, windows = [], [], []
    for index, image in enumerate(images):
        image = as_picture(image)
        if len(image.shape) != 3 or image.shape[-1] != config.IMAGE_CHANNEL_COUNT:
            raise UserError(
                f"Image {index} has shape {image.shape}; it must be [height, width, "
                f"{config.IMAGE_CHANNEL_COUNT}] (IMAGE_CHANNEL_COUNT)."
            )
        demand_8_bit_values(image, index)
        resized, window, scale, _, _ = fit_image(image, config)
        no_classes = np.zeros(config.NUM_CLASSES, np.int32)
        molded.append(mold_image(resized, config).astype(np.float32))
        metas.append(compose_image_meta(0, image.shape, resized.shape, window, scale, no_classes))
        windows.append(window)
    shapes = {image.shape for image in molded}
    if len(shapes) > 1:
        raise UserError(
            f"Images of one batch have different molded shapes: {sorted(shapes)}. Use "
            "IMAGE_RESIZE_MODE 'square', or pass pictures of one shape together."
        )
    return np.stack(molded), np.stack(metas), np.array(windows, np.int32)


def demand_8_bit_values(image: np.ndarray | ReducedPicture, index: int) -> None:
    """Raise UserError for values that a network for 0 to 255 would silently take for others."""
    if image.dtype == np.uint8 or not image.size:
        return
    low, high, kind = image.min(), image.max(), image.dtype.kind
    cure = "`mrcnn.imageio.reading.read_picture` gives files as 8 bits."
    if kind not in "biuf":
        problem = "they must be numbers"
    elif not (np.isfinite(low) and np.isfinite(high)):
        problem = "NaN and infinite values must be replaced first"
    elif low < 0 or high > 255:
        problem = "they must be from 0 to 255"
    elif kind == "b" or (kind == "f" and 0 < high <= 1):
        problem = "they must be from 0 to 255: multiply by 255"
    else:
        return
    raise UserError(
        f"Image {index} has {image.dtype} values from {low} to {high}; {problem}. {cure}"
    )


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
    parts = ([image_id], original_image_shape, image_shape, window, [scale], active_class_ids)
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def parse_image_meta(meta: np.ndarray) -> dict[str, np.ndarray]:
    """The parts of metas [B, 12 + C] by name; int32, `scale` float32.
    Source: Matterport `model.parse_image_meta`."""
    return {
        name: part.astype(np.float32 if name == "scale" else np.int32)
        for name, part in parse_image_meta_graph(meta).items()
    }


def parse_image_meta_graph(meta: Any) -> dict[str, Any]:
    """The same for tensors; the dtype stays.
    Source: Matterport `model.parse_image_meta_graph`."""
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
    """What `unmold_detections` does but for the masks, for which it gives the rows kept, int
    [N]."""
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
        detections: [D, (y1, x1, y2, x2, class id, score)], normalized to the molded image;
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
        paste_mask(full, mrcnn_mask[row, :, :, class_id], box)
    return boxes, class_ids, scores, np.moveaxis(masks, 0, -1)


def unmold_compact(
    detections: np.ndarray,
    mrcnn_mask: np.ndarray,
    original_image_shape: Sequence[int],
    image_shape: Sequence[int],
    window: Sequence[int],
    masks: str = "rle",
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Masks]:
    """`unmold_detections` with masks in one of FORMATS: bool [H, W, N], or a list of N."""
    demand_format(masks)
    if masks == "full":
        return unmold_detections(detections, mrcnn_mask, original_image_shape, image_shape, window)
    boxes, class_ids, scores, rows = unmold_boxes(
        detections, original_image_shape, image_shape, window
    )
    paste = paste_rle if masks == "rle" else paste_contours
    found = [
        paste(mrcnn_mask[row, :, :, class_id], box, original_image_shape)
        for row, class_id, box in zip(rows, class_ids, boxes, strict=True)
    ]
    return boxes, class_ids, scores, found
