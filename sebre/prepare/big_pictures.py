"""Pictures of raw folders: sections, drawings and label maps of any size.

A section of the paper has up to 137 million pixels. It is read by `mrcnn.imageio` in strips of
rows, as 8-bit values and never as floats, so that memory stays bounded. The sources of pictures
call this.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mrcnn.errors import UserError, reading
from mrcnn.imageio.header import EVERYTHING, Choice
from mrcnn.imageio.reading import open_source, read_header

MAX_PIXELS = 2**29  # 537 million; a decoded PNG of that size takes 2 GiB

_STRIP_ROWS = 256


def picture_size(path: str | Path, choice: Choice = EVERYTHING) -> tuple[int, int]:
    """(height, width) of a picture in px, upright, from its header."""
    return _sized(path, read_header(path, choice).shape)


def _sized(path: str | Path, shape: tuple[int, int]) -> tuple[int, int]:
    if shape[0] * shape[1] > MAX_PIXELS:
        raise UserError(
            f"{path}: {shape[0]} x {shape[1]} px are too many; at most {MAX_PIXELS} pixels are "
            "read. Reduce the picture."
        )
    return shape


def strips(
    path: str | Path,
    rows: int = _STRIP_ROWS,
    scale: int = 1,
    alpha: bool = False,
    choice: Choice = EVERYTHING,
) -> Iterator[tuple[int, np.ndarray]]:
    """Read a picture from top to bottom, upright.

    A JPEG is decoded at 1 / `scale` of its size, rounded up: 1, 2, 4 or 8.

    Yields:
        First row of the strip, and its pixels: uint8 [rows or fewer, width, 3], or 4 with `alpha`.
    """
    longest = max(picture_size(path, choice))
    max_side = None if scale == 1 else -(-longest // scale)
    with reading(path), open_source(path, max_side, choice) as source:
        height, width = source.shape[:2]
        read = source.read_rgba if alpha else source.read
        for top in range(0, height, rows):
            yield top, read(top, 0, min(top + rows, height), width)


def read_shrunk(path: str | Path, factor: int = 1, choice: Choice = EVERYTHING) -> np.ndarray:
    """Read a section, each side divided by a whole number, by averages of areas: uint8 [H, W, 3].

    Rows and columns left over at the lower and right border are dropped.
    """
    path = Path(path)
    header = read_header(path, choice)
    height, width = (side // factor for side in _sized(path, header.shape))
    check_factor(path, (height, width), factor)
    # A JPEG's own transform averages blocks of up to 8 x 8 pixels, at a fraction of the memory.
    is_jpeg = header.format == "JPEG"
    scale = next((s for s in (8, 4, 2) if factor % s == 0), 1) if is_jpeg else 1
    step = factor // scale
    out = np.empty((height, width, 3), np.uint8)
    for top, strip in strips(path, max(1, _STRIP_ROWS // step) * step, scale, choice=choice):
        y, n = top // step, min(len(strip) // step, height - top // step)
        if n > 0:
            reduced = np.ascontiguousarray(strip[: n * step, : width * step])
            if step > 1:
                reduced = np.asarray(Image.fromarray(reduced).reduce(step))
            out[y : y + n] = reduced
    return out


def check_factor(path: Path, size: tuple[int, int], factor: int) -> None:
    """Raise a ValueError if nothing is left of a picture whose sides were divided by a factor."""
    if min(size) < 1:
        raise UserError(
            f"{path}: divided by {factor} nothing is left of this picture. Use a smaller "
            "--downsample."
        )
