"""What goes wrong with sections under the microscope, for training: blur, darkness, loss, shifts,
noise.

The article's lesson: one run of bad sections joins neurites all over a volume, unless the network
has seen such sections. What the tests degrade sections with is another thing
(`sebre.neurites.scoring.bad_sections`).
"""

from collections.abc import Callable

import cv2
import numpy as np

_LONGEST = 4  # sections of a run
_CHANCE = 0.25  # of each kind of defect in a patch


def blur(patch: np.ndarray, rng: np.random.Generator) -> None:
    """Blur a run of sections: out of focus."""
    sigma = rng.uniform(0.8, 2.5)
    for section in patch[_run(len(patch), rng)]:
        section[...] = cv2.GaussianBlur(section, None, sigma)


def darken(patch: np.ndarray, rng: np.random.Generator) -> None:
    """Darken a run of sections, which have less contrast then."""
    run = _run(len(patch), rng)
    patch[run] = patch[run] * np.float32(rng.uniform(0.3, 0.9)) - np.float32(rng.uniform(0.2, 2.0))


def lose(patch: np.ndarray, rng: np.random.Generator) -> None:
    """Put one gray value in the place of one section or two."""
    run = _run(len(patch), rng, longest=2)
    patch[run] = np.float32(rng.uniform(-3.0, 2.0))


def shift(patch: np.ndarray, rng: np.random.Generator) -> None:
    """Shift one section in its plane, by up to 4 px: badly aligned."""
    number = rng.integers(len(patch))
    moves = rng.integers(-4, 5, 2)
    matrix = np.float32([[1, 0, moves[0]], [0, 1, moves[1]]])
    size = patch.shape[2], patch.shape[1]
    patch[number] = cv2.warpAffine(patch[number], matrix, size, borderMode=cv2.BORDER_REFLECT)


def add_noise(patch: np.ndarray, rng: np.random.Generator) -> None:
    """Add noise to a run of sections."""
    run = _run(len(patch), rng)
    noise = rng.standard_normal(patch[run].shape, np.float32)
    patch[run] += noise * np.float32(rng.uniform(0.2, 1.0))


DEFECTS: dict[str, Callable[[np.ndarray, np.random.Generator], None]] = {
    "blur": blur,
    "darken": darken,
    "missing": lose,
    "shift": shift,
    "noise": add_noise,
}


def damage_sections(patch: np.ndarray, rng: np.random.Generator, names: frozenset[str]) -> None:
    """Change a patch by some of the defects named, each with a chance of one in four.

    Args:
        patch: float32 [z, y, x], standardized. It is changed.
        rng: source of chance.
        names: of `DEFECTS`.
    """
    for name, change in DEFECTS.items():
        if name in names and rng.random() < _CHANCE:
            change(patch, rng)


def _run(sections: int, rng: np.random.Generator, longest: int = _LONGEST) -> slice:
    length = int(rng.integers(1, min(longest, sections) + 1))
    first = int(rng.integers(sections - length + 1))
    return slice(first, first + length)
