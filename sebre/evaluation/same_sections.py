"""Sections that the test parts of two prepared data sets share, of one source divided by two rules.

    sebre prepare malc2012 --raw RAW --out DIR/by_person
    sebre prepare malc2012 --raw RAW --out DIR/by_section --split section:1/3
    python -m sebre.evaluation.same_sections DIR/by_person DIR/by_section \
        --out results/splits/malc2012_same_sections.csv

Networks of both divisions can then be compared on the same sections, from stored results, which
have the names of sections alone. `sebre.report.trials.shared_sections` reads the file.
"""

import argparse
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from mrcnn.io.own_files import replace_own_text
from sebre.data.csv_tables import read_rows, read_table, write_table
from sebre.data.metadata import read_facts
from sebre.program import run_module

logger = logging.getLogger(__name__)

FILES = "*_same_sections.csv"  # NAME_same_sections.csv is of the data set NAME
UNIT = "subject"  # the first column; the others are named by the rules of the two splits
_TESTED = "val"
_NEEDED = ("section", "subset", UNIT, "angle", "flipped", "source_row")
_AGAIN = "Prepare both with `sebre prepare`, from the same files."


def same_sections(root: str | Path, other: str | Path) -> tuple[list[str], list[dict[str, str]]]:
    """Names of each section that both test parts have.

    Args:
        root: folder of a prepared data set.
        other: that of the same source, divided by another rule.

    Returns:
        Columns, and a row for each section in the order of the first set: its subject, and what
        each set, by the rule of its split, calls it ("val/3").

    Raises:
        UserError: the two are not of the same files in the same way, have one rule, or share none.
    """
    records = [read_facts(folder).record for folder in (root, other)]
    for key in ("name", "raw_sha256", "processing"):
        one, another = (record.get(key) for record in records)
        if one is None or one != another:
            raise UserError(
                f"{root} and {other}: wanted two divisions of one source, but dataset.json has "
                f"another {key!r}, or none. {_AGAIN}"
            )
    rules = [_rule(record, folder) for record, folder in zip(records, (root, other), strict=True)]
    if rules[0] == rules[1]:
        raise UserError(
            f"{root} and {other}: both are divided by {rules[0]!r}; wanted two rules. Prepare one "
            "with another --split."
        )
    mine, theirs = (_tested(Path(folder)) for folder in (root, other))
    rows = [
        {UNIT: row[UNIT], rules[0]: _name(row), rules[1]: _name(theirs[key])}
        for key, row in mine.items()
        if key in theirs
    ]
    if not rows:
        raise UserError(f"{root} and {other}: no section is in both test parts.")
    return [UNIT, *rules], rows


def _rule(record: dict[str, Any], folder: str | Path) -> str:
    split = record.get("split")
    rule = split.get("rule") if isinstance(split, dict) else None
    if not rule:
        raise UserError(f"{folder}: dataset.json does not say how the set was divided. {_AGAIN}")
    return str(rule)


def _tested(root: Path) -> dict[tuple[str, ...], dict[str, str]]:
    """Rows of the test part, by what picture of the source they are."""
    path = root / "sections.csv"
    rows = [row for row in read_table(path, _NEEDED, _AGAIN) if row["subset"] == _TESTED]
    found = {(row["source_row"], row["angle"], row["flipped"]): row for row in rows}
    if len(found) < len(rows):
        raise UserError(f"{path}: has two rows of one section and angle. {_AGAIN}")
    return found


def _name(row: dict[str, str]) -> str:
    """What scores call a section."""
    return f"{_TESTED}/{row['section']}"


def _is_such(path: Path) -> bool:
    """Whether a file that no record names, as those that are shipped, has names of sections."""
    columns, rows = read_rows(path)
    names = [row[column] for row in rows for column in columns[1:]]
    return columns[:1] == [UNIT] and all((n or "").startswith(f"{_TESTED}/") for n in names)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, find the sections, and write their names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("datasets", type=Path, nargs=2, metavar="DIR", help="prepared, one each")
    parser.add_argument("--out", type=Path, required=True, help=f"CSV file to write, {FILES}")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not args.out.match(FILES):
        raise UserError(f"{args.out}: wanted a name of the form {FILES}. Choose another --out.")
    columns, rows = same_sections(*args.datasets)
    write_table(args.out, columns, rows, partial(replace_own_text, known=_is_such))
    logger.info("%s: %d sections", args.out, len(rows))


if __name__ == "__main__":
    run_module(main)
