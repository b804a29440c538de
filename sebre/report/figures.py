"""Results as figures. Each data set, and what is published, has a panel of its own."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, MultipleLocator

from sebre.report.published import PAPER_NAMES, PublishedScore
from sebre.report.records import Result, interval_of, with_labels
from sebre.report.style import (
    BLUE,
    FONT,
    GRAY,
    LEGEND,
    LINE_IN,
    TURNED,
    WIDTHS_IN,
    ReportFigure,
    beside,
    draw_intervals,
    label_lines,
    legend_marks,
    line_count,
    nothing_figure,
    numbers,
    panel_figure,
    region_colors,
    result_panels,
    score_axis,
)
from sebre.report.tables import published_dice, regions_of

_APART = 0.16  # of a row: how far the marks of a result lie above and below its middle
_AXIS_FROM = 0.9  # an axis of points starts here, or lower where scores do
_BEST_SCORE = 1 - 1e-4  # the right end of the axis of scores
_SCORE_TICKS = (0, 0.5, 0.9, 0.99, 0.999)
_MOST_BINS = 10


def dice_figure(
    results: Sequence[Result], published: Sequence[PublishedScore], experiment: str
) -> ReportFigure:
    """Bars of the Dice of each region: published, where it is, and on each data set of ours.

    Lines are the 95 % intervals as the sections lie, of results that have them.
    """
    return _bar_figure(results, experiment, "dice", "Dice", published_dice(published, experiment))


def ap_figure(results: Sequence[Result], experiment: str) -> ReportFigure:
    """Bars of the average precision of each region at mask IoU 0.5, on each data set of ours."""
    return _bar_figure(results, experiment, "ap50", "AP at IoU 0.5", {})


def turned_figure(results: Sequence[Result]) -> ReportFigure:
    """Scores (mAP, mean Dice) of every result, as the sections lie and at random orientations.

    Lines are the 95 % intervals, of results that have them.
    """
    scores = {"map_paper": "mAP", "dice_mean": "mean Dice"}
    drawn = _result_grid(results, list(scores))
    if drawn is None:
        return nothing_figure("No results.")
    figure, rows = drawn
    for axes, labeled in rows:
        for ax, (key, name) in zip(axes, scores.items(), strict=True):
            _dots(ax, labeled, key)
            ax.set_title(name, fontsize=FONT)
    # Points, unlike bars, may leave out the empty part of the axis.
    ax = figure.axes[0]
    ax.set_xlim(min(_AXIS_FROM, *(ax.dataLim.x0 for ax in figure.axes)) - 0.03, 1.01)
    ax.xaxis.set_major_locator(MultipleLocator(0.1))
    ax.xaxis.set_major_formatter("{x:.1f}")
    handles, _ = ax.get_legend_handles_labels()
    handles += legend_marks(False, any(interval_of(result, "dice_mean") for result in results))
    figure.legend(handles=handles, ncols=len(handles), **LEGEND)
    return figure


def failures_figure(results: Sequence[Result]) -> ReportFigure:
    """Bars of how often each kind of failure is, for every result that counts them.

    Of 100 regions of sections that are drawn; a region can fail in more than one way.
    """
    results = [result for result in results if result.at().failures]
    failures = list(dict.fromkeys(kind for r in results for kind in r.at().failures))
    drawn = _result_grid(results, failures)
    if drawn is None:
        return nothing_figure("No result counts failures.")
    figure, rows = drawn
    for axes, labeled in rows:
        y = range(len(labeled))
        for ax, failure in zip(axes, failures, strict=True):
            lying, turned = (
                numbers(_per_hundred(result, failure, turned) for _, result in labeled)
                for turned in (False, True)
            )
            ax.barh(y, lying, 0.6, color=BLUE)
            ax.plot(turned, y, clip_on=False, **TURNED)
            ax.set_title(failure.replace("_", " "), fontsize=FONT)
            ax.tick_params(axis="x", labelsize=FONT)
            ax.grid(axis="x", alpha=0.3)
            ax.set_axisbelow(True)
    ax = figure.axes[0]
    ax.set_xlim(0, max(1.0, ax.get_xlim()[1]))
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    figure.supxlabel("failures of 100 regions that are drawn", fontsize=FONT)
    # The lower edge is that of the axis' name.
    figure.legend(
        handles=[Patch(facecolor=BLUE, label="as they lie"), *legend_marks(True, False)],
        ncols=2,
        **{**LEGEND, "loc": "outside upper center"},
    )
    return figure


def spread_figure(results: Sequence[Result], experiment: str) -> ReportFigure:
    """How the Dice of each region is distributed over the sections of each data set.

    A box spans the quartiles, its line is the median, whiskers reach the 5th and the 95th
    percentile; each dot is a section that shows the region. A region that was missed has 0.
    """
    ours = _of_experiment(results, experiment)
    names = regions_of([result for _, result in ours])
    colors = region_colors(experiment)

    def draw(ax: Axes, result: Result) -> None:
        rng = np.random.default_rng(0)
        for y, name in enumerate(names):
            sections = result.record.sections
            values = [s.regions[name].dice for s in sections if name in s.regions]
            if values:
                ax.plot(
                    values,
                    y + rng.uniform(-0.3, 0.3, len(values)),
                    ".",
                    color=GRAY,
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
                    boxprops={"facecolor": colors.get(name, GRAY), "alpha": 0.75},
                    medianprops={"color": "black", "linewidth": 1.5},
                    manage_ticks=False,
                )
            beside(ax, y, f"n={len(values)}")
        score_axis(ax, "Dice of a section")
        ax.set_xlim(-0.02, 1.02)

    return panel_figure(result_panels(ours, draw), names, experiment)


def reliability_figure(results: Sequence[Result], experiment: str) -> ReportFigure:
    """IoU with the drawn region over the score of each region found, on each data set of ours.

    Dots are regions of sections; the line joins means of bins that hold equally many. If the
    score tells how well a region fits, the line rises. Scores above 0.9999 are drawn at 1.
    """
    ours = _of_experiment(results, experiment)

    def draw(ax: Axes, result: Result) -> None:
        pairs = [
            (region.score, region.iou)
            for section in result.record.sections
            for region in section.regions.values()
            if region.score > 0
        ]
        x, y = np.array(sorted(pairs), float).reshape(-1, 2).T
        x = _stretched(x)
        ax.plot(x, y, ".", color=BLUE, markersize=4, alpha=0.3 if len(x) > 200 else 0.7)
        bins = min(_MOST_BINS, len(x) // 5)
        if bins:
            parts = zip(np.array_split(x, bins), np.array_split(y, bins), strict=True)
            means = np.array([(a.mean(), b.mean()) for a, b in parts])
            ax.plot(*means.T, "o-", color="black", markersize=4, linewidth=1.5)
        ticks = [*_SCORE_TICKS, _BEST_SCORE]
        ax.set_xticks(_stretched(np.array(ticks)), [*map(str, _SCORE_TICKS), "1"], fontsize=FONT)
        ax.set_xlim(-0.05, 1.03 * _stretched(np.array([1.0]))[0])
        ax.set_xlabel("score", fontsize=FONT)
        ax.set_ylim(-0.03, 1.03)
        ax.set_ylabel("IoU", fontsize=FONT)
        ax.grid(alpha=0.3)

    return panel_figure(result_panels(ours, draw), None, experiment)


def _bar_figure(
    results: Sequence[Result], experiment: str, key: str, axis: str, paper: dict[str, float | None]
) -> ReportFigure:
    ours = _of_experiment(results, experiment)
    names = regions_of([result for _, result in ours], paper)
    colors = region_colors(experiment)

    def bars(ax: Axes, values: Sequence[float | None], notes: Sequence[str]) -> None:
        tints = [colors.get(name, GRAY) for name in names]
        ax.barh(range(len(names)), numbers(values), color=tints, edgecolor="black", linewidth=0.5)
        for y, note in enumerate(notes):
            beside(ax, y, note)
        score_axis(ax, axis)

    def draw(ax: Axes, result: Result) -> None:
        values = [result.value(key, name) for name in names]
        counts = [result.at().region(name).n or 0 for name in names]
        bars(ax, values, [f"{_text(v)}  n={n}" for v, n in zip(values, counts, strict=True)])
        rows = np.arange(len(names))
        draw_intervals(ax, rows - _APART, [interval_of(result, key, name) for name in names])
        turned = numbers(result.value(key, name, turned=True) for name in names)
        ax.plot(turned, rows + _APART, **TURNED)

    panels = []
    if paper:
        values = [paper.get(name) for name in names]
        title = f"published\n{PAPER_NAMES[experiment]}, SeBRe"
        panels.append((title, lambda ax: bars(ax, values, [_text(v) for v in values])))
    panels += result_panels(ours, draw)
    figure = panel_figure(panels, names, experiment)
    has_turned = any(result.record.turned for _, result in ours)
    has_intervals = any(interval_of(r, key, name) for _, r in ours for name in names)
    if marks := legend_marks(has_turned, has_intervals):
        figure.legend(handles=marks, ncols=len(marks), **LEGEND)
    return figure


def _result_grid(
    results: Sequence[Result], columns: Sequence[str]
) -> tuple[ReportFigure, list[tuple[np.ndarray, list[tuple[str, Result]]]]] | None:
    """A figure with a result in a row and panels by `columns`, labels at the left; None without
    results.

    With it, for each kind of our numbers, its panels and its labeled results.
    """
    kinds = [with_labels(same) for _, same in groupby(_by_kind(results), lambda r: r.kind)]
    if not kinds:
        return None
    names = [
        [label_lines(f"{result.experiment}: {text}", result, 44) for text, result in labeled]
        for labeled in kinds
    ]
    counts = [len(labeled) for labeled in kinds]
    row_in = 0.1 + LINE_IN * max(line_count(same) for same in names)
    figure = ReportFigure(len(WIDTHS_IN), 0.4 + 0.8 * len(kinds) + row_in * sum(counts))
    grid = figure.subplots(
        len(kinds), len(columns), sharex=True, sharey="row", squeeze=False, height_ratios=counts
    )
    for axes, labeled, rows in zip(grid, kinds, names, strict=True):
        axes[0].set_yticks(range(len(rows)), rows, fontsize=FONT)
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        axes[0].annotate(
            labeled[0][1].kind,
            (0, 1),
            (-7, 6),
            "axes fraction",
            "offset points",
            ha="right",
            fontsize=FONT,
        )
    return figure, list(zip(grid, kinds, strict=True))


def _per_hundred(result: Result, failure: str, turned: bool) -> float | None:
    """Failures of a kind for 100 regions of sections that are drawn."""
    scores = result.at(turned)
    drawn = sum(means.n for means in scores.regions.values())
    counted = scores.failures.get(failure)
    return 100 * counted.total / drawn if counted and drawn else None


def _of_experiment(results: Iterable[Result], experiment: str) -> list[tuple[str, Result]]:
    """`with_labels` of the results of an experiment, of any network."""
    return with_labels(result for result in results if result.experiment == experiment)


def _by_kind(results: Sequence[Result]) -> list[Result]:
    return sorted(results, key=lambda result: result.kind)


def _dots(ax: Axes, labeled: Sequence[tuple[str, Result]], key: str) -> None:
    """A score of each result, as the sections lie and below it turned, each on its interval."""
    for turned, away, color, style in (
        (False, -_APART, BLUE, {"marker": "o", "markersize": 8, "label": "as they lie"}),
        (True, _APART, "black", TURNED),
    ):
        y = np.arange(len(labeled)) + away
        draw_intervals(ax, y, [interval_of(r, key, turned=turned) for _, r in labeled], color)
        scores = numbers(result.value(key, turned=turned) for _, result in labeled)
        ax.plot(scores, y, **{"color": color, "linestyle": "none", "zorder": 3, **style})
    ax.tick_params(axis="x", labelsize=FONT)
    ax.grid(axis="x", alpha=0.3)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _stretched(scores: np.ndarray) -> np.ndarray:
    """Scores on an axis that gives 0.9, 0.99 and 0.999 equal steps; most lie close to 1."""
    return -np.log10(1 - np.minimum(scores, _BEST_SCORE))
