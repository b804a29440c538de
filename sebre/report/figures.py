"""Results as figures. Each data set, and what is published, has a panel of its own."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, MultipleLocator

from sebre.report import style
from sebre.report.markdown import number
from sebre.report.published import PAPER_NAMES, PublishedScore
from sebre.report.records import Result, interval_of, with_labels
from sebre.report.tables import published_dice, regions_of

_APART = 0.16  # of a row: how far the marks of a result lie above and below its middle
_AXIS_FROM = 0.9  # an axis of points starts here, or lower where scores do
_BEST_SCORE = 1 - 1e-4  # the right end of the axis of scores
_SCORE_TICKS = (0, 0.5, 0.9, 0.99, 0.999)
_MOST_BINS = 10


def dice_figure(
    results: Sequence[Result], published: Sequence[PublishedScore], experiment: str
) -> style.ReportFigure:
    """Bars of the Dice of each region: published, where it is, and on each data set of ours.

    Lines are the 95 % intervals as the sections lie, of results that have them.
    """
    return _bar_figure(results, experiment, "dice", "Dice", published_dice(published, experiment))


def ap_figure(results: Sequence[Result], experiment: str) -> style.ReportFigure:
    """Bars of the average precision of each region at mask IoU 0.5, on each data set of ours."""
    return _bar_figure(results, experiment, "ap50", "AP at IoU 0.5", {})


def turned_figure(results: Sequence[Result]) -> style.ReportFigure:
    """Scores (mAP, mean Dice) of every result, as the sections lie and at random orientations.

    Lines are the 95 % intervals, of results that have them.
    """
    scores = {"map_paper": "mAP", "dice_mean": "mean Dice"}
    drawn = _result_grid(results, list(scores))
    if drawn is None:
        return style.nothing_figure("No results.")
    figure, rows = drawn
    for axes, labeled in rows:
        for ax, (key, name) in zip(axes, scores.items(), strict=True):
            _dots(ax, labeled, key)
            ax.set_title(name, fontsize=style.FONT)
    # Points, unlike bars, may leave out the empty part of the axis.
    ax = figure.axes[0]
    ax.set_xlim(min(_AXIS_FROM, *(ax.dataLim.x0 for ax in figure.axes)) - 0.03, 1.01)
    ax.xaxis.set_major_locator(MultipleLocator(0.1))
    ax.xaxis.set_major_formatter("{x:.1f}")
    handles, _ = ax.get_legend_handles_labels()
    handles += style.legend_marks(
        False, any(interval_of(result, "dice_mean") for result in results)
    )
    figure.legend(handles=handles, ncols=len(handles), **style.LEGEND)
    return figure


def failures_figure(results: Sequence[Result]) -> style.ReportFigure:
    """Bars of how often each kind of failure is, for every result that counts them.

    Of 100 regions of sections that are drawn; a region can fail in more than one way.
    """
    results = [result for result in results if result.at().failures]
    failures = list(dict.fromkeys(kind for r in results for kind in r.at().failures))
    drawn = _result_grid(results, failures)
    if drawn is None:
        return style.nothing_figure("No result counts failures.")
    figure, rows = drawn
    for axes, labeled in rows:
        y = range(len(labeled))
        for ax, failure in zip(axes, failures, strict=True):
            lying, turned = (
                style.numbers(_per_hundred(result, failure, turned) for _, result in labeled)
                for turned in (False, True)
            )
            ax.barh(y, lying, 0.6, color=style.BLUE)
            ax.plot(turned, y, clip_on=False, **style.TURNED)
            ax.set_title(failure.replace("_", " "), fontsize=style.FONT)
            ax.tick_params(axis="x", labelsize=style.FONT)
            ax.grid(axis="x", alpha=0.3)
            ax.set_axisbelow(True)
    ax = figure.axes[0]
    ax.set_xlim(0, max(1.0, ax.get_xlim()[1]))
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    figure.supxlabel("failures of 100 regions that are drawn", fontsize=style.FONT)
    # The lower edge is that of the axis' name.
    figure.legend(
        handles=[
            Patch(facecolor=style.BLUE, label="as they lie"),
            *style.legend_marks(True, False),
        ],
        ncols=2,
        **{**style.LEGEND, "loc": "outside upper center"},
    )
    return figure


def spread_figure(results: Sequence[Result], experiment: str) -> style.ReportFigure:
    """How the Dice of each region is distributed over the sections of each data set.

    A box spans the quartiles, its line is the median, whiskers reach the 5th and the 95th
    percentile; each dot is a section that shows the region. A region that was missed has 0.
    """
    ours = _of_experiment(results, experiment)
    names = regions_of([result for _, result in ours])
    colors = style.region_colors(experiment)

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
                    color=style.GRAY,
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
                    boxprops={"facecolor": colors.get(name, style.GRAY), "alpha": 0.75},
                    medianprops={"color": "black", "linewidth": 1.5},
                    manage_ticks=False,
                )
            style.beside(ax, y, f"n={len(values)}")
        style.score_axis(ax, "Dice of a section")
        ax.set_xlim(-0.02, 1.02)

    return style.panel_figure(style.result_panels(ours, draw), names, experiment)


def reliability_figure(results: Sequence[Result], experiment: str) -> style.ReportFigure:
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
        ax.plot(x, y, ".", color=style.BLUE, markersize=4, alpha=0.3 if len(x) > 200 else 0.7)
        bins = min(_MOST_BINS, len(x) // 5)
        if bins:
            parts = zip(np.array_split(x, bins), np.array_split(y, bins), strict=True)
            means = np.array([(a.mean(), b.mean()) for a, b in parts])
            ax.plot(*means.T, "o-", color="black", markersize=4, linewidth=1.5)
        ticks = [*_SCORE_TICKS, _BEST_SCORE]
        ax.set_xticks(
            _stretched(np.array(ticks)), [*map(str, _SCORE_TICKS), "1"], fontsize=style.FONT
        )
        ax.set_xlim(-0.05, 1.03 * _stretched(np.array([1.0]))[0])
        ax.set_xlabel("score", fontsize=style.FONT)
        ax.set_ylim(-0.03, 1.03)
        ax.set_ylabel("IoU", fontsize=style.FONT)
        ax.grid(alpha=0.3)

    return style.panel_figure(style.result_panels(ours, draw), None, experiment)


def _bar_figure(
    results: Sequence[Result], experiment: str, key: str, axis: str, paper: dict[str, float | None]
) -> style.ReportFigure:
    ours = _of_experiment(results, experiment)
    names = regions_of([result for _, result in ours], paper)
    colors = style.region_colors(experiment)

    def bars(ax: Axes, values: Sequence[float | None], notes: Sequence[str]) -> None:
        tints = [colors.get(name, style.GRAY) for name in names]
        ax.barh(
            range(len(names)), style.numbers(values), color=tints, edgecolor="black", linewidth=0.5
        )
        for y, note in enumerate(notes):
            style.beside(ax, y, note)
        style.score_axis(ax, axis)

    def draw(ax: Axes, result: Result) -> None:
        values = [result.value(key, name) for name in names]
        counts = [result.at().region(name).n or 0 for name in names]
        bars(ax, values, [f"{number(v)}  n={n}" for v, n in zip(values, counts, strict=True)])
        rows = np.arange(len(names))
        style.draw_intervals(ax, rows - _APART, [interval_of(result, key, name) for name in names])
        turned = style.numbers(result.value(key, name, turned=True) for name in names)
        ax.plot(turned, rows + _APART, **style.TURNED)

    panels = []
    if paper:
        values = [paper.get(name) for name in names]
        title = f"published\n{PAPER_NAMES[experiment]}, SeBRe"
        panels.append((title, lambda ax: bars(ax, values, [number(v) for v in values])))
    panels += style.result_panels(ours, draw)
    figure = style.panel_figure(panels, names, experiment)
    has_turned = any(result.record.turned for _, result in ours)
    has_intervals = any(interval_of(r, key, name) for _, r in ours for name in names)
    if marks := style.legend_marks(has_turned, has_intervals):
        figure.legend(handles=marks, ncols=len(marks), **style.LEGEND)
    return figure


def _result_grid(
    results: Sequence[Result], columns: Sequence[str]
) -> tuple[style.ReportFigure, list[tuple[np.ndarray, list[tuple[str, Result]]]]] | None:
    """A figure with a result in a row and panels by `columns`, labels at the left; None without
    results.

    With it, for each kind of our numbers, its panels and its labeled results.
    """
    results = sorted(results, key=lambda result: result.kind)
    kinds = [with_labels(same) for _, same in groupby(results, lambda result: result.kind)]
    if not kinds:
        return None
    names = [
        [style.label_lines(f"{result.experiment}: {text}", result, 44) for text, result in labeled]
        for labeled in kinds
    ]
    counts = [len(labeled) for labeled in kinds]
    row_in = 0.1 + style.LINE_IN * max(style.line_count(same) for same in names)
    figure = style.ReportFigure(len(style.WIDTHS_IN), 0.4 + 0.8 * len(kinds) + row_in * sum(counts))
    grid = figure.subplots(
        len(kinds), len(columns), sharex=True, sharey="row", squeeze=False, height_ratios=counts
    )
    for axes, labeled, rows in zip(grid, kinds, names, strict=True):
        axes[0].set_yticks(range(len(rows)), rows, fontsize=style.FONT)
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        axes[0].annotate(
            labeled[0][1].kind,
            (0, 1),
            (-7, 6),
            "axes fraction",
            "offset points",
            ha="right",
            fontsize=style.FONT,
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


def _dots(ax: Axes, labeled: Sequence[tuple[str, Result]], key: str) -> None:
    """A score of each result, as the sections lie and below it turned, each on its interval."""
    for turned, away, color, mark in (
        (False, -_APART, style.BLUE, {"marker": "o", "markersize": 8, "label": "as they lie"}),
        (True, _APART, "black", style.TURNED),
    ):
        y = np.arange(len(labeled)) + away
        style.draw_intervals(ax, y, [interval_of(r, key, turned=turned) for _, r in labeled], color)
        scores = style.numbers(result.value(key, turned=turned) for _, result in labeled)
        ax.plot(scores, y, **{"color": color, "linestyle": "none", "zorder": 3, **mark})
    ax.tick_params(axis="x", labelsize=style.FONT)
    ax.grid(axis="x", alpha=0.3)


def _stretched(scores: np.ndarray) -> np.ndarray:
    """Scores on an axis that gives 0.9, 0.99 and 0.999 equal steps; most lie close to 1."""
    return -np.log10(1 - np.minimum(scores, _BEST_SCORE))
