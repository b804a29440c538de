"""A labeled volume that sections are cut from, and how coarse volumes are made finer."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import find_objects

from sebre.synthesis.appearance.fields import spline_matrix
from sebre.synthesis.classes import StructureTable

_MARGIN = 2  # empty voxels around the tissue: points beyond the volume are outside
_POINTS_PER_CLASS = 400


@dataclass(frozen=True)
class Volume:
    """A brain with labels. Axes: front to back, top to bottom, across.

    Attributes:
        name: of the brain or template.
        source: name of the collection it is from; a source is left out as a whole.
        labels: uint16 [A, D, M]. Rows of `table`; 0 outside, and on all six faces.
        table: what the rows are.
        images: uint8 [A, D, M] each. Gray values of the tissue, if any are known.
        voxel_mm: side of the voxels, mm.
        points: int16 [P, 3]. Voxels that show each class about equally often.
    """

    name: str
    source: str
    labels: np.ndarray
    table: StructureTable
    images: tuple[np.ndarray, ...]
    voxel_mm: float
    points: np.ndarray = field(repr=False)

    @property
    def half_size_mm(self) -> np.ndarray:
        """Half of the extent along each axis, mm, float64 [3]."""
        return np.array(self.labels.shape) * self.voxel_mm / 2

    def at(self, places: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        """Index into the flat arrays of the nearest voxel, intp.

        Args:
            places: coordinates in voxels along each axis, float32 arrays of one shape; those
                beyond the volume go to its faces, which are outside.
        """
        index = 0
        for values, size in zip(places, self.labels.shape, strict=True):
            nearest = np.clip(np.rint(values), 0, size - 1).astype(np.intp)
            index = index * size + nearest
        return index


def make_volume(
    name: str,
    source: str,
    labels: np.ndarray,
    table: StructureTable,
    images: tuple[np.ndarray, ...],
    voxel_mm: float,
    finer: int = 1,
) -> Volume:
    """A volume of raw arrays: cut to the tissue, made finer, gray values brought to 8 bits.

    Args:
        name: of the brain.
        source: of the brain.
        labels: integers [A, D, M]. Rows of the table.
        table: what the rows are.
        images: numbers [A, D, M]. Each is stretched from 0 to its 99.8th percentile in tissue.
        voxel_mm: side of the voxels of the arrays, mm.
        finer: voxels that take the place of one, along each axis.

    Raises:
        ValueError: arrays of different shapes, or no tissue at all.
    """
    if any(image.shape != labels.shape for image in images):
        raise ValueError(f"{name}: images and labels differ in shape ({labels.shape}).")
    if not labels.any():
        raise ValueError(f"{name}: there is no labeled voxel. Give the labels of the volume.")
    box = _tissue_box(labels)
    labels = np.pad(labels[box].astype(np.uint16), _MARGIN)
    stretched = []
    for image in images:
        part = np.pad(image[box].astype(np.float32), _MARGIN)
        part *= 255 / max(float(np.percentile(part[labels > 0], 99.8)), 1e-6)
        part = resized_image(part, [finer * size for size in part.shape])
        stretched.append(np.rint(np.clip(part, 0, 255)).astype(np.uint8))
    if finer > 1:
        labels = finer_labels(labels, finer)
    labels = np.ascontiguousarray(labels)
    points = _points(labels, table.classes)
    return Volume(name, source, labels, table, tuple(stretched), voxel_mm / finer, points)


def finer_labels(labels: np.ndarray, finer: int) -> np.ndarray:
    """Labels with smooth borders on a finer grid.

    Each label is smoothed by cubic B-splines (about half a voxel); the strongest takes a voxel.

    Args:
        labels: uint16 [A, D, M].
        finer: voxels that take the place of one, along each axis.

    Returns:
        uint16 [finer * A, finer * D, finer * M].
    """
    result = np.zeros(tuple(size * finer for size in labels.shape), np.uint16)
    best = np.zeros(result.shape, np.float32)
    for label, box in _boxes(labels):
        wide = tuple(
            slice(max(part.start - 2, 0), min(part.stop + 2, size))
            for part, size in zip(box, labels.shape, strict=True)
        )
        strength = (labels[wide] == label).astype(np.float32)
        for axis in range(3):
            matrix = spline_matrix(strength.shape[axis] * finer, strength.shape[axis])
            strength = np.moveaxis(np.tensordot(matrix, strength, (1, axis)), 0, axis)
        target = tuple(slice(part.start * finer, part.stop * finer) for part in wide)
        better = strength > best[target]
        result[target][better] = label
        best[target][better] = strength[better]
    return result


def resized_image(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """An image brought to another grid of the same extent, linearly.

    Args:
        image: float32 [A, D, M].
        shape: of the result.
    """
    for axis, (old, new) in enumerate(zip(image.shape, shape, strict=True)):
        places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.minimum(places.astype(int), old - 2)
        part = (places - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(3)])
        image = image.take(low, axis) * (1 - part) + image.take(low + 1, axis) * part
    return image


def _boxes(labels: np.ndarray) -> list[tuple[int, tuple[slice, ...]]]:
    """Each label and its bounding box; the outside too."""
    found = find_objects(labels.astype(np.int32) + 1)
    return [(label, box) for label, box in enumerate(found) if box is not None]


def _tissue_box(labels: np.ndarray) -> tuple[slice, ...]:
    box = []
    for axis in range(3):
        used = np.flatnonzero(labels.any(axis=tuple(i for i in range(3) if i != axis)))
        box.append(slice(used[0], used[-1] + 1))
    return tuple(box)


def _points(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Voxels of each class, spread by a fixed chance, int16 [P, 3]."""
    rng = np.random.default_rng(0)
    coarse = classes[labels[::2, ::2, ::2]]
    found = []
    for class_id in np.unique(coarse[(coarse > 0) & (coarse < 255)]):
        places = np.argwhere(coarse == class_id)
        found.append(2 * places[rng.integers(len(places), size=_POINTS_PER_CLASS)])
    return np.concatenate(found).astype(np.int16)
