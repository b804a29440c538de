"""Scores of `sebre areas evaluate` and `sebre.areas.area_experiments`, as tables and figures."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sebre.report import style
from sebre.report.markdown import NONE, Table, number

FOLDER = "areas"
_KINDS = ("plates", "gaps", "pretraining", "transfer")
_METHODS = {
    "copy of the nearer": "copy of the nearer plate",
    "carried": "labels carried by registration",
    "shapes": "shapes passing into each other",
    "network": "network, trained on the two plates",
    "combined": "network and carried labels",
}
_COLORS = (style.BLUE, style.VERMILION, "0.5", "C2", "C4")
_PLATE_NOTES = (
    "Nissl plates of one brain, 0.1 mm apart, 17 areas. Dice is the mean over areas of their mean "
    "over the plates on which they are drawn; right area is the share of the drawn cortex, areas "
    "that have no name of their own included (`cortex given`: the likeliest area, where cortex is "
    "drawn); intervals are of draws of plates. `more` is the "
    "difference in Dice: of copies from the plain copy of the nearest, of networks with a prior "
    "from the same network without.",
    "Plates left out take part in the registration, their labels do not. `every:4:2` is each "
    "fourth plate, `block:83:87` five in a row. One training of seed 0 where nothing else is said. "
    "Trainings of 3,600 steps were begun after that of 1,800 had been scored, as its loss still "
    "fell: a first one of seed 0 (network and copy, prior of the nearest: 0.753 and 0.820), then "
    "those of three seeds that stand here, then these again as the mean of five views (as they "
    "lie, turned by 6 degrees to either side, 6 % smaller and larger; 0.746 and 0.814). Rows that "
    "are told where the cortex is came last. So the same plates were scored five times.",
)
_EACH_NOTE = (
    "Dice and right area of the mean of the networks' probabilities, and of each network alone."
)
_WRONG_NOTE = (
    "Of cortex where a wrong prior expects another area than is drawn, `right` is the share that "
    "the network still gets right and `followed` the share that is as the prior has it."
)
_LARGE = ("VISp", "SSp-bfd", "RSPv")
_GAP_NOTE = (
    "Both annotated plates stand in the name of a gap. Only areas that are drawn on at least one "
    "of them count, as others cannot be found. Networks learned from these two plates alone, 250 "
    "steps, one seed. That labels carried are the default of `sebre areas fill` was chosen on the "
    "gap 62-70. Where a gap has no row for networks, none was trained. Large areas: their Dice."
)
_PRETRAINING_NOTE = (
    "The siamese network saw patches of 2.2 mm, upright within 15 degrees, of 23 plates, without "
    "areas. Pairs lie on plates at most 6 apart; `always the median` tells the same for all. The "
    "probe is the commonest area of the 7 nearest codes of learned plates, for patches of the 8 "
    "plates held out; a random encoder is the same network untrained (three draws)."
)
_TRANSFER_NOTE = (
    "Networks without a prior, {steps} steps each, on evenly spread annotated plates; tested on "
    "the 8 plates left out, which the siamese encoder never saw. Copies are of the nearest "
    "annotated plate. `more` is the difference in Dice from random weights, the mean over the "
    "seeds; its interval is of draws of plates."
)


def read_areas(folder: str | Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the files of a folder of results hold, by kind, and what is wrong with which."""
    found: dict[str, Any] = {}
    problems = []
    for path in sorted((Path(folder) / FOLDER).glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            part = _part(record)
            area_tables(part)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            problems.append(f"{path}: not what `sebre areas evaluate` writes ({error!r}).")
            continue
        for kind, rows in part.items():
            found[kind] = found.get(kind, []) + rows
    return found, tuple(problems)


def _part(record: Mapping[str, Any]) -> dict[str, list[Any]]:
    if "rows" in record:
        name = record["split"]
        if "settings" in record:
            name += f", {record['settings']['steps']:,} steps"
        seeds, each = record.get("seeds", ()), record.get("each", ())
        if each:
            name += f", mean of {len(seeds)} networks"
        return {"plates": [{"split": name, "rows": record["rows"], "each": each, "seeds": seeds}]}
    (kind,) = (k for k in _KINDS if k in record)
    if kind == "gaps":
        gaps = record[kind]
        return {kind: [{"kind": gaps["kind"], **gap} for gap in gaps["gaps"]]}
    return {kind: [record[kind]]}


def area_tables(found: Mapping[str, Any]) -> tuple[Table, ...]:
    """Plates left out, gaps, what was learned without labels, and starts of trainings."""
    return (
        Table(
            "Areas on plates left out",
            ("left out", "by", "Dice", "right area", "cortex", "more"),
            tuple(_plates(found.get("plates", ()))),
            notes=_PLATE_NOTES,
        ),
        Table(
            "Areas by several networks and by each",
            ("left out", "by", "together", "each, by seed"),
            tuple(_each(found.get("plates", ()))),
            notes=(_EACH_NOTE,),
        ),
        Table(
            "Is a wrong prior followed?",
            ("left out", "by", "right", "followed"),
            tuple(_wrong(found.get("plates", ()))),
            notes=(_WRONG_NOTE,),
        ),
        Table(
            "Gaps between two annotated plates",
            ("gap", "by", "Dice", "right area", "more", "large areas"),
            tuple(_gaps(found.get("gaps", ()))),
            notes=(_GAP_NOTE,),
        ),
        Table(
            "Learned without labels",
            ("measure", "siamese", "to compare"),
            tuple(_pretraining(found.get("pretraining", ()))),
            notes=(_PRETRAINING_NOTE,),
        ),
        Table(
            "Starts of a training",
            ("annotated plates", "start", "seeds", "Dice", "right area", "more"),
            tuple(_transfer(found.get("transfer", ()))),
            notes=tuple(_TRANSFER_NOTE.format(**r) for r in found.get("transfer", ())),
        ),
    )


def _plates(records: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, ...]]:
    for record in records:
        for name, row in record["rows"].items():
            yield (
                record["split"],
                name,
                _with_interval(row["dice"], row["dice_interval"]),
                _with_interval(row["accuracy"], row["accuracy_interval"]),
                number(row["cortex_dice"]),
                _more(row),
            )


def _each(records: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, ...]]:
    def both(row: Mapping[str, Any]) -> str:
        return f"{number(row['dice'])}, {number(row['accuracy'])}"

    for record in records:
        for name, row in record["rows"].items() if record["each"] else ():
            if name.startswith("network"):
                singly = zip(record["seeds"], record["each"], strict=True)
                alone = "; ".join(f"{seed}: {both(rows[name])}" for seed, rows in singly)
                yield record["split"], name, both(row), alone


def _wrong(records: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, ...]]:
    keys = ("right_where_wrong", "followed_where_wrong")
    for record in records:
        for name, row in record["rows"].items():
            if keys[0] in row:
                yield (record["split"], name, *(number(row[key]) for key in keys))


def _gaps(records: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, ...]]:
    for record in records:
        layers = ", layers" if record["kind"] == "layers" else ""
        gap = f"{record['gap']}, {record['mm']:.1f} mm{layers}"
        for name, row in record["rows"].items():
            cells = (_METHODS[name], number(row["dice"]), number(row["accuracy"]), _more(row))
            large = [f"{a} {row['by_area'][a]:.2f}" for a in _LARGE if a in row["by_area"]]
            yield (gap, *cells, ", ".join(large) or NONE)


def _pretraining(records: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, ...]]:
    for record in records:
        for name, words in (("held_out", "plates held out"), ("learned", "plates learned from")):
            told = record["distances"][name]
            median = f"always the median: {number(told['median_error_mm'])}"
            yield f"error of distances, mm, {words}", number(told["error_mm"]), median
            yield f"correlation, {words}", number(told["correlation"]), NONE
        probe = record["probe"]
        chance = [p["accuracy"] for p in record["probe_random_encoder"]]
        spread = f"random encoder: {', '.join(map(number, chance))}"
        beside = f"{spread}; commonest area: {number(probe['commonest'])}"
        yield f"area of 7 nearest, {probe['patches']} patches", number(probe["accuracy"]), beside
        groups = record["clusters"]
        words = f"shared information of {groups['count']} clusters with areas"
        yield words, number(groups["shared_information"]), NONE
        borders = record["borders"]
        words = "correlation of code distance with area borders"
        chance = f"random encoder: {number(borders['random_encoder']['correlation'])}"
        yield words, number(borders["learned"]["correlation"]), chance


def _transfer(records: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, ...]]:
    for record in records:
        runs = record["runs"]
        for count, start in dict.fromkeys((r["count"], r["start"]) for r in runs):
            these = [r for r in runs if (r["count"], r["start"]) == (count, start)]
            means = [float(np.mean([r[key] for r in these])) for key in ("dice", "accuracy")]
            seeds = NONE if these[0]["seed"] is None else str(len(these))
            more = NONE
            if start == "siamese":
                (paired,) = (p for p in record["paired"] if p["count"] == count)
                more = _with_interval(paired["more_dice"], paired["interval"], "+.3f")
            yield str(count), start, seeds, *map(number, means), more


def _more(row: Mapping[str, Any]) -> str:
    if "more_dice" not in row:
        return NONE
    return _with_interval(row["more_dice"], row["more_dice_interval"], "+.3f")


def _with_interval(value: float, interval: list[float] | None, form: str = ".3f") -> str:
    if interval is None:
        return f"{value:{form}}"
    return f"{value:{form}} [{interval[0]:{form}}, {interval[1]:{form}}]"


def area_figures(found: Mapping[str, Any]) -> dict[str, tuple[str, style.ReportFigure]]:
    """Caption and figure by name: Dice over the distance to annotated plates; a map of codes."""
    made = {}
    # Means of other gaps for one way than for another would not compare.
    gaps = [
        gap
        for gap in found.get("gaps", ())
        if gap["kind"] == "areas" and gap["rows"].keys() == _METHODS.keys()
    ]
    if gaps:
        caption = "Areas: Dice by distance to the nearer annotated plate"
        made["areas_gaps"] = (caption, _gap_figure(gaps))
    for record in found.get("pretraining", ()):
        caption = "Areas: clusters of codes learned without labels, on some plates"
        made["areas_map"] = (caption, _map_figure(record["map"]))
    return made


def _gap_figure(gaps: list[Mapping[str, Any]]) -> style.ReportFigure:
    def draw(ax: Axes) -> None:
        for (method, words), color in zip(_METHODS.items(), _COLORS, strict=True):
            values: dict[float, list[float]] = {}
            for gap in gaps:
                for row in gap["rows"][method]["by_section"].values():
                    values.setdefault(round(row["distance_mm"], 1), []).append(row["dice"])
            places = sorted(values)
            means = [float(np.nanmean(values[place])) for place in places]
            ax.plot(places, means, "o-", color=color, label=words, markersize=3)
        ax.set_xlabel("mm to the nearer annotated plate", fontsize=style.FONT)
        ax.set_ylabel("mean Dice", fontsize=style.FONT)
        ax.set_ylim(0, 1)
        ax.legend(fontsize=style.FONT - 2, frameon=False)

    figure = style.ReportFigure(2, 3.4)
    draw(figure.subplots())
    return figure


def _map_figure(points: Mapping[str, Any]) -> style.ReportFigure:
    section, place = np.array(points["section"]), np.array(points["place"])
    cluster = np.array(points["cluster"])
    chosen = np.unique(section)
    figure = style.ReportFigure(3, 2.4)
    for ax, n in zip(figure.subplots(1, len(chosen), squeeze=False).flat, chosen, strict=True):
        rows, columns = place[section == n].T
        colors = cluster[section == n]
        ax.scatter(columns, -rows, c=colors, cmap="tab20", vmin=0, vmax=19, s=14)
        ax.set_aspect("equal")
        ax.set_axis_off()
    return figure
