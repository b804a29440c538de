"""Scores against the angle that sections are turned by (paper, Fig. 4), as curves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, MultipleLocator

from sebre.evaluation.scores import AngleScores
from sebre.report import style
from sebre.report.records import Result, with_labels

_SCORES = {"map_paper": "mAP", "dice_mean": "mean Dice"}
# Curves of a data set; each has a mark of its own too.
_COLORS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)
_MARKS, _DASHES = "os^Dv*P", ("-", "--", ":")
_ROW_IN = 1.4  # a data set, at least
_LETTERS = 32  # of a line of the legend
_STEPS = (5, 10, 30, 60)  # degrees between ticks
_MOST_STEPS = 6
_AXIS_FROM = 0.9  # the axis of scores starts here, or lower where scores do


def angles_figure(results: Sequence[Result]) -> style.ReportFigure:
    """Curves of mAP and mean Dice over the angle that sections are turned by (paper, Fig. 4).

    A row for each data set of each experiment, a curve for each network on it that has scores by
    angle; bands are the 95 % intervals. All rows have one axis of scores, which need not start at
    0.
    """
    scored = [result for result in results if _curve(result)]
    if not scored:
        return style.nothing_figure("No result has scores by angle.")
    rows: dict[str, list[tuple[str, Result]]] = {}
    for text, result in with_labels(scored):
        title = f"{result.experiment}: {result.record.dataset}\n{result.kind}"
        rows.setdefault(title, []).append((_label(text, result), result))
    lines = [
        style.line_count([title]) + sum(style.line_count([text]) for text, _ in labeled)
        for title, labeled in rows.items()
    ]
    heights = [max(_ROW_IN, 0.4 + style.LINE_IN * n) for n in lines]
    figure = style.ReportFigure(len(style.WIDTHS_IN), 0.5 + sum(heights))
    grid = figure.subplots(
        len(rows), len(_SCORES), sharey=True, squeeze=False, height_ratios=heights
    )
    for axes, (title, labeled) in zip(grid, rows.items(), strict=True):
        for ax, key in zip(axes, _SCORES, strict=True):
            _draw(ax, key, labeled)
        axes[-1].legend(
            loc="center left",
            bbox_to_anchor=(1.02, 0.5),
            title=title,
            title_fontsize=style.FONT,
            alignment="left",
            frameon=False,
            fontsize=style.FONT,
        )
    first = grid[0, 0]
    lowest = min(_AXIS_FROM, *(ax.dataLim.y0 for ax in grid.flat))
    first.set_ylim(lowest - 0.03, 1.02)
    first.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    for ax, name in zip(grid[0], _SCORES.values(), strict=True):
        ax.set_title(name, fontsize=style.FONT + 1)
    known = any(
        getattr(point.intervals, key) for r in scored for point in _curve(r) for key in _SCORES
    )
    for ax in grid[-1]:
        bands = " (bands: 95 % intervals)" if known else ""
        ax.set_xlabel(f"sections turned by{bands}", fontsize=style.FONT)
    return figure


def _label(text: str, result: Result) -> str:
    _, *weights = text.split(", ")
    sections = f"{result.record.angles.n_sections} sections"
    return style.wrapped([result.network, sections, *weights], _LETTERS)


def _curve(result: Result) -> list[AngleScores]:
    """Scores by angle, in the order of the angles; none where the record has none."""
    angles = result.record.angles
    return sorted(angles.curve, key=lambda point: point.angle) if angles else []


def _draw(ax: Axes, key: str, labeled: Sequence[tuple[str, Result]]) -> None:
    """The curves of a data set, each with its band."""
    for i, (label, result) in enumerate(labeled):
        curve = _curve(result)
        x = [point.angle for point in curve]
        ends = [getattr(point.intervals, key) or (None, None) for point in curve]
        color = _COLORS[i % len(_COLORS)]
        ax.fill_between(x, *np.transpose([*map(style.numbers, ends)]), color=color, alpha=0.2, lw=0)
        ax.plot(
            x,
            style.numbers(getattr(point, key) for point in curve),
            marker=_MARKS[i % len(_MARKS)],
            linestyle=_DASHES[i // len(_COLORS) % len(_DASHES)],
            color=color,
            markersize=5,
            label=label,
        )
    low, high = ax.dataLim.intervalx
    wide = [step for step in _STEPS if high - low <= _MOST_STEPS * step]
    ax.xaxis.set_major_locator(MultipleLocator(wide[0] if wide else _STEPS[-1]))
    ax.xaxis.set_major_formatter("{x:.0f}°")
    ax.tick_params(labelsize=style.FONT)
    ax.grid(alpha=0.3)
