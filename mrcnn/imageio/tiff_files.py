"""TIFF files of which strips and tiles are decoded one by one; a level of a pyramid is chosen.

Ours stays beside `tifffile.imread(aszarr=True)`: that needs zarr, knows neither this bound on
memory nor pages that are the colors of one picture.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from mrcnn.errors import UserError
from mrcnn.imageio.windows import PictureSource

_KEPT_BYTES = 64 * 2**20  # decoded strips and tiles that are kept for the next window
_JPEG_IN_TIFF = (6, 7, 34892, 33007)


class TiffSource(PictureSource):
    """Windows of a TIFF file of strips or tiles; what was decoded last is kept.

    Of a pyramid the smallest level is taken whose longer side has at least `max_side` px; None
    takes the original. Integers of more than 8 bits are always read from the original, as their
    brightness depends on its largest value. `first_page` passes over all other pages; else pages
    that are not the colors of one picture raise NotOnePicture.
    """

    def __init__(self, path: Path, max_side: int | None = None, first_page: bool = False):
        with ExitStack() as stack:
            self._tiff = stack.enter_context(tifffile.TiffFile(path))
            levels = [[self._tiff.pages.first]]
            if not first_page:
                levels = [_pages(level) for level in self._tiff.series[0].levels]
            if not levels[0]:
                raise NotOnePicture(f"{path}: not one picture in strips or tiles.")
            base = levels[0][0].keyframe
            wide = base.dtype.kind in "iu" and base.dtype.itemsize > 1
            self._pages = levels[0]
            for pages in levels[1:]:
                longest = max(pages[0].keyframe.shaped[2:4]) if pages else 0
                if max_side is not None and not wide and longest >= max_side:
                    self._pages = pages
            page = self._pages[0].keyframe
            planes, _, height, width, samples = page.shaped
            channels = planes * samples * len(self._pages)
            flat = len(page.shape) == 2 and len(self._pages) == 1
            raw_shape = (height, width) if flat else (height, width, channels)
            super().__init__(path, raw_shape, page.dtype)
            self._stack = stack.pop_all()
        self.original = tuple(base.shaped[2:4])
        steps = [_whole(n, level) for n, level in zip(self.original, (height, width), strict=True)]
        self.step, self.first = tuple(steps), tuple((step - 1) / 2 for step in steps)
        self._kept: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._kept_bytes, self._lock = 0, threading.Lock()

    def _read(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        out = np.zeros((y2 - y1, x2 - x1, *self.raw_shape[2:]), self.dtype)
        channels = out if out.ndim == 3 else out[..., None]
        for first, top, left, data in self._parts((y1, x1, y2, x2)):
            above, before = max(top, y1), max(left, x1)
            below, behind = min(top + data.shape[0], y2), min(left + data.shape[1], x2)
            target = channels[above - y1 : below - y1, before - x1 : behind - x1]
            target[..., first : first + data.shape[2]] = data[
                above - top : below - top, before - left : behind - left
            ]
        return out

    def _parts(self, window: tuple[int, ...]) -> Iterator[tuple[int, int, int, np.ndarray]]:
        """First channel, row and column and values [h, w, channels] of what a window touches."""
        first = 0
        for number, page in enumerate(self._pages):
            keyframe = page.keyframe
            planes, _, height, width, samples = keyframe.shaped
            if keyframe.is_memmappable:
                # Mapped anew for each window, so that what was read does not stay in memory.
                values = self._tiff.filehandle.memmap_array(
                    keyframe.dtype.newbyteorder(self._tiff.byteorder),
                    (planes, height, width, samples),
                    page.dataoffsets[0],
                )
                yield from ((first + i * samples, 0, 0, plane) for i, plane in enumerate(values))
            else:
                for index in _touched(keyframe, window):
                    data, (plane, _, top, left, _), shape = self._segment(number, index)
                    values = np.broadcast_to(keyframe.nodata, shape) if data is None else data
                    yield first + plane * samples, top, left, values[0]
            first += planes * samples

    def _segment(self, number: int, index: int) -> tuple[np.ndarray | None, tuple, tuple]:
        """A decoded strip or tile [1, h, w, samples], None if sparse, its place and shape."""
        with self._lock:
            if (number, index) in self._kept:
                self._kept.move_to_end((number, index))
                return self._kept[number, index]
        page = self._pages[number]
        keyframe, file = page.keyframe, self._tiff.filehandle
        tables = {}
        if keyframe.compression in _JPEG_IN_TIFF:
            tables = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
        with self._lock:
            file.seek(page.dataoffsets[index])
            coded = file.read(page.databytecounts[index]) or None
        decoded = keyframe.decode(coded, index, **tables)
        if decoded[0] is not None:
            with self._lock:
                if (number, index) not in self._kept:
                    self._kept[number, index] = decoded
                    self._kept_bytes += decoded[0].nbytes
                while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
                    self._kept_bytes -= self._kept.popitem(last=False)[1][0].nbytes
        return decoded


class NotOnePicture(UserError):
    """A TIFF file whose pages are not the colors of one picture."""


def _pages(level: tifffile.TiffPageSeries) -> list[Any]:
    """The pages of one picture: one, or 3 or 4 gray ones as its colors; else none."""
    pages = list(level.pages)
    if len(pages) == 1 and pages[0].keyframe.shaped[1] == 1 and len(level.shape) in (2, 3):
        return pages
    colors_apart = len(pages) in (3, 4) and len(level.shape) == 3 and level.shape[-1] > 4
    gray = all(page is not None and len(page.keyframe.shape) == 2 for page in pages)
    return pages if colors_apart and gray else []


def _whole(original: int, level: int) -> float:
    """Px of the original between pixels of a level: a whole number where it fits."""
    step = round(original / level)
    return float(step) if abs(original / step - level) < 1 else original / level


def _touched(keyframe: tifffile.TiffPage, window: tuple[int, int, int, int]) -> Iterator[int]:
    """Numbers of the strips or tiles that a window touches."""
    y1, x1, y2, x2 = window
    planes, _, height, width, _ = keyframe.shaped
    rows, columns = keyframe.rowsperstrip, width
    if keyframe.is_tiled:
        rows, columns = keyframe.tilelength, keyframe.tilewidth
    down, across = -(-height // rows), -(-width // columns)
    for plane in range(planes):
        for row in range(y1 // rows, -(-y2 // rows)):
            for column in range(x1 // columns, -(-x2 // columns)):
                yield (plane * down + row) * across + column
