"""Targets and the ways that were tried, as they stand in `targets.csv` and `ways.csv`."""

from dataclasses import dataclass
from pathlib import Path

from sebre.data.csv_tables import read_table

TARGETS_FILE = Path(__file__).with_name("targets.csv")
WAYS_FILE = Path(__file__).with_name("ways.csv")

AT_LEAST, AT_MOST = ">=", "<="
_RESTORE = "Restore the file."


@dataclass(frozen=True)
class Target:
    """A number that should be reached.

    Attributes:
        data: test set, and how it is kept apart.
        what: is measured, in words.
        relation: AT_LEAST or AT_MOST.
        value: that number.
        measure: how it is looked up: a name that `sebre.report.targets.target_measures` knows.
        region: of a measure of one region.
        file: of the result that answers it, under `results`, scores from 0.3; empty without.
        strict_file: the same at the paper's cut-off of 0.9.
        otherwise: what the target allows in place of the number.
        why_not: why no result answers it.
        ways: the ways that were tried, a name in `ways.csv`.
    """

    data: str
    what: str
    relation: str
    value: float
    measure: str
    region: str
    file: str
    strict_file: str
    otherwise: str
    why_not: str
    ways: str

    @property
    def name(self) -> str:
        """Data and measure, in words."""
        return f"{self.data}: {self.what}"

    @property
    def wanted(self) -> str:
        """The relation and the number, in words."""
        words = {AT_LEAST: "at least", AT_MOST: "at most"}
        return f"{words[self.relation]} {self.value:g}"

    def short_of(self, value: float) -> float:
        """How far a value is from the target; 0 or less where it is met."""
        return self.value - value if self.relation == AT_LEAST else value - self.value


@dataclass(frozen=True)
class Way:
    """A way that was tried to meet targets.

    Attributes:
        ways: name that targets have for it and others.
        way: in words.
        file: of its result, under `results`; empty where none is stored.
        page: where it is written down, from the root of the repository.
        section: anchor of the heading there.
    """

    ways: str
    way: str
    file: str
    page: str
    section: str

    @property
    def link(self) -> str:
        """The way, with a link to where it is written down, in Markdown."""
        return f"[{self.way}]({self.page}#{self.section})"


def read_targets(path: str | Path = TARGETS_FILE) -> tuple[Target, ...]:
    """All targets, in the order of the file."""
    columns = [name for name in Target.__dataclass_fields__ if name != "strict_file"]
    rows = read_table(path, [*columns, "file_at_0.9"], _RESTORE)
    return tuple(
        Target(
            **{name: row[name] for name in columns if name != "value"},
            value=float(row["value"]),
            strict_file=row["file_at_0.9"],
        )
        for row in rows
    )


def read_ways(path: str | Path = WAYS_FILE) -> tuple[Way, ...]:
    """All ways, in the order of the file."""
    columns = list(Way.__dataclass_fields__)
    rows = read_table(path, columns, _RESTORE)
    return tuple(Way(**{name: row[name] for name in columns}) for row in rows)
