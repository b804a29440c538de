"""What `sebre models calibrate --results` measured, as a table and a figure."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from sebre.report import style
from sebre.report.markdown import NONE, Table
from sebre.report.records import TRUST_FILE

# Parts of a record, as they are called in the table.
_PARTS = {
    "as_they_lie": "as they lie",
    "with_turned": "with turned pictures as evidence",
    "disturbed": "disturbed",
    "real": "real sections",
}
_HEADER = (
    *("network", "test sections", "said to be of another kind", "regions found", "flagged"),
    *("Dice of flagged", "Dice of others", "difference", "correlation", "mean error"),
    "other kinds told",
)
_NOTES = (
    "Flagged are regions with an expected Dice below 0.7, or with a size or place that no training "
    "section shows; the Dice of a region that is found and not drawn is 0. Correlation and mean "
    "error are of expected and measured Dice.",
    "The trust file of any_section was made of synthetic sections of volumes that its training "
    "left out, and so is its test part; it flags below 0.5. Its real sections are those of "
    "sebre.synthesis.zeroshot; what a collection does not draw is not counted. Of these, sections "
    "are warned of whose plane cannot be told within 45 degrees, chosen after a look at them.",
    "Disturbed: turned beyond training, scaled, blurred, noisy, cut off or damaged at random, once "
    "each. Such sections are rightly said to be of another kind as the disturbance grows.",
    "Other kinds: photographs, electron microscopy, other planes, stains and species, inverted "
    "sections. Features and limit were chosen on other pictures of these sources, while these and "
    "the false alarms on the test parts were in view: they are not blind. That three or more "
    "doubtful regions count against a section was chosen after a look at these and at the test "
    "parts.",
)


def read_trust(folder: str | Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The records of a folder of results by name of the network, and what is wrong with the file.

    Without the file there is nothing, and no problem.
    """
    path = Path(folder) / TRUST_FILE
    if not path.is_file():
        return {}, ()
    try:
        records = dict(json.loads(path.read_text(encoding="utf-8")))
        doubt_table(records)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        cure = "Make it again: sebre models calibrate --weights NAME --dataset DIR --results FILE"
        return {}, (f"{path}: not what `sebre models calibrate` writes ({error!r}). {cure}",)
    return records, ()


def doubt_table(records: Mapping[str, Any]) -> Table:
    """What flags are worth, a row for each network and part."""
    rows = []
    for name, record in records.items():
        other = record.get("other_kinds")
        told = f"{other['n_told']} of {other['n']}" if other else NONE
        parts = dict(record.get("test_part", {}))
        if "real_sections" in record:
            parts["real"] = record["real_sections"]
        for key, title in _PARTS.items():
            if key in parts:
                part = parts[key]
                rows.append((f"{name}, {title}", *_cells(part), told))
                told = ""  # of the network, not of the part
    return Table("What not to trust", _HEADER, tuple(rows), notes=_NOTES if rows else ())


def _cells(part: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (str(part["n_sections"]), str(part["n_warned"]), str(part["n_regions"]))
    if not part["n_regions"]:
        return (*counts, *([NONE] * 6))
    flagged, others = part["flagged"], part["not_flagged"]
    values = (flagged["dice"], others["dice"], part["gap"], part["correlation"], part["error"])
    return (*counts, str(flagged["n"]), *(_number(value) for value in values))


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def doubt_figure(records: Mapping[str, Any]) -> style.ReportFigure:
    """Measured over expected Dice: a point for each tenth of the regions, a panel a network."""

    def draw(ax: Axes, record: Mapping[str, Any]) -> None:
        ax.plot([0, 1], [0, 1], color=style.GRAY, linewidth=1)
        for key, color, mark in (
            ("as_they_lie", style.BLUE, "o"),
            ("disturbed", style.VERMILION, "s"),
        ):
            curve = record["test_part"].get(key, {}).get("curve", [])
            x, y = ([point[name] for point in curve] for name in ("expected", "dice"))
            ax.plot(x, y, color=color, marker=mark, markersize=4, label=_PARTS[key])
        ax.axvline(record["dice_limit"], color=style.GRAY, linestyle=":")
        style.score_axis(ax, "expected Dice")
        ax.set_ylim(-0.03, 1.03)
        ax.set_ylabel("measured Dice", fontsize=style.FONT)
        ax.legend(fontsize=style.FONT - 2, frameon=False, loc="upper left")

    panels = [
        (f"{name}\n{_regions(record)}", lambda ax, r=record: draw(ax, r))
        for name, record in records.items()
        if "test_part" in record
    ]
    return style.panel_figure(panels, None, "sebre models calibrate")


def _regions(record: Mapping[str, Any]) -> str:
    parts = record["test_part"]
    counts = [parts.get(key, {}).get("n_regions", 0) for key in ("as_they_lie", "disturbed")]
    return f"{counts[0]} regions, {counts[1]} disturbed"
