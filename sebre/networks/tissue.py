"""Where a picture shows tissue, and where glass or nothing."""

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.ndimage

from sebre.data.rotation import border_median

_SIDE_PX = 384  # longest side at which tissue is told from background
_CLOSED = 0.02  # of the longer side: wide enough for fibers and layers of few cells
_SPECK = 0.002  # share of the picture; smaller pieces are no tissue
_BINS = 256
_LEAST = 6.0  # gray values between the two sides of the threshold; less is noise
# Glass is even: nine tenths of what is no tissue stay below this share of the threshold. So do
# 138 of 140 training sections of five data sets, and 3 of 136 pieces cut from their middle, which
# show no glass.
_EVEN, _MOST = 0.7, 90.0
_BAND_PX = 2**22  # pixels of a label map that are cut at a time


@dataclass(frozen=True)
class Tissue:
    """Where a picture shows tissue.

    Attributes:
        mask: bool [h, w], as `small_tissue` gives it.
        told: whether what is no tissue is so even that it must be glass, or black. In a piece of a
            section that has no glass, the mask is that of darker or brighter layers.
    """

    mask: np.ndarray
    told: bool

    @property
    def seen(self) -> bool:
        """Whether there is any."""
        return bool(self.mask.any())

    @property
    def share(self) -> float:
        """Of the picture, 0 to 1."""
        return float(self.mask.mean())

    def at(self, shape: tuple[int, int]) -> np.ndarray:
        """The mask at another size, bool [H, W]."""
        rows, columns = self._places(shape)
        return self.mask[rows[:, None], columns]

    def clip(self, labels: np.ndarray) -> None:
        """Set labels [H, W] of the picture to 0 where it shows glass; nothing where that cannot be
        told."""
        if not (self.told and self.seen):
            return
        rows, columns = self._places(labels.shape)
        band = max(1, _BAND_PX // labels.shape[1])  # a label map may have a billion pixels
        for first in range(0, labels.shape[0], band):
            part = slice(first, first + band)
            labels[part][~self.mask[rows[part, None], columns]] = 0

    def _places(self, shape: tuple[int, int]) -> list[np.ndarray]:
        return [
            ((np.arange(n) + 0.5) * m / n).astype(int)
            for n, m in zip(shape, self.mask.shape, strict=True)
        ]


def tissue_mask(picture: np.ndarray) -> np.ndarray:
    """Pixels of a picture that show tissue, on a dark or a bright background.

    The rule: the background has the median color of the border of the picture; how far a pixel is
    from it (the largest difference of the three channels, its square root, so that the dim parts
    of a fluorescent section count) is split in two by Otsu's threshold; gaps of up to 2 % of
    the longer side and holes in what is farther are filled, and pieces under 0.2 % of the picture
    dropped. Computed at 384 px and enlarged. A picture of one color, or of noise alone, has none.

    Args:
        picture: uint8 [H, W, 3].

    Returns:
        bool [H, W].
    """
    return find_tissue(picture).at(picture.shape[:2])


def small_tissue(picture: np.ndarray) -> np.ndarray:
    """`tissue_mask` before it is enlarged: bool [h, w], the longer side at most 384 px."""
    return find_tissue(picture).mask


def find_tissue(picture: np.ndarray) -> Tissue:
    """`small_tissue` of a picture uint8 [H, W, 3], and whether glass can be told from it."""
    return _tissue(reduced(picture, _SIDE_PX))


def reduced(picture: np.ndarray, longest: int) -> np.ndarray:
    """A picture uint8 [H, W, 3] of at most this longer side, px; a smaller one as it is."""
    step = max(1, max(picture.shape[:2]) // (2 * longest))  # spares the memory of large sections
    small = np.ascontiguousarray(picture[::step, ::step])
    factor = longest / max(small.shape[:2])
    if factor >= 1:
        return small
    size = (max(1, round(small.shape[1] * factor)), max(1, round(small.shape[0] * factor)))
    return cv2.resize(small, size, interpolation=cv2.INTER_AREA)


def _tissue(picture: np.ndarray) -> Tissue:
    difference = np.abs(picture.astype(np.float32) - border_median(picture).astype(np.float32))
    distance = np.sqrt(cv2.blur(difference.max(-1), (3, 3)))
    threshold, apart = _otsu(distance)
    if apart < _LEAST:
        return Tissue(np.zeros(distance.shape, bool), False)
    width = 2 * round(_CLOSED * max(distance.shape) / 2) + 1
    round_one = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    inside = (distance > threshold).astype(np.uint8)
    inside = cv2.morphologyEx(inside, cv2.MORPH_CLOSE, round_one).astype(bool)
    inside = scipy.ndimage.binary_fill_holes(inside)
    pieces, _ = scipy.ndimage.label(inside)
    large = np.bincount(pieces.ravel()) >= _SPECK * pieces.size
    large[0] = False
    mask = large[pieces]
    ground = distance[~mask]
    told = bool(ground.size) and bool(np.percentile(ground, _MOST) <= _EVEN * threshold)
    return Tissue(mask, told)


def _otsu(distance: np.ndarray) -> tuple[float, float]:
    """Otsu's threshold of square roots, and how many gray values lie between the two means."""
    counts, edges = np.histogram(distance, _BINS, (0, 16))
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    total, weighted = below[-1], np.cumsum(counts * centers)
    with np.errstate(divide="ignore", invalid="ignore"):
        low = weighted / below
        high = (weighted[-1] - weighted) / (total - below)
        between = below * (total - below) * (high - low) ** 2
    if not np.isfinite(between).any():
        return 0.0, 0.0
    best = int(np.nanargmax(between))
    return float(edges[best + 1]), float(high[best] ** 2 - low[best] ** 2)
