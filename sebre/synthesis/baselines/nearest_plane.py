"""The section of a template that a picture resembles most, and its labels laid on the picture.

Templates are cut in their canonical planes at regular steps. A picture and the cuts are framed as
the network of any section frames what it sees; the cut with the largest correlation of gray values,
positive or negative (stains differ in sign), in four turns and mirrored, is the nearest.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mrcnn.errors import UserError
from sebre.networks.any_section import frame_of, placed_back, prepared, squared, view
from sebre.registration.methods import RegistrationError
from sebre.registration.transform import register
from sebre.synthesis.classes import IGNORE, NUM_CLASSES
from sebre.synthesis.labeled_volume import Volume
from sebre.synthesis.planes import CANONICAL, Plane

logger = logging.getLogger(__name__)

STEP_MM = 0.2  # between two cuts
SIZE = 128  # px of a framed section
_SHARE = 0.95  # of the square, which the tissue fills
_COMPARED_PX = 32  # side at which gray values are correlated
_CUT_PX = 256  # side of a whole cut, before it is framed
_LEAST_TISSUE = 0.01  # of a cut; less is the end of a brain
_VIEWS = 8  # turns by quarters, and mirrored


@dataclass(frozen=True)
class Cut:
    """A framed section of a template.

    Attributes:
        volume: name of the template.
        plane: one of `sebre.synthesis.planes.CANONICAL`.
        at_mm: from the middle of the template.
        picture: float32 [SIZE, SIZE], 0..1.
        labels: uint8 [SIZE, SIZE]. Classes; tissue of no class is 0.
    """

    volume: str
    plane: str
    at_mm: float
    picture: np.ndarray
    labels: np.ndarray


def cuts_of(volume: Volume, step_mm: float = STEP_MM) -> Iterator[Cut]:
    """Sections of a template in the canonical planes, of each of its images."""
    reach = float(np.linalg.norm(volume.half_size_mm))
    for name, axes in CANONICAL.items():
        depth = float(np.abs(axes[2]) @ volume.half_size_mm)
        for at in np.arange(-depth + step_mm / 2, depth, step_mm):
            grid = Plane(name, axes, axes[2] * at, 2 * reach).grid(_CUT_PX)
            half = volume.half_size_mm
            index = volume.at(tuple((grid[k] + half[k]) / volume.voxel_mm - 0.5 for k in range(3)))
            fine = volume.labels.reshape(-1)[index]
            if np.mean(fine > 0) < _LEAST_TISSUE:
                continue
            classes = volume.table.classes[fine]
            classes = np.where(classes == IGNORE, 0, classes)
            masks = classes[..., None] == np.arange(1, NUM_CLASSES)
            for image in volume.images:
                gray = np.where(fine > 0, image.reshape(-1)[index], 0).astype(np.float32)
                frame = frame_of(gray, _SHARE)
                inside = squared(masks, SIZE, frame)
                labels = (inside * np.arange(1, NUM_CLASSES)).max(axis=-1).astype(np.uint8)
                yield Cut(volume.name, name, float(at), prepared(gray, SIZE, frame), labels)


class Atlas:
    """All cuts of some templates, to search in.

    Args:
        cuts: at least one.
    """

    def __init__(self, cuts: Sequence[Cut]):
        if not cuts:
            raise UserError("There is no template to search in: none of the volumes has an image.")
        self.cuts = list(cuts)
        views = (view(cut.picture, turn) for cut in self.cuts for turn in range(_VIEWS))
        self._vectors = np.stack([_vector(picture) for picture in views])

    def nearest(self, square: np.ndarray) -> tuple[Cut, int, float]:
        """The nearest cut to a framed picture [n, n], its turn, and their correlation."""
        found = self._vectors @ _vector(square)
        best = int(np.abs(found).argmax())
        number, turn = divmod(best, _VIEWS)
        return self.cuts[number], turn, float(found[best])

    def copied(self, gray: np.ndarray) -> np.ndarray:
        """Labels uint8 [H, W] of the nearest cut on a picture [H, W], unregistered."""
        frame = frame_of(gray, _SHARE)
        cut, turn, _ = self.nearest(prepared(gray, SIZE, frame))
        return placed_back(view(cut.labels, turn), gray.shape, frame)

    def registered(self, gray: np.ndarray, method: str = "elastix") -> np.ndarray:
        """The same, after a registration of the nearest cut; unregistered where that fails."""
        frame = frame_of(gray, _SHARE)
        square = prepared(gray, SIZE, frame)
        cut, turn, correlation = self.nearest(square)
        moving = view(cut.picture, turn)
        moving, fixed = (_gray8(picture) for picture in (moving, square))
        labels = np.ascontiguousarray(view(cut.labels, turn))
        try:
            labels = register(method, moving, fixed).labels(labels)
        except RegistrationError as error:
            logger.warning("%s (correlation %.2f): labels are copied.", error, correlation)
        return placed_back(labels, gray.shape, frame)


def _vector(picture: np.ndarray) -> np.ndarray:
    """Gray values as a vector of length 1 with a mean of 0, float32."""
    small = cv2.resize(
        np.ascontiguousarray(picture, np.float32),
        (_COMPARED_PX, _COMPARED_PX),
        interpolation=cv2.INTER_AREA,
    ).ravel()
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-6)


def _gray8(picture: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
