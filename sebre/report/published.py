"""The numbers that the paper prints, as tables: `published_scores.csv`, and `published_facts.csv`.

The first is of scores and of what the Methods say; the second has numbers that stand elsewhere.

The paper is Iqbal, Khan and Karayannis, Nature Machine Intelligence 1, 277-287 (2019).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mrcnn.errors import UserError
from sebre.data.csv_tables import read_table

SCORES_FILE = Path(__file__).with_name("published_scores.csv")
FACTS_FILE = Path(__file__).with_name("published_facts.csv")

# The test sets of the paper, by the names that the experiments have here.
PAPER_NAMES = {
    "p14_mouse": "mouse P14 original test set",
    "extended_mouse": "mouse extended P4/P14/P56 test set",
    "hippocampus": "mouse hippocampus subregions",
    "ibsr": "IBSR human MRI",
}

_COLUMNS = (
    "experiment",
    "table_or_figure",
    "method",
    "region",
    "metric",
    "value",
    "unit",
    "source",
)


@dataclass(frozen=True)
class PublishedScore:
    """One number of the paper, and its source.

    Attributes:
        experiment: data that it is of, in the paper's words.
        where: table, figure or part of the text.
        method: "SeBRe", or the rival.
        region: in the paper's words, such as "Caudate (left)"; "all"; or empty.
        metric: such as "dice_mean", "mAP".
        value: None where the paper only plots it.
        unit: as far as the paper states it.
    """

    experiment: str
    where: str
    method: str
    region: str
    metric: str
    value: float | None
    unit: str
    source: str

    @property
    def region_name(self) -> str:
        """The region as `sebre.data.regions` names it: "left_caudate" for "Caudate (left)"."""
        structure, _, side = self.region.rstrip(")").partition(" (")
        return "_".join([side, structure.lower()] if side else structure.split())


def read_published(*paths: str | Path) -> tuple[PublishedScore, ...]:
    """All numbers of the paper, in the order of the files; `value` is empty where there is none.

    `paths` are files of this form; none are both that come with the package.
    """
    return tuple(
        score for path in paths or (SCORES_FILE, FACTS_FILE) for score in _read(Path(path))
    )


def _read(path: Path) -> Iterator[PublishedScore]:
    for line, row in enumerate(read_table(path, _COLUMNS, "Restore the file."), start=2):
        try:
            value = float(row["value"]) if row["value"] else None
        except ValueError as error:
            raise UserError(
                f"{path}, line {line}: the value is {row['value']!r}; wanted a number, or nothing "
                "where the paper gives none. Restore the file."
            ) from error
        texts = {column: row[column] for column in _COLUMNS if column != "value"}
        yield PublishedScore(where=texts.pop("table_or_figure"), value=value, **texts)


def find_scores(
    scores: Iterable[PublishedScore],
    experiment: str | None = None,
    where: str | None = None,
    method: str | None = None,
    region: str | None = None,
    metric: str | None = None,
) -> tuple[PublishedScore, ...]:
    """Those scores that have every field given.

    Experiments and regions may also have the names that they have here (`PAPER_NAMES`,
    `sebre.data.regions`).
    """
    experiment = PAPER_NAMES.get(experiment, experiment)
    return tuple(
        score
        for score in scores
        if experiment in (None, score.experiment)
        and where in (None, score.where)
        and method in (None, score.method)
        and region in (None, score.region, score.region_name)
        and metric in (None, score.metric)
    )
