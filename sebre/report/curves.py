"""Scores as curves: against the angle that sections are turned by (paper, Fig. 4), and against the
number of sections that a network was trained on."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, MultipleLocator

from sebre.evaluation.scores import AngleScores
from sebre.report import style
from sebre.report.markdown import NONE, Table
from sebre.report.records import CURVES_FOLDER, LEFT_OUT_FOLDER, Result, with_labels

_SCORES = {"map_paper": "mAP", "dice_mean": "mean Dice"}
# Curves of a data set; each has a mark of its own too.
_COLORS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)
_MARKS, _DASHES = "os^Dv*P", ("-", "--", ":")
_ROW_IN = 1.4  # a data set, at least
_LETTERS = 32  # of a line of the legend
_STEPS = (5, 10, 30, 60)  # degrees between ticks
_MOST_STEPS = 6
_STARTS = {"any_section": "from any_section", "none": "from random weights"}
_DRAWN_NOTES = (
    "Mean Dice over regions on the same sections of the test part, mean over the seeds; in "
    "parentheses the lowest and the highest. A seed draws sections of the training part by chance, "
    "the fewer among the more, and the order of the training. The network is that of any section, "
    "which learned from the volumes of the training parts of demba and mouse_mri, and from the "
    "atlas that labels ccf: these are no new sets to it; slicemap and the plates of ara_nissl are.",
    "Steps and learning rate of either start were chosen on parts of training parts, but for the "
    "300 steps from random weights, which is what time allowed: 400 were better on the inner part.",
)
_LEFT_OUT_NOTES = (
    "Each section is scored by a network that was trained on the others. mAP is that of the "
    "paper, the mean over sections, at a mask IoU of 0.5 and every score; Dice counts 0 where a "
    "region was not found. The network is that of any section, which learned from synthetic "
    "sections of the age, too; steps and learning rate are those chosen on other data sets.",
)
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


# --- How many sections must be drawn? ----------------------------------------------------


def read_curves(folder: str | Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Records of `sebre.evaluation.learning_curve` by name of the data set, of a folder of results,
    and what is wrong with which file."""
    return _read(Path(folder) / CURVES_FOLDER, drawn_table, "sebre.evaluation.learning_curve")


def read_left_out(folder: str | Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The same of `sebre.evaluation.leave_one_out`."""
    return _read(Path(folder) / LEFT_OUT_FOLDER, left_out_table, "sebre.evaluation.leave_one_out")


def _read(
    folder: Path, table: Callable[[Mapping[str, Any]], Table], module: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    records, problems = {}, []
    for path in sorted(folder.glob("*.json")):
        try:
            record = dict(json.loads(path.read_text(encoding="utf-8")))
            table({record["dataset"]: record})
            records[record["dataset"]] = record
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            cure = f"Make it again: python -m {module}"
            problems.append(f"{path}: not what it should be ({error!r}). {cure}")
    return records, tuple(problems)


def left_out_table(records: Mapping[str, Any]) -> Table:
    """Scores of sections that were left out of the training one by one: a row for each data set and
    start."""
    header = ("data, start", "mAP", "mean Dice", "mAP of each section", "sections", "seeds")
    rows = []
    for name, record in records.items():
        for start, means in record["means"].items():
            runs = [run for run in record["runs"] if run["start"] == start]
            seeds = {run["seed"] for run in runs}
            each = (_mean_ap(runs, section) for section in sorted({r["section"] for r in runs}))
            title = f"{name}, {_STARTS.get(start, start)}"
            scores = (f"{means['ap']:.3f}", f"{means['dice']:.3f}", " ".join(each))
            rows.append((title, *scores, str(record["n_sections"]), str(len(seeds))))
    return Table("Left out one by one", header, tuple(rows), notes=_LEFT_OUT_NOTES if rows else ())


def _mean_ap(runs: Sequence[Mapping[str, Any]], section: int) -> str:
    aps = [run["ap"] for run in runs if run["section"] == section and run["ap"] is not None]
    return f"{np.mean(aps):.2f}" if aps else NONE


def drawn_table(records: Mapping[str, Any]) -> Table:
    """Scores by the number of sections trained on: a row for each data set and start."""
    counts = sorted({run["sections"] for record in records.values() for run in record["runs"]})
    header = ("data, start", *(f"{count} sections" for count in counts), "scored", "seeds")
    rows = []
    for name, record in records.items():
        for start, scores in scores_by_start(record).items():
            cells = [_mean_and_range(scores.get(count, [])) for count in counts]
            seeds = max(map(len, scores.values()))
            title = f"{name}, {_STARTS.get(start, start)}"
            rows.append((title, *cells, str(record["n_scored"]), str(seeds)))
    notes = _DRAWN_NOTES if rows else ()
    return Table("How many sections must be drawn?", header, tuple(rows), notes=notes)


def drawn_figure(records: Mapping[str, Any]) -> style.ReportFigure:
    """Mean Dice over the number of sections, a panel for each data set, a point for each seed."""

    def draw(ax: Axes, record: Mapping[str, Any]) -> None:
        for i, (start, scores) in enumerate(scores_by_start(record).items()):
            counts = sorted(scores)
            how = {"color": _COLORS[i], "marker": _MARKS[i]}
            means = [float(np.mean(scores[count])) for count in counts]
            ax.plot(counts, means, label=_STARTS.get(start, start), markersize=5, **how)
            for count in counts:
                values = scores[count]
                ax.scatter([count] * len(values), values, s=9, alpha=0.5, **how)
        ax.set_xscale("log")
        ticks = sorted({run["sections"] for run in record["runs"]})
        ax.set_xticks(ticks, map(str, ticks), minor=False)
        ax.minorticks_off()
        ax.set_xlabel("sections drawn", fontsize=style.FONT)
        ax.set_ylabel("mean Dice", fontsize=style.FONT)
        ax.set_ylim(0, 1.02)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=style.FONT - 2, frameon=False, loc="lower right")

    panels = [
        (f"{name}\n{record['n_scored']} test sections", lambda ax, r=record: draw(ax, r))
        for name, record in records.items()
    ]
    return style.panel_figure(panels, None, "sebre.evaluation.learning_curve")


def scores_by_start(record: Mapping[str, Any]) -> dict[str, dict[int, list[float]]]:
    """Scores of the seeds, by start and number of sections."""
    found: dict[str, dict[int, list[float]]] = {}
    for run in record["runs"]:
        scores = found.setdefault(run["start"], {})
        scores.setdefault(run["sections"], []).append(float(run["dice_mean"]))
    return found


def _mean_and_range(values: Sequence[float]) -> str:
    if not values:
        return NONE
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"
