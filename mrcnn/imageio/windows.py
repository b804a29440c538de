"""Pictures of which windows are read, so that the whole need not be in memory.

`PictureSource` is what all share: pixels come upright, gray or RGB, and 8 bits by a stated rule.
`ArraySource` is that of arrays; `reading.open_source` chooses.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.imageio.color_models import largest, model_of_samples, opacity, split
from mrcnn.imageio.contrast import (
    BITS,
    SAMPLE,
    Contrast,
    as_values,
    find_contrast,
    say_if_blank,
)
from mrcnn.imageio.header import TURNS, PictureHeader, upright

logger = logging.getLogger(__name__)

_BAND_BYTES = 32 * 2**20  # decoded at once
_TRANSPOSED_BANDS = 8  # times that: each band of a picture on its side touches every strip


class PictureSource:
    """A picture of which windows are read; a context manager, safe with several threads.

    Attributes:
        header: what the file says.
        path: for messages.
        shape: (H, W, 3) px of what is read here, upright.
        original: (H, W) px in the file, upright, where a reduced form of it is read.
        step, first: where pixels lie in the original; see `ReducedPicture`.
        rule: how deeper values become 8 bits; see `mrcnn.imageio.contrast`.
    """

    def __init__(
        self,
        header: PictureHeader,
        stored: tuple[int, int],
        step: tuple[float, float] = (1.0, 1.0),
        first: tuple[float, float] = (0.0, 0.0),
        rule: str = BITS,
    ):
        """`stored`, `step` and `first` are (rows, columns) as they lie in the file."""
        self.header, self.path, self.rule = header, header.path, rule
        self.original = header.shape
        self.shape = (*upright(stored, header.orientation), 3)
        transposed, *flips = TURNS[header.orientation]
        self.step = step[::-1] if transposed else step
        first = first[::-1] if transposed else first
        self.first = tuple(
            (whole - 1) - (start + (count - 1) * by) if flip else start
            for flip, start, count, by, whole in zip(
                flips, first, self.shape[:2], self.step, self.original, strict=True
            )
        )
        self._stack = ExitStack()
        self._contrast: Contrast | None = None
        self._scales: tuple[Contrast, ...] | None = None
        self._said_transparent = False

    def __enter__(self) -> "PictureSource":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if there is one."""
        self._stack.close()

    # --- What others read ---------------------------------------------------------------

    def read(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        """A window in the colors of `Dataset.load_image`, uint8 [y2 - y1, x2 - x1, 3].

        Deeper values are scaled by the rule, as it is for the whole picture. Opacity is not used,
        as in Matterport's `load_image`; a warning says where parts are transparent.
        """
        pixels = self._shown(y1, x1, y2, x2)
        return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels

    def read_rgba(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        """A window of 8-bit colors as stored and their opacity, uint8 [y2 - y1, x2 - x1, 4].

        Deeper values become 8 bits as values (`contrast.as_values`), never by the contrast of the
        picture: a color stays the color that it is.
        """
        colors, alpha = split(self.read_values(y1, x1, y2, x2), self.header)
        scales = self._value_scales()
        if scales:
            colors = scales[0](colors)
            alpha = None if alpha is None else scales[1](alpha)
        out = np.full((*colors.shape[:2], 4), 255, np.uint8)
        out[..., :3] = colors[..., None] if colors.ndim == 2 else colors
        if alpha is not None:
            out[..., 3] = alpha
        return out

    def read_raw(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        """A window at full depth, [y2 - y1, x2 - x1] gray or [y2 - y1, x2 - x1, 3]; no opacity."""
        return split(self.read_values(y1, x1, y2, x2), self.header)[0]

    def read_values(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        """A window of the samples as they are in the file, [h, w] or [h, w, n], upright.

        Indices of palettes stay indices, as label maps need them.
        """
        height, width = self.shape[:2]
        if not (0 <= y1 < y2 <= height and 0 <= x1 < x2 <= width):
            raise UserError(
                f"{self.path}: window {(y1, x1, y2, x2)} (y1, x1, y2, x2) of a picture of "
                f"{height} x {width} px; it must lie inside and not be empty."
            )
        transposed, rows, columns = TURNS[self.header.orientation]
        if rows:
            y1, y2 = height - y2, height - y1
        if columns:
            x1, x2 = width - x2, width - x1
        window = (x1, y1, x2, y2) if transposed else (y1, x1, y2, x2)
        values = self._read(*map(int, window))
        if transposed:
            values = values.swapaxes(0, 1)
        return values[:: -1 if rows else 1, :: -1 if columns else 1]

    def read_stored(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        """As `read_values`, but with the very numbers of the file where its decoder scales them to
        a full range: ids, not intensities."""
        return self.read_values(y1, x1, y2, x2)

    def _read(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        """A window as it lies in the file."""
        raise NotImplementedError

    # --- Parts and means ------------------------------------------------------------------

    def bands(self, multiple: int = 1) -> Iterator[tuple[int, int]]:
        """Rows (y1, y2) of bands of moderate size that together are the picture; the number of rows
        of each but the last is a multiple of `multiple`."""
        height, width = self.shape[:2]
        most = _BAND_BYTES * (_TRANSPOSED_BANDS if self.header.transposed else 1)
        row = self.header.dtype.itemsize * width * 4
        rows = max(1, most // (row * multiple)) * multiple
        for y in range(0, height, rows):
            yield y, min(y + rows, height)

    def values_at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Some rows (in rising order) and columns of the samples as they are in the file."""
        parts = []
        for y1, y2 in self.bands():
            wanted = rows[(rows >= y1) & (rows < y2)]
            if wanted.size:
                band = self.read_values(wanted[0], 0, wanted[-1] + 1, self.shape[1])
                parts.append(band[(wanted - wanted[0])[:, None], columns[None, :]])
        return np.concatenate(parts)

    def block_means(self, block: int) -> np.ndarray:
        """Means over blocks of block x block px, uint8 [rows, columns, 3], rounded.

        Blocks at the end may be cut.
        """
        width = self.shape[1]
        across = np.minimum(np.arange(block, width + block, block), width)
        across = np.diff(across, prepend=0)[None, :, None]
        parts = []
        for y1, y2 in self.bands(block):
            band = self._shown(y1, 0, y2, width)
            if block > 1:
                down = np.minimum(np.arange(block, y2 - y1 + block, block), y2 - y1)
                down = np.diff(down, prepend=0)[:, None, None]
                sums = _block_sums(_block_sums(band, block, 0), block, 1)
                band = np.rint(sums / (down * across)).astype(np.uint8)
            parts.append(band)
        means = np.concatenate(parts)
        return np.repeat(means, 3, axis=-1) if means.shape[-1] == 1 else means

    # --- To 8 bits ------------------------------------------------------------------------

    def contrast(self) -> Contrast | None:
        """How the values of the whole picture become 8 bits; None where they are that."""
        if self.header.is_deep and self._contrast is None:
            self._contrast = find_contrast(self._sample(), self.path, self.rule)
        return self._contrast

    def _value_scales(self) -> tuple[Contrast, ...]:
        """How colors, and opacity if there is one, become 8 bits as values; none where they are
        that. Every value is looked at."""
        if self._scales is None:
            ends: dict[int, list[float]] = {}
            for y1, y2 in self.bands() if self.header.is_deep else ():
                parts = split(self.read_values(y1, 0, y2, self.shape[1]), self.header)
                for place, values in enumerate(part for part in parts if part is not None):
                    ends.setdefault(place, []).extend((float(values.min()), float(values.max())))
            dtype = self.header.dtype
            most = largest(dtype, self.header.bits)
            self._scales = tuple(
                as_values(float(np.min(found)), float(np.max(found)), dtype, most, self.path)
                for found in ends.values()
            )
        return self._scales

    def _sample(self) -> np.ndarray:
        """Values of the colors, evenly from the whole picture."""
        width = self.shape[1]
        stride = max(1, math.isqrt(max(1, math.prod(self.shape) // SAMPLE)))
        parts = []
        for y1, y2 in self.bands(stride):
            values = self.read_raw(y1, 0, y2, width)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                return values.ravel()  # refused, wherever it is
            parts.append(values[::stride, ::stride].ravel())
        return np.concatenate(parts)

    def _shown(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        """8-bit colors [h, w, 1 or 3] without opacity, which a warning names where it matters."""
        colors, alpha = self._colors(y1, x1, y2, x2)
        if alpha is not None and not self._said_transparent and (alpha < 255).any():
            self._said_transparent = True
            logger.warning(
                "%s: parts of it are transparent; their stored colors are used all the same.",
                self.path,
            )
        return colors[..., None] if colors.ndim == 2 else colors

    def _colors(self, y1: int, x1: int, y2: int, x2: int) -> tuple[np.ndarray, np.ndarray | None]:
        """8-bit colors [h, w] or [h, w, 3], and 8-bit opacity [h, w]."""
        colors, alpha = split(self.read_values(y1, x1, y2, x2), self.header)
        contrast = self.contrast()
        if contrast is not None:
            colors = contrast(colors)
        if alpha is not None and alpha.dtype != np.uint8:
            alpha = np.rint(opacity(alpha, self.header) * 255).astype(np.uint8)
        return colors, alpha

    def say_if_blank(self, pixels: np.ndarray) -> None:
        """Warn where 8-bit pixels of the whole picture are nearly one value."""
        if not self.header.is_deep:
            stride = max(1, math.isqrt(max(1, pixels.size // SAMPLE)))
            say_if_blank(pixels[::stride, ::stride], self.path)


def _block_sums(values: np.ndarray, block: int, axis: int) -> np.ndarray:
    """Sums uint32 over blocks along an axis; the last one may be cut."""
    whole, rest = divmod(values.shape[axis], block)
    shape = values.shape
    body, end = np.split(values, [whole * block], axis)
    body = body.reshape(*shape[:axis], whole, block, *shape[axis + 1 :])
    sums = body.sum(axis + 1, dtype=np.uint32)
    if not rest:
        return sums
    return np.concatenate([sums, end.sum(axis, dtype=np.uint32, keepdims=True)], axis)


class ArraySource(PictureSource):
    """Windows of an array [H, W] or [H, W, 1, 3 or 4], also of an `np.memmap`, or of a file that
    was decoded whole, whose `header` is given."""

    def __init__(
        self,
        array: np.ndarray,
        path: Any = "array",
        header: PictureHeader | None = None,
        rule: str = BITS,
    ):
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise UserError(
                f"{path}: an array of shape {array.shape} is not a gray, RGB or RGBA picture. "
                "Convert it, or override load_image."
            )
        if header is None:
            if array.ndim == 3 and array.shape[-1] == 2:
                raise UserError(
                    f"{path}: an array of shape {array.shape} has two channels, and which of them "
                    "is the picture is not said. Give one of them: array[..., 0]."
                )
            color, alpha = model_of_samples(1 if array.ndim == 2 else array.shape[-1], path)
            bits = 1 if array.dtype == bool else 8 * array.dtype.itemsize
            header = PictureHeader(
                path, "array", array.shape[:2], array.dtype, bits, color=color, alpha=alpha
            )
        super().__init__(header, array.shape[:2], rule=rule)
        self._array = array

    def _read(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        return np.asarray(self._array[y1:y2, x1:x2])
