"""The contact sheet: pictures of many sections on one page."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mrcnn.io.files import replace_file
from sebre.data.regions import RegionSet

_PANEL_IN = 1.75
_MIN_WIDTH_IN = 6.0  # room for the legend
_DPI = 130


def save_sheet(
    rows: Sequence[tuple[str, Sequence[np.ndarray]]],
    headings: Sequence[str],
    regions: RegionSet,
    path: str | Path,
    across: int = 3,
    write: Callable[[str | Path, Callable[[Path], object]], None] = replace_file,
) -> None:
    """Draw sections on one page, each as some pictures side by side, and write it as PNG.

    Args:
        rows: of every section its title and its pictures, uint8 [H, W, 3].
        headings: over the second and later pictures of the first sections; empty for none.
        regions: colors and names of the legend.
        path: file to write; it appears when it is complete.
        across: sections side by side.
        write: `mrcnn.io.files.replace_file`, or `mrcnn.io.own_files.replace_own`.
    """
    across = min(across, len(rows))
    down = -(-len(rows) // across)
    panels = max(len(pictures) for _, pictures in rows)
    step = panels * _PANEL_IN + 0.3
    width = max(across * step, _MIN_WIDTH_IN)
    entry_in = 0.75 + 0.115 * max(len(region.name) for region in regions)
    legend_columns = min(len(regions), max(1, int(width / entry_in)))
    legend_in = 0.3 + 0.32 * -(-len(regions) // legend_columns)
    height = down * (_PANEL_IN + 0.34) + legend_in + 0.1
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    top, bottom = 0.1 / height, legend_in / height
    row_height = (1 - top - bottom) / down
    for index, (title, pictures) in enumerate(rows):
        row, column = divmod(index, across)
        y = 1 - top - (row + 1) * row_height
        for panel, picture in enumerate(pictures):
            x = (column * step + panel * _PANEL_IN + 0.15) / width
            size = (_PANEL_IN - 0.05) / width, (_PANEL_IN - 0.05) / height
            axes = figure.add_axes((x, y, *size))
            axes.imshow(picture, interpolation="antialiased", aspect="equal")
            axes.set_axis_off()
            if panel == 0:
                axes.set_title(title, fontsize=13, loc="left", pad=4)
            elif row == 0 and panel <= len(headings):
                axes.set_title(headings[panel - 1], fontsize=13, pad=4)
    figure.legend(
        handles=[
            Patch(color=np.array(r.color) / 255, label=r.name.replace("_", " ")) for r in regions
        ],
        loc="lower center",
        ncols=legend_columns,
        fontsize=13,
        frameon=False,
    )
    write(path, lambda part: figure.savefig(part, format="png"))
