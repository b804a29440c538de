"""Pictures of any size, read in strips of rows, so that memory stays bounded.

A section of the paper has up to 137 million pixels. A picture is decoded as 8-bit values, never
as floats; a striped or tiled TIFF is not even decoded as a whole.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from mrcnn.errors import MissingFileError, UserError
from sebre.data.section_files import is_lossy, unreadable

MAX_PIXELS = 2**29  # 537 million; a decoded PNG of that size takes 2 GiB

_STRIP_ROWS = 256
_COLOR_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_LABEL_MODES = ("1", "L", "P", "I;16", "I;16B", "I;16L")
# Compressions that tifffile reads without further packages; Pillow reads the others.
_TIFF_COMPRESSIONS = (
    tifffile.COMPRESSION.NONE,
    tifffile.COMPRESSION.ADOBE_DEFLATE,
    tifffile.COMPRESSION.DEFLATE,
)
_GRAY_SCALES = {"L;2": 85, "L;4": 17}  # what Pillow multiplies gray of 2 and 4 bits with


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture opened with Pillow; whatever a decoder raises becomes one clear error."""
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file.")
    # Pillow warns of pictures above 89 million pixels; the limit here is higher.
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        image = Image.open(path)
    # Decoders raise whatever a damaged file leads them to.
    except Exception as error:
        raise unreadable(path, error) from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise UserError(
                f"{path}: {image.height} x {image.width} px are too many; at most {MAX_PIXELS} "
                "pixels are read. Reduce the picture."
            )
        yield image


def _load(path: Path, image: Image.Image) -> None:
    try:
        image.load()
    except Exception as error:
        raise unreadable(path, error) from error


def _raw_modes(image: Image.Image) -> str:
    return " ".join(str(tile.args) for tile in image.tile)


def _check_8_bit(path: Path, image: Image.Image) -> None:
    deep = image.mode[0] in "IF" or ";16" in _raw_modes(image)
    if deep or image.mode not in _COLOR_MODES:
        got = "more than 8 bits a channel" if deep else f"the color mode {image.mode}"
        raise UserError(f"{path}: has {got}; wanted 8-bit RGB, RGBA or gray. Save it as that.")


def picture_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of a picture in pixels, from its header.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no picture, or has more than `MAX_PIXELS`.
    """
    with _opened(Path(path)) as image:
        return image.height, image.width


def strips(
    path: str | Path, rows: int = _STRIP_ROWS, scale: int = 1
) -> Iterator[tuple[int, np.ndarray]]:
    """Read a picture from top to bottom.

    Args:
        path: PNG, JPEG or TIFF with 8 bits a channel; of several pages the first.
        rows: of a strip; the last may have fewer.
        scale: 1, 2, 4 or 8; a JPEG is decoded at this fraction of its size (rounded up).

    Yields:
        First row of the strip, and its pixels: uint8 [rows, width, 3], or 4 with alpha.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or has another form.
    """
    path = Path(path)
    top = 0
    for strip in _regrouped(_pieces(path, rows, scale), rows):
        yield top, strip
        top += len(strip)


def _pieces(path: Path, rows: int, scale: int) -> Iterator[np.ndarray]:
    with _opened(path) as image:
        _check_8_bit(path, image)
        if image.format == "TIFF" and image.mode in ("RGB", "RGBA"):
            with _tiff_page(path) as page:
                if page is not None:
                    yield from _tiff_bands(path, page)
                    return
        if scale > 1:
            image.draft(image.mode, tuple(max(1, side // scale) for side in image.size))
        alpha = image.mode.endswith("A") or "transparency" in image.info
        _load(path, image)
        for top in range(0, image.height, rows):
            strip = image.crop((0, top, image.width, min(top + rows, image.height)))
            yield np.asarray(strip.convert("RGBA" if alpha else "RGB"))


@contextlib.contextmanager
def _tiff_page(path: Path) -> Iterator[tifffile.TiffPage | None]:
    """First page of a TIFF if its segments can be read one by one."""
    with contextlib.ExitStack() as stack:
        try:
            page = stack.enter_context(tifffile.TiffFile(path)).pages[0]
            fits = (
                page.dtype == np.uint8
                and page.compression in _TIFF_COMPRESSIONS
                and page.photometric == tifffile.PHOTOMETRIC.RGB
                and page.planarconfig == tifffile.PLANARCONFIG.CONTIG
                and page.samplesperpixel in (3, 4)
            )
        except Exception as error:
            raise unreadable(path, error) from error
        yield page if fits else None


def _tiff_bands(path: Path, page: tifffile.TiffPage) -> Iterator[np.ndarray]:
    """Rows of strips or tiles, one after the other: uint8 [rows, width, samples]."""
    band, start = None, 0
    try:
        for data, index, shape in page.segments(maxworkers=1, buffersize=2**24):
            y, x = index[2:4]
            # Tiles reach beyond the right and the lower border.
            height = min(shape[1], page.imagelength - y)
            width = min(shape[2], page.imagewidth - x)
            if band is None or y != start:
                if band is not None:
                    yield band
                band = np.zeros((height, page.imagewidth, page.samplesperpixel), np.uint8)
                start = y
            if data is not None:  # None: the file stores nothing for an empty segment
                band[:height, x : x + width] = data[0, :height, :width]
    except Exception as error:
        raise unreadable(path, error) from error
    if band is not None:
        yield band


def _regrouped(pieces: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """The same rows in strips of `rows`."""
    waiting: list[np.ndarray] = []
    for piece in pieces:
        while sum(map(len, waiting)) + len(piece) >= rows:
            missing = rows - sum(map(len, waiting))
            whole = [*waiting, piece[:missing]]
            yield np.concatenate(whole) if len(whole) > 1 else whole[0]
            waiting, piece = [], piece[missing:]
        if len(piece):
            waiting.append(piece)
    if waiting:
        yield np.concatenate(waiting)


def read_reduced(path: str | Path, factor: int = 1) -> np.ndarray:
    """Read a section, each side divided by a whole number, by averages of areas.

    Rows and columns left over at the lower and right border are dropped. Transparent parts
    become white.

    Args:
        path: PNG, JPEG or TIFF with 8 bits a channel.
        factor: from 1.

    Returns:
        uint8 [H // factor, W // factor, 3].

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, has another form, or is smaller than the factor.
    """
    path = Path(path)
    height, width = (side // factor for side in picture_size(path))
    check_factor(path, (height, width), factor)
    # A JPEG's own transform averages blocks of up to 8 x 8 pixels, at a fraction of the memory.
    scale = next((s for s in (8, 4, 2) if factor % s == 0), 1) if is_lossy(path) else 1
    step = factor // scale
    out = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_ROWS // step) * step
    for top, strip in strips(path, rows, scale):
        y, n = top // step, min(len(strip) // step, height - top // step)
        if n > 0:
            reduced = _on_white(strip[: n * step, : width * step])
            if step > 1:
                reduced = np.asarray(Image.fromarray(reduced).reduce(step))
            out[y : y + n] = reduced
    return out


def check_factor(path: Path, size: tuple[int, int], factor: int) -> None:
    """Refuse a factor that leaves nothing.

    Args:
        path: of the picture, for the message.
        size: (height, width) after division.
        factor: what the sides were divided by.

    Raises:
        ValueError: nothing is left.
    """
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
    """Read a label map: pixel values, or numbers of palette entries.

    Args:
        path: PNG or TIFF, gray of 1 to 16 bits or with a palette.

    Returns:
        uint8 or uint16 [H, W].

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or is no label map.
    """
    path = Path(path)
    if is_lossy(path):
        raise UserError(f"{path}: JPEG does not keep exact values. Save label maps as PNG.")
    with _opened(path) as image:
        if image.mode not in _LABEL_MODES:
            raise UserError(
                f"{path}: has the mode {image.mode}; wanted a label map: gray of 8 or 16 bits, or "
                "a palette. For painted colors use the source colour-code."
            )
        raw = _raw_modes(image)
        _load(path, image)
        values = np.asarray(image)
    if values.dtype == bool:
        return values.astype(np.uint8)
    scale = next((by for mode, by in _GRAY_SCALES.items() if mode in raw), 1)
    return values // scale if scale > 1 else values.astype(values.dtype.newbyteorder("="))
