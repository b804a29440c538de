"""How far off a plane and its place may be: error bars that were measured.

On synthetic sections of brains that the network did not learn from, the logarithm of the true
error is fitted by what can be seen without the truth; a factor on top makes nine of ten errors
smaller than their bar (`sebre.synthesis.placing.measure_place`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sebre.place.cell_places import CellPlaces
from sebre.place.plane_fit import FlatPlane, refit

WITHIN = 0.9  # of the sections, an error is smaller than its bar
SIGNS = ("spread", "views_angle", "views_place", "misfit", "cells")
_RIDGE = 1.0


@dataclass(frozen=True)
class ErrorBar:
    """Size of an error by its signs.

    Attributes:
        weights: float64 [len(SIGNS) + 1], of the logarithms of the signs, and a constant.
        factor: by which the expected error is made a bar.
        least: smallest bar.
    """

    weights: np.ndarray
    factor: float
    least: float

    def expected(self, signs: np.ndarray) -> np.ndarray:
        """Usual errors [N] of signs [N, len(SIGNS)]."""
        return np.exp(np.clip(signs @ self.weights[:-1] + self.weights[-1], -6, 6))

    def bar(self, signs: np.ndarray) -> np.ndarray:
        """Bars [N] of signs [N, len(SIGNS)]."""
        return np.maximum(self.expected(signs) * self.factor, self.least)

    def to_array(self) -> np.ndarray:
        """For a file."""
        return np.array([*self.weights, self.factor, self.least])

    @classmethod
    def from_array(cls, values: np.ndarray) -> "ErrorBar":
        """Of `to_array`."""
        return cls(np.asarray(values[:-2], float), float(values[-2]), float(values[-1]))


def fit_error_bar(signs: np.ndarray, errors: np.ndarray, least: float) -> ErrorBar:
    """Fit a bar.

    Args:
        signs: [N, len(SIGNS)], of `signs_of`.
        errors: [N], measured.
        least: smallest bar; errors below a tenth of it count as that.
    """
    design = np.concatenate([signs, np.ones((len(signs), 1))], axis=1)
    mean = design[:, :-1].mean(0)
    design[:, :-1] -= mean
    wanted = np.log(np.maximum(errors, 0.1 * least))
    penalty = _RIDGE * np.eye(design.shape[1])
    penalty[-1, -1] = 0
    weights = np.linalg.solve(design.T @ design + penalty, design.T @ wanted)
    weights[-1] -= mean @ weights[:-1]
    plain = ErrorBar(weights, 1.0, 0.0)
    factor = float(np.quantile(errors / plain.expected(signs), WITHIN))
    return ErrorBar(weights, factor, least)


def signs_of(cells: CellPlaces, plane: FlatPlane) -> np.ndarray:
    """What an error shows in, without the truth: logarithms [len(SIGNS)].

    The spread that the network expects; how far the views lie apart, in angle and in place; how far
    the cells lie from the plane; how many there are.
    """
    tissue = cells.tissue.mean(0)
    weight = np.where(tissue > 0.5, tissue, 0)
    spread = np.linalg.norm(cells.spread, axis=-1).mean(0)
    angles, places = [], []
    for view in cells.places:
        other = refit(plane, view, tissue)
        angles.append(angle_between(plane.normal, other.normal))
        places.append(abs(float(plane.normal @ (other.center_mm - plane.center_mm))))
    return np.log(
        [
            float((weight * spread).sum() / weight.sum()),
            float(np.mean(angles)) + 0.3,
            float(np.mean(places)) + 0.02,
            plane.misfit_mm + 0.02,
            float(weight.sum()),
        ]
    )


def angle_between(first: np.ndarray, second: np.ndarray) -> float:
    """Degrees between two planes by their normals [3], whatever the side of the brain."""
    mirrored = second * np.array([1, 1, -1])
    cosine = max(abs(float(first @ second)), abs(float(first @ mirrored)))
    return float(np.degrees(np.arccos(min(cosine, 1.0))))


def bars_of(arrays: Mapping[str, np.ndarray]) -> dict[str, ErrorBar]:
    """The bars of a file: "angle" and "position"."""
    return {name: ErrorBar.from_array(arrays[f"{name}_bar"]) for name in ("angle", "position")}
