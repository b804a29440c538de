"""What `sebre.neurites.scoring.measure_neurites` measured, as tables and a figure."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sebre.report import style
from sebre.report.markdown import Table, number

FOLDER = "neurites"
_SCORES = ("adapted Rand error", "VI split", "VI merge", "VI", "merge errors", "segments", "bodies")
_ALONG = ("joined z", "joined y", "joined x", "parted z", "parted y", "parted x")
_BAD = ", bad sections "
_LESSON = ("without section defects", "with section defects")
_KEPT = "neurites, bad sections kept"
_NOTES = (
    "VI is the variation of information in bits; it and the adapted Rand error are better the"
    " lower. Bodies are connected within the block and have 100 voxels or more. A merge error"
    " is a body that shares a segment with another, by 100 voxels or more that lie 3 or more "
    "inside each.",
    "The network learned from sections 0-149 of the same volume; thresholds were chosen on "
    "sections 152-167, clean and with faults of other kinds than those it is tested with. "
    "fib25_gala_a and fib25_gala_c are of another place and contrast. One network, one seed: "
    "differences of about 0.1 in VI mean little.",
    "Gray values: components of bright voxels, with the level chosen on the same sections. "
    "The flood-filling result is Google's published one, grown to fill the block and cut into its "
    "connected pieces, specks among them (hence their number): an anchor, "
    "as what it was trained on is not known here. Sections of ssTEM are segmented one by one,"
    " and the network never saw ssTEM.",
)
_ALONG_NOTE = (
    "Pairs of voxels that lie 8 apart along an axis: share of those of two bodies that one "
    "segment joins, and of those of one body that are parted. With every fourth section alone, "
    "each moved by up to 1 px, pairs along z lie 2 sections apart, which is as far, 80 nm. For the "
    "network of even voxels the sections between were made up by interpolation; the one with "
    "kernels within sections learned from such sections as they are."
)
_ADAPTED_NOTE = (
    "The network that ships on volumes of another place and contrast. All but self-training take "
    "seconds. Batch statistics: of batch normalization, from 60 tiles of the volume. "
    "Self-training: on the segments of the watershed, as if they were drawn. Thresholds stay as "
    "they are. One seed."
)
_SPEED_NOTE = (
    "`sebre neurites predict` from HDF5 to HDF5, one process of one thread, with its start, and "
    "the largest resident memory of the process. Cubes of a real volume that is repeated by "
    "reflection; `python -m sebre.neurites.scoring.measure_speed`. The machine had other work."
)
_LESSON_NOTE = (
    "The two networks with and without section defects (blur, darkness, loss, shifts, noise) in "
    "their training are of 1,000 steps each, one seed, with thresholds chosen for each; their "
    "learning rates differ by up to 6 %. The bad sections they are tested on, 12 of 40, have "
    "other faults: haze, uneven light, movement, stripes, charging, low resolution. VI of bad "
    "sections is the mean of two draws of them. Their thresholds were chosen with the defects of "
    "their training, which were milder than those of the network that ships. That one makes up bad "
    "sections from those around them before it predicts; with bad sections kept, it does not. The "
    "two were measured before bad sections were made up, with other thresholds to choose from; "
    "their command gives other numbers today."
)


def read_neurites(folder: str | Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the files of a folder of results hold, `rows`, `adaptation` and `speed`, each of all
    files; and what is wrong with which. Without files nothing."""
    found: dict[str, Any] = {}
    problems = []
    for path in sorted((Path(folder) / FOLDER).glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            parts = {key: record[key] for key in ("rows", "adaptation", "speed") if key in record}
            neurite_tables(parts)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            problems.append(
                f"{path}: not what measures neurites writes ({error!r}). Make it again: python -m "
                "sebre.neurites.scoring.measure_neurites"
            )
            continue
        for key, rows in parts.items():
            found[key] = found.get(key, []) + rows
    return found, tuple(problems)


def neurite_tables(record: Mapping[str, Any]) -> tuple[Table, ...]:
    """Scores by volume and method; by direction; the lesson on bad sections; adaptation to other
    volumes; speed and memory."""
    rows = record.get("rows", ())
    beside = (*_LESSON, _KEPT)
    plain = [row for row in rows if _BAD not in row["volume"] and row["network"] not in beside]
    scores = tuple((row["volume"], _who(row), *_cells(row)) for row in plain)
    along = tuple(
        (
            row["volume"],
            _who(row),
            *(number(row[k][a]) for k in ("joined", "parted") for a in "zyx"),
        )
        for row in plain
        if "sections" not in row["volume"].partition(", ")[2]
    )
    head = ("volume", "by")
    return (
        Table("Neurites", (*head, *_SCORES), scores, notes=_NOTES if scores else ()),
        Table("Neurites by direction", (*head, *_ALONG), along, notes=(_ALONG_NOTE,)),
        Table(
            "Bad sections",
            ("network", "method", "VI clean", "VI bad", "ratio", "Rand clean", "Rand bad"),
            tuple(_lesson(rows)),
            notes=(_LESSON_NOTE,),
        ),
        Table(
            "Neurites: adaptation",
            ("volume", "adaptation", "method", *_SCORES),
            tuple(
                (row["volume"], row["adaptation"], row["method"], *_cells(row))
                for row in record.get("adaptation", ())
            ),
            notes=(_ADAPTED_NOTE,),
        ),
        speed_table(record.get("speed", ())),
    )


def speed_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Time and memory by size of the volume."""
    head = ("voxels", "CPU s", "voxels per CPU s", "CPU s per million voxels")
    return Table(
        "Neurites: time and memory",
        (*head, "memory at most, GB", "segments"),
        tuple(map(_speed, rows)),
        notes=(_SPEED_NOTE,),
    )


def _speed(row: Mapping[str, Any]) -> tuple[str, ...]:
    voxels = row["voxels"]
    rate = row["cpu_s"] / voxels * 1e6
    per_second = f"{round(voxels / row['cpu_s'], -3):,.0f}"
    cells = (number(row["cpu_s"], 0), per_second, number(rate, 2), number(row["memory_gb"], 2))
    return (f"{voxels:,}", *cells, str(row["segments"]))


def _who(row: Mapping[str, Any]) -> str:
    if row["network"] in ("neurites", "none"):
        return row["method"]
    return f"{row['network']}, {row['method']}"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    values = (row[key] for key in ("rand_error", "vi_split", "vi_merge", "vi"))
    counts = (str(row[key]) for key in ("merge_errors", "segments", "bodies"))
    return (*map(number, values), *counts)


def _lesson(rows: list[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row for each network and method that was tested on clean and on bad sections."""
    found = []
    for network, method, clean, bad in _pairs(rows):
        vi, rand = (np.mean([row[key] for row in bad]) for key in ("vi", "rand_error"))
        cells = (clean["vi"], vi, vi / clean["vi"], clean["rand_error"], rand)
        found.append((network, method, *(number(float(cell)) for cell in cells)))
    return found


def _pairs(rows: list[Mapping[str, Any]]) -> list[tuple[str, str, Mapping, list[Mapping]]]:
    pairs = []
    for row in rows:
        bad = [
            other
            for other in rows
            if other["volume"].startswith(row["volume"] + _BAD)
            and (other["network"], other["method"]) == (row["network"], row["method"])
        ]
        if bad:
            pairs.append((row["network"], row["method"], row, bad))
    return pairs


def neurite_figure(record: Mapping[str, Any]) -> style.ReportFigure:
    """Variation of information on clean and on bad sections, a panel for each method."""
    pairs = _pairs(record.get("rows", []))
    methods = list(dict.fromkeys(method for _, method, _, _ in pairs))
    names = list(dict.fromkeys(name for name, _, _, _ in pairs))

    def draw(ax: Axes, method: str) -> None:
        for place, name in enumerate(names):
            shown = [(c, b) for n, m, c, b in pairs if (n, m) == (name, method)]
            for clean, bad in shown:
                vi = float(np.mean([row["vi"] for row in bad]))
                labels = ("clean", "bad sections") if place == 0 else (None, None)
                ax.barh(place - 0.19, clean["vi"], 0.36, color=style.BLUE, label=labels[0])
                ax.barh(place + 0.19, vi, 0.36, color=style.VERMILION, label=labels[1])
        ax.set_xlabel("variation of information, bits", fontsize=style.FONT)
        ax.legend(fontsize=style.FONT - 2, frameon=False)

    panels = [(method, lambda ax, m=method: draw(ax, m)) for method in methods]
    return style.panel_figure(panels, names, "sebre neurites")
