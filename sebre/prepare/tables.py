"""CSV tables with a header."""

import csv
from collections.abc import Iterable
from pathlib import Path


def read_table(path: str | Path, columns: Iterable[str], advice: str = "") -> list[dict[str, str]]:
    """Rows of a CSV file.

    Args:
        path: the file, UTF-8.
        columns: that it must have.
        advice: what to do about a table that does not fit.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a CSV file, a column is missing, or a row is cut short.
    """
    columns = list(columns)
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a UTF-8 CSV table ({error}). {advice}".strip()) from error
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(
            f"{path}: column {', '.join(missing)} is missing. Wanted {', '.join(columns)}. "
            f"{advice}".strip()
        )
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ValueError(f"{path}, line {line}: the row is not whole. {advice}".strip())
    return rows
