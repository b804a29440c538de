"""From stored samples to gray or red, green and blue, at full depth."""

from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.imageio.header import PictureHeader

# Model -> number of its samples, without opacity.
MODELS = {
    "gray": 1,
    "white is zero": 1,
    "palette": 1,
    "rgb": 3,
    "ycbcr": 3,
    "lab": 3,
    "icc lab": 3,
    "cmyk": 4,
}

# ITU-R BT.601, as TIFF 6.0 and JPEG.
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114


def largest(dtype: np.dtype, bits: int) -> float:
    """The value of full intensity: of integers by their bits, of floats 1."""
    if dtype.kind == "f":
        return 1.0
    return float(2 ** (bits - (dtype.kind == "i")) - 1)


def split(samples: np.ndarray, header: PictureHeader) -> tuple[np.ndarray, np.ndarray | None]:
    """Colors [h, w] or [h, w, 3] and opacity [h, w] (None without) of stored samples.

    Samples [h, w] or [h, w, n] are as in the file. The depth stays, but palettes, bool and fewer
    than 8 bits become uint8 from 0 to 255.
    """
    if samples.ndim == 2:
        samples = samples[..., None]
    if header.palette is not None:
        colors = header.palette[np.minimum(samples[..., 0], len(header.palette) - 1)]
        return colors[..., :3], colors[..., 3] if colors.shape[-1] == 4 else None
    count = MODELS[header.color]
    alpha = samples[..., count] if header.alpha else None
    colors = _TO_RGB[header.color](samples[..., :count], largest(samples.dtype, header.bits))
    colors, alpha = _at_least_8_bits(colors, header), _at_least_8_bits(alpha, header)
    return colors[..., 0] if colors.shape[-1] == 1 else colors, alpha


def opacity(alpha: np.ndarray, header: PictureHeader) -> np.ndarray:
    """Alpha of any depth from 0 to 1, float32."""
    full = 255.0 if alpha.dtype == np.uint8 else largest(alpha.dtype, header.bits)
    return np.clip(alpha.astype(np.float32) / np.float32(full), 0, 1)


def _at_least_8_bits(values: np.ndarray | None, header: PictureHeader) -> np.ndarray | None:
    if values is None:
        return None
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint8 and header.bits < 8:
        return (values.astype(np.uint16) * 255 // (2**header.bits - 1)).astype(np.uint8)
    return values


def _same(values: np.ndarray, _: float) -> np.ndarray:
    return values


def _inverted(values: np.ndarray, full: float) -> np.ndarray:
    return ~values if values.dtype == bool else values.dtype.type(full) - values


def _of_cmyk(values: np.ndarray, full: float) -> np.ndarray:
    """Light that passes three inks and black, each on its own; no color profile is used."""
    light = full - values.astype(np.float64)
    return _rounded(light[..., :3] * light[..., 3:] / full, values.dtype)


def _of_ycbcr(values: np.ndarray, full: float) -> np.ndarray:
    middle = 0.5 if values.dtype.kind == "f" else (full + 1) / 2
    y, cb, cr = np.moveaxis(values.astype(np.float64), -1, 0)
    red = y + (2 - 2 * _RED) * (cr - middle)
    blue = y + (2 - 2 * _BLUE) * (cb - middle)
    green = (y - _RED * red - _BLUE * blue) / _GREEN
    return _rounded(np.clip(np.stack([red, green, blue], axis=-1), 0, full), values.dtype)


def _of_lab(values: np.ndarray, full: float) -> np.ndarray:
    """CIE L*a*b* as in TIFF 6.0: a* and b* have a sign."""
    signed = values[..., 1:].astype(np.dtype(f"i{values.dtype.itemsize}"))
    return _lab(values, signed.astype(np.float64), full)


def _of_icc_lab(values: np.ndarray, full: float) -> np.ndarray:
    """The same as in ICC profiles: a* and b* are shifted by half of the range."""
    return _lab(values, values[..., 1:].astype(np.float64) - (full + 1) / 2, full)


def _lab(values: np.ndarray, signed: np.ndarray, full: float) -> np.ndarray:
    from skimage.color import lab2rgb

    lightness = values[..., :1].astype(np.float64) * (100 / full)
    lab = np.concatenate([lightness, signed * (256 / (full + 1))], axis=-1)
    return _rounded(lab2rgb(lab) * full, values.dtype)


def _rounded(values: np.ndarray, dtype: Any) -> np.ndarray:
    return (np.rint(values) if np.dtype(dtype).kind in "iu" else values).astype(dtype)


_TO_RGB = {
    "gray": _same,
    "white is zero": _inverted,
    "palette": _same,
    "rgb": _same,
    "ycbcr": _of_ycbcr,
    "lab": _of_lab,
    "icc lab": _of_icc_lab,
    "cmyk": _of_cmyk,
}


def model_of_samples(count: int, path: Any) -> tuple[str, str]:
    """(color, alpha) of a decoded file with `count` samples a pixel: gray or RGB, or with
    opacity."""
    if count not in (1, 2, 3, 4):
        raise UserError(
            f"{path}: {count} values a pixel are not a gray, RGB or RGBA picture. Convert it, or "
            "override load_image."
        )
    return "gray" if count < 3 else "rgb", "" if count % 2 else "straight"
