"""Pictures that Pillow decodes: all but TIFF, and of TIFF what tifffile does not read alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, JpegImagePlugin

from mrcnn.errors import UserError
from mrcnn.imageio.windows import PictureSource

_LIMIT = threading.Lock()


def is_for_pillow(path: Path) -> bool:
    """Whether Pillow reads the file: all but TIFF, and of TIFF one page in a compression that
    tifffile does not read without `imagecodecs`, such as LZW or JPEG."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return True
    with tifffile.TiffFile(path) as tiff:
        compression = tiff.pages.first.compression
        return compression not in tifffile.TIFF.DECOMPRESSORS and len(tiff.pages) == 1


@contextmanager
def opened(path: Path, any_size: bool = True) -> Iterator[Image.Image]:
    """A picture opened with Pillow: its header, and its pixels once they are loaded.

    Pillow refuses large pictures, as they could be attacks; `any_size` lifts its limit, as the user
    names the files. A damaged file raises whatever its decoder does.
    """
    with path.open("rb") as file:
        try:
            if any_size:
                with _LIMIT:
                    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
                    try:
                        image = Image.open(file)
                    finally:
                        Image.MAX_IMAGE_PIXELS = limit
            else:
                image = Image.open(file)
        except Image.DecompressionBombError as error:
            raise UserError(
                f"{path}: {error} REDUCED_DECODE = True reads pictures of any size."
            ) from error
        yield image


class PillowSource(PictureSource):
    """Windows of a picture that Pillow decodes as a whole, 1, 2 or 4 (color) bytes a pixel.

    `image` is loaded here. `mode` is that of the windows, such as "RGBA"; None gives that of the
    file, where palettes give their colors. `original`, `step` and `first` as in `PictureSource`.
    """

    def __init__(
        self,
        path: Path,
        image: Image.Image,
        mode: str | None = None,
        original: tuple[int, int] | None = None,
        step: float = 1.0,
        first: float = 0.0,
    ):
        image.load()
        self._image = image
        self._mode = image.palette.mode if mode is None and image.mode == "P" else mode
        pixel = self._read(0, 0, 1, 1)
        super().__init__(path, (*image.size[::-1], *pixel.shape[2:]), pixel.dtype)
        self.original = original or self.original
        self.step, self.first = (step, step), (first, first)

    def _read(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        box = (int(x1), int(y1), int(x2), int(y2))
        window = self._image if box == (0, 0, *self._image.size) else self._image.crop(box)
        return np.asarray(window if self._mode is None else window.convert(self._mode))


def open_pillow(path: Path, max_side: int | None = None) -> PillowSource:
    """Decode a picture of any size; JPEG and JPEG 2000 at a fraction of it whose longer side still
    has `max_side` px."""
    with opened(path) as image:
        width, height = image.size
        halvings = 0
        while max_side is not None and -(-max(width, height) // 2 ** (halvings + 1)) >= max_side:
            halvings += 1
        halves = image.format == "JPEG2000" and image.mode in ("L", "LA", "RGB", "RGBA")
        if not (halves and halvings):
            step = 1
            if isinstance(image, JpegImagePlugin.JpegImageFile):
                step = 2 ** min(halvings, 3)
                image.draft(None, (width // step, height // step))
            # libjpeg: a pixel is the mean of its block, or close to it.
            first = (step - 1) / 2
            return PillowSource(path, image, None, (height, width), float(step), first)
    # The file does not say how many halvings it holds. The low-pass filters are centered on every
    # second pixel, from the first on.
    for step in (2**n for n in range(halvings, 0, -1)):
        with opened(path) as image, suppress(OSError):
            image.reduce = step.bit_length() - 1
            # Pillow rounds the reduced size, and fails where the decoder rounds up.
            image._size = tuple(-(-side // step) * step for side in (width, height))
            return PillowSource(path, image, None, (height, width), float(step))
    with opened(path) as image:
        return PillowSource(path, image)
