"""The paper's kind of split beside one by subject, on the test sections that both have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mrcnn.errors import UserError
from sebre.data.csv_tables import read_table
from sebre.data.listing import visible
from sebre.evaluation.bootstrap import paired_difference
from sebre.evaluation.same_sections import FILES, UNIT
from sebre.evaluation.scores import SectionScore
from sebre.report.markdown import NONE, Table, notes, number, signed, units
from sebre.report.records import SPLITS_FOLDER, Result, at_cut_off, of_network, score_of
from sebre.report.tables import split_of


@dataclass(frozen=True)
class SharedSections:
    """A file of `sebre.evaluation.same_sections`: its name, and rows of names of sections."""

    file: str
    rows: Sequence[dict[str, str]]

    @property
    def dataset(self) -> str:
        """The data set that was divided."""
        return self.file.removesuffix(FILES.lstrip("*"))

    @property
    def rules(self) -> list[str]:
        """Rules of the splits."""
        return [column for column in self.rows[0] if column != UNIT]

    def of(self, result: Result) -> list[SectionScore] | None:
        """Its scores of these sections, in one order and with one name in all results, by subject;
        None for a result of another split, or one that lacks a section."""
        rule = split_of(result)["rule"]
        if result.record.dataset != self.dataset or rule not in self.rules:
            return None
        scores = {section.section: section for section in result.record.sections}
        if any(row[rule] not in scores for row in self.rows):
            return None
        first = self.rules[0]
        return [
            replace(scores[row[rule]], section=row[first], unit=row[UNIT] or None)
            for row in self.rows
        ]


def read_shared(folder: str | Path) -> tuple[tuple[SharedSections, ...], tuple[str, ...]]:
    """All files of shared sections of a folder of results, and what is wrong with which file."""
    found, problems = [], []
    inside = Path(folder) / SPLITS_FOLDER
    for path in visible(inside, FILES) if inside.is_dir() else ():
        cure = "Make it again: python -m sebre.evaluation.same_sections"
        try:
            rows = read_table(path, [UNIT], cure)
            if not rows or len(rows[0]) != 3:
                raise UserError(f"{path}: wanted rows of a subject and two names. {cure}")
            found.append(SharedSections(path.name, rows))
        except (UserError, OSError) as error:
            problems.append(str(error))
    return tuple(found), tuple(problems)


def shared_table(
    results: Sequence[Result],
    splits: Sequence[Result],
    paper_network: Sequence[Result],
    shared: Sequence[SharedSections],
) -> Table:
    """Networks of both splits on the same sections; differences are to that of `results`."""
    rows, below = [], []
    others = (*splits, *at_cut_off(paper_network, strict=False))
    for same in shared:
        found = list(_scored(results, others, same))
        rows += found
        if found:
            people = len({row[UNIT] for row in same.rows})
            file = f"results/{SPLITS_FOLDER}/{same.file}"
            values = {"n": len(same.rows), "people": units(people, UNIT), "file": file}
            below += notes("shared_sections", **values)
    header = ("weights", "split", "mAP", "mean Dice", "mAP", "mean Dice", "over")
    groups = ("", "") + ("on the same sections",) * 2 + ("minus our split's",) * 2 + ("",)
    return Table("Both splits on the same sections", header, tuple(rows), groups, tuple(below))


def _scored(
    results: Sequence[Result], others: Sequence[Result], same: SharedSections
) -> Iterator[tuple[str, ...]]:
    ours = next((r for r in of_network(results) if same.of(r) is not None), None)
    if ours is None:
        return
    mine = same.of(ours)
    for result in (ours, *of_network(others)):
        theirs = same.of(result)
        if theirs is None:
            continue
        ap, dice = (
            None if result is ours else paired_difference(theirs, mine, key, unit=UNIT)
            for key in ("ap", "dice")
        )
        yield (
            result.record.weights,
            split_of(result)["rule"],
            *(number(score_of(theirs, key)) for key in ("ap", "dice")),
            *(signed(ap), signed(dice)),
            units(dice.n_units, dice.unit) if dice else NONE,
        )
