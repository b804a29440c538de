"""Changes that a section may have gone through: broken tissue, another scale, another contrast.

`sebre.trials.changed_sections` scores networks on changed sections.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from sebre.data.region_masks import RegionMasks
from sebre.data.rotation import border_median
from sebre.networks.tissue import tissue_mask
from sebre.synthesis.appearance import damage

SCALES = (0.7, 0.8, 0.9, 1.1, 1.2, 1.3)  # 0.7 to 1.3, as they lie left out
_TISSUE = 1  # the bit of a pixel of tissue; that of region i is 1 << i

Change = Callable[[np.ndarray, RegionMasks, np.random.Generator], tuple[np.ndarray, RegionMasks]]


@dataclass(frozen=True)
class Kind:
    """A kind of change.

    Attributes:
        change: takes a section uint8 [H, W, 3], its masks and a source of chance; gives both,
            changed, of the same size. Some masks may have no pixel left.
        by_chance: whether it draws something.
        group: what it is an example of.
    """

    change: Change = field(repr=False)
    by_chance: bool
    group: str


def broken(kind: Callable) -> Change:
    """A change by one of the kinds of `sebre.synthesis.appearance.damage`.

    What is gone, and what is no tissue, has the color of the border of the picture, and is in no
    mask.
    """

    def change(
        image: np.ndarray, drawn: RegionMasks, rng: np.random.Generator
    ) -> tuple[np.ndarray, RegionMasks]:
        height, width = image.shape[:2]
        side = max(height, width)
        fine = np.zeros((side, side), np.uint16)
        tissue = tissue_mask(image) | drawn.stack.any(axis=-1)
        fine[:height, :width] = tissue if tissue.any() else _TISSUE
        for class_id, mask in drawn.by_class.items():
            fine[:height, :width] |= np.where(mask, np.uint16(1 << class_id), np.uint16(0))
        ground = border_median(image)
        changed = np.empty_like(image)
        own = np.random.default_rng(rng.integers(2**63))
        for channel in range(image.shape[2]):
            picture = np.full((side, side), ground[channel] / 255, np.float32)
            picture[:height, :width] = image[..., channel] / np.float32(255)
            # The same chances for every channel.
            left, picture = kind(fine, picture, copy.deepcopy(own))
            gray = np.where(left > 0, np.clip(picture, 0, 1) * 255, ground[channel])
            changed[..., channel] = np.rint(gray[:height, :width])
        masks = {i: (left[:height, :width] & (1 << i)) > 0 for i in drawn.by_class}
        return changed, RegionMasks.of(masks, image.shape)

    return change


def scaled(scale: float) -> Change:
    """A section that is smaller or larger on the same canvas; what leaves it is cut off."""

    def change(
        image: np.ndarray, drawn: RegionMasks, rng: np.random.Generator
    ) -> tuple[np.ndarray, RegionMasks]:
        del rng
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, scale)
        ground = tuple(int(value) for value in np.rint(border_median(image)))
        picture = cv2.warpAffine(
            image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=ground
        )
        masks = {
            i: cv2.warpAffine(
                mask.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST
            ).astype(bool)
            for i, mask in drawn.by_class.items()
        }
        return picture, RegionMasks.of(masks, image.shape)

    return change


def inverted(
    image: np.ndarray, drawn: RegionMasks, rng: np.random.Generator
) -> tuple[np.ndarray, RegionMasks]:
    """Dark for bright, the background too: as another kind of microscopy."""
    del rng
    return 255 - image, drawn


def inverted_tissue(
    image: np.ndarray, drawn: RegionMasks, rng: np.random.Generator
) -> tuple[np.ndarray, RegionMasks]:
    """Dark for bright in the tissue alone: as another stain on the same background."""
    del rng
    inside = tissue_mask(image)
    return np.where(inside[..., None], 255 - image, image), drawn


KINDS: Mapping[str, Kind] = {
    "tear": Kind(broken(damage.tear), True, "broken"),
    "fold": Kind(broken(damage.fold), True, "broken"),
    "holes": Kind(broken(damage.holes), True, "broken"),
    "missing piece": Kind(broken(damage.missing_piece), True, "broken"),
    **{f"scale {scale:g}": Kind(scaled(scale), False, "scale") for scale in SCALES},
    "inverted": Kind(inverted, False, "contrast"),
    "inverted tissue": Kind(inverted_tissue, False, "contrast"),
}
