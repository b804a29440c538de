"""One panel of boxes, masks and names on a picture, in the colors of the regions."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox
from scipy.ndimage import distance_transform_edt

from sebre.data.regions import RegionSet
from sebre.drawing.overlay import label_map, overlay

_BACKGROUND = (0.62, 0.62, 0.62)
_FONT = 9
_AXIS_MARGIN = 0.1  # the same, for coordinates
_LARGEST_MARGIN = 0.5  # of the picture's side, when boxes reach out of it


class Panel:
    """A picture, uint8 [h, w, 3], to draw on, in a figure that has its final size."""

    def __init__(self, ax: Axes, picture: np.ndarray, regions: RegionSet):
        self.ax, self.picture, self.regions = ax, picture, regions
        self._taken: list[Bbox] = []
        self._image = ax.imshow(picture, interpolation="antialiased")
        self._sides(0)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(False)

    def title(self, letter: str, text: str) -> None:
        """Set the letter of the panel and what it shows."""
        self.ax.set_title(text, fontsize=_FONT + 0.5, loc="left", x=0.055, pad=5)
        self.ax.annotate(
            letter, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points",
            fontsize=_FONT + 4, fontweight="bold", va="bottom",
        )  # fmt: skip

    def color(self, region: int) -> Any:
        """Color of a class id; gray for the background."""
        return np.array(self.regions[int(region)].color) / 255 if region else _BACKGROUND

    def box(self, box: np.ndarray, region: int, style: str = "solid", width: float = 1.4) -> None:
        """Draw a box (y1, x1, y2, x2) px; one of no region is dashed."""
        y1, x1, y2, x2 = (float(v) - 0.5 for v in box)
        self.ax.add_patch(
            Rectangle(
                (x1, y1), x2 - x1, y2 - y1,
                fill=False, edgecolor=self.color(region), linewidth=width,
                linestyle=style if region else "dashed",
            )
        )  # fmt: skip

    def boxes(
        self, boxes: np.ndarray, regions: np.ndarray, style: str = "solid", width: float = 1.4
    ) -> None:
        """Draw boxes [n, 4], those of no region first and thinner."""
        for row in np.argsort(regions > 0, kind="stable"):
            self.box(boxes[row], regions[row], style, width if regions[row] else 0.7 * width)

    def joint(self, before: np.ndarray, after: np.ndarray, region: int) -> None:
        """Join the top left corners of two boxes."""
        x, y = (before[1], after[1]), (before[0], after[0])
        self.ax.add_line(Line2D(x, y, color=self.color(region), linewidth=0.8))

    def see_all(self, boxes: np.ndarray) -> None:
        """Make room around the picture for boxes that reach out of it."""
        height, width = self.picture.shape[:2]
        reach = np.array([0, 0, -height, -width]) + boxes * np.array([-1, -1, 1, 1])
        self._sides(min(reach.max(initial=0), _LARGEST_MARGIN * max(height, width)))

    def normalized_axes(self) -> None:
        """Show coordinates from 0 to 1 in a margin around the picture."""
        height, width = self.picture.shape[:2]
        self._sides(_AXIS_MARGIN * max(height, width))
        ticks = np.linspace(0, 1, 5)
        self.ax.set_xticks(ticks * (width - 1), [f"{tick:g}" for tick in ticks])
        self.ax.set_yticks(ticks * (height - 1), [f"{tick:g}" for tick in ticks])
        self.ax.tick_params(length=0, labelsize=_FONT - 1)
        self.ax.tick_params(axis="x", pad=-15)
        self.ax.tick_params(axis="y", pad=-4)
        for label in self.ax.get_yticklabels():
            label.set_horizontalalignment("left")

    def label(self, box: np.ndarray, region: int, score: float | None = None) -> None:
        """Write a region's acronym, and its score, at a box, clear of the labels before it."""
        name = self.regions[int(region)].acronym
        text = self._text(name if score is None else f"{name} {score:.2f}", region)
        y1, x1, y2, x2 = (float(v) for v in box)
        middle = (x1 + x2) / 2
        for x, y, across, up in (
            (x1, y1, "left", "bottom"), (x2, y1, "right", "bottom"), (x1, y1, "left", "top"),
            (x2, y1, "right", "top"), (x1, y2, "left", "bottom"), (x2, y2, "right", "bottom"),
            (x1, y2, "left", "top"), (x2, y2, "right", "top"), (middle, y1, "center", "bottom"),
            (middle, y2, "center", "top"), (middle, (y1 + y2) / 2, "center", "center"),
            (x2, (y1 + y2) / 2, "left", "center"), (x1, (y1 + y2) / 2, "right", "center"),
        ):  # fmt: skip
            text.set(position=(x, y), ha=across, va=up)
            if self._fits(text):
                return
        # Nowhere at the box: the nearest free line below it.
        for y in np.linspace(y2, self.picture.shape[0], 40):
            text.set(position=(x1, y), ha="left", va="top")
            if self._fits(text):
                return

    def masks(self, masks: np.ndarray, class_ids: np.ndarray, scores: np.ndarray) -> None:
        """Fill and outline masks bool [h, w, n]."""
        labels = label_map(class_ids, scores, masks, self.picture.shape)
        height, width = labels.shape
        painted = overlay(self.picture, labels, self.regions)
        self._image.set(data=painted, extent=(-0.5, width - 0.5, height - 0.5, -0.5))

    def name_inside(self, mask: np.ndarray, region: int) -> None:
        """Write a region's acronym where its mask bool [h, w] is widest."""
        if mask.any():
            depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
            y, x = np.unravel_index(depth.argmax(), mask.shape)
            self.label(np.array([y, x, y, x]), region)

    def _sides(self, margin: float) -> None:
        height, width = self.picture.shape[:2]
        self.ax.set_xlim(-0.5 - margin, width - 0.5 + margin)
        self.ax.set_ylim(height - 0.5 + margin, -0.5 - margin)

    def _text(self, text: str, region: int) -> Any:
        color = self.color(region)
        dark = np.dot(color, (0.299, 0.587, 0.114)) < 0.5
        backing = {"facecolor": color, "alpha": 0.85, "pad": 1.2, "edgecolor": "none"}
        return self.ax.text(
            0, 0, text, fontsize=_FONT - 1, color="white" if dark else "black", bbox=backing,
            clip_on=False,
        )  # fmt: skip

    def _fits(self, text: Any) -> bool:
        extent = text.get_window_extent().padded(1.5)
        frame = self.ax.get_window_extent()
        inside = (
            frame.x0 - 1 <= extent.x0 and extent.x1 <= frame.x1 + 1
            and frame.y0 - 1 <= extent.y0 and extent.y1 <= frame.y1 + 1
        )  # fmt: skip
        if not inside or any(extent.overlaps(other) for other in self._taken):
            return False
        self._taken.append(extent)
        return True
