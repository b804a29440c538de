"""Where a picture shows tissue, and where glass or nothing."""

import cv2
import numpy as np
import scipy.ndimage

from sebre.data.rotation import border_median

_SIDE_PX = 384  # longest side at which tissue is told from background
_CLOSED = 0.02  # of the longer side: wide enough for fibers and layers of few cells
_SPECK = 0.002  # share of the picture; smaller pieces are no tissue
_BINS = 256
_LEAST = 6.0  # gray values between the two sides of the threshold; less is noise


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
    height, width = picture.shape[:2]
    found = small_tissue(picture).view(np.uint8)
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_NEAREST).view(bool)


def small_tissue(picture: np.ndarray) -> np.ndarray:
    """`tissue_mask` before it is enlarged: bool [h, w], the longer side at most 384 px."""
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


def _tissue(picture: np.ndarray) -> np.ndarray:
    difference = np.abs(picture.astype(np.float32) - border_median(picture).astype(np.float32))
    distance = np.sqrt(cv2.blur(difference.max(-1), (3, 3)))
    threshold, apart = _otsu(distance)
    if apart < _LEAST:
        return np.zeros(distance.shape, bool)
    width = 2 * round(_CLOSED * max(distance.shape) / 2) + 1
    round_one = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    inside = (distance > threshold).astype(np.uint8)
    inside = cv2.morphologyEx(inside, cv2.MORPH_CLOSE, round_one).astype(bool)
    inside = scipy.ndimage.binary_fill_holes(inside)
    pieces, _ = scipy.ndimage.label(inside)
    large = np.bincount(pieces.ravel()) >= _SPECK * pieces.size
    large[0] = False
    return large[pieces]


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
