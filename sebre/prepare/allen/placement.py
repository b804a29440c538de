"""Place the drawing of one hemisphere on the picture of a whole section.

The drawn outline, mirrored at the midline, must cover the tissue, and the drawn cell layers
must lie on bright bands. Five numbers are fitted: rotation, two scales and the shift.
"""

import functools
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.optimize import minimize

from mrcnn.errors import UserError
from sebre.prepare.allen.svg_atlas import Drawing, paint

TISSUE = 9  # blurred brightness above which a pixel shows tissue, of 255
_STEP = 4  # the fit sees pictures and drawings reduced by this
_SCALE = 8.4  # units of the drawing a pixel where the fit begins; plates have 8.3-8.7
_LAYER_WEIGHT = 0.4  # of the correlation with cell layers, beside the Dice of the outlines
_AROUND = 12  # reduced pixels around the layers within which brightness is compared
_WORST_DICE = 0.9  # plates reach 0.95-0.99
_FEWEST_ROWS = 10  # of the reduced drawing, for a line through its inner edge
# What one unit of a fitted number stands for: all change the fit about as much.
_UNITS = np.array([0.01, 0.01, 0.01, 2.0, 2.0])


@dataclass(frozen=True)
class Placement:
    """Where a drawing lies on a picture."""

    matrix: np.ndarray  # float64 [2, 3] from picture to drawing (`sebre.prepare.allen.svg_atlas`)
    midline: tuple[float, float]  # (m, c): the hemispheres meet at X = m * Y + c of the drawing
    dice: float | None = None  # of the outline on both sides with the tissue; None: not fitted


def place(image: np.ndarray, drawing: Drawing, layers: Collection[int]) -> Placement:
    """Fit the placement of the drawing of a right hemisphere on a picture uint8 [H, W].

    It shows the whole section, cells bright and background dark; `layers` are structure ids of
    the cell layers that are bright on it.
    """
    reduced = _reduced(image)
    tissue = _tissue(reduced)
    size = _STEP * _SCALE  # of a pixel of the reduced drawing
    outline = _raster(drawing, set(drawing.structures), size)
    if np.count_nonzero(outline.any(axis=1)) < _FEWEST_ROWS:
        raise UserError("the drawing is too small to be one of a section")
    midline = _midline(outline, size)
    both = _mirrored(outline, midline, size)
    bands = ndimage.gaussian_filter(_raster(drawing, layers, size).astype(float), 1)
    near = ndimage.binary_dilation(bands > 0.1, iterations=_AROUND).astype(float)
    maps = both.astype(float), bands, near

    # The middles of outline and tissue are where turning and scaling leave things in place.
    pivot = np.array(ndimage.center_of_mass(both))
    center = np.array(ndimage.center_of_mass(tissue))
    start = np.zeros(5)
    score = functools.partial(_mismatch, pivot, center, maps, tissue, reduced)
    for weight in (0.0, _LAYER_WEIGHT):
        found = minimize(
            score, start, (weight,), method="Powell", options={"xtol": 0.02, "ftol": 1e-5}
        )
        start = found.x
    linear, offset = _affine(found.x, pivot, center)
    dice = _dice(ndimage.affine_transform(maps[0], linear, offset, tissue.shape, order=1), tissue)
    if dice < _WORST_DICE:
        raise UserError(
            f"outline and tissue agree with a Dice of {dice:.2f} at best; {_WORST_DICE} or more is "
            "expected. Wanted the whole section, cells bright, and the drawing of its right half"
        )
    return Placement(_matrix(linear, offset, size), midline, dice)


def _reduced(image: np.ndarray) -> np.ndarray:
    """Means of squares of pixels, float64 [H / _STEP, W / _STEP]."""
    height, width = (n // _STEP * _STEP for n in image.shape)
    blocks = image[:height, :width].reshape(height // _STEP, _STEP, width // _STEP, _STEP)
    return blocks.mean(axis=(1, 3))


def _tissue(image: np.ndarray) -> np.ndarray:
    pieces, count = ndimage.label(ndimage.gaussian_filter(image, 1) > TISSUE)
    if count == 0:
        raise UserError("the picture shows no tissue")
    largest = 1 + int(np.argmax(ndimage.sum_labels(pieces > 0, pieces, range(1, count + 1))))
    return ndimage.binary_fill_holes(pieces == largest)


def _raster(drawing: Drawing, structures: Collection[int], size: float) -> np.ndarray:
    """Pixels bool [H, W] of `size` units that lie in structures; from (0, 0) on."""
    corner = np.max([points.max(axis=0) for path in drawing.paths for points in path], axis=0)
    width, height = np.ceil(corner / size).astype(int) + 1
    matrix = np.array([[size, 0, 0], [0, size, 0]])
    return paint(drawing, dict.fromkeys(structures, 1), (height, width), matrix) > 0


def _midline(outline: np.ndarray, size: float) -> tuple[float, float]:
    """Line through the inner edge of a hemisphere; outliers, such as fissures, do not count."""
    rows = np.nonzero(outline.any(axis=1))[0]
    y, x = (rows + 0.5) * size, outline[rows].argmax(axis=1) * size
    kept = np.ones(len(rows), bool)
    for _ in range(10):
        m, c = np.polyfit(y[kept], x[kept], 1)
        off = x - (m * y + c)
        kept = np.abs(off) <= max(1.5 * np.median(np.abs(off)), size)
    return float(m), float(c)


def _mirrored(outline: np.ndarray, midline: tuple[float, float], size: float) -> np.ndarray:
    m, c = midline
    normal = np.array([1, -m]) / np.hypot(1, m)
    # In (row, column) of pixel centers; a point goes to p - 2 ((p - q) . n) n.
    n = normal[::-1]
    q = np.array([-0.5, c / size - 0.5])
    turn = np.eye(2) - 2 * np.outer(n, n)
    other = ndimage.affine_transform(outline.astype(float), turn, q - turn @ q, order=1) > 0.5
    return outline | other


def _affine(
    numbers: np.ndarray, pivot: np.ndarray, center: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """From (row, column) of the reduced picture to those of the reduced drawing."""
    turn, scale, ratio, down, right = numbers * _UNITS
    sx, sy = np.exp(scale + ratio), np.exp(scale - ratio)
    linear = np.array(
        [[sy * np.cos(turn), sy * np.sin(turn)], [-sx * np.sin(turn), sx * np.cos(turn)]]
    )
    return linear, pivot - linear @ (center + (down, right))


def _matrix(linear: np.ndarray, offset: np.ndarray, size: float) -> np.ndarray:
    """The placement [2, 3] for (u, v) of the full picture."""
    turned = linear[::-1, ::-1]  # (column, row)
    shift = offset[::-1] + 0.5 - turned @ (0.5, 0.5)  # from centers to corners
    return np.column_stack([turned * size / _STEP, shift * size])


def _mismatch(
    pivot: np.ndarray,
    center: np.ndarray,
    maps: tuple[np.ndarray, ...],
    tissue: np.ndarray,
    brightness: np.ndarray,
    numbers: np.ndarray,
    layer_weight: float,
) -> float:
    """What the fit makes small, from -1 - layer_weight up."""
    linear, offset = _affine(numbers, pivot, center)
    both, bands, near = (
        ndimage.affine_transform(values, linear, offset, tissue.shape, order=1) for values in maps
    )
    value = -_dice(both, tissue)
    around = near > 0.5
    if layer_weight and np.count_nonzero(around) > 1 and bands[around].std() > 0:
        value -= layer_weight * np.corrcoef(bands[around], brightness[around])[0, 1]
    # Sections are hardly turned or stretched; unlike the shift, the data say little of it.
    return value + 5e-3 * (numbers[0] ** 2 + numbers[2] ** 2)


def _dice(soft: np.ndarray, mask: np.ndarray) -> float:
    return float(2 * soft[mask].sum() / (soft.sum() + mask.sum()))
