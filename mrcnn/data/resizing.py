"""Scaling, padding and cropping of pictures and their masks. Plain NumPy, sizes in px."""

import random
from pathlib import Path

import numpy as np

from mrcnn.config import RESIZE_MODES, Config
from mrcnn.errors import UserError
from mrcnn.imageio.header import EVERYTHING, Choice
from mrcnn.imageio.reduced import ReducedPicture, as_picture, read_reduced

Padding = list[tuple[int, int]]
Crop = tuple[int, int, int, int]

FITTING_MODES = ("square", "fit64")  # make pictures fit IMAGE_MAX_DIM


def resize_image(
    image: np.ndarray | ReducedPicture,
    min_dim: int | None = None,
    max_dim: int | None = None,
    min_scale: float | None = None,
    mode: str = "square",
) -> tuple[np.ndarray, tuple[int, int, int, int], float, Padding, Crop | None]:
    """Scale a picture and pad or crop it to a size the network takes.

    Except in mode "none" the picture is enlarged until its shorter side is `min_dim` and its scale
    at least `min_scale`; it is made smaller only by modes "square" and "fit64", to fit `max_dim`.
    Bilinear; integer pictures are truncated to their dtype, not rounded.

    Args:
        image: [H, W, C], any dtype; or what stands for it.
        min_dim: wanted length of the shorter side, px.
        max_dim: longest side in modes "square" and "fit64", px.
        min_scale: lower bound of the scale.
        mode: "none": untouched. "square": centered in max_dim x max_dim. "pad64": centered in the
            next multiples of 64. "fit64": scaled as by "square", padded as by "pad64", so that
            nothing is computed for the rest of the square. "crop": a random min_dim x min_dim part,
            drawn with Python's `random`.

    Returns:
        image [h, w, C] of the same dtype; window (y1, x1, y2, x2) of the picture in it, px; scale;
        padding of the three axes; crop (y, x, h, w) px, or None.

    Source: Matterport `utils.resize_image`; "fit64" is ours.
    """
    image = as_picture(image)
    _check_resize(image.shape, min_dim, max_dim, mode)
    height, width = image.shape[:2]
    no_padding: Padding = [(0, 0), (0, 0), (0, 0)]
    if mode == "none":
        return _scaled(image, (height, width)), (0, 0, height, width), 1, no_padding, None

    longest = max_dim if mode in FITTING_MODES else None
    scale = _scale(height, width, min_dim, longest, min_scale)
    shape = (height, width)
    if scale != 1:
        shape = (round(height * scale), round(width * scale))
        if min(shape) < 1:
            raise UserError(
                f"An image of {height} x {width} px becomes {shape[0]} x {shape[1]} px at "
                f"scale {scale:.4g}: it is too narrow. Crop it, or use a larger IMAGE_MAX_DIM."
            )
    image = _scaled(image, shape)
    height, width = shape

    if mode == "crop":
        y, x = random.randint(0, height - min_dim), random.randint(0, width - min_dim)
        image = image[y : y + min_dim, x : x + min_dim]
        window, crop = (0, 0, min_dim, min_dim), (y, x, min_dim, min_dim)
        return image, window, scale, no_padding, crop

    if mode == "square":
        target = (max_dim, max_dim)
    else:
        target = (-(-height // 64) * 64, -(-width // 64) * 64)
    top, left = (target[0] - height) // 2, (target[1] - width) // 2
    padding = [(top, target[0] - height - top), (left, target[1] - width - left), (0, 0)]
    window = (top, left, top + height, left + width)
    return np.pad(image, padding), window, scale, padding, None


def _scaled(image: np.ndarray | ReducedPicture, shape: tuple[int, int]) -> np.ndarray:
    if isinstance(image, np.ndarray):
        image = ReducedPicture(image, image.shape)
    return image.resized(shape)


def _check_resize(
    shape: tuple[int, ...], min_dim: int | None, max_dim: int | None, mode: str
) -> None:
    if mode not in RESIZE_MODES:
        raise UserError(f"Resize mode {mode!r}; it must be one of {', '.join(RESIZE_MODES)}.")
    if len(shape) != 3 or 0 in shape:
        raise UserError(f"Image of shape {shape}; it must be [height, width, channels].")
    if mode in FITTING_MODES and not max_dim:
        raise UserError(f"Resize mode {mode!r} needs max_dim; it is {max_dim!r}.")
    if mode == "fit64" and max_dim % 64:
        raise UserError(f"Resize mode 'fit64' needs max_dim a multiple of 64, not {max_dim!r}.")
    if mode == "crop" and not min_dim:
        raise UserError(f"Resize mode 'crop' needs min_dim; it is {min_dim!r}.")
    if mode == "pad64" and (not min_dim or min_dim % 64):
        raise UserError(f"Resize mode 'pad64' needs min_dim a multiple of 64, not {min_dim!r}.")


def _scale(
    height: int, width: int, min_dim: int | None, max_dim: int | None, min_scale: float | None
) -> float:
    scale = max(1, min_dim / min(height, width)) if min_dim else 1
    if min_scale and scale < min_scale:
        scale = min_scale
    longest = max(height, width)
    if max_dim and round(longest * scale) > max_dim:
        scale = max_dim / longest
    return scale


def resize_mask(
    mask: np.ndarray, scale: float, padding: Padding, crop: Crop | None = None
) -> np.ndarray:
    """Resize masks [H, W, N] by what `resize_image` returned for their picture: [h, w, N].

    Nearest neighbor with the corner pixels aligned, as `scipy.ndimage.zoom` of order 0 (which loses
    the last row or column to a rounding error at some sizes; this does not).
    Source: Matterport `utils.resize_mask`.
    """
    mask = np.asarray(mask)
    if scale != 1:
        rows, columns = (nearest_pixels(length, scale) for length in mask.shape[:2])
        mask = mask[rows[:, None], columns[None, :]]
    if crop is not None:
        y, x, height, width = crop
        return mask[y : y + height, x : x + width]
    return np.pad(mask, padding)


def nearest_pixels(length: int, scale: float) -> np.ndarray:
    """Source index of every pixel along one axis for `resize_mask`, int [n]."""
    new = round(length * scale)
    step = (length - 1) / (new - 1) if new > 1 else 0.0
    return np.floor(np.arange(new) * step + 0.5).astype(int).clip(0, length - 1)


def read_for(path: str | Path, config: Config, choice: Choice = EVERYTHING) -> ReducedPicture:
    """`read_reduced` as far as the settings make the picture small."""
    return read_reduced(path, reduced_side(config), choice, config.CONTRAST)


def reduced_side(config: Config) -> int | None:
    """Length that the longer side is reduced to, px; None where the network takes any size.

    Twice the network's, as means over blocks and resizing both soften a picture: sections averaged
    right down to its size cost the network of slicemap 0.01 of its Dice on training sections.
    """
    return 2 * config.IMAGE_MAX_DIM if config.IMAGE_RESIZE_MODE in FITTING_MODES else None
