"""Pictures that are not TIFF: decoded by Pillow, and by imagecodecs where Pillow loses bits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from mrcnn.errors import UserError
from mrcnn.imageio.color_models import model_of_samples
from mrcnn.imageio.header import (
    EVERYTHING,
    PICTURE_TYPES,
    Choice,
    PictureHeader,
    UnknownPictureError,
    cure_of,
    demand_plausible,
    size_of_dpi,
    upright,
)
from mrcnn.imageio.windows import ArraySource, PictureSource

_LIMIT = threading.Lock()
_ORIENTATION = 274  # EXIF tag
_AS_THEY_ARE = ("1", "L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "I;16N", "I", "F", "P")
_GRAY_SCALES = {"L;2": (2, 85), "L;4": (4, 17)}  # bits, and what Pillow multiplies gray with
_SIZE_OF_JPEG_2000 = b"\xff\x4f\xff\x51"  # start of the code stream, then its sizes
_DEPTH_AT = 42  # bytes from there to the depth of the first sample, less 1
_MOST_HEADER = 2**16  # bytes in which it must be found


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture opened with Pillow: its header, and its pixels once they are loaded.

    Pillow refuses large pictures, as they could be attacks. The user names the files, so its limit
    is lifted; what a file of this size cannot hold is refused instead. A damaged file raises
    whatever its decoder does.
    """
    with path.open("rb") as file:
        with _LIMIT:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(file)
            except UnidentifiedImageError:
                cure = cure_of(path)
                raise UnknownPictureError(
                    f"{path}: cannot read this picture (of no known kind, or damaged). "
                    f"{cure[:1].upper()}{cure[1:]}{'. ' if cure else ''}"
                    f"Wanted one of {', '.join(PICTURE_TYPES)}."
                ) from None
            finally:
                Image.MAX_IMAGE_PIXELS = limit
        demand_plausible(path, image.size[::-1], 8 * max(1, len(image.getbands())))
        yield image


def read_header(path: Path, image: Image.Image, choice: Choice = EVERYTHING) -> PictureHeader:
    """What the header of an opened picture says; the page that is chosen is sought."""
    pages = count_pages(image)
    notes = []
    if image.format == "MPO":
        notes.append("further views in the file are passed over")
    if pages > 1 or isinstance(choice.z, int):
        _seek(path, image, pages, choice)
    bits = _bits(image, path)
    color, alpha, dtype = _model(image, bits)
    if image.mode not in _AS_THEY_ARE:
        notes.append(f"converted from {image.mode} to {'RGB' if color == 'rgb' else color}")
    orientation = image.getexif().get(_ORIENTATION, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    if orientation != 1:
        notes.append("turned upright by its EXIF orientation")
    dpi = _dpi(image)
    size = dpi and size_of_dpi(dpi)
    return PictureHeader(
        path,
        "JPEG" if image.format == "MPO" else str(image.format),
        upright((image.height, image.width), orientation),
        dtype,
        bits,
        color=color,
        alpha=alpha,
        palette=_palette(image),
        orientation=orientation,
        axes="YX" if color in ("gray", "white is zero") and not alpha else "YXS",
        pages=pages,
        compression=str(image.format),
        pixel_um=size and upright(size, orientation),
        dpi=size and dpi[0],
        notes=tuple(notes),
    )


def count_pages(image: Image.Image) -> int:
    """Frames of an opened picture; further views of a camera do not count."""
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def _seek(path: Path, image: Image.Image, pages: int, choice: Choice) -> None:
    if choice.index is not None:
        image.seek(choice.index)
        return
    if choice.z is None or choice.z == "max":
        raise UserError(
            f"{path}: holds {pages} pages. Choose one with --z 1 to --z {pages}, or save each as a "
            "picture of its own."
        )
    if choice.z > pages:
        raise UserError(f"{path}: --z {choice.z}, but it has {pages} pages.")
    image.seek(choice.z - 1)


def _bits(image: Image.Image, path: Path) -> int:
    """Of a sample in the file, which Pillow may have less of."""
    if image.mode == "1":
        return 1 if _mode(image) == "1" else 8  # with a transparent value it is taken as RGBA
    raw = _raw_modes(image)
    for name, (bits, _) in _GRAY_SCALES.items():
        if name in raw:
            return bits
    if image.mode in ("I", "F"):
        return 32
    if image.format == "JPEG2000":
        return _bits_of_jpeg_2000(path)
    return 16 if image.mode.startswith("I;16") or ";16" in raw else 8


def _raw_modes(image: Image.Image) -> str:
    return " ".join(str(tile.args) for tile in image.tile)


def _bits_of_jpeg_2000(path: Path) -> int:
    with path.open("rb") as file:
        start = file.read(_MOST_HEADER)
    place = start.find(_SIZE_OF_JPEG_2000)
    if place < 0 or place + _DEPTH_AT >= len(start):
        raise UserError(f"{path}: not a JPEG 2000 picture (no code stream). Replace the file.")
    return (start[place + _DEPTH_AT] & 127) + 1


def _model(image: Image.Image, bits: int) -> tuple[str, str, np.dtype]:
    """Color model, opacity and dtype of what is decoded."""
    dtype = {"1": bool, "I": np.int32, "F": np.float32}.get(_mode(image), np.uint8)
    if bits > 8 and image.mode not in ("I", "F"):
        dtype = np.uint16
    if image.mode == "P":
        return "palette", "", np.dtype(dtype)
    # Gray of 16 bits with opacity is RGBA to Pillow, which has no mode for it.
    bands = "LA" if "LA;16" in _raw_modes(image) else _mode(image)
    alpha = "straight" if bands.endswith("A") else ""
    if image.format == "PPM" and bands == "1":
        return "white is zero", "", np.dtype(dtype)  # Pillow turns the bits around
    return "rgb" if bands.startswith("RGB") else "gray", alpha, np.dtype(dtype)


def _mode(image: Image.Image) -> str:
    """The mode in which pixels are taken: that of the picture, or RGB(A)."""
    transparent = image.mode.endswith(("A", "a")) or "transparency" in image.info
    # Transparency would cut gray values of 16 bits to 8.
    deep = image.mode == "F" or image.mode.startswith("I")
    if image.mode == "P" or deep or (image.mode in _AS_THEY_ARE and not transparent):
        return image.mode
    if image.mode in ("LA", "RGBA"):
        return image.mode
    return "RGBA" if transparent else "RGB"


def _palette(image: Image.Image) -> np.ndarray | None:
    """Colors uint8 [n, 3], or [n, 4] where some are transparent."""
    if image.mode != "P":
        return None
    image.load()
    colors = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    clear = image.info.get("transparency")
    if clear is None:
        return colors
    alpha = np.full((len(colors), 1), 255, np.uint8)
    if isinstance(clear, bytes):
        alpha[: len(clear), 0] = np.frombuffer(clear, np.uint8)[: len(alpha)]
    else:
        alpha[clear] = 0
    return np.concatenate([colors, alpha], axis=-1)


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """(rows, columns) dots per inch; None if not said."""
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return down, across


class PillowSource(PictureSource):
    """Windows of a picture that Pillow decodes as a whole, 1, 2 or 4 (color) bytes a pixel.

    `image` is loaded here; `step` and `first` as in `PictureSource`.
    """

    def __init__(
        self,
        image: Image.Image,
        header: PictureHeader,
        step: float = 1.0,
        first: float = 0.0,
        rule: str = "bits",
    ):
        self._most = _most_of_netpbm(image)  # which a loaded picture does not say
        image.load()
        self._image, self._mode = image, _mode(image)
        self._scale = dict(_GRAY_SCALES.values()).get(header.bits, 1)
        super().__init__(header, (image.height, image.width), (step, step), (first, first), rule)

    def read_stored(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        """See `PictureSource`; Pillow scales the values of PGM and PPM files.

        Raises:
            UserError: a PPM of more than 8 bits, of which Pillow keeps no more.
        """
        values = self.read_values(y1, x1, y2, x2)
        if self._most is None:
            return values
        full = 65535 if self._image.mode == "I" else 255
        if self._most > full:
            raise UserError(
                f"{self.path}: a PPM of values up to {self._most}, of which only 8 bits are read. "
                "Save it as PGM, PNG or TIFF."
            )
        return np.rint(values * (self._most / full)).astype(values.dtype)

    def _read(self, y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
        box = (x1, y1, x2, y2)
        window = self._image if box == (0, 0, *self._image.size) else self._image.crop(box)
        if window.mode != self._mode:
            if "transparency" in self._image.info:
                window.info["transparency"] = self._image.info["transparency"]
            window = window.convert(self._mode)
        values = np.asarray(window)
        if self.header.color == "white is zero":
            return ~values  # as they are in the file
        if self._scale > 1:
            return values // self._scale
        return values.astype(values.dtype.newbyteorder("="), copy=False)


def _most_of_netpbm(image: Image.Image) -> int | None:
    """The largest value that a PGM or PPM file, not loaded yet, says it may have; None of others,
    and of those whose values are taken as they are."""
    args = image.tile[0].args if image.format == "PPM" and image.tile else None
    return int(args[1]) if isinstance(args, tuple) and len(args) == 2 else None


def open_pillow(
    path: Path, max_side: int | None = None, choice: Choice = EVERYTHING, rule: str = "bits"
) -> PictureSource:
    """Decode a picture of any size; JPEG and JPEG 2000 at a fraction of it whose longer side still
    has `max_side` px."""
    with opened(path) as image:
        header = read_header(path, image, choice)
        if choice.channel is not None:
            raise UserError(
                f"{path}: --channel {choice.channel}, but {header.format} pictures have colors and "
                "no channels. Leave --channel out."
            )
        width, height = image.size
        halvings = 0
        while max_side is not None and -(-max(width, height) // 2 ** (halvings + 1)) >= max_side:
            halvings += 1
        if _is_truncated_by_pillow(image, header):
            return _decoded_deep(path, image, header, rule)
        halves = image.format == "JPEG2000" and image.mode in ("L", "LA", "RGB", "RGBA")
        if not (halves and halvings):
            step = 1
            if isinstance(image, JpegImagePlugin.JpegImageFile):
                step = 2 ** min(halvings, 3)
                image.draft(None, (width // step, height // step))
            # libjpeg: a pixel is the mean of its block, or close to it.
            return PillowSource(image, header, float(step), (step - 1) / 2, rule)
    # The file does not say how many halvings it holds. The low-pass filters are centered on every
    # second pixel, from the first on.
    for step in (2**n for n in range(halvings, 0, -1)):
        with opened(path) as image, suppress(OSError):
            image.reduce = step.bit_length() - 1
            # Pillow rounds the reduced size, and fails where the decoder rounds up.
            image._size = tuple(-(-side // step) * step for side in (width, height))
            return PillowSource(image, header, float(step), rule=rule)
    with opened(path) as image:
        return PillowSource(image, header, rule=rule)


def _is_truncated_by_pillow(image: Image.Image, header: PictureHeader) -> bool:
    """Whether Pillow would give 8 of more bits."""
    return header.bits > 8 and image.mode in ("L", "LA", "RGB", "RGBA")


def _decoded_deep(path: Path, image: Image.Image, header: PictureHeader, rule: str) -> ArraySource:
    import imagecodecs

    decoders: dict[str, Any] = {
        "PNG": imagecodecs.png_decode,
        "JPEG2000": imagecodecs.jpeg2k_decode,
    }
    if header.format not in decoders:
        raise UserError(
            f"{path}: {header.format} of {header.bits} bits a sample would lose bits here. Save it "
            "as TIFF or PNG."
        )
    array = decoders[header.format](path.read_bytes())
    if array.shape[:2] != (image.height, image.width):
        raise UserError(
            f"{path}: decoded to {array.shape[:2]} px, but its header says "
            f"{(image.height, image.width)}. It is damaged: replace it."
        )
    # The array counts: Pillow has no mode of its own for some kinds of 16 bits.
    color, alpha = model_of_samples(1 if array.ndim == 2 else array.shape[-1], path)
    header = replace(header, color=color, alpha=alpha, dtype=array.dtype)
    return ArraySource(array, path, header, rule)
