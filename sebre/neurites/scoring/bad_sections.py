"""Bad sections to test with: faults that no training of this project uses.

Haze, uneven light, movement, stripes of the beam, bright charging, and low resolution; none of
`sebre.neurites.learning.section_defects` makes them.
"""

from collections.abc import Callable

import cv2
import numpy as np

_SHARE = 0.3  # of the sections
_LONGEST = 4  # sections of a run


def _haze(section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return section * rng.uniform(0.3, 0.6) + rng.uniform(60, 110)


def _uneven_light(section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = section.shape
    y, x = np.mgrid[:height, :width]
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * (y / height - 0.5) + np.sin(angle) * (x / width - 0.5)
    return section * np.clip(0.6 - rng.uniform(0.6, 1.0) * along, 0.05, None)


def _movement(section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    length = int(rng.integers(5, 10))
    kernel = np.full((1, length) if rng.random() < 0.5 else (length, 1), 1 / length)
    return cv2.filter2D(section, -1, kernel, borderType=cv2.BORDER_REFLECT)


def _stripes(section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    columns = cv2.GaussianBlur(rng.standard_normal((1, section.shape[1])), (9, 1), 1.5)
    return section + columns / columns.std() * rng.uniform(20, 40)


def _charging(section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    field = cv2.GaussianBlur(rng.standard_normal(section.shape), None, 12)
    field = (field - field.mean()) / field.std()
    return section + np.clip(field - 0.5, 0, None) * rng.uniform(60, 120)


def _low_resolution(section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = section.shape
    factor = int(rng.integers(3, 5))
    small = (max(1, width // factor), max(1, height // factor))
    reduced = cv2.resize(section, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (width, height), interpolation=cv2.INTER_NEAREST)


_FAULTS: tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], ...] = (
    *(_haze, _uneven_light, _movement),
    *(_stripes, _charging, _low_resolution),
)


def degraded(raw: np.ndarray, seed: int, share: float = _SHARE) -> tuple[np.ndarray, list[int]]:
    """A volume some of whose sections are bad, in runs of up to four with one fault each.

    Args:
        raw: uint8 [z, y, x].
        seed: of chance.
        share: of the sections that are bad.

    Returns:
        A changed copy, and the bad sections.
    """
    rng = np.random.default_rng(seed)
    changed, bad = raw.copy(), set()
    wanted = max(1, round(share * len(raw)))
    fault = int(rng.integers(len(_FAULTS)))
    while len(bad) < wanted:
        first = int(rng.integers(len(raw)))
        length = int(rng.integers(1, _LONGEST + 1))
        run = [n for n in range(first, min(first + length, len(raw))) if n not in bad]
        for number in run[: wanted - len(bad)]:
            values = _FAULTS[fault](raw[number].astype(np.float64), rng)
            changed[number] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
            bad.add(number)
        fault = (fault + 1) % len(_FAULTS)  # so that all kinds occur
    return changed, sorted(bad)
