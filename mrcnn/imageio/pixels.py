"""What becomes of the values of decoded pictures: 8-bit RGB, whatever they were."""

from typing import Any

import numpy as np

from mrcnn.errors import UserError


def to_rgb8(image: np.ndarray, path: Any, largest: int | None = None) -> np.ndarray:
    """Decoded picture of any usual kind, [H, W] or [H, W, 1 to 4], as uint8 [H, W, 3].

    Gray pictures become RGB and an alpha channel is dropped. Integers of more than 8 bits are
    scaled to 0 .. 255 by the bits in use: the highest bit set decides (12-bit camera data in a
    16-bit file is divided by 16, full 16-bit data by 256, small values stay as they are). Floats
    from 0 to 1 are multiplied by 255. `path` is for messages; `largest` is the largest color of the
    whole picture, where `image` is a part or a mean of it.
    """
    image = colors(image, path)
    if image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
    if image.dtype == np.uint8:
        return image
    if image.dtype == bool:
        return image.astype(np.uint8) * np.uint8(255)
    kind, low, high = image.dtype.kind, image.min(), image.max()
    if kind in "iu" and low >= 0:
        high = int(high) if largest is None else largest
        return (image >> max(high.bit_length() - 8, 0)).astype(np.uint8)
    if kind == "f" and low >= 0 and high <= 1:
        return np.around(image * 255).astype(np.uint8)
    raise UserError(
        f"{path}: {image.dtype} values from {low} to {high}; they must be whole numbers of "
        "at least 0, or floats from 0 to 1. Convert the file, or override load_image."
    )


def colors(image: np.ndarray, path: Any) -> np.ndarray:
    """A gray, RGB or RGBA picture without its alpha channel, [H, W, 1 or 3]."""
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 2, 3, 4) or 0 in image.shape:
        raise UserError(
            f"{path}: an array of shape {image.shape} is not a gray, RGB or RGBA picture. "
            "Convert it, or override load_image."
        )
    return image[..., :-1] if image.shape[-1] in (2, 4) else image
