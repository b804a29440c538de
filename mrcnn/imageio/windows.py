"""Pictures of which windows are read, so that the whole need not be in memory.

`PictureSource` is what all share, `ArraySource` that of arrays; `reading.open_source` chooses.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.imageio.pixels import colors, to_rgb8

_BAND_BYTES = 32 * 2**20  # decoded at once


class PictureSource:
    """A picture of which windows are read; a context manager, safe with several threads.

    Attributes:
        path: for messages.
        raw_shape: of the whole array as it is in the file: [H, W] or [H, W, channels].
        dtype: of its values.
        shape: (H, W, 3) px of what is read here.
        original: (H, W) px in the file, where a reduced form of it is read.
        step, first: where pixels lie in the original; see `ReducedPicture`.
    """

    def __init__(self, path: Any, raw_shape: Sequence[int], dtype: Any):
        self.path = path
        self.raw_shape = tuple(raw_shape)
        self.dtype = np.dtype(dtype)
        self.step, self.first = (1.0, 1.0), (0.0, 0.0)
        self.shape = (*self.raw_shape[:2], 3)
        self.original = self.raw_shape[:2]
        self._stack = ExitStack()
        self._largest: int | None = None

    def __enter__(self) -> "PictureSource":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if there is one."""
        self._stack.close()

    def read(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        """A window in the colors of `Dataset.load_image`, uint8 [y2 - y1, x2 - x1, 3].

        Integers of more than 8 bits are scaled by the largest value of the whole picture.
        """
        return to_rgb8(self.read_raw(y1, x1, y2, x2), self.path, self.largest())

    def read_raw(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        """A window as it is in the file, [y2 - y1, x2 - x1] or with channels."""
        height, width = self.shape[:2]
        if not (0 <= y1 < y2 <= height and 0 <= x1 < x2 <= width):
            raise UserError(
                f"{self.path}: window {(y1, x1, y2, x2)} (y1, x1, y2, x2) of a picture of "
                f"{height} x {width} px; it must lie inside and not be empty."
            )
        return self._read(y1, x1, y2, x2)

    def _read(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        raise NotImplementedError

    def bands(self, multiple: int = 1) -> Iterator[tuple[int, int]]:
        """Rows (y1, y2) of bands of moderate size that together are the picture; the number of rows
        of each but the last is a multiple of `multiple`."""
        height, width = self.shape[:2]
        row = self.dtype.itemsize * width * math.prod(self.raw_shape[2:])
        rows = max(1, _BAND_BYTES // (row * multiple)) * multiple
        for y in range(0, height, rows):
            yield y, min(y + rows, height)

    def largest(self) -> int | None:
        """Largest value of the colors, of integers of more than 8 bits; else None."""
        if self.dtype.kind not in "iu" or self.dtype.itemsize == 1:
            return None
        if self._largest is None:
            width = self.shape[1]
            self._largest = max(
                int(colors(self.read_raw(y1, 0, y2, width), self.path).max())
                for y1, y2 in self.bands()
            )
        return self._largest

    def read_at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Some rows (in rising order) and columns as they are in the file, [h, w, ...]."""
        parts = []
        for y1, y2 in self.bands():
            wanted = rows[(rows >= y1) & (rows < y2)]
            if wanted.size:
                band = self.read_raw(wanted[0], 0, wanted[-1] + 1, self.shape[1])
                parts.append(band[(wanted - wanted[0])[:, None], columns[None, :]])
        return np.concatenate(parts)

    def block_means(self, block: int) -> np.ndarray:
        """Means of the colors over blocks of block x block px, [rows, columns, 1 or 3].

        Blocks at the end may be cut. Integers are rounded; bool becomes uint8 0 and 255.
        """
        width = self.shape[1]
        across = np.minimum(np.arange(block, width + block, block), width)
        across = np.diff(across, prepend=0)[None, :, None]
        parts = []
        for y1, y2 in self.bands(block):
            band = colors(self.read_raw(y1, 0, y2, width), self.path)
            if band.dtype == bool:
                band = band.astype(np.uint8) * np.uint8(255)
            down = np.minimum(np.arange(block, y2 - y1 + block, block), y2 - y1)
            down = np.diff(down, prepend=0)[:, None, None]
            sums = _block_sums(_block_sums(band, block, 0), block, 1)
            means = sums / (down * across)
            parts.append((np.rint(means) if band.dtype.kind in "iu" else means).astype(band.dtype))
        return np.concatenate(parts)


def _block_sums(values: np.ndarray, block: int, axis: int) -> np.ndarray:
    """Sums over blocks along an axis; the last one may be cut. Integers or float64."""
    small = values.dtype.kind in "iu" and values.dtype.itemsize <= 2
    dtype = np.uint32 if small else np.float64
    whole, rest = divmod(values.shape[axis], block)
    shape = values.shape
    body, end = np.split(values, [whole * block], axis)
    body = body.reshape(*shape[:axis], whole, block, *shape[axis + 1 :])
    sums = body.sum(axis + 1, dtype=dtype)
    if not rest:
        return sums
    return np.concatenate([sums, end.sum(axis, dtype=dtype, keepdims=True)], axis)


class ArraySource(PictureSource):
    """Windows of an array, also of an `np.memmap`."""

    def __init__(self, array: np.ndarray, path: Any = "array"):
        super().__init__(path, array.shape, array.dtype)
        self._array = array

    def _read(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        return np.asarray(self._array[y1:y2, x1:x2])
