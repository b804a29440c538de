"""Facts of a prepared data set that scores need: sizes of pixels, subjects, slices.

Read from dataset.json and sections.csv by `sebre.evaluation`, `sebre.registration` and
`sebre.inspect`.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from mrcnn.imageio.contrast import BITS
from sebre.data.csv_tables import read_rows


@dataclass(frozen=True)
class Slice:
    """Place of a section in a volume."""

    volume: tuple[str, str]  # subject, and scan of the subject where there are several
    index: int
    spacing_mm: tuple[float, float, float] | None = None  # between slices; height, width of a pixel


@dataclass(frozen=True)
class SetFacts:
    """Facts of a prepared data set. Sections are named as by `SectionDataset` ("val/3")."""

    record: Mapping[str, Any] = field(default_factory=dict)  # dataset.json
    # Height and width of a pixel, None if not known; by name where the sections differ.
    pixel_mm: tuple[float, float] | None = None
    pixels_mm: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    # Of sections that are slices of volumes, upright and not mirrored.
    subjects: Mapping[str, str] = field(default_factory=dict)
    slices: Mapping[str, Slice] = field(default_factory=dict)
    # What scores may vary over: the subject where sections are slices of volumes, or the user named
    # the animals; otherwise the section that turned versions were made of.
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """What `units` are: "subject" or "section"."""
        by_subject = self.record.get("volumetric") or self.record.get("animals_named")
        return "subject" if by_subject and self.units else "section"

    @property
    def has_versions(self) -> bool:
        """Whether several of its sections are one, turned or mirrored."""
        return self.unit == "section" and len(set(self.units.values())) < len(self.units)

    def unit_of(self, name: str) -> str:
        """What a section, or a version of one such as "val/3#1", belongs to."""
        section = name.partition("#")[0]
        return self.units.get(section, section)

    def pixel_of(self, name: str) -> tuple[float, float] | None:
        """Height and width of a pixel of a section in mm; None if not known."""
        return self.pixels_mm.get(name, self.pixel_mm)


def recorded_contrast(root: str | Path) -> str:
    """How values of the source of a prepared data set became 8 bits: the CONTRAST with which
    networks trained on it read deeper pictures. Where dataset.json does not say, by the bits."""
    try:
        record = json.loads((Path(root) / "dataset.json").read_text(encoding="utf-8"))
        return str(record["processing"]["contrast"])
    except (OSError, ValueError, KeyError, TypeError):
        return BITS


def read_facts(root: str | Path, slice_um: float | None = None) -> SetFacts:
    """Read dataset.json, and sections.csv.

    Folders made for the released SeBRe code have neither: nothing is known of them. The
    distance between slices is `slice_um`, else "slice_spacing_um" in dataset.json, or the column
    slice_um where volumes differ; without it distances in volumes are not known, as it need not be
    the size of a pixel.
    """
    path = Path(root) / "dataset.json"
    if not path.is_file():
        return SetFacts()
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}). Prepare the data set again.") from error
    if not isinstance(record, dict):
        raise UserError(f"{path}: wanted a JSON object. Prepare the data set again.")
    pixel_mm = _pixel_mm(record.get("pixel_size_um"), path)
    for where, spacing in ((f"{path}: ", record.get("slice_spacing_um")), ("", slice_um)):
        if not (spacing is None or _is_size(spacing)):
            raise UserError(
                f"{where}the distance between slices is {spacing!r}; wanted one number of "
                "micrometres above 0, or none if it is not known."
            )
    volumetric = bool(record.get("volumetric") and record.get("plane"))
    rows = _rows(path.with_name("sections.csv"), volumetric)
    facts = SetFacts(record, pixel_mm, _pixels_mm(rows, path.with_name("sections.csv")))
    if not volumetric:
        key = "subject" if record.get("animals_named") else "source_row"
        units = {name: row[key] for name, row in rows.items() if row.get(key)}
        return replace(facts, units=units)
    lying = {name: row for name, row in rows.items() if row["subject"] and _lies(row)}
    return replace(
        facts,
        subjects={name: row["subject"] for name, row in lying.items()},
        slices={
            name: Slice(
                (row["subject"], row.get("scan") or ""),
                int(row["slice"]),
                _spacing_mm(
                    slice_um or _number(row.get("slice_um")) or record.get("slice_spacing_um"),
                    facts.pixel_of(name),
                ),
            )
            for name, row in lying.items()
            if (row.get("slice") or "").isdecimal()
        },
        units={name: row["subject"] for name, row in rows.items() if row["subject"]},
    )


def origins(root: str | Path, subset: str) -> dict[int, dict[str, str]]:
    """Where the images of a subset come from, by their numbers, as far as sections.csv says:
    "section", one for all turned versions of a section, and "subject", empty if not named."""
    path = Path(root) / "sections.csv"
    columns, rows = read_rows(path) if path.is_file() else ([], [])
    if not {"section", "subset"} <= set(columns):
        return {}
    return {
        int(row["section"]): {
            "section": row.get("source_row") or row["section"],
            "subject": row.get("subject") or "",
        }
        for row in rows
        if row["subset"] == subset and row["section"].isdecimal()
    }


def count_sections(root: str | Path, numbers: Iterable[int]) -> int:
    """How many sections images of the training part are of: turned versions of one count once."""
    known = origins(root, "train")
    return len({known.get(n, {"section": f"image {n}"})["section"] for n in numbers})


def _pixel_mm(size: Any, path: Path) -> tuple[float, float] | None:
    if size is None:
        return None
    sizes = size if isinstance(size, list) else [size, size]
    if len(sizes) != 2 or not all(map(_is_size, sizes)):
        raise UserError(
            f"{path}: pixel_size_um is {size!r}; wanted one number above 0, [height, width], or "
            "null if it is not known."
        )
    return sizes[0] / 1000, sizes[1] / 1000


def _pixels_mm(rows: Mapping[str, Mapping[str, str]], path: Path) -> dict[str, tuple[float, float]]:
    """Size of a pixel by name of the section, from the column pixel_um."""
    pixels = {}
    for name, row in rows.items():
        if not row.get("pixel_um"):
            continue
        size = _number(row["pixel_um"])
        if size is None:
            raise UserError(
                f"{path}: pixel_um of {name} is {row['pixel_um']!r}; wanted a number above 0, or "
                "nothing if it is not known."
            )
        pixels[name] = (size / 1000, size / 1000)
    return pixels


def _spacing_mm(
    slice_um: float | None, pixel_mm: tuple[float, float] | None
) -> tuple[float, float, float] | None:
    return None if slice_um is None or pixel_mm is None else (slice_um / 1000, *pixel_mm)


def _is_size(value: Any) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and 0 < value < math.inf


def _number(text: str | None) -> float | None:
    """A size in a table; None for anything else."""
    try:
        size = float(text or "")
    except ValueError:
        return None
    return size if _is_size(size) else None


def _rows(path: Path, volumetric: bool) -> dict[str, dict[str, str]]:
    """Rows of sections.csv by name of the section; only slices of volumes need them."""
    advice = "Prepare the data set again."
    if volumetric:
        advice = f"dataset.json says that the sections are slices of volumes. {advice}"
    if not path.is_file():
        if not volumetric:
            return {}
        raise UserError(f"{path}: cannot read this table (no such file). {advice}")
    columns, rows = read_rows(path, advice)
    needed = {"section", "subset", "subject"} if volumetric else {"section", "subset"}
    missing = needed - set(columns)
    if missing or (volumetric and not {"slice", "plate"} & set(columns)):
        wanted = "section, subset, subject, and slice or plate"
        raise UserError(
            f"{path}: has the columns {', '.join(sorted(columns)) or 'none'}; "
            f"{f'slices of volumes need {wanted}' if volumetric else 'it needs section, subset'}. "
            "Prepare the data set again."
        )
    return {f"{row['subset']}/{row['section']}": row for row in rows}


def _lies(row: Mapping[str, str]) -> bool:
    """Whether a section is as it was cut, neither turned nor mirrored."""
    return all(row.get(key) in (None, "", "0", "0.0") for key in ("angle", "flipped"))
