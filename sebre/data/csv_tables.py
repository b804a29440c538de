"""CSV tables with a header: the one reader and the one writer of this package."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from mrcnn.io.files import replace_text

_SEPARATORS = ",;\t"  # the comma where a header has none


def read_rows(
    path: str | Path, advice: str = "", kind: str = "CSV table"
) -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a CSV file (UTF-8, with or without a byte order mark), as they are.

    Cells are separated by commas, or by semicolons or tabs as spreadsheets write them in some
    countries: by whichever the header has most of. Cells that a row lacks are None; those it has
    too many are a list under None. Of another file an error says what `kind` was wanted, with
    advice.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(_SEPARATORS, key=header.count))
            return list(reader.fieldnames or ()), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a UTF-8 {kind} ({error}). {advice}".strip()) from error


def read_table(path: str | Path, columns: Iterable[str], advice: str = "") -> list[dict[str, str]]:
    """Rows of a CSV file that must have some columns, and every cell; `advice` if it has not."""
    columns = list(columns)
    header, rows = read_rows(path, advice)
    missing = [column for column in columns if column not in header]
    if missing:
        raise UserError(
            f"{path}: column {', '.join(missing)} is missing. Wanted {', '.join(columns)}. "
            f"{advice}".strip()
        )
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise UserError(f"{path}, line {line}: the row is not whole. {advice}".strip())
    return rows


def read_if_there(path: Path, columns: Iterable[str], advice: str = "") -> list[dict[str, str]]:
    """As `read_table`; no rows where there is no such file."""
    return read_table(path, columns, advice) if path.is_file() else []


def write_table(
    path: str | Path,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    write: Callable[[str | Path, str], None] = replace_text,
) -> None:
    """Write a CSV file (UTF-8, lines end in a line feed), whole or not at all.

    Cells that a row lacks are left empty; it may have no others than the columns. The text goes to
    `write`.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write(path, text.getvalue())


def append_row(path: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """Add a row to a log of numbers, with a header if it is the first.

    Numbers that are not whole are rounded to 4 digits.

    Returns:
        The cells as written.
    """
    cells = {k: v if isinstance(v, int) else round(v, 4) for k, v in row.items()}
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(cells), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(cells)
    return cells
