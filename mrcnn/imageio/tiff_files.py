"""TIFF files of which strips and tiles are decoded one by one; a level of a pyramid is chosen.

Ours stays beside `tifffile.imread(aszarr=True)`: that needs zarr, and knows neither this bound on
memory nor what pages and samples mean.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from mrcnn.errors import UserError
from mrcnn.imageio.header import EVERYTHING, Choice, demand_plausible
from mrcnn.imageio.tiff_headers import Contents, opened_tiff, read_contents
from mrcnn.imageio.windows import ArraySource, PictureSource

_KEPT_BYTES = 64 * 2**20  # decoded strips and tiles that are kept for the next window
_JPEG_IN_TIFF = (6, 7, 34892, 33007)

Pages = list[list[Any]]  # parts of the colors, each of pages whose largest values are taken


def open_tiff(
    path: Path, max_side: int | None = None, choice: Choice = EVERYTHING, rule: str = "bits"
) -> PictureSource:
    """Windows of a TIFF file; of a pyramid a smaller level where it is large enough.

    Of a pyramid the smallest level is taken whose longer side has at least `max_side` px; None
    takes the original. Deeper values than 8 bits are always read from the original, as their
    brightness depends on all of them.
    """
    with ExitStack() as stack:
        tiff = stack.enter_context(opened_tiff(path))
        contents = read_contents(tiff, path, choice)
        if not contents.pages:  # stored without pages of its own, as ImageJ does
            return ArraySource(_whole_stack(contents), path, contents.header, rule)
        source = TiffSource(tiff, contents, max_side, rule)
        source._stack = stack.pop_all()
        return source


def _whole_stack(contents: Contents) -> np.ndarray:
    array = contents.level.asarray()
    parts = [
        array.reshape(-1, *array.shape[contents.first_axis :])[list(i)] for i in contents.taken
    ]
    brightest = np.min if contents.header.color == "white is zero" else np.max
    joined = [brightest(part, axis=0) for part in parts]
    return joined[0] if len(joined) == 1 else np.stack(joined, axis=-1)


class TiffSource(PictureSource):
    """Windows of strips or tiles; what was decoded last is kept."""

    def __init__(
        self, tiff: tifffile.TiffFile, contents: Contents, max_side: int | None, rule: str
    ):
        self._tiff, self._pages = tiff, contents.pages
        header = contents.header
        for level in contents.levels:
            shape = level[0][0].keyframe.shaped[2:4]
            if max_side is not None and not header.is_deep and max(shape) >= max_side:
                self._pages = level
        base, page = contents.pages[0][0].keyframe, self._pages[0][0].keyframe
        for part in self._pages:
            for one in part:
                _demand_segments(header.path, one)
        planes, _, height, width, samples = page.shaped
        original = tuple(base.shaped[2:4])
        step = tuple(_whole(n, m) for n, m in zip(original, (height, width), strict=True))
        super().__init__(
            replace(header, dtype=page.dtype) if page.dtype != header.dtype else header,
            (height, width),
            step,
            tuple((by - 1) / 2 for by in step),
            rule,
        )
        self._samples = planes * samples
        # Of several pages the brightest value counts, as it is shown.
        self._brighter = np.minimum if header.color == "white is zero" else np.maximum
        self._kept: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._kept_bytes, self._lock = 0, threading.Lock()

    def _read(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        window = (y1, x1, y2, x2)
        parts = [
            reduce(self._brighter, (self._of_page(page, window) for page in part))
            for part in self._pages
        ]
        out = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        return out[..., 0] if out.shape[-1] == 1 else out

    def _of_page(self, page: Any, window: tuple[int, int, int, int]) -> np.ndarray:
        """Samples [h, w, n] of a page."""
        y1, x1, y2, x2 = window
        keyframe = page.keyframe
        out = np.zeros((y2 - y1, x2 - x1, self._samples), keyframe.dtype)
        for first, top, left, data in self._parts(page, window):
            above, before = max(top, y1), max(left, x1)
            below, behind = min(top + data.shape[0], y2), min(left + data.shape[1], x2)
            target = out[above - y1 : below - y1, before - x1 : behind - x1]
            target[..., first : first + data.shape[2]] = data[
                above - top : below - top, before - left : behind - left
            ]
        return out

    def _parts(
        self, page: Any, window: tuple[int, int, int, int]
    ) -> Iterator[tuple[int, int, int, np.ndarray]]:
        """First sample, row and column and values [h, w, samples] of what a window touches."""
        keyframe = page.keyframe
        planes, _, height, width, samples = keyframe.shaped
        if keyframe.is_memmappable:
            # Mapped anew for each window, so that what was read does not stay in memory.
            values = self._tiff.filehandle.memmap_array(
                keyframe.dtype.newbyteorder(self._tiff.byteorder),
                (planes, height, width, samples),
                page.dataoffsets[0],
            )
            yield from ((i * samples, 0, 0, plane) for i, plane in enumerate(values))
            return
        for index in _touched(keyframe, window):
            data, (plane, _, top, left, _), shape = self._segment(page, index)
            values = np.broadcast_to(keyframe.nodata, shape) if data is None else data
            yield plane * samples, top, left, values[0]

    def _segment(self, page: Any, index: int) -> tuple[np.ndarray | None, tuple, tuple]:
        """A decoded strip or tile [1, h, w, samples], None if sparse, its place and shape."""
        key = page.index, index
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        keyframe, file = page.keyframe, self._tiff.filehandle
        tables = {}
        if keyframe.compression in _JPEG_IN_TIFF:
            tables = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
        wanted = page.databytecounts[index]
        with self._lock:
            file.seek(page.dataoffsets[index])
            coded = file.read(wanted)
        if len(coded) != wanted:
            raise UserError(
                f"{self.path}: cannot read this picture (strip or tile {index} should have "
                f"{wanted} bytes, but the file ends after {len(coded)}). It was cut short: replace "
                "it."
            )
        decoded = keyframe.decode(coded or None, index, **tables)
        if decoded[0] is not None:
            with self._lock:
                if key not in self._kept:
                    self._kept[key] = decoded
                    self._kept_bytes += decoded[0].nbytes
                while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
                    self._kept_bytes -= self._kept.popitem(last=False)[1][0].nbytes
        return decoded


def _demand_segments(path: Path, page: Any) -> None:
    """Raise UserError unless a page has all strips or tiles that its size needs."""
    keyframe = page.keyframe
    planes, depth, height, width, samples = keyframe.shaped
    if depth != 1:
        raise UserError(f"{path}: its tiles have a depth, which is not read. Save it flat.")
    demand_plausible(path, (planes, height, width, samples), 8 * keyframe.dtype.itemsize)
    down, across = _grid(keyframe)
    if keyframe.is_memmappable:
        wanted = planes * height * width * samples * keyframe.dtype.itemsize
        ends = page.dataoffsets[0] + wanted
        if ends > path.stat().st_size or sum(page.databytecounts) < wanted:
            raise UserError(
                f"{path}: cannot read this picture ({height} x {width} px need {wanted} bytes, "
                "which the file does not have). It was cut short, or its header is wrong: replace "
                "it."
            )
    elif min(len(page.dataoffsets), len(page.databytecounts)) < planes * down * across:
        raise UserError(
            f"{path}: cannot read this picture ({height} x {width} px need "
            f"{planes * down * across} strips or tiles, but it lists {len(page.dataoffsets)}). Its "
            "header is wrong: replace it."
        )


def _whole(original: int, level: int) -> float:
    """Px of the original between pixels of a level: a whole number where it fits."""
    step = round(original / level)
    return float(step) if abs(original / step - level) < 1 else original / level


def _segment_size(keyframe: tifffile.TiffPage) -> tuple[int, int]:
    if keyframe.is_tiled:
        return keyframe.tilelength, keyframe.tilewidth
    return keyframe.rowsperstrip, keyframe.shaped[3]


def _grid(keyframe: tifffile.TiffPage) -> tuple[int, int]:
    """Strips or tiles (down, across) of a plane."""
    rows, columns = _segment_size(keyframe)
    return -(-keyframe.shaped[2] // rows), -(-keyframe.shaped[3] // columns)


def _touched(keyframe: tifffile.TiffPage, window: tuple[int, int, int, int]) -> Iterator[int]:
    """Numbers of the strips or tiles that a window touches."""
    y1, x1, y2, x2 = window
    rows, columns = _segment_size(keyframe)
    down, across = _grid(keyframe)
    for plane in range(keyframe.shaped[0]):
        for row in range(y1 // rows, -(-y2 // rows)):
            for column in range(x1 // columns, -(-x2 // columns)):
                yield (plane * down + row) * across + column
