"""Bad sections of a volume: found by how unlike their neighbors they are, and made up from them.

Sections that lie as close as pixels show nearly the same. A section that is blurred, dark, noisy,
charged or displaced is less like those beside it than the others are, or has another contrast; a
network is then right to say little, and segments leak through. A short run of such sections is
replaced by the interpolation of the good ones around it, as long as that is closer to the truth
than what is there.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from scipy.ndimage import median_filter

LONGEST = 8  # sections of a run that is made up
_AT_THE_END = 2  # of a run without a good section on one side
_BANDS = ((1.0, 4.0), (4.0, 16.0))  # of detail, as standard deviations of blur, px
_SEEN_PX = 1024  # side of the middle of a section that is looked at
_AROUND = 31  # sections that the usual is taken from
_UNLIKE = 0.06  # by how much the correlation falls short of the usual
_FAINT, _STRONG = -0.12, 0.3  # logarithm of contrast beside the usual
_DEVIATIONS = 6.0  # times the usual spread, where that is wider
_FEWEST = 5  # sections of a volume that is looked at


def find_bad_sections(raw: Any) -> list[int]:
    """Numbers of the sections that are unlike their neighbors.

    Args:
        raw: uint8 [z, y, x], or what gives a part of it for an index. Sections as close as pixels.

    Returns:
        In order. Nothing is found in less than five sections.
    """
    if raw.shape[0] < _FEWEST:
        return []
    middle = tuple(
        slice((size - min(size, _SEEN_PX)) // 2, (size + min(size, _SEEN_PX)) // 2)
        for size in raw.shape[1:]
    )
    contrast, likeness, before = [], [], None
    for number in range(raw.shape[0]):
        bands = _bands(np.asarray(raw[(slice(number, number + 1), *middle)])[0])
        contrast.append([np.log(band.std() + 1e-3) for band in bands])
        if before is not None:
            pairs = zip(bands, before, strict=True)
            likeness.append([_correlation(one, other) for one, other in pairs])
        before = bands
    bad = np.zeros(raw.shape[0], bool)
    for band in range(len(_BANDS)):
        logs = np.array(contrast)[:, band]
        beside = np.array(likeness)[:, band]
        # A good section may lie beside a bad one: what counts is the neighbor it is more like.
        best = np.maximum(np.append(beside, -1.0), np.insert(beside, 0, -1.0))
        bad |= _outlying(logs, _FAINT, _STRONG) | _outlying(best, -_UNLIKE, np.inf)
    return np.flatnonzero(bad).tolist()


def _bands(section: np.ndarray) -> list[np.ndarray]:
    gray = section.astype(np.float32)
    return [cv2.GaussianBlur(gray, None, a) - cv2.GaussianBlur(gray, None, b) for a, b in _BANDS]


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    power = float((one * one).sum()) * float((other * other).sum())
    return float((one * other).sum()) / power**0.5 if power else 1.0


def _outlying(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Which are farther from the usual, in sections around, than is allowed."""
    apart = values - median_filter(values, min(_AROUND, len(values)), mode="reflect")
    spread = _DEVIATIONS * 1.4826 * float(np.median(np.abs(apart)))
    return (apart < min(low, -spread)) | (apart > max(high, spread))


class MadeUpSections:
    """A volume whose bad sections are made up from good ones, read as an array is.

    Args:
        raw: uint8 [z, y, x], or what gives a part of it for an index.
        bad: numbers of the bad sections. Those of runs too long to be made up stay as they are.

    Attributes:
        shape: of the volume.
        made: numbers of the sections that are made up.
    """

    def __init__(self, raw: Any, bad: Sequence[int]):
        self._raw, self.shape = raw, tuple(raw.shape)
        self._around = {n: ends for run in _runs(bad) for n, ends in self._ends(run)}
        self.made = sorted(self._around)

    def _ends(self, run: range) -> list[tuple[int, tuple[int, int]]]:
        before, after = run.start - 1, run.stop
        if before < 0 or after >= self.shape[0]:
            kept = after if before < 0 else before
            inside = 0 <= kept < self.shape[0] and len(run) <= _AT_THE_END
            return [(number, (kept, kept)) for number in run] if inside else []
        return [(number, (before, after)) for number in run] if len(run) <= LONGEST else []

    def __getitem__(self, index: Any) -> np.ndarray:
        """A part, by slices with a step of 1, first of the sections."""
        first, *rest = index if isinstance(index, tuple) else (index,)
        start, stop, _ = first.indices(self.shape[0])
        part = np.array(self._raw[(slice(start, stop), *rest)])
        for number in range(start, max(start, stop)):
            if number in self._around:
                before, after = self._around[number]
                ends = [
                    np.asarray(self._raw[(slice(n, n + 1), *rest)])[0].astype(np.float32)
                    for n in (before, after)
                ]
                share = (number - before) / (after - before) if after > before else 0.0
                part[number - start] = np.rint((1 - share) * ends[0] + share * ends[1])
        return part


def _runs(numbers: Sequence[int]) -> list[range]:
    """Numbers in order as runs without gaps."""
    runs: list[range] = []
    for number in numbers:
        if runs and runs[-1].stop == number:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return runs
