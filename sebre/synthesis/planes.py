"""Where a section is cut: plane, place, angle on the slide, and size in the picture."""

from dataclasses import dataclass

import numpy as np

from sebre.networks.any_section import longest_axis
from sebre.synthesis.curriculum import Recipe
from sebre.synthesis.labeled_volume import Volume

# Rows: direction of the picture's rows (down), of its columns (right), and through the section;
# axes: front to back, top to bottom, across.
CANONICAL = {
    "coronal": np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], float),
    "sagittal": np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]], float),
    "horizontal": np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], float),
}
_COARSE = 40  # px; side of the coarse grid that finds the tissue
_USUAL_SHARE = 0.92  # of the picture's side that the tissue fills


@dataclass(frozen=True)
class Plane:
    """A plane through a volume, and the square of it that the picture shows.

    Attributes:
        name: "coronal", "sagittal", "horizontal" or "oblique".
        frame: float64 [3, 3]. Unit vectors of rows, columns and normal, along the volume's axes.
        center_mm: float64 [3]. Middle of the picture, from the middle of the volume.
        side_mm: side of the picture.
    """

    name: str
    frame: np.ndarray
    center_mm: np.ndarray
    side_mm: float

    def grid(self, size: int) -> list[np.ndarray]:
        """Places of the pixels from the middle of the volume, mm: 3 float32 [size, size]."""
        steps = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32) * np.float32(self.side_mm)
        down, right = self.frame[0], self.frame[1]
        return [
            (steps * np.float32(down[k]))[:, None]
            + (steps * np.float32(right[k]) + np.float32(self.center_mm[k]))[None, :]
            for k in range(3)
        ]


def random_plane(volume: Volume, rng: np.random.Generator, recipe: Recipe) -> Plane:
    """A plane that meets the tissue, with the tissue in the picture.

    Args:
        volume: to cut.
        rng: source of chance.
        recipe: gives the chances of planes, angles and sizes.
    """
    name, frame = _direction(rng, recipe)
    if rng.random() < 0.5:
        frame = frame * np.array([[1], [-1], [1]])
    point = volume.points[rng.integers(len(volume.points))] + rng.uniform(-1, 1, 3)
    depth = frame[2] @ ((point + 0.5) * volume.voxel_mm - volume.half_size_mm)
    reach = float(np.linalg.norm(volume.half_size_mm))
    center = frame[2] * depth
    tissue = _tissue(volume, Plane(name, frame, center, 2 * reach))
    turn = _about(2, longest_axis(tissue) + _on_the_slide(rng, recipe))
    frame = turn @ frame
    tissue = tissue @ turn[:2, :2].T
    low, high = tissue.min(axis=0), tissue.max(axis=0)
    side = max(*(high - low), 0.1 * reach) / _USUAL_SHARE
    side *= np.exp(recipe.scale * abs(rng.standard_normal()) - recipe.scale / 2)
    shift = rng.uniform(-0.5, 0.5, 2) * min(0.15, recipe.scale)
    if rng.random() < recipe.closer:
        side *= rng.uniform(0.45, 0.9)
        shift = rng.uniform(-0.25, 0.25, 2)
    center = center + ((low + high) / 2 + shift * side) @ frame[:2]
    return Plane(name, frame, center, float(side))


def _direction(rng: np.random.Generator, recipe: Recipe) -> tuple[str, np.ndarray]:
    """Name and frame of a canonical plane with a tilt, or of any plane."""
    if rng.random() >= recipe.canonical:
        return "oblique", _any_rotation(rng)
    name = "coronal"
    if rng.random() >= recipe.coronal:
        name = "sagittal" if rng.random() < recipe.sagittal else "horizontal"
    tilts = np.radians(recipe.tilt_deg) * rng.standard_normal(2)
    turn = _about(0, tilts[0]) @ _about(1, tilts[1])
    return name, turn @ CANONICAL[name]


def _on_the_slide(rng: np.random.Generator, recipe: Recipe) -> float:
    """The angle of the longest axis of the tissue against the picture's rows, radians.

    It is small, as the network turns the pictures that it is shown (`any_section.frame_of`), but
    half of the sections lie the other way round.
    """
    if rng.random() < recipe.any_angle:
        return rng.uniform(0, 2 * np.pi)
    return np.pi * rng.integers(2) + np.radians(recipe.turn_deg) * rng.standard_normal()


def _tissue(volume: Volume, plane: Plane) -> np.ndarray:
    """Where a plane shows tissue: down and right, mm from its center, float64 [N, 2]; its center
    if there is none."""
    places = plane.grid(_COARSE)
    half = volume.half_size_mm
    voxels = tuple((places[k] + half[k]) / volume.voxel_mm - 0.5 for k in range(3))
    shown = np.argwhere(volume.labels.reshape(-1)[volume.at(voxels)] > 0)
    middle = np.full((1, 2), _COARSE / 2 - 0.5)
    step = plane.side_mm / _COARSE
    return ((shown if len(shown) else middle) - middle) * step


def _any_rotation(rng: np.random.Generator) -> np.ndarray:
    """A rotation, all equally likely, float64 [3, 3]."""
    a, b, c, d = (q := rng.standard_normal(4)) / np.linalg.norm(q)
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a - b * b + c * c - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a - b * b - c * c + d * d],
        ]
    )


def _about(axis: int, angle: float) -> np.ndarray:
    """Rotation of a frame about its own axis 0, 1 or 2, radians."""
    matrix = np.eye(3)
    i, j = (k for k in range(3) if k != axis)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix
