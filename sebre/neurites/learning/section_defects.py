"""What goes wrong with sections under the microscope, for training: blur, darkness, loss, shifts,
noise, and sections that were made up from those around them.

The article's lesson: one run of bad sections joins neurites all over a volume, unless the network
has seen such sections. What the tests degrade sections with is another thing
(`sebre.neurites.scoring.bad_sections`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

Range = tuple[float, float]


@dataclass(frozen=True)
class Severity:
    """How often sections are bad in training, and how bad. Gray values are standardized.

    Attributes:
        chance: of each kind of defect in a patch.
        longest: sections of a run.
        blur: standard deviation, px.
        contrast: what is left of it in the dark.
        darkness: what is taken away.
        moved_px: the farthest shift.
        noise: standard deviation.
        whole: share of the patches without any defect.
        runs: of each kind, at most.
        gradual: half of the dark and blurred runs become so section by section.
    """

    chance: float
    longest: int
    blur: Range
    contrast: Range
    darkness: Range
    moved_px: int
    noise: Range
    whole: float = 0.0
    runs: int = 1
    gradual: bool = False


SEVERITIES = {
    "mild": Severity(0.25, 4, (0.8, 2.5), (0.3, 0.9), (0.2, 2.0), 4, (0.2, 1.0)),
    "harsh": Severity(
        0.4, 6, (0.8, 4.0), (0.12, 0.9), (0.0, 3.0), 6, (0.2, 1.6), 0.25, runs=2, gradual=True
    ),
}


def blur(patch: np.ndarray, rng: np.random.Generator, how: Severity) -> None:
    """Blur a run of sections: out of focus."""
    sigma = rng.uniform(*how.blur)
    run = _run(len(patch), rng, how.longest)
    for section, share in zip(patch[run], _shares(run, rng, how), strict=True):
        section[...] = cv2.GaussianBlur(section, None, max(0.3, sigma * share))


def darken(patch: np.ndarray, rng: np.random.Generator, how: Severity) -> None:
    """Darken a run of sections, which have less contrast then."""
    run = _run(len(patch), rng, how.longest)
    contrast, darkness = (rng.uniform(*bounds) for bounds in (how.contrast, how.darkness))
    shares = np.array(_shares(run, rng, how), np.float32)[:, None, None]
    patch[run] *= 1 - shares * np.float32(1 - contrast)
    patch[run] -= shares * np.float32(darkness)


def lose(patch: np.ndarray, rng: np.random.Generator, how: Severity) -> None:
    """Put one gray value in the place of one section or a few."""
    run = _run(len(patch), rng, how.longest // 2)
    patch[run] = np.float32(rng.uniform(-3.0, 2.0))


def shift(patch: np.ndarray, rng: np.random.Generator, how: Severity) -> None:
    """Shift one section in its plane: badly aligned."""
    number = rng.integers(len(patch))
    moves = rng.integers(-how.moved_px, how.moved_px + 1, 2)
    matrix = np.float32([[1, 0, moves[0]], [0, 1, moves[1]]])
    size = patch.shape[2], patch.shape[1]
    patch[number] = cv2.warpAffine(patch[number], matrix, size, borderMode=cv2.BORDER_REFLECT)


def add_noise(patch: np.ndarray, rng: np.random.Generator, how: Severity) -> None:
    """Add noise to a run of sections."""
    run = _run(len(patch), rng, how.longest)
    noise = rng.standard_normal(patch[run].shape, np.float32)
    patch[run] += noise * np.float32(rng.uniform(*how.noise))


def interpolate(patch: np.ndarray, rng: np.random.Generator, how: Severity) -> None:
    """Make up a run of sections from the two around it, as is done with bad ones later."""
    length = int(rng.integers(1, min(how.longest, len(patch) - 2) + 1))
    first = int(rng.integers(1, len(patch) - length))
    before, after = patch[first - 1], patch[first + length]
    for number in range(length):
        share = np.float32((number + 1) / (length + 1))
        patch[first + number] = (1 - share) * before + share * after


DEFECTS: dict[str, Callable[[np.ndarray, np.random.Generator, Severity], None]] = {
    "blur": blur,
    "darken": darken,
    "missing": lose,
    "shift": shift,
    "noise": add_noise,
    "interpolate": interpolate,
}


def damage_sections(
    patch: np.ndarray, rng: np.random.Generator, names: frozenset[str], severity: str = "mild"
) -> None:
    """Change a patch by some of the defects named.

    Args:
        patch: float32 [z, y, x], standardized, of three sections at least. It is changed.
        rng: source of chance.
        names: of `DEFECTS`.
        severity: of `SEVERITIES`.
    """
    how = SEVERITIES[severity]
    if how.whole and rng.random() < how.whole:
        return
    for name, change in DEFECTS.items():
        if name in names and rng.random() < how.chance:
            for _ in range(int(rng.integers(how.runs)) + 1 if how.runs > 1 else 1):
                change(patch, rng, how)


def _run(sections: int, rng: np.random.Generator, longest: int) -> slice:
    length = int(rng.integers(1, min(longest, sections) + 1))
    first = int(rng.integers(sections - length + 1))
    return slice(first, first + length)


def _shares(run: slice, rng: np.random.Generator, how: Severity) -> list[float]:
    """How much of a defect each section of a run has."""
    length = run.stop - run.start
    if not how.gradual or rng.random() < 0.5:
        return [1.0] * length
    shares = np.linspace(1 / length, 1, length)
    return (shares if rng.random() < 0.5 else shares[::-1]).tolist()
