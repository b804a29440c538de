"""What a network finds on a picture that is turned or mirrored, brought back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mrcnn.structures.mask_formats import select_masks
from mrcnn.structures.masks import extract_bboxes
from sebre.data.rotation import border_median, turn_matrix
from sebre.networks.segmenter import Segmenter, best_per_region

ANGLES = (-10.0, 10.0)  # degrees; every network was trained on sections turned this far


@dataclass(frozen=True)
class View:
    """How a picture is looked at, and how masks come back from there.

    Attributes:
        angle: degrees, positive turns counter-clockwise as seen.
        mirrored: left for right, before it is turned.
        enlarged: the canvas grows so that nothing is cut off; otherwise it keeps its size.
    """

    angle: float = 0.0
    mirrored: bool = False
    enlarged: bool = False

    def of(self, picture: np.ndarray) -> np.ndarray:
        """The picture uint8 [H, W, 3] as it is seen, [H', W', 3]; what the canvas has more has the
        median color of its border."""
        if self.mirrored:
            picture = np.ascontiguousarray(picture[:, ::-1])
        if not self.angle:
            return picture
        fill = tuple(int(value) for value in border_median(picture))
        matrix, size = turn_matrix(picture.shape[:2], self.angle, self.enlarged)
        return cv2.warpAffine(picture, matrix, size, borderValue=fill)

    def back(
        self, values: np.ndarray, shape: Sequence[int], interpolation: int = cv2.INTER_LINEAR
    ) -> np.ndarray:
        """Values [H', W'] of a picture that is seen so, at the pixels (H, W) of the picture itself;
        0 where the view does not reach."""
        height, width = (int(side) for side in shape[:2])
        if self.angle:
            matrix, _ = turn_matrix((height, width), self.angle, self.enlarged)
            flags = interpolation | cv2.WARP_INVERSE_MAP
            values = cv2.warpAffine(values, matrix, (width, height), flags=flags)
        return values[:, ::-1] if self.mirrored else values


def detect_turned(
    segmenter: Segmenter, picture: np.ndarray, angles: Sequence[float] = ANGLES
) -> list[dict[str, Any]]:
    """Detect the regions of a picture turned by some angles.

    The canvas grows so that nothing is cut off; what it has more has the color of the border.

    Args:
        segmenter: the network.
        picture: uint8 [H, W, 3].
        angles: degrees, positive turns counter-clockwise as seen.

    Returns:
        For each angle what `detect` gives, with full masks of the best detection of each region,
        turned back to the picture; those that lie outside it are left out.
    """
    found = []
    height, width = picture.shape[:2]
    for angle in angles:
        view = View(angle, enlarged=True)
        result = segmenter.detect([view.of(picture)])[0]
        rows = list(best_per_region(result).values())
        masks = select_masks(result["masks"], rows).astype(np.uint8)
        back = [
            view.back(masks[..., i], picture.shape, cv2.INTER_NEAREST).astype(bool)
            for i in range(len(rows))
        ]
        shown = [i for i, mask in enumerate(back) if mask.any()]
        stack = np.zeros((height, width, 0), bool)
        if shown:
            stack = np.stack([back[i] for i in shown], axis=-1)
        rows = [rows[i] for i in shown]
        found.append(
            {
                "rois": extract_bboxes(stack),
                "class_ids": result["class_ids"][rows],
                "scores": result["scores"][rows],
                "masks": stack,
            }
        )
    return found
