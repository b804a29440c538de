"""Choice of the atlas of an unlabeled section: the most similar labeled section near it.

`sebre.registration.labelers` calls it. The similarity is not that of
`skimage.metrics.normalized_mutual_information`, whose bins follow the data: stored numbers would
change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mrcnn.errors import UserError
from sebre.data.csv_tables import read_rows
from sebre.registration.transform import background, gray, resized

THUMBNAIL_PX = 96  # longest side of the test section while atlases are compared
NEAREST = 120  # sections, by position, that are compared
# Where the quick affine starts, degrees: sections lie within these, and a start is close enough
# at half a step.
STARTS = tuple(range(-30, 31, 10))
_ITERATIONS, _PRECISION = 40, 1e-4
_BINS = 32

RULE = (
    f"of the {NEAREST} training sections nearest in position in the brain (all, where it is not "
    "known), the one with the largest normalized mutual information with the test section at "
    f"{THUMBNAIL_PX} px, after a quick affine: centers of mass, the best of turns by "
    f"{', '.join(map(str, STARTS))} degrees, then enhanced correlation"
)


@dataclass(frozen=True)
class Atlas:
    """The section chosen: its index among the candidates, and its normalized mutual information
    with the test section, 1 to 2."""

    index: int
    similarity: float


def choose_atlas(
    section: np.ndarray, candidates: Sequence[np.ndarray], among: Sequence[int] | None = None
) -> Atlas:
    """The candidate, of those `among` (all), most like a section; of equal ones the first.

    Sections are uint8 [H, W] or [H, W, 3] at the same pixel size. Labels are not looked at.
    """
    among = range(len(candidates)) if among is None else among
    if not len(among):
        raise UserError("There are no sections to choose an atlas from; give at least one.")
    picture = gray(section)
    scale = THUMBNAIL_PX / max(picture.shape)
    small = resized(picture, scale)
    chosen = [Atlas(i, _similarity(resized(gray(candidates[i]), scale), small)) for i in among]
    return max(chosen, key=lambda atlas: atlas.similarity)


def positions(root: str | Path) -> dict[str, float]:
    """Position in its brain of each section of a data set's folder, "train/0" and so on.

    It is its slice, else its plate. Sections without a number, and data sets without a table, have
    none.
    """
    path = Path(root) / "sections.csv"
    if not path.is_file():
        return {}
    found = {}
    _, rows = read_rows(path)
    for row in rows:
        try:
            at = float(row.get("slice") or row.get("plate") or "")
        except ValueError:
            continue
        found[f"{row['subset']}/{row['section']}"] = at
    return found


def near(name: str, candidates: Sequence[str], places: Mapping[str, float]) -> list[int]:
    """Indices of the `NEAREST` candidates to a test section by `positions`; of all, where one has
    none."""
    if name not in places or not all(candidate in places for candidate in candidates):
        return list(range(len(candidates)))
    distances = [abs(places[candidate] - places[name]) for candidate in candidates]
    return sorted(np.argsort(distances, kind="stable")[:NEAREST].tolist())


def _similarity(moving: np.ndarray, fixed: np.ndarray) -> float:
    """Normalized mutual information after the quick affine."""
    size = fixed.shape[::-1]
    fill = background(moving)

    def laid(matrix: np.ndarray) -> float:
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(moving, matrix, size, flags=how, borderValue=fill)
        return normalized_mutual_information(moved, fixed)

    starts = [_turn(_center(moving), _center(fixed), angle) for angle in STARTS]
    scores = [laid(matrix) for matrix in starts]
    best = starts[int(np.argmax(scores))]
    until = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, _PRECISION)
    try:
        _, fitted = cv2.findTransformECC(fixed, moving, best.copy(), cv2.MOTION_AFFINE, until)
    except cv2.error:  # It did not converge: the start stays.
        return max(scores)
    return max(*scores, laid(fitted))


def normalized_mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    """(H(A) + H(B)) / H(A, B) of two pictures of one shape, 0 to 1, in 32 gray levels.

    It is 1 for pictures that say nothing of each other, 2 for equal ones. Source: Studholme, Hill
    and Hawkes, Pattern Recognition 32 (1999) 71-86.
    """
    levels = [np.clip((picture * _BINS).astype(np.int64), 0, _BINS - 1) for picture in (a, b)]
    joint = np.bincount((levels[0] * _BINS + levels[1]).ravel(), minlength=_BINS**2)
    joint = joint.reshape(_BINS, _BINS) / joint.sum()
    together = _entropy(joint)
    if together == 0:
        return 1.0
    return (_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))) / together


def _entropy(shares: np.ndarray) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def _center(picture: np.ndarray) -> np.ndarray:
    """Center of mass of what differs from the background: column, row."""
    weight = np.abs(picture - background(picture))
    total = weight.sum()
    if total == 0:
        return (np.array(picture.shape[::-1]) - 1) / 2
    return (
        np.array([(weight.sum(axis=1 - i) * np.arange(picture.shape[i])).sum() for i in (1, 0)])
        / total
    )


def _turn(moving: np.ndarray, fixed: np.ndarray, angle: float) -> np.ndarray:
    """Matrix [2, 3] from fixed to moving (column, row) that joins two centers at an angle."""
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([matrix, moving - matrix @ fixed]).astype(np.float32)
