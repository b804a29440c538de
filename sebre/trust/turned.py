"""What a network finds on a picture that is turned, turned back."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from mrcnn.structures.mask_formats import select_masks
from mrcnn.structures.masks import extract_bboxes
from sebre.data.rotation import border_median, turn_matrix
from sebre.networks.segmenter import Segmenter, best_per_region

ANGLES = (-10.0, 10.0)  # degrees; every network was trained on sections turned this far


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
    fill = tuple(int(v) for v in border_median(picture))
    for angle in angles:
        matrix, size = turn_matrix((height, width), angle)
        turned = cv2.warpAffine(picture, matrix, size, borderValue=fill)
        result = segmenter.detect([turned])[0]
        rows = list(best_per_region(result).values())
        masks = select_masks(result["masks"], rows)
        back = [_turned_back(masks[..., i], matrix, (width, height)) for i in range(len(rows))]
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


def _turned_back(mask: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(mask.astype(np.uint8), matrix, size, flags=flags).astype(bool)
