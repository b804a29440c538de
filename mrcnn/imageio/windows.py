"""Pictures that are read window by window, so that the whole need not be in memory."""

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from PIL import Image, JpegImagePlugin

from mrcnn.errors import UserError
from mrcnn.imageio.pixels import colors, is_for_pillow, read_picture, to_rgb8

_BAND_BYTES = 32 * 2**20  # decoded at once
_KEPT_BYTES = 64 * 2**20  # decoded strips and tiles of a TIFF that are kept for the next window
_JPEG_IN_TIFF = (6, 7, 34892, 33007)
_PILLOW_LIMIT = threading.Lock()


class PictureSource:
    """A picture of which windows are read; a context manager. Safe with several threads.

    `open_source` makes one from a file, a path or an array; a subclass gives `_read`.

    Attributes:
        path: for messages.
        raw_shape: of the array that `read_picture` would give: [H, W] or [H, W, channels].
        dtype: of its values.
        shape: (H, W, 3) px of what is read here.
        original: (H, W) px in the file, where a reduced form of it is read.
        step, first: where pixels lie in the original; see `mrcnn.imageio.reduced.ReducedPicture`.
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

        Integers of more than 8 bits are scaled by the largest value of the whole picture,
        which is read once for that.
        """
        return to_rgb8(self.read_raw(y1, x1, y2, x2), self.path, self.largest())

    def read_raw(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        """A window as it is in the file, [y2 - y1, x2 - x1] or with channels.

        Raises:
            ValueError: the window is not inside the picture, or empty.
        """
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
        """Rows (y1, y2) that together are the picture, a band being of moderate size.

        Args:
            multiple: of which the number of rows is, except in the last band.
        """
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
        """Means of the colors over blocks of block x block px; those at the end may be cut.

        Integers are rounded; bool counts as 0 and 255.

        Returns:
            [ceil(H / block), ceil(W / block), 1 or 3], dtype kept, uint8 of bool.
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


class PillowSource(PictureSource):
    """A picture that Pillow decodes as a whole; a color pixel takes 4 bytes, a gray one 1 or 2.

    JPEG and JPEG 2000 are decoded at a fraction of their size, if asked for.

    Args:
        path: file. Its size is not limited.
        max_side: the longer side may become as short as this, px; None decodes all.
    """

    def __init__(self, path: Path, max_side: int | None = None):
        with path.open("rb") as file:
            image, original, step, first = _decode(file, max_side)
        if image.mode == "P":
            image = image.convert(image.palette.mode)
        pixel = np.asarray(image.crop((0, 0, 1, 1)))
        super().__init__(path, (*image.size[::-1], *pixel.shape[2:]), pixel.dtype)
        self.original, self.step, self.first = original, (step, step), (first, first)
        self._image = image

    def _read(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        return np.asarray(self._image.crop((int(x1), int(y1), int(x2), int(y2))))


def _open_pillow(file: BinaryIO) -> Image.Image:
    # Pillow refuses large pictures, as they could be attacks; here the user names the files.
    with _PILLOW_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _decode(
    file: BinaryIO, max_side: int | None
) -> tuple[Image.Image, tuple[int, int], float, float]:
    """Loaded picture, size in the file, px of it from pixel to pixel, and the first center."""
    image = _open_pillow(file)
    width, height = image.size
    halvings = 0
    while max_side is not None and -(-max(width, height) // 2 ** (halvings + 1)) >= max_side:
        halvings += 1
    step, first = 1, 0.0
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        step = 2 ** min(halvings, 3)  # libjpeg: a pixel is the mean of its block, or close to it
        first = (step - 1) / 2
        if step > 1:
            image.draft(None, (width // step, height // step))
    elif image.format == "JPEG2000" and image.mode in ("L", "LA", "RGB", "RGBA"):
        # How many halvings are in the file is not told. The low-pass filters are centered on
        # every second pixel, from the first on.
        for step in (2**n for n in range(halvings, 0, -1)):
            image.reduce = step.bit_length() - 1
            # Pillow rounds the reduced size, and fails where the decoder rounds up.
            image._size = tuple(-(-side // step) * step for side in (width, height))
            try:
                image.load()
                return image, (height, width), float(step), 0.0
            except OSError:
                image.close()
                image = _open_pillow(file)
        step = 1
    image.load()
    return image, (height, width), float(step), first


class TiffSource(PictureSource):
    """Windows of a TIFF file of strips or tiles; what was decoded last is kept.

    Args:
        path: file.
        max_side: of a pyramid, the smallest level is taken whose longer side is at least
            this, px; None takes the original. Integers of more than 8 bits are always read
            from the original, as their brightness depends on its largest value.

    Raises:
        NotOnePicture: the file holds several pages that are not the colors of one.
    """

    def __init__(self, path: Path, max_side: int | None = None):
        with ExitStack() as stack:
            self._tiff = stack.enter_context(tifffile.TiffFile(path))
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
        """First channel, first row, first column and values [h, w, channels] of what a window
        touches."""
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
        options = {"_fullsize": keyframe.is_tiled}
        if keyframe.compression in _JPEG_IN_TIFF:
            options |= {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
        with self._lock:
            file.seek(page.dataoffsets[index])
            coded = file.read(page.databytecounts[index]) or None
        decoded = keyframe.decode(coded, index, **options)
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


def open_source(
    source: str | Path | np.ndarray | PictureSource, max_side: int | None = None
) -> PictureSource:
    """Open a picture to read windows of it.

    TIFF files of strips or tiles are read in parts, and of an `np.memmap` what is asked for.
    Other files are decoded once, as a whole.

    Args:
        source: file, array [H, W] or [H, W, channels], or what was opened already.
        max_side: take a reduced form of the file whose longer side has at least so many px,
            if it has one (a level of a pyramid, JPEG, JPEG 2000); `step` tells which.

    Raises:
        Exception: whatever a damaged file leads the decoder to.
    """
    if isinstance(source, PictureSource):
        return source
    if isinstance(source, np.ndarray):
        return ArraySource(source)
    path = Path(source)
    if is_for_pillow(path):
        return PillowSource(path, max_side)
    try:
        return TiffSource(path, max_side)
    except NotOnePicture:
        return ArraySource(read_picture(path), path)
