"""Size, fonts, colors, marks and labels that all figures of `sebre.report` share."""

from collections.abc import Callable, Iterable, Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from sebre.experiments import EXPERIMENTS
from sebre.report.records import Result

WIDTHS_IN = (5.0, 7.5, 9.0)  # of a figure, by panels side by side
FONT = 9
LINE_IN = 0.16  # of text
_DPI = 80
_ROW_IN = 0.3  # a region

# Okabe and Ito, told apart with any color vision.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GRAY = "#56B4E9", "#CC79A7", "#F0E442", "#999999"

TURNED = {
    "marker": "D",
    "linestyle": "none",
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markersize": 5,
    "label": "at random orientations",
}
INTERVAL = {"color": "black", "linewidth": 1.3, "label": "95 % interval"}
LEGEND = {"loc": "outside lower center", "frameon": False, "fontsize": FONT}

Draw = Callable[[Axes], None]


class ReportFigure(Figure):
    """A figure that a notebook shows once, `across` (1 to 3) panels wide and some inches high."""

    def __init__(self, across: int, height: float):
        super().__init__((WIDTHS_IN[across - 1], height), _DPI, layout="constrained")
        FigureCanvasAgg(self)

    def png(self) -> bytes:
        """The figure as a PNG file. Faster than `savefig`, which draws it twice."""
        buffer = BytesIO()
        self.canvas.print_png(buffer, metadata={})
        return buffer.getvalue()

    _repr_png_ = png


def nothing_figure(text: str) -> ReportFigure:
    """A small figure that says why there is nothing to draw."""
    figure = ReportFigure(1, 1.0)
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def panel_figure(
    panels: Sequence[tuple[str, Draw]], rows: Sequence[str] | None, experiment: str
) -> ReportFigure:
    """Panels, each a title and what draws it, in a grid.

    `rows` are their names at the left, such as those of regions, None without; `experiment` is
    named in the message if there are no panels.
    """
    if not panels:
        return nothing_figure(f"No result of {experiment}.")
    across = min(len(WIDTHS_IN), len(panels))
    down = -(-len(panels) // across)
    panel_in = 2.2 if rows is None else 0.6 + _ROW_IN * len(rows)
    panel_in += LINE_IN * line_count(title for title, _ in panels)
    figure = ReportFigure(across, 0.4 + panel_in * down)
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    for ax in grid.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, draw) in zip(grid.flat, panels, strict=False):
        ax.set_title(title, fontsize=FONT)
        draw(ax)
        if rows is not None:
            ax.set_yticks(range(len(rows)), [spoken(name) for name in rows], fontsize=FONT)
            ax.set_ylim(len(rows) - 0.5, -0.5)
    return figure


def score_axis(ax: Axes, name: str) -> None:
    """Scores from 0 to 1 to the right."""
    ax.set_xlim(0, 1.03)  # room for a mark at 1
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"], fontsize=FONT)
    ax.set_xlabel(name, fontsize=FONT)
    ax.grid(axis="x", alpha=0.3)
    ax.set_axisbelow(True)


def draw_intervals(
    ax: Axes,
    y: Iterable[float],
    intervals: Iterable[Sequence[float] | None],
    color: str = INTERVAL["color"],
) -> bool:
    """Draw a line for each interval [low, high] that is not None, at its y; return whether any."""
    known = [(at, *ends) for at, ends in zip(y, intervals, strict=True) if ends is not None]
    if known:
        # An edge in white: the line lies on bars of any color.
        ax.hlines(
            *zip(*known, strict=True),
            color=color,
            linewidth=INTERVAL["linewidth"],
            zorder=2.5,
            path_effects=[withStroke(linewidth=INTERVAL["linewidth"] + 1.4, foreground="white")],
        )
    return bool(known)


def legend_marks(turned: bool, intervals: bool) -> list[Line2D]:
    """Entries of a legend for what a figure has of the two."""
    shown = ((turned, TURNED), (intervals, INTERVAL))
    return [Line2D([], [], **style) for there, style in shown if there]


def beside(ax: Axes, y: float, text: str) -> None:
    """Text right of a panel, beside a row."""
    ax.text(1.03, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=FONT - 1)


def result_panels(
    labeled: Iterable[tuple[str, Result]], draw: Callable[[Axes, Result], None]
) -> list[tuple[str, Draw]]:
    """For `panel_figure`: a panel for each result (`with_labels`), drawn by `draw`."""
    return [
        (f"{result.kind}\n{label_lines(text, result, 30)}", lambda ax, r=result: draw(ax, r))
        for text, result in labeled
    ]


def label_lines(text: str, result: Result, width: int) -> str:
    """A label of `with_labels` in lines of some letters: data set, sections, then the network."""
    data, *more = text.split(", ")
    sections = f"{result.at().n_sections} sections"
    return "\n".join(wrapped(parts, width) for parts in ((data, sections), (result.network, *more)))


def wrapped(parts: Iterable[str], width: int) -> str:
    """Parts in lines of some letters, with commas between those of one line."""
    lines = [""]
    for part in parts:
        if not lines[-1]:
            lines[-1] = part
        elif len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return "\n".join(lines)


def line_count(texts: Iterable[str]) -> int:
    """Lines of the longest text."""
    return max(text.count("\n") + 1 for text in texts)


def spoken(name: str) -> str:
    """Name of a region as a reader writes it."""
    return name.replace("_", " ")


def region_colors(experiment: str) -> dict[str, tuple[float, ...]]:
    """Colors, 0..1, by name of the region; empty for an experiment that is not in the table."""
    if experiment not in EXPERIMENTS:
        return {}
    return {r.name: tuple(v / 255 for v in r.color) for r in EXPERIMENTS[experiment].regions}


def numbers(values: Iterable[float | None]) -> np.ndarray:
    """Values as a float array, with NaN for those that there are not."""
    return np.array([np.nan if value is None else value for value in values], float)
