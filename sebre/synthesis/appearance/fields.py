"""Smooth random fields, made from few numbers by cubic B-splines.

Everything that varies slowly over a section uses them: deformation, shading, holes, texture.
"""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=256)
def spline_matrix(size: int, cells: int) -> np.ndarray:
    """Matrix that draws a smooth curve through the neighborhood of control points.

    Args:
        size: number of places, evenly spread over the control points.
        cells: number of control points; beyond the ends they go on as at the ends.

    Returns:
        float32 [size, cells], rows sum to 1. Uniform cubic B-splines, without prefilter: the
        curve is a little smoother than its control points.
    """
    places = (np.arange(size) + 0.5) * cells / size - 0.5
    first = np.floor(places).astype(int)
    t = places - first
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    )
    matrix = np.zeros((size, cells), np.float32)
    for offset, weight in zip((-1, 0, 1, 2), weights / 6, strict=True):
        np.add.at(matrix, (np.arange(size), np.clip(first + offset, 0, cells - 1)), weight)
    matrix.flags.writeable = False
    return matrix


def smooth_field(rng: np.random.Generator, size: int, cells: int, count: int = 1) -> np.ndarray:
    """Independent smooth random fields of about mean 0 and deviation 1.

    Args:
        rng: source of chance.
        size: side of the square field, px.
        cells: control points along a side; fewer are smoother.
        count: number of fields.

    Returns:
        float32 [count, size, size].
    """
    matrix = spline_matrix(size, cells)
    points = rng.standard_normal((count, cells, cells), dtype=np.float32)
    points *= 2.0  # of the deviation, about half is left between the control points
    return matrix @ points @ matrix.T


def smooth_curve(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """A smooth random curve float32 [size] of about mean 0 and deviation 1."""
    points = 1.4 * rng.standard_normal(cells, dtype=np.float32)
    return spline_matrix(size, cells) @ points


def monotone_curve(rng: np.random.Generator, size: int, cells: int, strength: float) -> np.ndarray:
    """A random growing curve float32 [size] from 0 to 1.

    Args:
        rng: source of chance.
        size: number of places.
        cells: control points of its logarithmic slope.
        strength: deviation of the logarithmic slope; 0 gives the straight line.
    """
    slopes = np.exp(strength * smooth_curve(rng, size - 1, cells))
    curve = np.concatenate([[0.0], np.cumsum(slopes)])
    return (curve / curve[-1]).astype(np.float32)
