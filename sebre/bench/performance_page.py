"""PERFORMANCE.md, made of stored records alone; its prose is performance_page.md."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import median_high
from typing import Any

from mrcnn.io.own_files import demand_own, replace_own, replace_own_text
from sebre.bench.entry_tables import GROUPS, group_table, targets_table
from sebre.bench.measurements import MEASURED, Entry, Record, joined
from sebre.bench.targets import findings, sides
from sebre.bench.timing import RATES
from sebre.bench.ways import TIMED
from sebre.report.markdown import number
from sebre.report.style import BLUE, FONT, GRAY, ReportFigure
from sebre.report.systems.neurite_scores import speed_table

FIGURE = "scaling.png"


def page(
    records: Mapping[str, Record], figure: str = "", volumes: Sequence[Mapping[str, Any]] = ()
) -> str:
    """The page in Markdown.

    Args:
        records: of `sebre.bench.run`, by the paths that the page names; cases of later ones take
            the place of those of the same name.
        figure: path of the figure; empty without.
        volumes: rows of `sebre.neurites.scoring.measure_speed`.
    """
    prose, record = _prose(), joined(list(records.values()))
    parts = [prose["introduction"]]
    said: list[str] = []  # of the machine; later records leave it out
    for path, one in records.items():
        parts += [f"`{path}`, {_cases(one)}:"] if len(records) > 1 else []
        lines = _machine(one, prose).splitlines(keepends=True)
        parts.append("".join(line for line in lines if line not in said))
        said += lines
    parts.append(targets_table(findings(record)).markdown())
    if scored := {e.name.split("/")[1]: e.network for e in record.cases if e.kind == "accuracy"}:
        same = [f"`{name}`" for name, network in scored.items() if network == TIMED]
        text = prose["same_kind" if same else "stand_ins"]
        parts.append(text.format(timed=TIMED, same=" and ".join(same), count=len(scored)))
    groups: dict[str, list[Entry]] = {}
    for entry in record.cases:
        name = entry.name.partition("/")[0]
        groups.setdefault("detect" if name == "side" else name, []).append(entry)
    for name, entries in groups.items():
        parts.append(f"## {GROUPS.get(name, name)}\n")
        parts += [prose[name]] if name in GROUPS else []
        if done := [entry for entry in entries if entry.status == MEASURED]:
            parts.append(group_table(name, done).markdown(titled=False))
        parts += [
            f"- `{e.name}`: {e.status}: {e.reason}\n" for e in entries if e.status != MEASURED
        ]
        if name == "detect" and figure:
            parts.append(f"![Cost over the side of the input]({figure})\n")
    if volumes:
        parts += [prose["volumes"], speed_table(volumes).markdown(titled=False)]
    asked = {"path": next(iter(records)), "paths": " ".join(records)}
    return "\n".join([*parts, prose["repeat"].format(**asked)])


def _cases(record: Record) -> str:
    """Which cases a record has, in words."""
    groups = Counter(entry.name.partition("/")[0] for entry in record.cases)
    return ", ".join(f"{count} of {name}" for name, count in groups.items())


def measured_volumes(source: Path) -> list[dict[str, Any]]:
    """Time and memory of volumes of electron microscopy, which lie beside the folder of a record.

    Args:
        source: the record's file.
    """
    path = source.parent.parent / "neurites" / "speed.json"
    return json.loads(path.read_text(encoding="utf-8"))["speed"] if path.is_file() else []


def write_page(records: Mapping[Path, Record], out: str | Path) -> None:
    """Write the page, whose paths are relative to its folder, and its figure beside the first
    record.

    Args:
        records: what the files of records hold, as for `page`.
        out: the page's file.
    """
    source, out = next(iter(records)), Path(out)
    drawn = scaling_figure(joined(list(records.values())))
    place = source.with_name(FIGURE)
    known = _of_page(out)
    demand_own([out, *([place] if drawn else [])], list(records), known)
    if drawn is not None:
        replace_own(place, lambda part: part.write_bytes(drawn.png()), known=known)
    shown = _below(place, out) if drawn else ""
    named = {_below(path, out): record for path, record in records.items()}
    text = page(named, shown, measured_volumes(source))
    replace_own_text(out, text, known)


def _of_page(out: Path) -> Callable[[Path], bool]:
    """Whether a file without a record, as those that are shipped, is a page of `write_page`, or the
    figure that it shows."""
    text = out.read_text(encoding="utf-8", errors="replace") if out.is_file() else ""
    if not text.startswith(_prose()["introduction"]):
        return lambda path: False
    shown = re.findall(r"\]\(([^()#]+)\)", text)
    return lambda path: path == out or _below(path, out) in shown


def scaling_figure(record: Record) -> ReportFigure | None:
    """`detect` over the side of the input, both axes logarithmic; None below two sizes."""
    points = sides(record)
    if len(points) < 2:
        return None
    figure = ReportFigure(1, 3.2)
    ax = figure.subplots()
    px, ratios = list(points), [entry.ratio for entry in points.values()]
    spread = [[entry.ratio - entry.q1 for entry in points.values()]]
    spread.append([entry.q3 - entry.ratio for entry in points.values()])
    ax.errorbar(px, ratios, spread, color=BLUE, marker="o", markersize=5, capsize=3, label="detect")
    linear = [ratios[-1] * (side / px[-1]) ** 2 for side in px]
    ax.plot(px, linear, color=GRAY, linestyle="--", label="in proportion to the pixels")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(px, [str(side) for side in px], fontsize=FONT)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("side of the input, px", fontsize=FONT)
    ax.set_ylabel("R", fontsize=FONT)
    ax.tick_params(labelsize=FONT)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize=FONT)
    return figure


def _prose() -> dict[str, str]:
    """The texts of the page by name."""
    template = files("sebre.bench").joinpath("performance_page.md").read_text(encoding="utf-8")
    _, *pieces = re.split(r"<!-- (\w+) -->\n", template)
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def _below(path: Path, out: Path) -> str:
    """A path as a page refers to it, relative to the page's folder where it lies below."""
    path, folder = path.resolve(), out.resolve().parent
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _machine(record: Record, prose: dict[str, str]) -> str:
    machine, entries = record.machine, record.measured.values()
    text = prose["machine"].format(
        record=record,
        machine=machine,
        memory=number(machine["memory_gib"], 1),
        flags=", ".join(machine["flags"] or ["unknown"]),
        versions=", ".join(f"{n} {v}" for n, v in machine["versions"].items() if v),
    )
    seconds = [e.r_seconds for e in entries if e.unit == "R" and e.r_seconds is not None]
    if seconds:
        text += prose["reference"].format(
            r=median_high(seconds), least=min(seconds), greatest=max(seconds), rates=_rates(entries)
        )
    peers = [e.peer.versions for e in entries if e.peer is not None]
    if not peers:
        return text + prose["no_peer"]
    known = sorted({f"{name} {version}" for found in peers for name, version in found.items()})
    return text + prose["peer"].format(versions=", ".join(known))


def _rates(entries: Iterable[Entry]) -> str:
    """The rates of matrix products in words, the median over the cases for each precision."""
    found = {}
    for field, dtype in RATES.items():
        if values := [rate for entry in entries if (rate := getattr(entry, field))]:
            found[dtype] = f"{median_high(values):.0f} GFLOP/s in {dtype}"
    return " and ".join(found.values())
