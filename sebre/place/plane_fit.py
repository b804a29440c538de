"""The plane through what the network says of the cells of a section.

A section is flat, and so is what it shows of the brain in the frame of the atlas, but for growth
and bending: each of the three numbers of a place changes evenly across the picture. Of the third,
the distance from the middle plane, the network does not say the side. So the line where the picture
crosses the middle plane, if it does, is looked for.
"""

from dataclasses import dataclass, replace

import numpy as np

_ROUNDS = 8  # of weights that lessen what lies far off
_DIRECTIONS, _LINES = 12, 7  # in which the middle plane may cross, and how often of each
_FOLD_GAIN = 0.95  # of the misfit without a crossing, that one with it must stay below
_LEAST_CELLS = 6.0  # weight of tissue


@dataclass(frozen=True)
class FlatPlane:
    """A plane in the frame of the atlas.

    Attributes:
        matrix: float64 [3, 3]. From (x, y, 1) of the square that was looked at, 0..1 from its left
            and its top, to ap, dv, ml in mm; ml is positive on one side of the middle plane, which
            may be either.
        center: float64 [2]. Middle (x, y) of the tissue.
        misfit_mm: mean distance of the cells.
        crosses: whether it crosses the middle plane within the tissue.
    """

    matrix: np.ndarray
    center: np.ndarray
    misfit_mm: float
    crosses: bool

    @property
    def normal(self) -> np.ndarray:
        """Unit vector through the section along ap, dv, ml; its largest part is positive."""
        normal = np.cross(self.matrix[:, 0], self.matrix[:, 1])
        normal = normal / max(float(np.linalg.norm(normal)), 1e-12)
        return normal * (1 if normal[np.abs(normal).argmax()] > 0 else -1)

    @property
    def center_mm(self) -> np.ndarray:
        """Place of the middle of the tissue, [3]; ml without side."""
        place = self.matrix @ np.append(self.center, 1.0)
        return np.append(place[:2], abs(place[2]))


def fit_plane(places: np.ndarray, spread: np.ndarray, tissue: np.ndarray) -> FlatPlane | None:
    """Fit a plane.

    Args:
        places: [n, n, 3] of the cells: ap, dv, ml in mm, ml without side.
        spread: [n, n, 3]. Scale of their errors, mm.
        tissue: [n, n]. Chance of tissue.

    Returns:
        None where there is hardly any tissue.
    """
    design, weight = _cells(tissue)
    if weight.sum() < _LEAST_CELLS:
        return None
    used = weight > 0
    design, weight = design[used], weight[used]
    values, scale = places.reshape(-1, 3)[used], spread.reshape(-1, 3)[used]
    matrix = np.zeros((3, 3))
    for k in range(2):
        matrix[k] = _robust(design, values[:, k], weight, scale[:, k])
    matrix[2], crosses = _distance(design, values[:, 2], weight, scale[:, 2])
    said = design @ matrix.T
    said[:, 2] = np.abs(said[:, 2])
    away = np.linalg.norm(said - values, axis=1)
    center = weight @ design[:, :2] / weight.sum()
    return FlatPlane(matrix, center, float(weight @ away / weight.sum()), crosses)


def refit(plane: FlatPlane, places: np.ndarray, tissue: np.ndarray) -> FlatPlane:
    """The plane through other places of the same cells, quickly: what lies on which side of the
    middle plane stays. Arguments as of `fit_plane`."""
    design, weight = _cells(tissue)
    sign = np.where(design @ plane.matrix[2] < 0, -1.0, 1.0)
    values = places.reshape(-1, 3) * np.stack([sign**2, sign**2, sign], axis=1)
    matrix = np.stack([_solve(design, values[:, k], weight) for k in range(3)])
    return replace(plane, matrix=matrix)


def _cells(tissue: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x, y, 1) of the cells, [n * n, 3], and their weights."""
    n = len(tissue)
    steps = (np.arange(n) + 0.5) / n
    rows, columns = np.meshgrid(steps, steps, indexing="ij")
    design = np.stack([columns.ravel(), rows.ravel(), np.ones(n * n)], axis=1)
    return design, np.where(tissue > 0.5, tissue, 0).ravel()


def _robust(
    design: np.ndarray, values: np.ndarray, weight: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Coefficients [3] of least absolute deviations, each in units of its scale."""
    factor = weight / scale**2
    for _ in range(_ROUNDS):
        solution = _solve(design, values, factor)
        away = np.abs(design @ solution - values) / scale
        factor = weight / scale**2 / np.maximum(away, 0.3)
    return solution


def _solve(design: np.ndarray, values: np.ndarray, factor: np.ndarray) -> np.ndarray:
    weighted = design * factor[:, None]
    normal = design.T @ weighted
    normal[np.diag_indices(3)] += 1e-9 * np.trace(normal)
    return np.linalg.solve(normal, weighted.T @ values)


def _distance(
    design: np.ndarray, values: np.ndarray, weight: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Coefficients [3] of the signed distance from the middle plane, of distances without a sign,
    and whether it has both signs."""
    factor = weight / scale**2
    flat = _robust(design, values, weight, scale)
    least = _FOLD_GAIN * _misfit(design, values, factor, flat, scale)
    best, places = flat, design[:, :2]
    for angle in np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS:
        along = places @ [np.cos(angle), np.sin(angle)]
        for line in np.quantile(along, (np.arange(_LINES) + 1) / (_LINES + 1)):
            sign = np.where(along > line, 1.0, -1.0)
            found = _solve(design, values * sign, factor)
            misfit = _misfit(design, values, factor, found, scale)
            if misfit < least:
                best, least = found, misfit
    for _ in range(_ROUNDS):
        sign = np.where(design @ best < 0, -1.0, 1.0)
        best = _robust(design, values * sign, weight, scale)
    share = float(weight @ (design @ best < 0)) / float(weight.sum())
    if share > 0.5:
        best, share = -best, 1 - share
    return best, share > 0.03


def _misfit(
    design: np.ndarray,
    values: np.ndarray,
    factor: np.ndarray,
    found: np.ndarray,
    scale: np.ndarray,
) -> float:
    away = np.abs(np.abs(design @ found) - values)
    return float(np.sum(factor * scale * away) / np.sum(factor * scale))
