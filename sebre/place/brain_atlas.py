"""The small atlas that says which structures a plane through the brain can show.

It is the annotation of the Allen CCFv3 at 0.2 mm, one side of the brain.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sebre.place.atlas_frame import SIZE_MM

VOXEL_MM = 0.2
_STEP_MM = 0.15  # between the points of a plane that are looked up
_REACH_MM = 9.0  # from the middle of a plane; no brain is wider


@dataclass(frozen=True)
class BrainAtlas:
    """Labels in the frame of the atlas.

    Attributes:
        rows: uint16 [A, D, M]. Rows of `paths`, from the front, from the top, and from the middle
            plane; row 0 is the outside.
        paths: int64 [K, P]. Allen numbers of each structure and all those above it; filled up
            with 0.
    """

    rows: np.ndarray
    paths: np.ndarray

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "BrainAtlas":
        """Of `to_arrays`."""
        return cls(arrays["atlas_rows"], arrays["atlas_paths"])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {"atlas_rows": self.rows, "atlas_paths": self.paths}

    def at(self, places: np.ndarray) -> np.ndarray:
        """Rows [N] at places [N, 3] in mm; those outside of the atlas have row 0."""
        places = np.concatenate([places[:, :2], np.abs(places[:, 2:])], axis=1)
        voxels = np.floor(places / VOXEL_MM).astype(int)
        inside = np.all((voxels >= 0) & (voxels < self.rows.shape), axis=1)
        found = np.zeros(len(places), self.rows.dtype)
        found[inside] = self.rows[tuple(voxels[inside].T)]
        return found

    def shares(self, normal: np.ndarray, center: np.ndarray) -> np.ndarray:
        """Share of the tissue of a plane that each row has, [K]; zeros where it shows none.

        Args:
            normal: of the plane, [3].
            center: a place in it, [3].
        """
        first = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
        first /= np.linalg.norm(first)
        second = np.cross(normal, first)
        steps = np.arange(-_REACH_MM, _REACH_MM, _STEP_MM)
        across, along = np.meshgrid(steps, steps)
        places = center + across.reshape(-1, 1) * first + along.reshape(-1, 1) * second
        counts = np.bincount(self.at(places), minlength=len(self.paths)).astype(float)
        counts[0] = 0
        return counts / max(counts.sum(), 1)

    def rows_of(self, numbers: Iterable[int]) -> np.ndarray:
        """Which rows are at or below some structures of the tree, bool [K]."""
        return np.isin(self.paths, list(numbers)).any(axis=1)


def make_atlas(
    labels: np.ndarray, voxel_mm: float, paths: Mapping[int, tuple[int, ...]]
) -> BrainAtlas:
    """A small atlas of a large one.

    Args:
        labels: Allen numbers [A, D, M] in the frame of the atlas, both sides.
        voxel_mm: side of its voxels.
        paths: from the root to each structure.

    Returns:
        The label of the middle of every voxel, of the side where the last axis grows.
    """
    counts = np.round(SIZE_MM / VOXEL_MM).astype(int)
    half = counts[2] // 2
    picked = [
        np.minimum(((np.arange(n) + 0.5) * VOXEL_MM / voxel_mm).astype(int), size - 1)
        for n, size in zip(counts, labels.shape, strict=True)
    ]
    middle = labels.shape[2] // 2
    picked[2] = np.minimum(
        middle + ((np.arange(half + 1) + 0.5) * VOXEL_MM / voxel_mm).astype(int),
        labels.shape[2] - 1,
    )
    ids, rows = np.unique(labels[np.ix_(*picked)], return_inverse=True)
    if ids[0] != 0:
        raise ValueError("The labels leave nothing outside (0). Give those of a whole brain.")
    chains = [paths.get(int(number), (int(number),)) for number in ids]
    table = np.zeros((len(ids), max(map(len, chains))), np.int64)
    for row, chain in enumerate(chains):
        table[row, : len(chain)] = chain
    return BrainAtlas(rows.reshape([len(p) for p in picked]).astype(np.uint16), table)
