"""One section in many forms of file, as microscopes and programs write them."""

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image


def exif(number: int) -> Image.Exif:
    """EXIF data of an orientation."""
    tags = Image.Exif()
    tags[274] = number
    return tags


def turned(gray: np.ndarray, number: int) -> np.ndarray:
    """An upright picture as a file of an orientation stores it."""
    back = {3: lambda a: a[::-1, ::-1], 6: lambda a: np.rot90(a, 1), 8: lambda a: np.rot90(a, -1)}
    return np.ascontiguousarray(back[number](gray)) if number in back else gray


def _tiff(change: Callable[[np.ndarray], np.ndarray], **options) -> Callable:
    def write(gray: np.ndarray, path: Path) -> None:
        tifffile.imwrite(path, change(gray), **options)

    return write


def _pillow(change: Callable[[np.ndarray], Image.Image], **options) -> Callable:
    def write(gray: np.ndarray, path: Path) -> None:
        change(gray).save(path, **options)

    return write


def _hot(gray: np.ndarray) -> np.ndarray:
    deep = gray.astype(np.uint16) * 16
    deep[0, :2], deep[-1, 5] = 65535, 60000
    return deep


def _pyramid(gray: np.ndarray, path: Path) -> None:
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(gray, subifds=1, tile=(32, 32), compression="lzw")
        file.write(gray[::2, ::2], subfiletype=1, tile=(32, 32), compression="lzw")


def _cmyk(gray: np.ndarray) -> Image.Image:
    return Image.fromarray(gray).convert("RGB").convert("CMYK")


def _rgb(gray: np.ndarray) -> np.ndarray:
    return np.stack([gray] * 3, axis=-1)


def _rgba(gray: np.ndarray) -> np.ndarray:
    return np.dstack([_rgb(gray), np.full_like(gray, 255)])


def _palette(gray: np.ndarray) -> Image.Image:
    # Indices in an order of their own.
    image = Image.fromarray(255 - gray)
    image.putpalette(np.repeat(np.arange(255, -1, -1, dtype=np.uint8), 3).tolist())
    return image


FORMS: dict[str, tuple[str, Callable]] = {
    # name: ending, writer(gray, path)
    "gray16": ("tif", _tiff(lambda g: g.astype(np.uint16) * 257)),
    "twelve_bits": ("tif", _tiff(lambda g: g.astype(np.uint16) * 16)),
    "big_endian": ("tif", _tiff(lambda g: g.astype(np.uint16) * 16, byteorder=">")),
    "signed": ("tif", _tiff(lambda g: g.astype(np.int16) * 16)),
    "hot_pixels": ("tif", _tiff(_hot)),
    "float_one": ("tif", _tiff(lambda g: g / np.float32(255))),
    "float_large": ("tif", _tiff(lambda g: g * np.float32(16), compression="zstd")),
    "uint32": ("tif", _tiff(lambda g: g.astype(np.uint32) * 2**12)),
    "lzw": ("tif", _tiff(lambda g: g, compression="lzw", rowsperstrip=11)),
    "deflate_tiles": ("tif", _tiff(lambda g: g, compression="zlib", tile=(32, 16))),
    "pyramid": ("tif", _pyramid),
    "white_is_zero": ("tif", _tiff(lambda g: 255 - g, photometric="miniswhite")),
    "white_is_zero_lzw": (
        "tif",
        _tiff(lambda g: 255 - g, photometric="miniswhite", compression="lzw"),
    ),
    "planes": (
        "tif",
        _tiff(lambda g: np.stack([g] * 3), photometric="rgb", planarconfig="separate"),
    ),
    "ome_channels": (
        "ome.tif",
        _tiff(lambda g: np.stack([g] * 3), photometric="minisblack", metadata={"axes": "CYX"}),
    ),
    "imagej": ("tif", _tiff(lambda g: g, imagej=True)),
    "rgb16_tiff": ("tif", _tiff(lambda g: _rgb(g).astype(np.uint16) * 257, photometric="rgb")),
    "rgba": ("tif", _tiff(_rgba, photometric="rgb", extrasamples=["unassalpha"])),
    "tiff_on_its_side": (
        "tif",
        _tiff(lambda g: turned(g, 6), extratags=[(274, "H", 1, 6, True)]),
    ),
    "tiff_upside_down": (
        "tif",
        _tiff(lambda g: turned(g, 3), compression="zlib", extratags=[(274, "H", 1, 3, True)]),
    ),
    "slide_scanner": ("svs", _tiff(lambda g: g, tile=(32, 32), compression="deflate")),
    "jpeg_6": ("jpg", _pillow(lambda g: Image.fromarray(turned(g, 6)), quality=99, exif=exif(6))),
    "jpeg_8": ("jpeg", _pillow(lambda g: Image.fromarray(turned(g, 8)), quality=99, exif=exif(8))),
    "png_3": ("png", _pillow(lambda g: Image.fromarray(turned(g, 3)), exif=exif(3))),
    "webp_6": (
        "webp",
        _pillow(lambda g: Image.fromarray(turned(g, 6)), lossless=True, exif=exif(6)),
    ),
    "cmyk_jpeg": ("jpg", _pillow(_cmyk, quality=99)),
    "cmyk_tiff": ("tif", _pillow(_cmyk)),
    "palette": ("png", _pillow(_palette)),
    "palette_gif": ("gif", _pillow(_palette)),
    "gray_alpha": ("png", _pillow(lambda g: Image.fromarray(g).convert("LA"))),
    "png16": ("png", _pillow(lambda g: Image.fromarray(g.astype(np.uint16) * 257))),
    "rgb16_png": (
        "png",
        lambda g, p: p.write_bytes(imagecodecs.png_encode(_rgb(g).astype(np.uint16) * 257)),
    ),
    "rgb16_jp2": (
        "jp2",
        lambda g, p: p.write_bytes(
            imagecodecs.jpeg2k_encode(_rgb(g).astype(np.uint16) * 257, level=0)
        ),
    ),
    "bmp": ("bmp", _pillow(Image.fromarray)),
    "wrong_ending": ("png", _tiff(lambda g: g.astype(np.uint16) * 16)),
}
