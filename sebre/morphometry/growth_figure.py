"""Growth curves: a measure of each region over ages, or over groups, with 95 % intervals."""

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mrcnn.io.own_files import replace_own

_WIDTH_IN, _PANEL_IN, _FONT, _DPI = 9.0, 2.2, 9, 110
_ACROSS = 3
# Okabe and Ito, told apart with any color vision; each curve has a mark of its own too.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKS = "os^Dv*P"
_NUMBER = re.compile(r"[\d.]+")
_AGE = re.compile(r"(?:P|p)?\s*(\d+(?:\.\d+)?)\s*(?:d|days?)?")
_TITLES = {
    "area_mm2": "area, mm²",
    "area_px": "area, px",
    "volume_mm3": "volume, mm³",
    "tissue_share": "share of the tissue",
    "solidity": "solidity",
    "box_aspect": "height / width of the box",
    "compactness": "compactness",
}

Curve = Sequence[tuple[str, float, tuple[float, float] | None, int]]


def day_of(age: str) -> float | None:
    """Days after birth of an age such as "P14", "14" or "14 d"; None for another."""
    match = _AGE.fullmatch(age.strip())
    return float(match[1]) if match else None


def growth_figure(
    panels: Sequence[tuple[str, dict[str, Curve]]], measure: str, by: str, groups: Sequence[str]
) -> Figure:
    """A panel for each region.

    Args:
        panels: name of a region, and its curves by their names ("" for a single one): group, mean,
            interval and number of animals of each point.
        measure: what is measured, such as "area_mm2".
        by: what the groups are, such as "age".
        groups: all of them in order. Where each is a number of days the axis counts days; numbers
            alone are days of ages, and of nothing else, such as doses.
    """
    days = {group: day_of(group) for group in groups}
    of_age = "age" in by.lower() or any(not _NUMBER.fullmatch(group.strip()) for group in groups)
    numeric = of_age and None not in days.values()
    place = days if numeric else {group: float(i) for i, group in enumerate(groups)}
    across = min(_ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    size = (_WIDTH_IN * across / _ACROSS + 0.6, _PANEL_IN * down + 0.8)
    figure = Figure(size, _DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False)
    for ax in grid.flat[len(panels) :]:
        ax.set_axis_off()
    names = list(dict.fromkeys(name for _, curves in panels for name in curves))
    for ax, (title, curves) in zip(grid.flat, panels, strict=False):
        ax.set_title(title.replace("_", " "), fontsize=_FONT)
        for name, curve in curves.items():
            _draw(ax, curve, place, names.index(name), name, numeric, len(names))
        _axes(ax, groups, place, numeric, by)
    for row in grid:
        row[0].set_ylabel(_TITLES.get(measure, measure), fontsize=_FONT)
    if names != [""]:
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=_FONT)
    figure.supxlabel(_caption([c for _, curves in panels for c in curves.values()]), fontsize=_FONT)
    return figure


def _draw(
    ax: Axes,
    curve: Curve,
    place: dict[str, Any],
    number: int,
    name: str,
    numeric: bool,
    count: int,
) -> None:
    """A curve with its band; over categories, marks with bars."""
    beside = 0 if numeric else 0.12 * (number - (count - 1) / 2)
    x = [place[group] + beside for group, *_ in curve]
    y = [mean for _, mean, *_ in curve]
    color, mark = _COLORS[number % len(_COLORS)], _MARKS[number % len(_MARKS)]
    line = "-" if numeric else "none"
    ax.plot(x, y, marker=mark, linestyle=line, color=color, markersize=4, label=name)
    known = [(at, *ends) for at, (_, _, ends, _) in zip(x, curve, strict=True) if ends is not None]
    if not known:
        return
    at, low, high = zip(*known, strict=True)
    if numeric and len(known) > 1:
        ax.fill_between(at, low, high, color=color, alpha=0.2, linewidth=0)
    ax.vlines(at, low, high, color=color, linewidth=1.2)


def _axes(ax: Axes, groups: Sequence[str], place: dict[str, Any], numeric: bool, by: str) -> None:
    ax.set_ylim(0, 1.08 * ax.dataLim.y1 or 1)
    ax.grid(alpha=0.3)
    ax.tick_params(labelsize=_FONT - 1)
    if numeric:
        ax.set_xlabel(f"{by}, days", fontsize=_FONT)
    else:
        ax.set_xlim(-0.5, len(groups) - 0.5)
        ax.set_xticks([place[group] for group in groups], groups)
        ax.set_xlabel(by, fontsize=_FONT)


def _caption(curves: Sequence[Curve]) -> str:
    counts = [n for curve in curves for *_, n in curve]
    animals = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    some_known = any(ends is not None for curve in curves for _, _, ends, _ in curve)
    shown = "bands and lines: 95 % intervals over animals" if some_known else "no intervals"
    return f"animals per point: {animals}; {shown}"


def save_growth(figure: Figure, png: Path, svg: Path) -> None:
    """Write the figure as PNG and SVG; the same figure gives the same files."""
    for path, options in ((png, {}), (svg, {"metadata": {"Date": None}})):
        packed = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "growth"}):
            figure.savefig(packed, format=path.suffix[1:], **options)
        content = packed.getvalue()
        replace_own(path, lambda part, content=content: part.write_bytes(content))
