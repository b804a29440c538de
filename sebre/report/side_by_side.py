"""`sebre compare A.json B.json ...`: results of one's own networks side by side.

Values with their 95 % intervals, and differences to the first file with intervals of their own,
paired by section (`sebre.evaluation.bootstrap.paired_difference`). A difference is only there where
the two are scores of the same sections with the same regions drawn; what differs is said.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mrcnn.errors import MissingFileError, UserError, reading
from mrcnn.io.own_files import demand_own, replace_own_text
from sebre.data.listing import some
from sebre.evaluation.bootstrap import Difference, paired_difference
from sebre.evaluation.scores import Evaluation, SectionScore
from sebre.evaluation.stored import RecordFault
from sebre.report.markdown import NONE, Table, count, signed, units, with_interval
from sebre.report.records import Result, interval_of

OUTPUTS = ("comparison.md", "comparison.csv")

_MEANS = (("mean Dice", "dice_mean", "dice"), ("mAP", "map_paper", "ap"))
# Settings of detection that scores depend on, as they are called in words.
_SETTINGS = {
    "detection_min_confidence": "lowest score that counts",
    "best_per_class": "best detection of each region only",
}


@dataclass(frozen=True)
class Comparison:
    """Tables, and what must be known to read them.

    Attributes:
        tables: of the sections as they lie, and turned where all files have such scores.
        refused: why there are no differences to a file.
        notes: what else differs.
    """

    tables: tuple[Table, ...]
    refused: tuple[str, ...]
    notes: tuple[str, ...]


def compare_files(paths: Sequence[str | Path]) -> Comparison:
    """Two or more files of `sebre evaluate`; the first is what the others are compared with.

    Raises:
        UserError: fewer than two files, one that is named twice, or none of `sebre evaluate`.
    """
    paths = [Path(path) for path in paths]
    if len(paths) < 2:
        raise UserError(f"{paths[0]}: one file alone; give two or more results to compare.")
    places = [path.resolve() for path in paths]
    if twice := next((p for i, p in enumerate(places) if p in places[:i]), None):
        raise UserError(f"{twice}: named twice. Give each result once.")
    results = [_read(path) for path in paths]
    names = _names(paths)
    first, refused, notes = results[0], [], []
    for result, name in zip(results[1:], names[1:], strict=True):
        if why := _unlike(first, result):
            refused.append(f"{names[0]} and {name} are not scores of the same: {'; '.join(why)}.")
        notes += [f"{names[0]} and {name}: {text}." for text in _settings(first, result)]
    both = all(result.record.turned is not None for result in results)
    tables = [_table(results, names, turned) for turned in (False, True)[: 1 + both]]
    return Comparison(tuple(tables), tuple(refused), tuple(notes))


def write_comparison(found: Comparison, out: Path) -> None:
    """Write the tables, and what is said of them, to a folder; see `OUTPUTS`."""
    page, sheet = (out / name for name in OUTPUTS)
    demand_own([page, sheet])
    said = [f"- {line}" for line in (*found.refused, *found.notes)]
    text = [table.markdown() for table in found.tables]
    replace_own_text(page, "\n".join([*text, *said]).rstrip() + "\n")
    replace_own_text(sheet, "\n".join(f"{t.title}\n{t.csv()}" for t in found.tables))


def _read(path: Path) -> Result:
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file. Give files that `sebre evaluate` wrote.")
    with reading(path, "this result of `sebre evaluate`", "Score the network again."):
        content = json.loads(path.read_text(encoding="utf-8"))
    try:
        record = Evaluation.from_json(content)
    except RecordFault as error:
        raise UserError(
            f"{path}: not a whole result of `sebre evaluate`: {error}. Score the network again."
        ) from error
    return Result(path.stem, record)


def _names(paths: Sequence[Path]) -> list[str]:
    """The stems of the files; with their folders where two have the same."""
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    return [path.with_suffix("").as_posix() for path in paths]


def _unlike(one: Result, other: Result) -> list[str]:
    """Why the scores of two files are not of the same sections with the same regions."""
    mine, theirs = one.record, other.record
    found = [
        f"{what} {a!r} and {b!r}"
        for what, a, b in (
            ("data set", mine.dataset, theirs.dataset),
            ("part", mine.subset, theirs.subset),
            ("split", _rule(mine), _rule(theirs)),
        )
        if a != b
    ]
    drawn, others = ({s.section: {*s.regions} for s in r.sections} for r in (mine, theirs))
    if drawn.keys() != others.keys():
        alone = sorted(drawn.keys() ^ others.keys())
        found.append(f"{len(alone)} section(s) are in one of them only ({some(alone)})")
    known = {*one.regions} & {*other.regions}
    if not known:
        found.append("no region is in both")
    unlike = [
        name for name in drawn.keys() & others.keys() if drawn[name] & known != others[name] & known
    ]
    if unlike:
        found.append(f"{len(unlike)} section(s) show other regions ({some(sorted(unlike))})")
    return found


def _rule(record: Evaluation) -> str:
    """How a data set was divided, in words."""
    split = record.split
    if not isinstance(split, dict):
        return "not recorded" if split is None else str(split)
    return f"{split.get('rule')}, seed {split.get('seed')}"


def _settings(one: Result, other: Result) -> list[str]:
    """What differs, although the sections may be the same."""
    found = []
    only = [sorted({*a.regions} - {*b.regions}) for a, b in ((one, other), (other, one))]
    for names, where in zip(only, ("first", "second"), strict=True):
        if names:
            found.append(f"only the {where} looks for {', '.join(names)}")
    for key, words in _SETTINGS.items():
        mine, theirs = getattr(one.record, key), getattr(other.record, key)
        if mine != theirs:
            found.append(f"{words}: {mine} and {theirs}")
    return found


def _table(results: Sequence[Result], names: Sequence[str], turned: bool) -> Table:
    regions = list(dict.fromkeys(name for result in results for name in result.regions))
    others = [] if turned else results[1:]  # single turned sections are not in the files
    rows = []
    for region in regions:
        cells = [
            with_interval(
                result.at(turned).region(region).dice, interval_of(result, "dice", region, turned)
            )
            for result in results
        ]
        differences = [_difference(results[0], one, "dice", region) for one in others]
        shown = max(result.at(turned).region(region).n or 0 for result in results)
        rows.append(_row(region.replace("_", " "), cells, differences, count(shown)))
    for title, measure, key in _MEANS:
        cells = [
            with_interval(
                result.value(measure, turned=turned), interval_of(result, measure, None, turned)
            )
            for result in results
        ]
        differences = [_difference(results[0], one, key) for one in others]
        sections = max(result.at(turned).n_sections for result in results)
        rows.append(_row(title, cells, differences, count(sections)))
    minus = [f"{name} minus {names[0]}" for name in names[1 : 1 + len(others)]]
    header = ("region", *names, *(part for text in minus for part in (text, "over")), "n")
    title = "Dice at random orientations" if turned else "Dice of the sections as they lie"
    return Table(title, header, tuple(rows))


def _row(
    title: str, cells: Sequence[str], differences: Sequence[Difference | None], n: str
) -> tuple[str, ...]:
    pairs = [(signed(d), units(d.n_units, d.unit) if d else NONE) for d in differences]
    return (title, *cells, *(cell for pair in pairs for cell in pair), n)


def _difference(
    first: Result, other: Result, key: str, region: str | None = None
) -> Difference | None:
    """Of another file to the first; None where they are not of the same."""
    if _unlike(first, other):
        return None
    known = {*first.regions} & {*other.regions}
    if key == "ap" and known != {*first.regions} | {*other.regions}:
        return None  # it pools all regions
    wanted = known if region is None else {region} & known
    sections = [_only(result.record.sections, wanted) for result in (other, first)]
    return paired_difference(*sections, key, unit=first.at().interval_unit)


def _only(sections: Sequence[SectionScore], regions: set[str]) -> list[SectionScore]:
    """Sections with some of their regions, in the order of their names."""
    kept = [
        replace(one, regions={name: r for name, r in one.regions.items() if name in regions})
        for one in sections
    ]
    return sorted(kept, key=lambda one: one.section)
