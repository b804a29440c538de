"""Bad sections to test with, and others to choose with: faults that no training here uses.

Tested with: haze, uneven light, movement, stripes of the beam, bright charging, low resolution.
Chosen with: wrong gamma, compression, smear, specks, double exposure, scratches. Neither is of
`sebre.neurites.learning.section_defects`, nor one of the other, so that nothing is chosen by the
faults that it is tested with.
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


def _gamma(section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    power = rng.uniform(2.0, 4.0) if rng.random() < 0.5 else rng.uniform(0.25, 0.5)
    return 255 * (np.clip(section, 0, 255) / 255) ** power


def _compression(section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(3, 12))]
    _, packed = cv2.imencode(".jpg", section.astype(np.uint8), quality)
    return cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE).astype(np.float64)


def _smear(section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.medianBlur(section.astype(np.uint8), int(rng.choice((5, 7, 9)))).astype(np.float64)


def _specks(section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    chance, share = rng.random(section.shape), rng.uniform(0.1, 0.3)
    return np.where(chance < share / 2, 0, np.where(chance < share, 255, section))


def _double_exposure(section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    move = rng.choice((-1, 1), 2) * rng.integers(4, 9, 2)
    return (section + np.roll(section, move, (0, 1))) / 2


def _scratches(section: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    drawn = section.copy()
    for _ in range(int(rng.integers(4, 10))):
        ends = rng.integers(0, section.shape[::-1], (2, 2)).tolist()
        gray, width = float(rng.choice((10, 245))), int(rng.integers(3, 9))
        cv2.line(drawn, ends[0], ends[1], gray, width)
    return drawn


_Fault = Callable[[np.ndarray, np.random.Generator], np.ndarray]
FAULTS: dict[str, tuple[_Fault, ...]] = {
    "test": (_haze, _uneven_light, _movement, _stripes, _charging, _low_resolution),
    "choose": (_gamma, _compression, _smear, _specks, _double_exposure, _scratches),
}


def degraded(
    raw: np.ndarray, seed: int, share: float = _SHARE, faults: str = "test"
) -> tuple[np.ndarray, list[int]]:
    """A volume some of whose sections are bad, in runs of up to four with one fault each.

    Args:
        raw: uint8 [z, y, x].
        seed: of chance.
        share: of the sections that are bad.
        faults: which, of `FAULTS`.

    Returns:
        A changed copy, and the bad sections.
    """
    rng, kinds = np.random.default_rng(seed), FAULTS[faults]
    changed, bad = raw.copy(), set()
    wanted = max(1, round(share * len(raw)))
    fault = int(rng.integers(len(kinds)))
    while len(bad) < wanted:
        first = int(rng.integers(len(raw)))
        length = int(rng.integers(1, _LONGEST + 1))
        run = [n for n in range(first, min(first + length, len(raw))) if n not in bad]
        for number in run[: wanted - len(bad)]:
            values = kinds[fault](raw[number].astype(np.float64), rng)
            changed[number] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
            bad.add(number)
        fault = (fault + 1) % len(kinds)  # so that all kinds occur
    return changed, sorted(bad)
