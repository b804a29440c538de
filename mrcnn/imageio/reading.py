"""Reading a picture file, whole or in windows, whatever its format.

`read_picture` and `open_source` agree pixel by pixel; `mrcnn.imageio.reduced` reads at a
fraction of the size. Everything that takes pictures from the user calls these.
"""

import math
from pathlib import Path

import numpy as np

from mrcnn.errors import MissingFileError, UserError, reading
from mrcnn.imageio.contrast import BITS
from mrcnn.imageio.header import EVERYTHING, Choice, PictureHeader
from mrcnn.imageio.pillow_files import count_pages, open_pillow, opened
from mrcnn.imageio.pillow_files import read_header as pillow_header
from mrcnn.imageio.tiff_files import open_tiff
from mrcnn.imageio.tiff_headers import leading_axes, opened_tiff, read_contents
from mrcnn.imageio.windows import ArraySource, PictureSource

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_source(
    source: str | Path | np.ndarray | PictureSource,
    max_side: int | None = None,
    choice: Choice = EVERYTHING,
    rule: str = BITS,
) -> PictureSource:
    """Open a file, or an array [H, W] or [H, W, channels], to read windows of it.

    TIFF files of strips or tiles are read in parts, and of an `np.memmap` what is asked for. Other
    files are decoded once, as a whole.

    Args:
        source: file, array or an open source.
        max_side: take a reduced form of the file (a level of a pyramid, JPEG, JPEG 2000) whose
            longer side has at least this many px; `step` says which.
        choice: what is read of a file with channels or pages.
        rule: how deeper values become 8 bits; see `mrcnn.imageio.contrast`.

    Raises:
        UserError: a damaged file, one of no known kind, or one that holds more than one picture.
    """
    if isinstance(source, PictureSource):
        return source
    if isinstance(source, np.ndarray):
        return ArraySource(source, rule=rule)
    path = Path(source)
    with reading(path):
        open_file = open_tiff if _is_tiff(path) else open_pillow
        try:
            return open_file(path, max_side, choice, rule)
        except MemoryError as error:
            raise UserError(f"{path}: too large for the memory of this machine.") from error


def read_picture(path: str | Path, choice: Choice = EVERYTHING, rule: str = BITS) -> np.ndarray:
    """A whole picture, upright, uint8 [H, W, 3]; see `open_source` and `PictureSource.read`."""
    with reading(path), open_source(path, choice=choice, rule=rule) as source:
        return read_whole(source)


def read_whole(source: PictureSource) -> np.ndarray:
    """The whole picture of an open source, uint8 [H, W, 3]; a warning names a blank one."""
    pixels = np.ascontiguousarray(source.read(0, 0, *source.shape[:2]))
    source.say_if_blank(pixels)
    return pixels


def read_header(path: str | Path, choice: Choice = EVERYTHING) -> PictureHeader:
    """What a file says of its picture; no pixel is decoded."""
    path = Path(path)
    with reading(path):
        if _is_tiff(path):
            with opened_tiff(path) as tiff:
                return read_contents(tiff, path, choice).header
        with opened(path) as image:
            return pillow_header(path, image, choice)


def count_pictures(path: str | Path) -> int:
    """Number of pages, channels and the like of a file, of which `Choice.index` chooses."""
    path = Path(path)
    with reading(path):
        if _is_tiff(path):
            with opened_tiff(path) as tiff:
                return math.prod(n for _, n in leading_axes(tiff.series[0]))
        with opened(path) as image:
            return count_pages(image)


def _is_tiff(path: Path) -> bool:
    if not path.exists() or path.is_dir():
        raise MissingFileError(f"{path}: cannot read this picture (no such file).")
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise UserError(f"{path}: cannot read this picture (the file is empty). Replace the file.")
    return start in _TIFF_STARTS
