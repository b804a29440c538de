"""Pictures of neurites: the affinity graph of a part of a section, and segments in colors."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

_JOINED, _PARTED = "#56B4E9", "#D55E00"  # told apart with any color vision
_TINT = 0.45  # of the colors of segments


def draw_affinity_graph(
    ax: Axes, gray: np.ndarray, affinities: np.ndarray, threshold: float = 0.5
) -> None:
    """Draw the pixels of a small part of a section, and the edges between them.

    Args:
        ax: to draw into.
        gray: [y, x]. Gray values.
        affinities: uint8 [2, y, x]. To the pixel above and to the pixel at the left; 255 is 1.
        threshold: from which an edge joins and is blue; others are orange.
    """
    height, width = gray.shape
    ax.imshow(gray, cmap="gray", vmin=0, vmax=255)
    for edges, (up, left) in zip(affinities, ((1, 0), (0, 1)), strict=True):
        places = [(y, x) for y in range(up, height) for x in range(left, width)]
        lines = [((x, y), (x - left, y - up)) for y, x in places]
        colors = [_JOINED if edges[y, x] >= 255 * threshold else _PARTED for y, x in places]
        ax.add_collection(LineCollection(lines, colors=colors, linewidths=1.6))
    y, x = np.mgrid[:height, :width]
    ax.plot(x.ravel(), y.ravel(), ".", color="white", markersize=3)
    ax.set_axis_off()


def tinted(gray: np.ndarray, segments: np.ndarray, seed: int = 0) -> np.ndarray:
    """A section with its segments in colors.

    Args:
        gray: uint8 [y, x].
        segments: integers [y, x]; 0 has no color.
        seed: of the colors.

    Returns:
        uint8 [y, x, 3].
    """
    colors = np.random.default_rng(seed).integers(30, 256, (int(segments.max()) + 1, 3))
    mixed = (1 - _TINT) * gray[..., None] + _TINT * colors[segments]
    mixed = np.where(segments[..., None] > 0, mixed, gray[..., None])
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
