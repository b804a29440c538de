"""Drawing primitives of `mrcnn.visualize.display`: colors, pixels, outlines, figures."""

import colorsys
import random
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle
from skimage.measure import find_contours

Color = Sequence[float]


def random_colors(N: int, bright: bool = True) -> list[tuple[float, float, float]]:
    """N colors (red, green, blue) 0..1, evenly spaced in hue, in the same order on every call.

    Of full brightness if `bright`, else 0.7 of it. Source: Matterport `visualize.random_colors`.
    """
    value = 1.0 if bright else 0.7
    colors = [colorsys.hsv_to_rgb(i / N, 1.0, value) for i in range(N)]
    # A generator of its own: a picture must not change the random state of an experiment.
    random.Random(0).shuffle(colors)
    return colors


def apply_mask(image: np.ndarray, mask: np.ndarray, color: Color, alpha: float = 0.5) -> np.ndarray:
    """Blend a color into an image [H, W, 3] of 0..255 where the mask [H, W] is set, in place.

    `color` is (red, green, blue) 0..1, `alpha` its share.
    Source: Matterport `visualize.apply_mask`.
    """
    inside = np.asarray(mask) == 1
    image[inside, :3] = image[inside, :3] * (1 - alpha) + alpha * 255 * np.array(color[:3])
    return image


def draw_box(image: np.ndarray, box: Sequence[int], color: Any) -> np.ndarray:
    """Draw the four sides of a box (y1, x1, y2, x2) px, 2 px wide each, into the image, in place.

    The lower and right side lie just outside the box (y2 and x2 are exclusive); `color` is a
    pixel's value, in the unit of the image. Source: Matterport `visualize.draw_box`.
    """
    y1, x1, y2, x2 = (int(side) for side in box)

    def span(start: int, stop: int) -> slice:
        return slice(max(start, 0), max(stop, 0))

    for y in (y1, y2):
        image[span(y, y + 2), span(x1, x2)] = color
    for x in (x1, x2):
        image[span(y1, y2), span(x, x + 2)] = color
    return image


def as_rgb(image: np.ndarray) -> np.ndarray:
    """A uint8 copy [H, W, 3] of an image [H, W] or [H, W, channels], 0..255.

    One channel becomes gray; of more than three the first three are taken.
    """
    image = np.atleast_3d(image)
    if image.shape[2] < 3:
        image = np.repeat(image[..., :1], 3, axis=2)
    return np.clip(image[..., :3], 0, 255).astype(np.uint8)


def new_axes(ax: Axes | None, figsize: Sequence[float]) -> tuple[Axes, bool]:
    """`ax`, or the axes of a new figure (inches); True when the figure is new."""
    if ax is not None:
        return ax, False
    return plt.subplots(figsize=figsize)[1], True


def show(created: bool) -> None:
    """Show the figures when the caller made one and there is a display to show it on."""
    silent = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)
    if created and plt.get_backend().lower() not in silent:
        plt.show()


def frame(ax: Axes, image: np.ndarray, margin: int, title: str) -> None:
    """Set limits to the image with a margin in px, hide the axes and set the title."""
    height, width = image.shape[:2]
    ax.set_ylim(height + margin, -margin)
    ax.set_xlim(-margin, width + margin)
    ax.axis("off")
    ax.set_title(title)


def add_box(ax: Axes, box: Sequence[float], color: Any, style: str, alpha: float = 1.0) -> None:
    """Add the outline of a box (y1, x1, y2, x2) px."""
    y1, x1, y2, x2 = box
    line = {"linewidth": 2, "linestyle": style, "edgecolor": color, "alpha": alpha}
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, facecolor="none", **line))


def add_joint(ax: Axes, box: Sequence[float], refined: Sequence[float], color: Any) -> None:
    """Add the line from the top-left corner of a box to that of its refined box."""
    ax.add_line(Line2D([box[1], refined[1]], [box[0], refined[0]], color=color))


def add_outline(ax: Axes, mask: np.ndarray, color: Any) -> None:
    """Add the outline of a mask [H, W]."""
    # Padded, so that the outline of a mask that touches the border is closed.
    for contour in find_contours(np.pad(np.asarray(mask, np.float32), 1), 0.5):
        ax.add_patch(Polygon(contour[:, ::-1] - 1, facecolor="none", edgecolor=color))
