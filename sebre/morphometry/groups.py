"""`sebre morphometry`: size and shape of predicted regions, by age or any other fact of an animal.

The unit is the animal: what its sections measure is averaged first, then animals are, and the
95 % intervals are those of draws of animals (`sebre.evaluation.bootstrap`). Sections of one animal
resemble each other; intervals over sections would be too narrow.

| measure | per animal |
|---|---|
| `area_mm2`, or `area_px` where no section has a pixel size | mean over the sections that show it |
| `tissue_share` | the same, of the region's share of the tissue |
| `solidity` | area over area of the convex hull |
| `box_aspect` | height over width of the box; depends on how the section lies |
| `compactness` | 4 pi area / perimeter^2, 1 for a disk |
| `volume_mm3` | sum over its sections of area times distance; of whole scans their mean |
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.io.own_files import demand_own, replace_own_text
from sebre.data.csv_tables import write_table
from sebre.data.listing import natural, some
from sebre.evaluation.bootstrap import TALLY_DRAWS, UnitMeans, interval_of
from sebre.morphometry.animals import (
    TABLE,
    FactTable,
    PredictedSection,
    know_sections,
    read_predictions,
)
from sebre.morphometry.growth_figure import day_of, growth_figure, save_growth
from sebre.predict.name_claims import read_record

VOLUME = "volume_mm3"
MEASURES = (
    *("area_mm2", "area_px", "tissue_share", "solidity", "box_aspect", "compactness"),
    VOLUME,
)
OUTPUTS = ("morphometry.csv", "morphometry.json", "growth.png", "growth.svg")
_FEW = 5  # animals; an interval over fewer is narrower than it should be
_UM_A_MM = 1000.0

Row = Mapping[str, str]


@dataclass(frozen=True)
class Measure:
    """A mean over animals, and its 95 % interval (None below two animals)."""

    mean: float
    interval: tuple[float, float] | None
    n_animals: int


@dataclass(frozen=True)
class GroupRegion:
    """A region, or that of one hemisphere, in a group.

    Attributes:
        group: values of the facts that it was grouped by.
        region_id: class id.
        region: name.
        hemisphere: "left" or "right"; "" where the table does not say.
        n_animals: that show it.
        n_sections: that show it, without those that are left out.
        n_flagged: of all that show it, those with a flag.
        animals: of the group, with or without the region.
        sections: of the group.
        measures: by name, of `MEASURES`.
    """

    group: tuple[str, ...]
    region_id: int
    region: str
    hemisphere: str
    n_animals: int
    n_sections: int
    n_flagged: int
    animals: int
    sections: int
    measures: dict[str, Measure]

    @property
    def title(self) -> str:
        """Name with the hemisphere."""
        return " ".join(filter(None, (self.hemisphere, self.region)))


@dataclass
class Morphometry:
    """What was measured, and what is to be said of it."""

    by: tuple[str, ...]
    rows: list[GroupRegion]
    missing: list[str]  # sections that the table does not know
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A line for each region of each group: animals, sections, area."""
        made = []
        for row in self.rows:
            area = row.measures.get(self.unit)
            text = "-" if area is None else f"{area.mean:.4g}"
            if area is not None and area.interval is not None:
                text += " ({:.4g} to {:.4g})".format(*area.interval)
            counts = f"animals {row.n_animals:3d}  sections {row.n_sections:4d}"
            made.append(f"{' '.join(row.group):16} {row.title:26} {counts}  {self.unit} {text}")
        return made

    @property
    def unit(self) -> str:
        """What is told first: "area_mm2", else "area_px", else (of volumes) "volume_mm3"."""
        there = {name for row in self.rows for name in row.measures}
        return next(name for name in ("area_mm2", "area_px", VOLUME) if name in there)


def measure(
    folders: Sequence[str | Path],
    by: Sequence[str],
    table: str | Path | None = None,
    subject: str | None = None,
    trusted_only: bool = False,
    spacing_um: float | None = None,
    seed: int = 0,
) -> Morphometry:
    """Measure the regions of folders of predictions by group.

    Args:
        folders: each with a table `regions.csv`.
        by: columns of the table of facts: the first is the axis of the figure.
        table: CSV file with the column `image`, see `FactTable`; None reads ages from names.
        subject: whose animal a section is, see `know_sections`.
        trusted_only: leave out regions with a flag.
        spacing_um: distance of neighboring sections, where they are evenly spaced through the
            whole brain: then the volume is the sum of the areas times it (Cavalieri).
        seed: of the draws.

    Raises:
        UserError: tables that cannot be used, or no region to measure.
    """
    if trusted_only and spacing_um is not None:
        raise UserError(
            "--spacing-um: a volume is the sum over all sections of an animal, so none may be left "
            "out. Leave --trusted-only out."
        )
    sections = read_predictions(folders)
    facts = None if table is None else FactTable(table)
    known, missing, notes = know_sections(sections, by, facts, subject)
    if missing:
        notes.append(
            f"{len(missing)} section(s) left out, whose {', '.join(by)} "
            f"{'the names' if table is None else table} do not say: {some(missing, 20)}."
        )
    _demand_each_once(known)
    if spacing_um is not None:
        _demand_whole(known, [section for section in sections if section.image in missing])
    measures = _measures_of(known, spacing_um, notes)
    groups: dict[tuple[str, ...], list[PredictedSection]] = {}
    for section in known:
        groups.setdefault(tuple(section.facts[name] for name in by), []).append(section)
    if several := _scanned_again(groups.values()):
        notes.append(
            f"{len(several)} animal(s) have several scans in a group ({some(several)}), whose "
            "measures are averaged."
        )
    rows = [
        row
        for group in sorted(groups, key=_order)
        for row in _measured(group, groups[group], measures, trusted_only, seed)
    ]
    if not any(row.n_sections for row in rows):
        raise UserError(
            f"{known[0].folder / TABLE}: no region was found"
            + (" that has no flag. Leave --trusted-only out." if trusted_only else ".")
        )
    _remark(rows, notes, trusted_only)
    return Morphometry(tuple(by), rows, missing, notes)


def write(result: Morphometry, out: Path, drawn: str | None = None, **facts: Any) -> None:
    """Write the table, the record and the figure; see `OUTPUTS`.

    Args:
        result: of `measure`.
        out: folder.
        drawn: the measure of the figure; None for the volume where it is known, else the area.
        **facts: further entries of the record, such as the command.
    """
    paths = [out / name for name in OUTPUTS]
    demand_own(paths)
    there = {name for row in result.rows for name in row.measures}
    if drawn is None:
        drawn = next(name for name in (VOLUME, result.unit, *MEASURES) if name in there)
    elif drawn not in there:
        raise UserError(f"--draw {drawn}: not known here; there are {', '.join(sorted(there))}.")
    columns = [name for name in MEASURES if name in there]
    write_table(paths[0], *_cells(result, columns), replace_own_text)
    record = {
        **facts,
        "by": list(result.by),
        "interval": "95 %, percentiles of draws of animals",
        "draws": TALLY_DRAWS,
        "sections_left_out": result.missing,
        "notes": result.notes,
        "rows": [asdict(row) for row in result.rows],
    }
    replace_own_text(paths[1], json.dumps(record, indent=1) + "\n")
    groups = list(dict.fromkeys(row.group[0] for row in result.rows))
    figure = growth_figure(_panels(result, drawn), drawn, result.by[0], groups)
    save_growth(figure, paths[2], paths[3])


def _measures_of(
    sections: Sequence[PredictedSection], spacing_um: float | None, notes: list[str]
) -> dict[str, Callable[[Row], float | None]]:
    """How each measure is read of a row. Areas are in mm2, or all in px: never in both."""
    rows = [row for section in sections for row in section.rows if _is_found(row)]
    flat = [row for row in rows if not _is_volume(row)]
    sized = sum(_number(row, "area_mm2") is not None for row in flat)
    how: dict[str, Callable[[Row], float | None]] = {
        name: (lambda row, name=name: _number(row, name))
        for name in ("tissue_share", "solidity", VOLUME)
    }
    how |= {"box_aspect": _box_aspect, "compactness": _compactness}
    if flat:
        area = "area_mm2" if sized else "area_px"
        how[area] = lambda row: None if _is_volume(row) else _number(row, area)
    if flat and not sized:
        notes.append(
            "No section has a known pixel size: areas are in px, to be compared among pictures of "
            "one scale only. Predict with --pixel-um for mm2."
        )
    elif sized < len(flat):
        notes.append(
            f"{len(flat) - sized} of {len(flat)} regions have no area in mm2, as their pixel size "
            "is not known; they do not count in areas."
        )
    if spacing_um is None:
        return how
    if any(_number(row, VOLUME) is not None for row in rows):
        raise UserError("--spacing-um: the predictions have volumes already. Leave it out.")
    if not sized:
        raise UserError("--spacing-um: volumes need areas in mm2. Predict with --pixel-um.")
    if sized < len(flat):
        raise UserError(
            f"--spacing-um: {len(flat) - sized} of {len(flat)} regions have no area in mm2, so "
            "that volumes would be too small. Predict their sections with --pixel-um."
        )

    def volume(row: Row) -> float | None:
        value = _number(row, "area_mm2")
        return None if value is None else value * spacing_um / _UM_A_MM

    return how | {VOLUME: volume}


def _demand_each_once(sections: Sequence[PredictedSection]) -> None:
    """That no picture was predicted twice under two names, which would count it twice."""
    first: dict[tuple[str, ...], PredictedSection] = {}
    for section in sections:
        picture = str(read_record(section.folder, section.image).get("picture", {}).get("path", ""))
        if not picture:
            continue
        picture = str(Path(picture).absolute())
        for row in filter(_is_found, section.rows):
            key = (section.animal, picture, row["region"], _text(row, "hemisphere"))
            other = first.setdefault(key, section)
            if other is not section:
                names = [f"{one.folder}/{one.image}" for one in (other, section)]
                raise UserError(
                    f"{picture}: {row['region']} was found in it twice, as {' and '.join(names)}, "
                    "so that the section would count twice. Name one folder of the two, or predict "
                    "to a new folder."
                )


def _demand_whole(
    sections: Sequence[PredictedSection], left_out: Sequence[PredictedSection]
) -> None:
    """That volumes lack nothing: a region is of one side, or of both, in all sections of an animal,
    and no section of its brain is left out."""
    sides: dict[tuple[str, str], dict[str, str]] = {}
    for section in sections:
        for row in filter(_is_found, section.rows):
            side = _text(row, "hemisphere")
            sides.setdefault((section.animal, row["region"]), {}).setdefault(side, section.image)
    for (animal, region), images in sides.items():
        if "" in images and len(images) > 1:
            raise UserError(
                f"--spacing-um: {region} of {animal} is of one side in some sections, and of both "
                f"in {images['']}, which was not cut at its midline, so that volumes of the sides "
                "would be too small. Cut that section by hand, or leave the sides together."
            )
    brains = {(section.folder, section.brain) for section in sections if section.brain}
    if lost := [one.image for one in left_out if (one.folder, one.brain) in brains]:
        raise UserError(
            f"--spacing-um: {len(lost)} section(s) of brains that are measured are not in the "
            f"table ({some(lost)}), so that volumes would be too small. Add them to it."
        )


def _scanned_again(groups: Iterable[Sequence[PredictedSection]]) -> list[str]:
    """Animals of which a group has more than one scan."""
    scans = (Counter(s.animal for s in group if any(map(_is_volume, s.rows))) for group in groups)
    return sorted({animal for count in scans for animal, n in count.items() if n > 1})


def _measured(
    group: tuple[str, ...],
    sections: Sequence[PredictedSection],
    measures: Mapping[str, Callable[[Row], float | None]],
    trusted_only: bool,
    seed: int,
) -> list[GroupRegion]:
    """The regions of a group in the order of their ids."""
    found: dict[tuple[int, str, str], list[tuple[str, Row]]] = {}
    for section in sections:
        for row in section.rows:
            key = (int(row["region_id"]), row["region"], _text(row, "hemisphere"))
            shown = found.setdefault(key, [])
            if _is_found(row):
                shown.append((section.animal, row))
    made = []
    for key, shown in sorted(found.items()):
        flagged = sum(map(_is_flagged, (row for _, row in shown)))
        if trusted_only:
            shown = [(animal, row) for animal, row in shown if not _is_flagged(row)]
        made.append(
            GroupRegion(
                group,
                *key,
                n_animals=len({animal for animal, _ in shown}),
                n_sections=len(shown),
                n_flagged=flagged,
                animals=len({section.animal for section in sections}),
                sections=len(sections),
                measures=_over_animals(shown, measures, seed),
            )
        )
    return made


def _over_animals(
    shown: Sequence[tuple[str, Row]],
    measures: Mapping[str, Callable[[Row], float | None]],
    seed: int,
) -> dict[str, Measure]:
    """Means of what animals measure. A measure that no row has is left out."""
    values: dict[str, dict[str, list[float]]] = {}
    for animal, row in shown:
        mine = values.setdefault(animal, {})
        for name, read in measures.items():
            if (value := read(row)) is not None:
                mine.setdefault(name, []).append(value)
    # A scan is a whole animal; of several it is measured several times.
    sections = not any(_is_volume(row) for _, row in shown)
    result = {}
    for name in (name for name in MEASURES if name in measures):
        units = UnitMeans()  # of the animals that have this measure
        for animal, mine in values.items():
            if name in mine:
                whole = sum(mine[name]) if name == VOLUME and sections else np.mean(mine[name])
                units.add(animal, {name: float(whole)})
        if not len(units):
            continue
        columns: list[Hashable] = [name]
        weights = units.draws(TALLY_DRAWS, seed)
        drawn = None if weights is None else interval_of(units.means(columns, weights)[:, 0])
        result[name] = Measure(float(units.means(columns)[0, 0]), drawn, len(units))
    return result


def _remark(rows: Sequence[GroupRegion], notes: list[str], trusted_only: bool) -> None:
    flagged = sum(row.n_flagged for row in rows)
    shown = sum(row.n_sections for row in rows) + (flagged if trusted_only else 0)
    if trusted_only:
        notes.append(f"{flagged} of {shown} regions have a flag and are left out.")
    elif flagged:
        notes.append(f"{flagged} of {shown} regions have a flag and count; see --trusted-only.")
    animals = {row.group: row.animals for row in rows}
    single = [", ".join(group) for group, n in animals.items() if n < 2]
    if single:
        notes.append(
            f"No interval in {len(single)} of {len(animals)} group(s) with one animal "
            f"({some(single, 10)}): how much animals differ cannot be said."
        )
    few = [", ".join(group) for group, n in animals.items() if 2 <= n < _FEW]
    if few:
        notes.append(
            f"{len(few)} group(s) have fewer than {_FEW} animals ({some(few, 10)}): intervals from "
            "so few are narrower than they should be."
        )
    rare = [
        f"{', '.join(row.group)}: {row.title}"
        for row in rows
        if row.animals >= _FEW and 2 <= row.n_animals < _FEW
    ]
    if rare:
        notes.append(
            f"{len(rare)} region(s) were measured in fewer than {_FEW} animals of their group "
            f"({some(rare, 10)}): their intervals are narrower than they should be, too."
        )


def _cells(result: Morphometry, columns: Sequence[str]) -> tuple[list[str], list[dict[str, Any]]]:
    """Header and rows of the table."""
    ends = ("", "_low", "_high")
    counts = ("animals", "sections", "n_animals", "n_sections", "n_flagged")
    header = [*result.by, "region_id", "region", "hemisphere", *counts]
    header += [f"{name}{end}" for name in columns for end in ends]
    cells = []
    for row in result.rows:
        line = dict(zip(result.by, row.group, strict=True))
        line |= {name: getattr(row, name) for name in ("region_id", "region", "hemisphere")}
        line |= {name: getattr(row, name) for name in counts}
        for name, value in row.measures.items():
            numbers = (value.mean, *(value.interval or (None, None)))
            texts = ("" if number is None else f"{number:.6g}" for number in numbers)
            line |= {f"{name}{end}": text for end, text in zip(ends, texts, strict=True)}
        cells.append(line)
    return header, cells


def _panels(result: Morphometry, drawn: str) -> list[tuple[str, dict[str, list[Any]]]]:
    """For `growth_figure`: regions in the order of their ids, with their curves."""
    panels: dict[tuple[int, str], dict[str, list[Any]]] = {}
    for row in result.rows:
        value = row.measures.get(drawn)
        if value is not None:
            curves = panels.setdefault((row.region_id, row.title), {})
            point = (row.group[0], value.mean, value.interval, value.n_animals)
            curves.setdefault(", ".join(row.group[1:]), []).append(point)
    return [(title, curves) for (_, title), curves in sorted(panels.items())]


def _order(group: tuple[str, ...]) -> list[Any]:
    """Ages by day, other values in their natural order."""
    days = [day_of(value) for value in group]
    return [
        (0, day, []) if day is not None else (1, 0, natural(Path(value)))
        for day, value in zip(days, group, strict=True)
    ]


def _is_found(row: Row) -> bool:
    return (_text(row, "found") or "yes").lower() == "yes"


def _is_flagged(row: Row) -> bool:
    return bool(_text(row, "flags"))


def _is_volume(row: Row) -> bool:
    """Whether a row is of a region of a scan, whose "area" counts voxels."""
    return not _text(row, "area_mm2") and bool(_text(row, "volume_mm3"))


def _text(row: Row, column: str) -> str:
    return (row.get(column) or "").strip()


def _number(row: Row, column: str) -> float | None:
    text = _text(row, column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise UserError(
            f"{TABLE}, {row['image']}, {row['region']}: {column} is {text!r}; wanted a number or "
            "nothing. Predict again."
        ) from error
    return value if math.isfinite(value) else None


def _box_aspect(row: Row) -> float | None:
    y1, x1, y2, x2 = (_number(row, name) for name in ("y1", "x1", "y2", "x2"))
    if None in (y1, x1, y2, x2) or x2 <= x1:
        return None
    return (y2 - y1) / (x2 - x1)


def _compactness(row: Row) -> float | None:
    area, perimeter = _number(row, "area_px"), _number(row, "perimeter_px")
    return 4 * math.pi * area / perimeter**2 if area and perimeter else None
