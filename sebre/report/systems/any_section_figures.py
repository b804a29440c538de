"""The network of any section drawn: Dice by source and condition, and over the sections seen."""

from collections.abc import Mapping
from typing import Any

from sebre.report import style
from sebre.report.systems.any_section_scores import (
    LYING,
    SAGITTAL,
    by_condition,
    lying,
    seen_and_scores,
)

_ROW_IN = 0.3
_WANTED = 0.65  # mean of the sources that was asked for
_CHANGED = {"marker": "|", "color": style.BLUE, "markersize": 8, "linestyle": "none"}
_OWN = {"marker": "o", "color": style.BLUE, "markersize": 6, "linestyle": "none"}
_COPIED = {"marker": "X", "color": style.VERMILION, "markersize": 6, "linestyle": "none"}
_ELASTIX = {"marker": "^", "color": style.ORANGE, "markersize": 6, "linestyle": "none"}
_MASK = {"marker": "s", "color": style.GREEN, "markersize": 5, "linestyle": "none"}
_CURVES = {
    "zeroshot": ("mean of the sources of zeroshot", style.BLUE, "o"),
    SAGITTAL: (SAGITTAL, style.VERMILION, "s"),
    "dice_easy": ("synthetic, easy", style.GREEN, "^"),
    "dice_hard": ("synthetic, hard", style.PURPLE, "v"),
}


def any_section_figures(found: Mapping[str, Any]) -> dict[str, tuple[str, style.ReportFigure]]:
    """Caption and figure by name."""
    made = {}
    if "any_section" in found:
        caption = "Any section: Dice by source and condition, beside an atlas and Mask R-CNN"
        made["any_section"] = (caption, sources_figure(found))
    if seen_and_scores(found):
        caption = "Any section: Dice over the synthetic sections seen"
        made["any_section_learning"] = (caption, learning_figure(found))
    return made


def sources_figure(found: Mapping[str, Any]) -> style.ReportFigure:
    """A row for each source: as the sections lie, changed, and what others reach there."""
    own, changed = lying(found), by_condition(found)
    atlas = found.get("baselines", {}).get("scores", {})
    masks = found.get("mask_rcnn", {}).get("scores", {}).get(LYING, {})
    figure = style.ReportFigure(2, 1.1 + _ROW_IN * len(own))
    ax = figure.subplots()
    drawn: dict[str, Any] = {}

    def mark(label: str, values: list[float], y: int, how: Mapping[str, Any]) -> None:
        if values:
            (drawn[label],) = ax.plot(values, [y] * len(values), **how)

    for y, (name, (dice, _)) in enumerate(own.items()):
        ways = atlas.get(name, {})
        for label, way, how in (
            ("copied labels", "copied", _COPIED),
            ("elastix (up to 12 sections)", "elastix", _ELASTIX),
        ):
            mark(label, [ways[way]["dice"]] if way in ways else [], y, how)
        mark("Mask R-CNN of the stream", [masks[name]] if name in masks else [], y, _MASK)
        others = [v for how, v in changed.get(name, {}).items() if how != LYING]
        mark("turned, mirrored, inverted", others, y, _CHANGED)
        mark("any_section, as they lie", [dice], y, _OWN)
    ax.axvline(_WANTED, color=style.GRAY, linestyle="--", linewidth=1)
    names = [f"{name} ({n})" for name, (_, n) in own.items()]
    ax.set_yticks(range(len(own)), names, fontsize=style.FONT)
    ax.set_ylim(len(own) - 0.5, -0.5)
    style.score_axis(ax, f"mean Dice (line: {_WANTED}, asked for as a mean)")
    figure.legend(drawn.values(), drawn.keys(), ncols=3, **style.LEGEND)
    return figure


def learning_figure(found: Mapping[str, Any]) -> style.ReportFigure:
    """Dice at the checks of the trainings, one after another, over the sections seen."""
    trainings = seen_and_scores(found)
    figure = style.ReportFigure(2, 3.6)
    ax = figure.subplots()
    last = 0.0
    for number, rows in enumerate(trainings.values()):
        for key, (label, color, marker) in _CURVES.items():
            points = [(row["seen"], row[key]) for row in rows if key in row]
            if points:
                how = {"color": color, "marker": marker, "markersize": 4}
                ax.plot(*zip(*points, strict=True), label=None if number else label, **how)
        if number:
            ax.axvline((last + rows[0]["seen"]) / 2, color=style.GRAY, linestyle="--", linewidth=1)
        last = rows[-1]["seen"]
    ax.set_xlabel("synthetic sections seen", fontsize=style.FONT)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_ylabel("mean Dice, one view of each", fontsize=style.FONT)
    ax.set_ylim(0, 1)
    ax.tick_params(labelsize=style.FONT)
    ax.grid(alpha=0.3)
    figure.legend(ncols=2, **style.LEGEND)
    return figure
