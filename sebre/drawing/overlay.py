"""Pictures of sections with their regions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from mrcnn.io.own_files import replace_own
from mrcnn.structures.mask_formats import Masks, mask_areas, one_mask, paint_mask
from sebre.data.regions import RegionSet

_MIN_DISPLAY_PX = 512
LONGEST_PX = 2048  # of an overlay, unless told otherwise


def label_map(
    class_ids: np.ndarray, scores: np.ndarray, masks: Masks, shape: Sequence[int]
) -> np.ndarray:
    """One label a pixel from masks that may overlap.

    Where masks overlap, the higher score wins; at equal scores (drawn masks have none) the
    smaller mask, so that a small region is not swallowed by its neighbor.

    Args:
        class_ids: int [N].
        scores: [N]; zeros for drawn masks.
        masks: bool [H, W, N], or N in another of `mrcnn.structures.mask_formats`.
        shape: (H, W).

    Returns:
        uint8 [H, W] (uint16 above class id 255), 0 where there is no mask.
    """
    highest = max((int(i) for i in class_ids), default=0)
    labels = np.zeros(shape[:2], np.uint8 if highest <= 255 else np.uint16)
    areas = mask_areas(masks)
    for i in sorted(range(len(class_ids)), key=lambda i: (scores[i], -areas[i])):
        paint_mask(labels, one_mask(masks, i), class_ids[i])
    return labels


def reduced_labels(labels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A label map [H, W] at the smaller size (h, w) px, by the nearest pixel."""
    rows, columns = (
        ((np.arange(small) + 0.5) * large / small).astype(int)
        for small, large in zip(shape[:2], labels.shape, strict=True)
    )
    return labels[rows[:, None], columns[None, :]]


def drawn_labels(class_ids: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """`label_map` of drawn masks bool [H, W, N], which have no scores: the smaller one wins."""
    return label_map(class_ids, np.zeros(len(class_ids)), masks, masks.shape)


def overlay(
    image: np.ndarray,
    labels: np.ndarray,
    regions: RegionSet,
    alpha: float = 0.45,
    longest: int = LONGEST_PX,
) -> np.ndarray:
    """Section uint8 [H, W, 3] with its regions of a label map [H, W] in color and outlined.

    `alpha` is the share of the color inside a region, 0..1. Small sections are enlarged by a whole
    number, so that both sides have at least 512 px, or the longer one no more than `longest`.
    """
    wanted = -(-_MIN_DISPLAY_PX // min(labels.shape))
    scale = max(1, min(wanted, longest // max(labels.shape)))
    size = (labels.shape[1] * scale, labels.shape[0] * scale)
    picture = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    picture = picture.astype(np.float32)
    large = labels.repeat(scale, axis=0).repeat(scale, axis=1)
    width = max(1, min(size) // 200)
    for region in regions:
        inside = large == region.id
        if inside.any():
            color = np.array(region.color, np.float32)
            edge = inside & ~binary_erosion(inside, iterations=width)
            picture[inside] = (1 - alpha) * picture[inside] + alpha * color
            picture[edge] = color
    return np.rint(picture).astype(np.uint8)


def save_png(array: np.ndarray, path: Path) -> None:
    """Write an image file, as `mrcnn.io.own_files.replace_own` does."""
    replace_own(path, lambda part: Image.fromarray(array).save(part, format="PNG"))
