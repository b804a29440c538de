"""What a prepared data set says of itself, as far as scores need it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sebre.tables import read_rows


@dataclass(frozen=True)
class SetFacts:
    """Facts of a prepared data set.

    Attributes:
        record: dataset.json; empty for a folder without it.
        pixel_mm: height and width of a pixel in mm; None if not known.
        subjects: subject by name of the section ("val/3"), for sections that are slices of
            volumes, upright and not mirrored; empty for other data sets.
    """

    record: Mapping[str, Any] = field(default_factory=dict)
    pixel_mm: tuple[float, float] | None = None
    subjects: Mapping[str, str] = field(default_factory=dict)


def read_facts(root: str | Path) -> SetFacts:
    """Read dataset.json, and sections.csv of a volumetric data set.

    Folders made for the released SeBRe code have neither: nothing is known of them.

    Args:
        root: folder of the data set.

    Raises:
        ValueError: a file is damaged, or lacks what it must have.
    """
    path = Path(root) / "dataset.json"
    if not path.is_file():
        return SetFacts()
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}). Prepare the data set again.") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path}: wanted a JSON object. Prepare the data set again.")
    subjects = {}
    if record.get("volumetric") and record.get("plane"):
        subjects = _subjects(path.with_name("sections.csv"))
    return SetFacts(record, _pixel_mm(record.get("pixel_size_um"), path), subjects)


def _pixel_mm(size: Any, path: Path) -> tuple[float, float] | None:
    if size is None:
        return None
    sizes = size if isinstance(size, list) else [size, size]
    if len(sizes) != 2 or not all(isinstance(v, int | float) and v > 0 for v in sizes):
        raise ValueError(
            f"{path}: pixel_size_um is {size!r}; wanted one number above 0, [height, width], or "
            "null if it is not known."
        )
    return sizes[0] / 1000, sizes[1] / 1000


def _subjects(path: Path) -> dict[str, str]:
    advice = (
        "dataset.json says that the sections are slices of volumes. Prepare the data set again."
    )
    if not path.is_file():
        raise ValueError(f"{path}: cannot read this table (no such file). {advice}")
    columns, rows = read_rows(path, advice)
    missing = {"section", "subset", "subject"} - set(columns)
    if missing or not {"slice", "plate"} & set(columns):
        raise ValueError(
            f"{path}: has the columns {', '.join(sorted(columns)) or 'none'}; slices of volumes "
            "need section, subset, subject, and slice or plate. Prepare the data set again."
        )
    return {
        f"{row['subset']}/{row['section']}": row["subject"]
        for row in rows
        if row["subject"] and _lies(row)
    }


def _lies(row: Mapping[str, str]) -> bool:
    """Whether a section is as it was cut, neither turned nor mirrored."""
    return all(row.get(key) in (None, "", "0", "0.0") for key in ("angle", "flipped"))
