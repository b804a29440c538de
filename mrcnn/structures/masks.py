"""Masks as stacks of pixels: boxes around them, mini masks, and pasting them into an image."""

from collections.abc import Iterator, Sequence

import numpy as np

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.structures.resampling import resize

_STRIP_PX = 2**20  # of a mask that are pasted at once


def extract_bboxes(mask: np.ndarray) -> np.ndarray:
    """Tight boxes of masks [H, W, N], int32 [N, 4] px; all zero for an empty mask.

    Source: Matterport `utils.extract_bboxes`.

    Example:
        >>> mask = np.zeros((10, 10, 1), bool)
        >>> mask[2:5, 3:9] = True
        >>> extract_bboxes(mask)
        array([[2, 3, 5, 9]], dtype=int32)
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
        raise UserError(
            f"Box {(y1, x1, y2, x2)} (y1, x1, y2, x2) has no area. Drop instances with an "
            "empty mask before resizing their masks."
        )
    return y1, x1, y2, x2


def minimize_mask(bbox: np.ndarray, mask: np.ndarray, mini_shape: Sequence[int]) -> np.ndarray:
    """The part of masks bool [H, W, N] inside their boxes [N, 4] px, resized to bool [h, w, N].

    A box without area raises a ValueError. Source: Matterport `utils.minimize_mask`.
    """
    mini = np.zeros((*mini_shape, mask.shape[-1]), bool)
    for i in range(mask.shape[-1]):
        y1, x1, y2, x2 = _int_box(bbox[i])
        part = mask[y1:y2, x1:x2, i].astype(np.float64)
        mini[..., i] = np.around(resize(part, mini_shape))
    return mini


def expand_mask(bbox: np.ndarray, mini_mask: np.ndarray, image_shape: Sequence[int]) -> np.ndarray:
    """Inverse of `minimize_mask`: mini masks [h, w, N] -> bool [H, W, N].
    Source: Matterport `utils.expand_mask`."""
    mask = np.zeros((*image_shape[:2], mini_mask.shape[-1]), bool)
    for i in range(mask.shape[-1]):
        y1, x1, y2, x2 = _int_box(bbox[i])
        part = resize(mini_mask[..., i].astype(np.float64), (y2 - y1, x2 - x1))
        mask[y1:y2, x1:x2, i] = np.around(part)
    return mask


def mold_mask(mask: np.ndarray, config: Config) -> None:
    """Does nothing; it is an empty stub in Matterport's `utils` too."""


def unmold_mask(mask: np.ndarray, bbox: Sequence[int], image_shape: Sequence[int]) -> np.ndarray:
    """Paste one mask of the network into its box: bool [H, W].

    Args:
        mask: [28, 28] float, 0 to 1; a pixel belongs to the object from 0.5 on.
        bbox: (y1, x1, y2, x2) px in the image; what lies outside the image is cut off.
        image_shape: (H, W, ...) px.

    Source: Matterport `utils.unmold_mask`.
    """
    full = np.zeros(tuple(image_shape[:2]), bool)
    paste_mask(full, mask, bbox)
    return full


def paste_mask(full: np.ndarray, mask: np.ndarray, bbox: Sequence[int]) -> None:
    """Set in `full`, bool [H, W], the pixels that a mask of a box covers (see `unmold_mask`)."""
    y1, x1, y2, x2 = visible_box(bbox, full.shape)
    for top, bottom in spans(y1, y2, x2 - x1):
        full[top:bottom, x1:x2] = inside_box(mask, bbox, (top, x1, bottom, x2))


def visible_box(bbox: Sequence[int], image_shape: Sequence[int]) -> tuple[int, int, int, int]:
    """The part of a box (y1, x1, y2, x2) px inside an image; without area if there is none."""
    y1, x1, y2, x2 = _int_box(bbox)
    height, width = image_shape[:2]
    y1, x1 = min(max(y1, 0), height), min(max(x1, 0), width)
    return y1, x1, max(min(y2, height), y1), max(min(x2, width), x1)


def spans(start: int, stop: int, across: int) -> Iterator[tuple[int, int]]:
    """Parts of a range of rows (or columns) of `across` px, of about a million px each."""
    step = max(1, _STRIP_PX // max(across, 1))
    for first in range(start, stop, step):
        yield first, min(first + step, stop)


def inside_box(mask: np.ndarray, bbox: Sequence[int], window: Sequence[int]) -> np.ndarray:
    """Pixels of a window (y1, x1, y2, x2) in a box that belong to a mask pasted there, bool [h, w].

    Worked out for the window alone, so that large masks can be made strip by strip.
    """
    y1, x1, y2, x2 = window
    return values_in_box(mask, bbox, np.arange(y1, y2), np.arange(x1, x2)) >= 0.5


def values_in_box(
    mask: np.ndarray, bbox: Sequence[int], rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """A mask [28, 28] resized to its box, at rows [h] and columns [w] of the picture inside it.

    [h, w] of the mask's dtype. Equal to `resize`: bilinear, 0 outside the mask.
    """
    y1, x1, y2, x2 = _int_box(bbox)
    down = _interpolation(mask.shape[0], y2 - y1, rows - y1)
    across = _interpolation(mask.shape[1], x2 - x1, columns - x1)
    # Rounded to float32 where the mask is: `resize` compares such values to one half.
    values = (down @ mask.astype(np.float64) @ across.T).astype(mask.dtype)
    # `resize` does not leave the range of its input, which matters to a mask without zeros.
    return np.maximum(values, mask.min()) if mask.min() >= 0.5 else values


def _interpolation(count: int, length: int, pixels: np.ndarray) -> np.ndarray:
    """Weights [pixels, count] of `count` values for px of `length`, centers aligned."""
    places = (pixels + 0.5) * (count / length) - 0.5
    below = np.floor(places).astype(int)
    weights = np.zeros((len(pixels), count + 2))  # one value of 0 at each end
    row = np.arange(len(pixels))
    weights[row, below + 1] = 1 - (places - below)
    weights[row, below + 2] = places - below
    return weights[:, 1:-1]
