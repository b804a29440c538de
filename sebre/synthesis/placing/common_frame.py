"""From the voxels of any labeled volume to one frame for all brains: that of the Allen CCFv3, mm.

Centers of structures that a volume and the CCF share are landmarks, apart on the left and the
right; an affine map is fitted to them. So a place means the same part of the brain at every age and
size, not a distance in the animal at hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sebre.place.atlas_frame import MIDDLE_MM
from sebre.synthesis.classes import Structure, read_tree
from sebre.synthesis.labeled_volume import Volume
from sebre.synthesis.sources import CCF_VOXEL_MM, TREE, read_ccf_labels

_LEAST_MM3, _MOST_MM3 = 0.05, 1.0  # of one side of a landmark; larger ones count no more
_STEP = 2  # voxels: of each axis every so many count
_ROUNDS = 3  # the sides are told apart anew by the map of the round before
# Labels of `mouse_mri` whose borders are those of structures of the Allen tree.
_MRI_LANDMARKS = {
    1: (1080,),  # hippocampal region
    3: (672,),  # caudoputamen
    5: (1022, 1031),  # globus pallidus
    7: (549,),  # thalamus
    8: (512,),  # cerebellum
    9: (302, 294),  # superior colliculus
    11: (1097,),  # hypothalamus
    12: (4,),  # inferior colliculus
    13: (795,),  # periaqueductal gray
    16: (507,),  # main olfactory bulb
    20: (603,),  # fimbria
}


@dataclass(frozen=True)
class CommonFrame:
    """From the voxels of a volume to the common frame.

    Attributes:
        matrix: float64 [3, 4]. Affine, from voxels to mm from the front, from the top, and from
            the middle plane (right is positive).
        misfit_mm: root of the mean square distance of the landmarks.
        landmarks: how many there are.
    """

    matrix: np.ndarray
    misfit_mm: float
    landmarks: int

    def places(self, voxels: np.ndarray) -> np.ndarray:
        """Places [N, 3] in mm, of voxels [N, 3]."""
        return voxels @ self.matrix[:, :3].T + self.matrix[:, 3]


class Reference:
    """The labels of the CCF, which volumes are held against.

    Args:
        labels: Allen numbers [A, D, M] in their own frame.
        tree: structures by number.
        voxel_mm: side of the voxels.
    """

    def __init__(
        self, labels: np.ndarray, tree: Mapping[int, Structure], voxel_mm: float = CCF_VOXEL_MM
    ):
        self.labels, self.tree, self.voxel_mm = labels, tree, voxel_mm
        ids, rows = np.unique(self.labels, return_inverse=True)
        self._ids = ids.astype(np.int64)
        self._rows = rows.reshape(self.labels.shape)

    @classmethod
    def read(cls, data: Path) -> "Reference":
        """From the folder of the collections.

        Raises:
            FileNotFoundError: files are missing.
        """
        return cls(read_ccf_labels(data), read_tree(data / TREE))

    def frame_of(self, volume: Volume) -> CommonFrame:
        """The map of a volume, by the structures that it shares with the CCF.

        Raises:
            ValueError: fewer than four landmarks.
        """
        mri = volume.source == "mouse_mri"
        names = [int(number) for number in volume.table.ids]
        groups = _MRI_LANDMARKS if mri else {number: (number,) for number in names if number}
        inside = np.array(
            [[self.voxel_mm, 0, 0, 0], [0, self.voxel_mm, 0, 0], [0, 0, self.voxel_mm, -MIDDLE_MM]]
        )
        inside[:, 3] += self.voxel_mm / 2
        there, counts = _centers(self._rows, self._members(groups), inside)
        target = there @ inside[:, :3].T + inside[:, 3], counts * self.voxel_mm**3
        keys = list(groups)
        lookup = np.array([keys.index(n) if n in groups else -1 for n in names])
        # At first, the sides meet in the middle of the array.
        matrix = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.5 - volume.labels.shape[2] / 2]])
        for _ in range(_ROUNDS):
            own, counts = _centers(volume.labels, lookup, matrix)
            matrix, misfit, count = _fit((own, counts * volume.voxel_mm**3), target)
        return CommonFrame(matrix, misfit, count)

    def _members(self, groups: Mapping[int, Sequence[int]]) -> np.ndarray:
        """Number of the group that each row belongs to, or -1."""
        of = {part: row for row, parts in enumerate(groups.values()) for part in parts}
        nothing = Structure(0, "", "", ())
        paths = [self.tree.get(int(n), nothing).path or (int(n),) for n in self._ids]
        return np.array([next((of[p] for p in reversed(path) if p in of), -1) for path in paths])


def _centers(
    labels: np.ndarray, lookup: np.ndarray, matrix: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centers [2 G, 3], in voxels, of the left and the right side of every group, and how many
    voxels each has, [2 G]. On the right, the last row of the map is positive."""
    group = lookup[labels[::_STEP, ::_STEP, ::_STEP]]
    voxels = (_STEP * np.argwhere(group >= 0)).astype(float)
    group = group[group >= 0]
    number = 2 * group + (voxels @ matrix[2, :3] + matrix[2, 3] > 0)
    count = 2 * (int(lookup.max()) + 1)
    sizes = np.bincount(number, minlength=count)
    sums = [np.bincount(number, voxels[:, k], count) for k in range(3)]
    return np.stack(sums, axis=1) / np.maximum(sizes, 1)[:, None], sizes * _STEP**3


def _fit(
    own: tuple[np.ndarray, np.ndarray], target: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, float, int]:
    """Affine map [3, 4] from own centers to the target's, its misfit, how many landmarks; of both
    there are centers and mm3."""
    count = min(len(own[0]), len(target[0]))
    (here, own_mm3), (there, its_mm3) = ((c[:count], n[:count]) for c, n in (own, target))
    small = np.minimum(own_mm3, its_mm3)
    kept = small >= _LEAST_MM3
    if np.count_nonzero(kept) < 4:
        raise ValueError(f"{np.count_nonzero(kept)} landmarks; a map needs four or more.")
    # Their square roots count, of which lstsq wants the square root again.
    root = np.minimum(small[kept], _MOST_MM3)[:, None] ** 0.25
    design = np.concatenate([here[kept], np.ones((kept.sum(), 1))], axis=1)
    solution = np.linalg.lstsq(design * root, there[kept] * root, rcond=None)[0]
    away = np.square(design @ solution - there[kept]).sum(1)
    return solution.T, float(np.sqrt(away.mean())), int(kept.sum())
