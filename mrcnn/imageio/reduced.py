"""Reading pictures at reduced scale, for a network that makes them small anyway."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import reading
from mrcnn.imageio.contrast import BITS
from mrcnn.imageio.header import EVERYTHING, Choice
from mrcnn.imageio.reading import open_source
from mrcnn.structures.resampling import resize


@dataclass(frozen=True, eq=False)
class ReducedPicture:
    """A picture decoded at reduced scale, which `resize_image` takes for its original."""

    pixels: np.ndarray  # [h, w, C]
    shape: tuple[int, int, int]  # (H, W, C) of the original, px
    # (Rows, columns) px of the original from one of `pixels` to the next.
    step: tuple[float, float] = (1.0, 1.0)
    # (Row, column) px of the original, from the center of its first pixel to that of `pixels`.
    first: tuple[float, float] = (0.0, 0.0)

    @property
    def dtype(self) -> np.dtype:
        """That of `pixels`."""
        return self.pixels.dtype

    @property
    def size(self) -> int:
        """Number of values that are held."""
        return self.pixels.size

    def min(self) -> Any:
        """The smallest value that is held."""
        return self.pixels.min()

    def max(self) -> Any:
        """The largest value that is held."""
        return self.pixels.max()

    def resized(self, shape: Sequence[int]) -> np.ndarray:
        """The original resized to (h, w) px, [h, w, C] of the same dtype.

        Bilinear between the centers of `pixels`, the border continued, truncated as by
        `resize_image`; where nothing was reduced this is what that function does.
        """
        if self.step == (1.0, 1.0):
            if tuple(shape) == self.shape[:2]:
                return self.pixels
            return resize(self.pixels, shape, preserve_range=True).astype(self.dtype)
        image = self.pixels.astype(np.float32)
        for axis in (0, 1):
            last = image.shape[axis] - 1
            centers = (np.arange(shape[axis]) + 0.5) * (self.shape[axis] / shape[axis]) - 0.5
            places = ((centers - self.first[axis]) / self.step[axis]).clip(0, last)
            low = places.astype(int)
            part = (places - low).astype(np.float32)
            part = part[:, None, None] if axis == 0 else part[None, :, None]
            below = image.take(low, axis)
            image = below + (image.take(np.minimum(low + 1, last), axis) - below) * part
        return image.astype(self.dtype)


def as_picture(image: Any) -> Any:
    """A `ReducedPicture` as it is, anything else as an array."""
    return image if isinstance(image, ReducedPicture) else np.asarray(image)


def held_pixels(image: Any) -> np.ndarray:
    """The pixels of a picture [h, w, C], at whatever scale they are held."""
    return image.pixels if isinstance(image, ReducedPicture) else image


def read_reduced(
    path: str | Path, max_side: int | None, choice: Choice = EVERYTHING, rule: str = BITS
) -> ReducedPicture:
    """Read a picture as uint8 RGB at a whole fraction of its size, with little memory.

    JPEG is decoded at 1/2, 1/4 or 1/8 (libjpeg), JPEG 2000 at the halvings it holds; of a TIFF
    pyramid a level is read, and a plain TIFF strip by strip or tile by tile; all other files are
    decoded whole. What is still twice too large is averaged over whole blocks. The longer side
    keeps at least `max_side` px; None reduces nothing. `choice` and `rule` as of `open_source`.

    Against `Dataset.load_image` and bilinear resizing, which takes 4 neighboring pixels of the
    original for each pixel, fine texture is averaged and not sampled. Positions are the same.
    """
    with reading(path, "this image"), open_source(path, max_side, choice, rule) as source:
        block = 1 if max_side is None else max(1, max(source.shape[:2]) // max_side)
        pixels = source.block_means(block)
        source.say_if_blank(pixels)
        places = zip(source.first, source.step, strict=True)
        first = (f + s * (block - 1) / 2 for f, s in places)
        step = (s * block for s in source.step)
        return ReducedPicture(pixels, (*source.original, 3), tuple(step), tuple(first))
