"""Pictures of raw folders: sections and drawings of 8 bits, and label maps, of any size.

A section of the paper has up to 137 million pixels. It is read by `mrcnn.imageio` in strips of
rows, as 8-bit values and never as floats, so that memory stays bounded. The sources of pictures
call this; what it takes is narrower than what `mrcnn.imageio` does, so that a data set is not
prepared from pictures that were meant otherwise.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from mrcnn.errors import MissingFileError, UserError, reading
from mrcnn.imageio.pillow_files import PillowSource, opened
from mrcnn.imageio.tiff_files import TiffSource
from mrcnn.imageio.windows import PictureSource
from sebre.data.section_files import is_lossy

MAX_PIXELS = 2**29  # 537 million; a decoded PNG of that size takes 2 GiB

_STRIP_ROWS = 256
_COLOR_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_LABEL_MODES = ("1", "L", "P", "I;16", "I;16B", "I;16L")
_GRAY_SCALES = {"L;2": 85, "L;4": 17}  # what Pillow multiplies gray of 2 and 4 bits with


@contextmanager
def _header(path: Path) -> Iterator[Image.Image]:
    """A picture opened with Pillow; whatever a decoder raises becomes one clear error."""
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file.")
    with reading(path), opened(path) as image:
        if image.width * image.height > MAX_PIXELS:
            raise UserError(
                f"{path}: {image.height} x {image.width} px are too many; at most {MAX_PIXELS} "
                "pixels are read. Reduce the picture."
            )
        yield image


def _raw_modes(image: Image.Image) -> str:
    return " ".join(str(tile.args) for tile in image.tile)


def picture_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of a picture in px, from its header."""
    with _header(Path(path)) as image:
        return image.height, image.width


def _open_8_bit(path: Path, scale: int) -> PictureSource:
    """A picture whose windows are RGB, or RGBA if it is transparent anywhere."""
    with _header(path) as image:
        deep = image.mode[0] in "IF" or ";16" in _raw_modes(image)
        if deep or image.mode not in _COLOR_MODES:
            got = "more than 8 bits a channel" if deep else f"the color mode {image.mode}"
            raise UserError(f"{path}: has {got}; wanted 8-bit RGB, RGBA or gray. Save it as that.")
        if image.format == "TIFF" and image.mode in ("RGB", "RGBA") and _in_segments(path):
            return TiffSource(path, first_page=True)
        if scale > 1:
            image.draft(image.mode, tuple(max(1, side // scale) for side in image.size))
        alpha = image.mode.endswith("A") or "transparency" in image.info
        return PillowSource(path, image, "RGBA" if alpha else "RGB")


def _in_segments(path: Path) -> bool:
    """Whether strips or tiles of the first page of a TIFF are RGB(A) as they are stored."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        return (
            page.dtype == np.uint8
            and page.compression in tifffile.TIFF.DECOMPRESSORS
            and page.photometric == tifffile.PHOTOMETRIC.RGB
            and page.planarconfig == tifffile.PLANARCONFIG.CONTIG
            and page.samplesperpixel in (3, 4)
        )


def strips(
    path: str | Path, rows: int = _STRIP_ROWS, scale: int = 1
) -> Iterator[tuple[int, np.ndarray]]:
    """Read a PNG, JPEG or TIFF (first page) with 8 bits per channel from top to bottom.

    A JPEG is decoded at 1 / `scale` of its size, rounded up: 1, 2, 4 or 8.

    Yields:
        First row of the strip, and its pixels: uint8 [rows or fewer, width, 3], or 4 with alpha.
    """
    path = Path(path)
    with reading(path), _open_8_bit(path, scale) as source:
        height, width = source.shape[:2]
        for top in range(0, height, rows):
            yield top, source.read_raw(top, 0, min(top + rows, height), width)


def read_shrunk(path: str | Path, factor: int = 1) -> np.ndarray:
    """Read a section, each side divided by a whole number, by averages of areas: uint8 [H, W, 3].

    Rows and columns left over at the lower and right border are dropped. Transparent parts
    become white.
    """
    path = Path(path)
    height, width = (side // factor for side in picture_size(path))
    check_factor(path, (height, width), factor)
    # A JPEG's own transform averages blocks of up to 8 x 8 pixels, at a fraction of the memory.
    scale = next((s for s in (8, 4, 2) if factor % s == 0), 1) if is_lossy(path) else 1
    step = factor // scale
    out = np.empty((height, width, 3), np.uint8)
    for top, strip in strips(path, max(1, _STRIP_ROWS // step) * step, scale):
        y, n = top // step, min(len(strip) // step, height - top // step)
        if n > 0:
            reduced = _on_white(strip[: n * step, : width * step])
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


def _on_white(strip: np.ndarray) -> np.ndarray:
    """Pixels [n, W, 3 or 4] on white: uint8 [n, W, 3]."""
    if strip.shape[-1] == 3:
        return strip
    alpha = strip[..., 3:].astype(np.uint16)
    blend = strip[..., :3] * alpha + 255 * (255 - alpha)
    return ((blend + 127) // 255).astype(np.uint8)


def read_label_values(path: str | Path) -> np.ndarray:
    """Values uint8 or uint16 [H, W] of a PNG or TIFF, gray of 1 to 16 bits or with a palette."""
    path = Path(path)
    if is_lossy(path):
        raise UserError(f"{path}: JPEG does not keep exact values. Save label maps as PNG.")
    with _header(path) as image:
        if image.mode not in _LABEL_MODES:
            raise UserError(
                f"{path}: has the mode {image.mode}; wanted a label map: gray of 8 or 16 bits, or "
                "a palette. For painted colors use the source colour-code."
            )
        raw = _raw_modes(image)
        values = np.asarray(image)
    if values.dtype == bool:
        return values.astype(np.uint8)
    scale = next((by for mode, by in _GRAY_SCALES.items() if mode in raw), 1)
    return values // scale if scale > 1 else values.astype(values.dtype.newbyteorder("="))
