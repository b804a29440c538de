"""Experimental: stained sections of the Allen Brain Atlas, with regions of its reference atlas.

It was tested against a local server that answers in the documented form, never run against the
live service.

The raw folder is what `download` (sebre.prepare.allen.image_download) writes: sections.csv, images/
and atlas/. Each section takes the drawing of the nearest atlas image, moved onto it by the
affine map in atlas.csv.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mrcnn.errors import MissingFileError, UserError, reading
from sebre.data.csv_tables import read_rows, read_table
from sebre.data.regions import MOUSE, RegionSet, read_regions
from sebre.prepare.allen import image_download
from sebre.prepare.allen.image_download import (
    ADVICE,
    MATRIX,
    NEVER_RUN,
    PLACE_COLUMNS,
    SECTION_COLUMNS,
    Wanted,
    marker_of,
    names,
)
from sebre.prepare.allen.structure_tree import Rules, read_tree, structure_classes
from sebre.prepare.allen.svg_atlas import svg_labels
from sebre.prepare.raw import RawSection, RawSet, card

_TEST_MARKER = "Gad1"  # held out in the paper's extended experiment (Results)
_DRAW = (
    "To draw the regions by hand, as the authors did, paint them in overlays/ beside images/ and "
    "use `sebre prepare colour-code`."
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Placed:
    """A section that has a place in the atlas."""

    row: Mapping[str, str]  # of sections.csv
    place: Mapping[str, str]  # row of atlas.csv
    image: Path
    drawing: Path
    tree: Path
    matrix: np.ndarray  # from picture to drawing, [2, 3]
    residual: float  # what the fit leaves, px of the drawing
    um: float  # side of a pixel of the picture


def download(raw: Path, **options: Any) -> None:
    """Fill a raw folder (`image_download.download`); options as of `image_download.Wanted`."""
    image_download.download(raw, Wanted(**options))


def read_source(
    raw: Path,
    *,
    regions: Path | None = None,
    gene: str | Sequence[str] | None = None,
    age: str | Sequence[str] | None = None,
    plane: str | None = None,
    downsample: int | None = None,
) -> RawSet:
    """Sections of a raw folder that have a place in the atlas.

    Args:
        raw: folder that `download` has filled.
        regions: CSV of other regions (`sebre.data.regions.read_regions`) with one more column,
            `structures`: acronyms of the structure tree, divided by spaces. Rows that come
            first win.
        gene: take sections of these genes only (Gad1, Nissl, ...), divided by commas.
        age: take these ages only.
        plane: take this plane only.
        downsample: take pictures halved this many times only.
    """
    raw = Path(raw)
    rows = _chosen(raw, gene, age, plane, downsample)
    placed = _placed(raw, rows)
    _log.warning("The source allen-ish is experimental: %s", NEVER_RUN)
    region_set, own_rules = (MOUSE, None) if regions is None else _read_rules(Path(regions))
    classes: dict[Path, dict[int, int]] = {}
    used: dict[str, dict[str, list[str]]] = {}
    for path in dict.fromkeys(one.tree for one in placed):
        tree = read_tree(path)
        rules = own_rules or tree.rules
        classes[path] = structure_classes(tree, region_set, rules, by_color=own_rules is None)
        used[path.name] = {name: list(acronyms) for name, acronyms in rules}
    tables = raw / "sections.csv", raw / "atlas" / "atlas.csv"
    pictures = (path for one in placed for path in (one.image, one.drawing, one.tree))
    planes = sorted({one.row["plane"] for one in placed})
    markers = {one.row["marker"] for one in placed}
    factors = sorted({2 ** int(one.row["downsample"]) for one in placed})
    scales = {one.um for one in placed}
    return RawSet(
        name="allen_ish",
        regions=region_set,
        sections=[_section(one, classes[one.tree]) for one in placed],
        plane=planes[0] if len(planes) == 1 else "mixed",
        pixel_size_um=scales.pop() if len(scales) == 1 else None,
        background=None,
        license="Allen Institute terms of use (not for commercial use)",
        card=card(
            "allen_ish",
            count=len(placed),
            brains=len({one.row["subject"] for one in placed}),
            planes=" and ".join(planes),
            contents=", ".join(sorted({"{marker} {age}".format(**one.row) for one in placed})),
            factor=" or ".join(map(str, factors)),
            residual=float(np.median([one.residual for one in placed])),
            lost=len(rows) - len(placed),
        ),
        files=list(dict.fromkeys([*tables, *pictures])),
        # The paper: P14 by section, a third held out; the extended set by marker.
        split=f"marker={_TEST_MARKER}"
        if _TEST_MARKER in markers and len(markers) > 2
        else "section:1/3",
        processing={
            "image": "as the service gives it",
            "downsample": factors,
            "masks": "atlas drawing, placed by an affine map",
            "structures": used,
        },
    )


def _placed(raw: Path, rows: Sequence[Mapping[str, str]]) -> list[_Placed]:
    places = _places(raw)
    found = []
    for row in rows:
        place = places.get(row["section_image_id"], {})
        if place.get("svg"):
            files = (_there(raw, n) for n in (row["file"], place["svg"], place["structures"]))
            found.append(_Placed(row, place, *files, *_numbers(raw, row, place)))
    lost = len(rows) - len(found)
    if not found:
        raise UserError(
            f"{raw / 'atlas' / 'atlas.csv'}: none of the {lost} sections chosen has a place in "
            f"the atlas. {_DRAW}"
        )
    if lost:
        _log.warning("%s: %d sections have no place in the atlas and are left out", raw, lost)
    return found


def _section(one: _Placed, classes: Mapping[int, int]) -> RawSection:
    facts = {
        key: one.row[key] for key in ("subject", "marker", "age", "data_set_id", "section_image_id")
    }
    facts |= {"plate": one.row["section_number"], "atlas_image_id": one.place["atlas_image_id"]}
    return RawSection(partial(_read, one.image, one.drawing, classes, one.matrix), facts)


def _chosen(
    raw: Path,
    gene: str | Sequence[str] | None,
    age: str | Sequence[str] | None,
    plane: str | None,
    downsample: int | None,
) -> list[dict[str, str]]:
    table = raw / "sections.csv"
    if not table.is_file():
        raise MissingFileError(
            f"{table}: no such file. Fill the raw folder first, with --download.{_painted(raw)}"
        )
    rows = read_table(table, SECTION_COLUMNS, ADVICE)
    wanted = {
        "marker": [marker_of(name) for name in names(gene, "gene")] if gene else [],
        "age": names(age, "age") if age else [],
        "plane": [plane] if plane else [],
        "downsample": [] if downsample is None else [str(downsample)],
    }
    for key, values in wanted.items():
        there = {row[key].lower(): row[key] for row in rows}
        absent = [value for value in values if value.lower() not in there]
        if absent:
            raise UserError(
                f"{table}: no section with {key} {', '.join(absent)}. There are: "
                f"{', '.join(sorted(there.values()))}. Others can be added with --download."
            )
        if values:
            kept = {value.lower() for value in values}
            rows = [row for row in rows if row[key].lower() in kept]
    if not rows:
        raise UserError(f"{table}: no section fits what was chosen.")
    return rows


def _painted(raw: Path) -> str:
    """What to do with drawings by hand, if they are there."""
    if not (raw / "overlays").is_dir():
        return ""
    return (
        f" {raw / 'overlays'} is there: to use these paintings, run `sebre prepare colour-code "
        f"--raw {raw}`."
    )


def _places(raw: Path) -> dict[str, dict[str, str]]:
    table = raw / "atlas" / "atlas.csv"
    if not table.is_file():
        cure = _painted(raw) or f" Fetch the drawings with --download. {_DRAW}"
        raise MissingFileError(
            f"{table}: no such file, so nothing says where the regions are.{cure}"
        )
    return {row["section_image_id"]: row for row in read_table(table, PLACE_COLUMNS, ADVICE)}


def _read_rules(path: Path) -> tuple[RegionSet, Rules]:
    region_set = read_regions(path)
    rows = [{(k or "").lower(): v for k, v in row.items()} for row in read_rows(path)[1]]
    lists = [(row.get("structures") or "").split() for row in rows]
    # Blank rows are no regions.
    kept = [acronyms for acronyms, row in zip(lists, rows, strict=True) if any(row.values())]
    if len(kept) != len(region_set) or not all(kept):
        raise UserError(
            f"{path}: wanted a column `structures` with the acronyms of each of the "
            f"{len(region_set)} regions, divided by spaces, such as: DPall MPall."
        )
    return region_set, [
        (region.name, acronyms) for region, acronyms in zip(region_set, kept, strict=True)
    ]


def _there(raw: Path, name: str) -> Path:
    path = raw / name
    if not path.is_file():
        raise MissingFileError(
            f"{path}: no such file, though the tables name it. Call with --download again; only "
            "what is missing is fetched."
        )
    return path


def _numbers(
    raw: Path, row: Mapping[str, str], place: Mapping[str, str]
) -> tuple[np.ndarray, float, float]:
    """Matrix [2, 3] from picture to drawing, what the fit leaves (px), and um per pixel."""
    try:
        matrix = np.array([float(place[key]) for key in MATRIX]).reshape(2, 3)
        residual = float(place["residual_px"])
        scale = float(row["resolution_um"]) * 2 ** int(row["downsample"])
    except ValueError as error:
        raise UserError(
            f"{raw}: section {row['number']}: {error}, in sections.csv or atlas/atlas.csv. Remove "
            "the table and download again."
        ) from error
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :2])) < 1e-9:
        raise UserError(
            f"{raw / 'atlas' / 'atlas.csv'}: the matrix of section {row['number']} cannot be "
            "inverted. Remove the row and download again."
        )
    return matrix, residual, scale


def _read(
    image_path: Path, drawing: Path, classes: Mapping[int, int], matrix: np.ndarray
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    with reading(image_path, cure="Remove it and download it again."):
        with Image.open(image_path) as picture:
            image = np.asarray(picture.convert("RGB"))
    return image, svg_labels(drawing, classes, image.shape[:2], matrix)
