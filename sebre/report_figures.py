"""Results as figures. Each data set, and what is published, has a panel of its own."""

from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

from sebre.experiments import EXPERIMENTS
from sebre.published import PAPER_NAMES, PublishedScore
from sebre.report import published_dice, regions_of
from sebre.results import Result, of_experiment, with_labels

_WIDTHS_IN = (5.0, 7.5, 9.0)  # of a figure, by panels side by side
_DPI = 80
_ROW_IN = 0.3  # a region
_FONT = 9
_LINE_IN = 0.16  # of text

# Okabe and Ito, told apart with any colour vision.
_BLUE, _GREY = "#0072B2", "#999999"
_TURNED = {
    "marker": "D",
    "linestyle": "none",
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markersize": 5,
    "label": "at random orientations",
}
_LEGEND = {"loc": "outside lower center", "ncols": 2, "frameon": False, "fontsize": _FONT}
_BEST_SCORE = 1 - 1e-4  # the right end of the axis of scores
_SCORE_TICKS = (0, 0.5, 0.9, 0.99, 0.999)
_MOST_BINS = 10

_Draw = Callable[[Axes], None]


class ReportFigure(Figure):
    """A figure that a notebook shows once, whatever Matplotlib's backend."""

    def __init__(self, across: int, height: float):
        super().__init__((_WIDTHS_IN[across - 1], height), _DPI, layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def dice_figure(
    results: Sequence[Result], published: Sequence[PublishedScore], experiment: str
) -> ReportFigure:
    """Bars of the Dice of each region: published, where it is, and on each data set of ours.

    Args:
        results: of any experiments.
        published: the paper's numbers.
        experiment: name of the one to show.
    """
    return _bar_figure(
        results, experiment, "dice_per_region", "Dice", published_dice(published, experiment)
    )


def ap_figure(results: Sequence[Result], experiment: str) -> ReportFigure:
    """Bars of the average precision of each region at mask IoU 0.5, on each data set of ours.

    Args:
        results: of any experiments.
        experiment: name of the one to show.
    """
    return _bar_figure(results, experiment, "ap50_per_region", "AP at IoU 0.5", {})


def turned_figure(results: Sequence[Result]) -> ReportFigure:
    """Scores (mAP, mean Dice) of every result, as the sections lie beside at random orientations.

    Args:
        results: to show, one in a row.
    """
    kinds = [with_labels(same) for _, same in groupby(_by_kind(results), lambda r: r.kind)]
    if not kinds:
        return _nothing("No results.")
    names = [
        [_lines(f"{result.experiment}: {text}", result, 44) for text, result in labelled]
        for labelled in kinds
    ]
    counts = [len(labelled) for labelled in kinds]
    row_in = 0.15 + _LINE_IN * max(_line_count(same) for same in names)
    figure = ReportFigure(len(_WIDTHS_IN), 0.4 + 0.8 * len(kinds) + row_in * sum(counts))
    grid = figure.subplots(
        len(kinds), 2, sharex="col", sharey="row", squeeze=False, height_ratios=counts
    )
    for axes, labelled, rows in zip(grid, kinds, names, strict=True):
        for ax, key, name in zip(
            axes, ("map_paper", "dice_mean"), ("mAP", "mean Dice"), strict=True
        ):
            _dots(ax, labelled, key)
            ax.set_title(f"{labelled[0][1].kind}: {name}", fontsize=_FONT)
        axes[0].set_yticks(range(len(rows)), rows, fontsize=_FONT)
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), **_LEGEND)
    return figure


def spread_figure(results: Sequence[Result], experiment: str) -> ReportFigure:
    """How the Dice of each region is distributed over the sections of each data set.

    A box spans the quartiles, its line is the median, whiskers reach the 5th and the 95th
    percentile; each dot is a section that shows the region. A region that was missed has 0.

    Args:
        results: of any experiments.
        experiment: name of the one to show.
    """
    ours = of_experiment(results, experiment)
    names = regions_of([result for _, result in ours])
    colors = _colors(experiment)

    def draw(ax: Axes, result: Result) -> None:
        rng = np.random.default_rng(0)
        for y, name in enumerate(names):
            sections = result.record["sections"]
            values = [s["regions"][name]["dice"] for s in sections if name in s["regions"]]
            if values:
                ax.plot(
                    values,
                    y + rng.uniform(-0.3, 0.3, len(values)),
                    ".",
                    color=_GREY,
                    markersize=3 if len(values) > 50 else 6,
                    alpha=0.5,
                )
                ax.boxplot(
                    values,
                    positions=[y],
                    orientation="horizontal",
                    widths=0.6,
                    whis=(5, 95),
                    showfliers=False,
                    patch_artist=True,
                    boxprops={"facecolor": colors.get(name, _GREY), "alpha": 0.75},
                    medianprops={"color": "black", "linewidth": 1.5},
                    manage_ticks=False,
                )
            _note(ax, y, f"n={len(values)}")
        _frame(ax, "Dice of a section")
        ax.set_xlim(-0.02, 1.02)

    panels = [(_title(text, result), lambda ax, r=result: draw(ax, r)) for text, result in ours]
    return _panel_figure(panels, names, experiment)


def reliability_figure(results: Sequence[Result], experiment: str) -> ReportFigure:
    """IoU with the drawn region over the score of each region found, on each data set of ours.

    Dots are regions of sections; the line joins means of bins that hold equally many. If the
    score tells how well a region fits, the line rises. Scores above 0.9999 are drawn at 1.

    Args:
        results: of any experiments.
        experiment: name of the one to show.
    """
    ours = of_experiment(results, experiment)

    def draw(ax: Axes, result: Result) -> None:
        pairs = [
            (region["score"], region["iou"])
            for section in result.record["sections"]
            for region in section["regions"].values()
            if region["score"] > 0
        ]
        x, y = np.array(sorted(pairs), float).reshape(-1, 2).T
        x = _stretched(x)
        ax.plot(x, y, ".", color=_BLUE, markersize=4, alpha=0.3 if len(x) > 200 else 0.7)
        bins = min(_MOST_BINS, len(x) // 5)
        if bins:
            parts = zip(np.array_split(x, bins), np.array_split(y, bins), strict=True)
            means = np.array([(a.mean(), b.mean()) for a, b in parts])
            ax.plot(*means.T, "o-", color="black", markersize=4, linewidth=1.5)
        ticks = [*_SCORE_TICKS, _BEST_SCORE]
        ax.set_xticks(_stretched(np.array(ticks)), [*map(str, _SCORE_TICKS), "1"], fontsize=_FONT)
        ax.set_xlim(-0.05, 1.03 * _stretched(np.array([1.0]))[0])
        ax.set_xlabel("score", fontsize=_FONT)
        ax.set_ylim(-0.03, 1.03)
        ax.set_ylabel("IoU", fontsize=_FONT)
        ax.grid(alpha=0.3)

    panels = [(_title(text, result), lambda ax, r=result: draw(ax, r)) for text, result in ours]
    return _panel_figure(panels, None, experiment)


def _bar_figure(
    results: Sequence[Result], experiment: str, key: str, axis: str, paper: dict[str, float | None]
) -> ReportFigure:
    ours = of_experiment(results, experiment)
    names = regions_of([result for _, result in ours], paper)
    colors = _colors(experiment)

    def bars(ax: Axes, values: Sequence[float | None], notes: Sequence[str]) -> None:
        tints = [colors.get(name, _GREY) for name in names]
        ax.barh(range(len(names)), _numbers(values), color=tints, edgecolor="black", linewidth=0.5)
        for y, note in enumerate(notes):
            _note(ax, y, note)
        _frame(ax, axis)

    def draw(ax: Axes, result: Result) -> None:
        values = [result.score(key, name) for name in names]
        counts = [result.score("n_per_region", name) or 0 for name in names]
        bars(ax, values, [f"{_text(v)}  n={n}" for v, n in zip(values, counts, strict=True)])
        turned = _numbers(result.score(key, name, turned=True) for name in names)
        ax.plot(turned, range(len(names)), **_TURNED)

    panels = []
    if paper:
        values = [paper.get(name) for name in names]
        title = f"published\n{PAPER_NAMES[experiment]}, SeBRe"
        panels.append((title, lambda ax: bars(ax, values, [_text(v) for v in values])))
    panels += [(_title(text, result), lambda ax, r=result: draw(ax, r)) for text, result in ours]
    figure = _panel_figure(panels, names, experiment)
    if any(result.record["turned"] for _, result in ours):
        figure.legend(handles=[Line2D([], [], **_TURNED)], **_LEGEND)
    return figure


def _by_kind(results: Sequence[Result]) -> list[Result]:
    return sorted(results, key=lambda result: result.kind)


def _dots(ax: Axes, labelled: Sequence[tuple[str, Result]], key: str) -> None:
    """A score of each result, as the sections lie and turned, joined by a line."""
    y = range(len(labelled))
    lying = _numbers(result.score(key) for _, result in labelled)
    turned = _numbers(result.score(key, turned=True) for _, result in labelled)
    ax.hlines(y, lying, turned, color=_GREY, linewidth=2)
    ax.plot(lying, y, "o", color=_BLUE, markersize=9, label="as they lie")
    ax.plot(turned, y, **_TURNED)
    # Points, unlike bars, may leave out the empty part of the axis.
    ax.set_xlim(min(ax.get_xlim()[0], 0.9) - 0.03, 1.01)
    ax.xaxis.set_major_locator(MultipleLocator(0.1))
    ax.xaxis.set_major_formatter("{x:.1f}")
    ax.tick_params(axis="x", labelsize=_FONT)
    ax.grid(axis="x", alpha=0.3)


def _panel_figure(
    panels: Sequence[tuple[str, _Draw]], rows: Sequence[str] | None, experiment: str
) -> ReportFigure:
    """Panels with a title each, in a grid; with rows, their names at the left."""
    if not panels:
        return _nothing(f"No result of {experiment}.")
    across = min(len(_WIDTHS_IN), len(panels))
    down = -(-len(panels) // across)
    panel_in = 2.2 if rows is None else 0.6 + _ROW_IN * len(rows)
    panel_in += _LINE_IN * _line_count(title for title, _ in panels)
    figure = ReportFigure(across, 0.4 + panel_in * down)
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    for ax in grid.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, draw) in zip(grid.flat, panels, strict=False):
        ax.set_title(title, fontsize=_FONT)
        draw(ax)
        if rows is not None:
            names = [name.replace("_", " ") for name in rows]
            ax.set_yticks(range(len(rows)), names, fontsize=_FONT)
            ax.set_ylim(len(rows) - 0.5, -0.5)
    return figure


def _nothing(text: str) -> ReportFigure:
    figure = ReportFigure(1, 1.0)
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def _frame(ax: Axes, axis: str) -> None:
    """Scores from 0 to 1 to the right."""
    ax.set_xlim(0, 1.03)  # room for a mark at 1
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"], fontsize=_FONT)
    ax.set_xlabel(axis, fontsize=_FONT)
    ax.grid(axis="x", alpha=0.3)
    ax.set_axisbelow(True)


def _note(ax: Axes, y: float, text: str) -> None:
    """Text beside a row, right of the panel."""
    ax.text(1.03, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=_FONT - 1)


def _title(text: str, result: Result) -> str:
    return f"{result.kind}\n{_lines(text, result, 30)}"


def _lines(text: str, result: Result, width: int) -> str:
    """A label and how many sections, in lines of some letters, broken at commas."""
    lines = [""]
    for part in [*text.split(", "), f"{result.record['n_sections']} sections"]:
        if not lines[-1]:
            lines[-1] = part
        elif len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return "\n".join(lines)


def _line_count(texts: Iterable[str]) -> int:
    """Lines of the longest text."""
    return max(text.count("\n") + 1 for text in texts)


def _colors(experiment: str) -> dict[str, tuple[float, ...]]:
    """Colours, 0..1, by name of the region; empty for an experiment that is not in the table."""
    if experiment not in EXPERIMENTS:
        return {}
    return {r.name: tuple(v / 255 for v in r.color) for r in EXPERIMENTS[experiment].regions}


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    """Values as an array, with NaN for those that there are not."""
    return np.array([np.nan if value is None else value for value in values], float)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _stretched(scores: np.ndarray) -> np.ndarray:
    """Scores on an axis that gives 0.9, 0.99 and 0.999 equal steps; most lie close to 1."""
    return -np.log10(1 - np.minimum(scores, _BEST_SCORE))
