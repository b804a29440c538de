"""Registration of the sections of a stack with each other, and labels carried along.

elastix (`sebre.registration`) lays one section on another. What was registered is kept in a folder,
so that the same pair is registered once.
"""

import hashlib
import logging
from pathlib import Path

import cv2
import numpy as np

from mrcnn.io.files import replace_file
from sebre.registration.transform import RegistrationError, register

_log = logging.getLogger(__name__)


class Alignment:
    """Registers sections of a stack with each other.

    Args:
        images: uint8 [z, y, x].
        folder: where transforms are kept; None keeps them in memory only.
        method: one of `sebre.registration.transform.METHODS`; "none" leaves sections as they lie.
        seed: of elastix.
    """

    def __init__(
        self,
        images: np.ndarray,
        folder: str | Path | None = None,
        method: str = "elastix",
        seed: int = 0,
    ):
        self.images, self.method, self.seed = images, method, seed
        self.folder = None if folder is None else Path(folder)
        self._known: dict[tuple[int, int], np.ndarray] = {}
        self._keys = [hashlib.sha256(image.tobytes()).hexdigest()[:12] for image in images]

    def points(self, moving: int, fixed: int) -> np.ndarray:
        """Where each pixel of the fixed section lies on the moving one.

        Args:
            moving: number of a section.
            fixed: number of another.

        Returns:
            float32 [y, x, 2], row and column. Where no transform is found, and for a section on
            itself, each pixel lies where it is.
        """
        pair = (moving, fixed)
        if pair not in self._known:
            self._known[pair] = self._kept(pair)
        return self._known[pair].astype(np.float32)

    def _kept(self, pair: tuple[int, int]) -> np.ndarray:
        if self.method == "none" or pair[0] == pair[1]:
            return _identity(self.images.shape[1:])
        here, there = (self._keys[number] for number in pair)
        path = self.folder and self.folder / f"{here}_{there}_{self.method}_{self.seed}.npy"
        if path is not None and path.is_file():
            return np.load(path)
        try:
            points = self._found(pair)
        except RegistrationError as error:  # not kept: each call says it again
            _log.warning("Section %d on %d: %s. It is taken as it lies.", *pair, error)
            return _identity(self.images.shape[1:])
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, lambda part: _save(part, points))
        return points

    def _found(self, pair: tuple[int, int]) -> np.ndarray:
        moving, fixed = (self.images[number] for number in pair)
        return register(self.method, moving, fixed, self.seed).points.astype(np.float32)


def _save(path: Path, points: np.ndarray) -> None:
    with path.open("wb") as file:  # under this very name
        np.save(file, points)


def carry_labels(labels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Labels [y, x] at points [h, w, 2] (row, column), the nearest one; 0 beyond the border."""
    return cv2.remap(
        labels, points[..., 1], points[..., 0], cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT
    )


def carry_values(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values float32 [y, x] at points [h, w, 2], linear; at the border the nearest one."""
    how = {"borderMode": cv2.BORDER_REPLICATE}
    return cv2.remap(values, points[..., 1], points[..., 0], cv2.INTER_LINEAR, **how)


def chained(steps: list[np.ndarray]) -> np.ndarray:
    """Points through several sections, the first step from the fixed section, [h, w, 2]."""
    points = steps[0]
    for step in steps[1:]:
        points = np.stack([carry_values(step[..., axis], points) for axis in (0, 1)], axis=-1)
    return points


def _identity(shape: tuple[int, int]) -> np.ndarray:
    return np.moveaxis(np.indices(shape), 0, -1).astype(np.float32)
