"""How values of more than 8 bits become 8: by the bits in use, or by percentiles.

`CONTRAST` in `Config` names the rule, and is stored with the weights:

* "bits": integers lose their lowest bits so that the largest value in use just fits (12-bit data in
  a 16-bit file are divided by 16); floats from 0 to 1 are multiplied by 255. Black stays black, and
  a picture is what it would have been if it had been saved with 8 bits. A few extreme pixels do not
  count. Where this leaves almost no contrast, percentiles are used, with a warning.
* "percentiles LOW HIGH": the values of these two percentiles become 0 and 255, those beyond are cut
  off. "percentiles LOW HIGH nonzero" takes them of the values above 0 alone, as MRI volumes are
  prepared, whose ground is 0.

Values of 8 bits are never changed.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from mrcnn.errors import UserError

logger = logging.getLogger(__name__)

BITS = "bits"
SAMPLE = 2**22  # values of a picture that are looked at, at most

_LOWEST, _LOW, _HIGH, _HIGHEST = 0.1, 1.0, 99.0, 99.9  # percentiles
_OUTLIER = 4  # times the 99.9th percentile: larger values than that do not decide
_FEW_STEPS = 32  # of 256 that most values share: too little contrast
_ONE_VALUE = 4  # steps: nearly no picture


@dataclass(frozen=True)
class Contrast:
    """One picture's way to 8 bits."""

    low: float  # value that becomes 0
    high: float  # value that becomes 255
    shift: int | None = None  # lowest bits that are dropped instead

    def __str__(self) -> str:
        if self.shift is not None:
            return f"divided by {2**self.shift}" if self.shift else "as they are"
        return f"{self.low:.6g} to {self.high:.6g} become 0 to 255"

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values of any shape as uint8."""
        if self.shift is not None:
            if values.dtype.kind == "f":
                values = np.clip(values, 0, 2**62).astype(np.int64)
            return np.clip(values >> self.shift, 0, 255).astype(np.uint8)
        width = max(self.high - self.low, np.finfo(np.float32).tiny)
        scaled = (values.astype(np.float64) - self.low) * (255 / width)
        return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def parse_rule(rule: str) -> tuple[float, float, bool] | None:
    """The percentiles (low, high) of a rule and whether zeros are left out; None for "bits"."""
    words = str(rule).split()
    if words == [BITS]:
        return None
    try:
        name, low, high, *nonzero = words
        percentiles = float(low), float(high)
        if name != "percentiles" or nonzero not in ([], ["nonzero"]):
            raise ValueError
        if not 0 <= percentiles[0] < percentiles[1] <= 100:
            raise ValueError
    except ValueError:
        raise UserError(
            f"CONTRAST is {rule!r}; wanted 'bits', or 'percentiles LOW HIGH' with numbers from 0 "
            "to 100, after which may stand 'nonzero'."
        ) from None
    return *percentiles, bool(nonzero)


def find_contrast(sample: np.ndarray, path: Any, rule: str = BITS) -> Contrast:
    """The way of a picture, from its values (or `SAMPLE` of them), which are deeper than 8 bits."""
    if sample.dtype.kind not in "iuf":
        raise UserError(
            f"{path}: {sample.dtype} values; wanted whole numbers or floats. Convert the file, or "
            "override load_image."
        )
    if sample.dtype.kind == "f" and not np.isfinite(sample).all():
        bad = np.count_nonzero(~np.isfinite(sample))
        raise UserError(
            f"{path}: {bad} of {sample.size} values looked at are not numbers (NaN or infinite). "
            "Replace them with the value of the background."
        )
    parsed = parse_rule(rule)
    if parsed is not None:
        *percentiles, nonzero = parsed
        counted = sample[sample > 0] if nonzero else sample
        low, high = np.percentile(counted if counted.size else sample, percentiles)
        _say_if_flat(low, high, path)
        return Contrast(float(low), float(high))
    lowest, low, high, highest = np.percentile(sample, (_LOWEST, _LOW, _HIGH, _HIGHEST))
    contrast = _by_bits(sample, lowest, highest)
    if contrast is not None:
        steps = contrast(np.array([lowest, high, highest], sample.dtype)).astype(int)
        if steps[1] - steps[0] >= _FEW_STEPS:
            return contrast
        if steps[2] - steps[0] >= _FEW_STEPS and low == high:
            return contrast  # a small section on an even ground
    if lowest == highest:
        _say_if_flat(lowest, highest, path)
        return contrast or Contrast(float(lowest), float(lowest) + 1)
    top = high if high > lowest and (high - lowest) * _OUTLIER < highest - lowest else highest
    logger.warning(
        "%s: %s values mostly from %.6g to %.6g; these become 0 and 255 (the bits in use would "
        "leave almost no contrast).",
        *(path, sample.dtype, lowest, top),
    )
    return Contrast(float(lowest), float(top))


def as_values(lowest: float, highest: float, dtype: np.dtype, most: float, path: Any) -> Contrast:
    """The way of values that mean something, such as the colors of regions, by no contrast.

    Whole numbers up to 255 stay what they are; larger ones are of 16 bits, or of as many as the
    file has. Floats up to 1 are shares of 255, others up to 255 stay.

    Args:
        lowest: of all values of the picture.
        highest: of all values of the picture.
        dtype: of the values.
        most: the largest value that the file could have (`color_models.largest`).
        path: for messages.

    Raises:
        UserError: values that are below 0, no numbers, or floats above 255.
    """
    scales = (1.0, 255.0) if dtype.kind == "f" else (255.0, min(most, 65535.0), most)
    full = next((scale for scale in scales if highest <= scale), None)
    if full is None or not lowest >= 0:
        raise UserError(
            f"{path}: {dtype} values from {lowest:g} to {highest:g} are no colors; wanted 0 to "
            "255, 0 to 65535 (16 bits) or floats from 0 to 1. Save it with 8 bits."
        )
    return Contrast(0.0, full)


def _by_bits(sample: np.ndarray, lowest: float, highest: float) -> Contrast | None:
    """By the bits in use, where the values have any: none are negative."""
    if lowest < 0:
        return None
    top = float(sample.max())
    if top > _OUTLIER * (highest + 1):
        top = highest
    if sample.dtype.kind == "f" and top <= 1:
        return Contrast(0.0, 1.0)
    return Contrast(0.0, top, max(int(np.ceil(top)).bit_length() - 8, 0))


def _say_if_flat(low: float, high: float, path: Any) -> None:
    if low == high:
        logger.warning("%s: nearly all values are %.6g: there is no picture in it.", path, low)


def say_if_blank(sample: np.ndarray, path: Any) -> None:
    """Warn of 8-bit values that are nearly one."""
    low, high = np.percentile(sample, (_LOWEST, _HIGHEST))
    if high - low < _ONE_VALUE:
        logger.warning(
            "%s: nearly all values are from %.0f to %.0f of 0 to 255: there is no picture in it.",
            *(path, low, high),
        )
