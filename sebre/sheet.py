"""The contact sheet: image, drawn regions and found regions of many sections on one page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sebre.evaluate import Section
from sebre.predict import best_labels, label_map, overlay
from sebre.regions import RegionSet

_ACROSS = 3  # sections side by side
_PANEL_IN = 1.75
_DPI = 130


def save_sheet(sections: Sequence[Section], regions: RegionSet, path: str | Path) -> None:
    """Draw all sections on one page and write it as PNG, atomically.

    Args:
        sections: scored.
        regions: colours and names of the legend.
        path: file to write.
    """
    across = min(_ACROSS, len(sections))
    down = -(-len(sections) // across)
    width = across * (3 * _PANEL_IN + 0.3)
    height = down * (_PANEL_IN + 0.34) + 0.72
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    top, bottom = 0.1 / height, 0.62 / height
    row_height = (1 - top - bottom) / down
    for index, section in enumerate(sections):
        row, column = divmod(index, across)
        y = 1 - top - (row + 1) * row_height
        for panel, picture in enumerate(_panels(section, regions)):
            x = (column * (3 * _PANEL_IN + 0.3) + panel * _PANEL_IN + 0.15) / width
            size = (_PANEL_IN - 0.05) / width, (_PANEL_IN - 0.05) / height
            axes = figure.add_axes((x, y, *size))
            axes.imshow(picture, interpolation="antialiased", aspect="equal")
            axes.set_axis_off()
            if panel == 0:
                dices = list(section.dices.values())
                score = f"   Dice {np.mean(dices):.2f}" if dices else ""
                axes.set_title(f"{section.name}{score}", fontsize=13, loc="left", pad=4)
            if row == 0 and panel:
                axes.set_title(("drawn", "found")[panel - 1], fontsize=13, pad=4)
    figure.legend(
        handles=[Patch(color=np.array(r.color) / 255, label=_words(r.name)) for r in regions],
        loc="lower center",
        ncols=len(regions),
        fontsize=15,
        frameon=False,
    )
    path = Path(path)
    part = path.with_name(path.name + ".part")
    figure.savefig(part, format="png")
    part.replace(path)


def _panels(section: Section, regions: RegionSet) -> list[np.ndarray]:
    shape = section.image.shape[:2]
    drawn = label_map(section.class_ids, np.zeros(len(section.class_ids)), section.masks, shape)
    found = best_labels(section.result, shape)
    empty = np.zeros(shape, np.uint8)
    return [overlay(section.image, labels, regions) for labels in (empty, drawn, found)]


def _words(name: str) -> str:
    return name.replace("_", " ")
