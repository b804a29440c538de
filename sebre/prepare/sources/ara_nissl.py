"""Nissl plates of the Allen Reference Atlas with the drawn subfields of the hippocampus.

The raw folder holds `nissl/<plate>.jpg`, `svg/<id>.svg`, and one of two tables:

- `alignment.csv`: plate, jpg, svg, the placement a11 a12 b1 a21 a22 b2 (picture to drawing,
  `sebre.prepare.allen.svg_atlas`), and the midline X = midline_m * Y + midline_c in the
  coordinates of the drawing; perhaps jpg_width and jpg_height, which are then compared;
- `atlas_index.csv`, as published: plate.id (of the drawing), image.id. Placements are fitted.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mrcnn.errors import MissingFileError, UserError, reading
from sebre.data.csv_tables import read_table
from sebre.data.listing import visible
from sebre.data.region_masks import masks_of_labels
from sebre.data.regions import HIPPOCAMPUS
from sebre.prepare.allen.placement import Placement, place
from sebre.prepare.allen.svg_atlas import paint, read_drawing
from sebre.prepare.raw import RawSection, RawSet, card

MIN_MASK_PX = 20
_CURE = "Fetch it again."

# The id of a subfield never occurs in the drawings, only those of its layers.
LAYERS = {
    **dict.fromkeys((391, 399, 407, 415), 1),  # CA1: slm, so, sp, sr
    **dict.fromkeys((431, 438, 446, 454), 2),  # CA2: slm, so, sp, sr
    **dict.fromkeys((471, 479, 486, 495, 504), 3),  # CA3: slm, slu, so, sp, sr
    **dict.fromkeys((10703, 10704, 632), 4),  # DG: mo, po, sg
}
CELL_LAYERS = (407, 446, 495, 632)  # pyramidal and granule cells: the bright bands

_PLACEMENT = ("a11", "a12", "b1", "a21", "a22", "b2")
_NUMBERS = (*_PLACEMENT, "midline_m", "midline_c")
_COLUMNS = ("plate", "jpg", "svg", *_NUMBERS)
_INDEX_COLUMNS = ("plate.id", "image.id")
# The index lists the drawing of image 46 again as image 54, so from there on its numbers are
# one too high; before, it is not settled which picture a drawing belongs to.
_FIRST_INDEXED = 54

_BY_TABLE = {"placed": "`alignment.csv` has the pairs and the placements.", "error": "1-3 px"}
_BY_FIT = {"placed": "Placements were fitted to outline and cell layers.", "error": "1-7 px"}


@dataclass(frozen=True)
class _Plate:
    number: int
    picture: Path
    drawing: Path
    placement: Placement | None  # None: to be fitted


def read_source(raw: Path) -> RawSet:
    """Plates of a raw folder as sections."""
    raw = Path(raw)
    aligned = (raw / "alignment.csv").is_file()
    table = raw / ("alignment.csv" if aligned else "atlas_index.csv")
    if not table.is_file():
        raise MissingFileError(
            f"{raw}: neither alignment.csv nor atlas_index.csv is there. Wanted the table that "
            "pairs plates with drawings; `--download` fetches the public files."
        )
    sections, files = [], [table]
    for plate in sorted((_aligned if aligned else _indexed)(table), key=lambda p: p.number):
        for path in (plate.picture, plate.drawing):
            if not path.is_file():
                raise MissingFileError(
                    f"{path}: no such file; it belongs to plate {plate.number} in {table.name}."
                )
        # The layers are looked for now, so that the split knows the plates that count.
        if not _shows_subfield(plate.drawing):
            continue
        facts = {"subject": "ARA", "marker": "Nissl", "age": "P56", "plate": plate.number}
        sections.append(RawSection(functools.partial(_read, plate), facts))
        files += [plate.picture, plate.drawing]
    if not sections:
        raise UserError(
            f"{table}: none of its plates shows CA1, CA2, CA3 or DG. Wanted plates of the "
            "hippocampus (64-93)."
        )
    return RawSet(
        name="ara_nissl",
        regions=HIPPOCAMPUS,
        sections=sections,
        plane="coronal",
        pixel_size_um=None,  # about 8.5; it differs from plate to plate and is not stated
        background=0,
        license="Allen Institute terms of use, non-commercial",
        card=card("ara_nissl", **(_BY_TABLE if aligned else _BY_FIT)),
        files=files,
        split="block:7/27",
        processing={
            "hemisphere": "right of the picture",
            "min_mask_px": MIN_MASK_PX,
            "placement": "alignment.csv" if aligned else "fitted",
        },
        flips=True,
    )


def _aligned(table: Path) -> Iterator[_Plate]:
    """Pairs and placements of alignment.csv."""
    seen = set()
    for row in read_table(table, _COLUMNS):
        try:
            plate = int(row["plate"])
            numbers = np.array([float(row[name]) for name in _NUMBERS])
        except (TypeError, ValueError) as error:
            raise UserError(f"{table}, plate {row['plate']}: not a number ({error}).") from error
        if plate in seen:
            raise UserError(f"{table}: plate {plate} is listed twice. Remove one of the rows.")
        seen.add(plate)
        if not row["jpg"] or not row["svg"]:
            raise UserError(f"{table}, plate {plate}: jpg or svg is empty.")
        matrix = numbers[:6].reshape(2, 3)
        if not np.isfinite(numbers).all() or abs(np.linalg.det(matrix[:, :2])) < 1e-9:
            raise UserError(
                f"{table}, plate {plate}: the placement {', '.join(_PLACEMENT)} cannot be "
                "inverted. Correct the row."
            )
        picture = table.parent / row["jpg"]
        stated = (row.get("jpg_width"), row.get("jpg_height"))
        if all(stated) and picture.is_file():
            with reading(picture, cure=_CURE), Image.open(picture) as file:
                found = file.size
            if tuple(map(str, found)) != stated:
                raise UserError(
                    f"{picture}: {found[0]} x {found[1]} pixels; {table.name} places the drawing "
                    f"on {stated[0]} x {stated[1]}. Fetch it again, and do not resize it."
                )
        placement = Placement(matrix, (numbers[6], numbers[7]))
        yield _Plate(plate, picture, table.parent / row["svg"], placement)


def _indexed(table: Path) -> Iterator[_Plate]:
    """Pairs of the pictures that are there with the drawings of atlas_index.csv."""
    rows = read_table(table, _INDEX_COLUMNS)
    drawings = {row["image.id"]: row["plate.id"] for row in rows}
    for picture in visible(table.parent / "nissl", "*.jpg"):
        if not picture.stem.isdigit() or int(picture.stem) < _FIRST_INDEXED:
            continue
        drawing = drawings.get(str(int(picture.stem) + 1))
        if drawing is None:
            raise UserError(
                f"{table}: no image.id {int(picture.stem) + 1}, which is that of {picture.name}."
            )
        path = table.parent / "svg" / f"{drawing}.svg"
        yield _Plate(int(picture.stem), picture, path, None)


def _shows_subfield(drawing: Path) -> bool:
    numbers = re.findall(rb"""structure_id\s*=\s*["'](\d+)["']""", drawing.read_bytes())
    return not LAYERS.keys().isdisjoint(map(int, numbers))


def _read(plate: _Plate) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    with reading(plate.picture, cure=_CURE), Image.open(plate.picture) as file:
        image = np.array(file.convert("L"))
    drawing = read_drawing(plate.drawing)
    try:
        placement = plate.placement or place(image, drawing, CELL_LAYERS)
    except ValueError as error:
        raise UserError(f"{plate.drawing} on {plate.picture}: {error}.") from error
    matrix, (m, c) = placement.matrix, placement.midline
    labels = paint(drawing, LAYERS, image.shape, matrix)

    v, u = np.indices(image.shape) + 0.5
    x, y = np.tensordot(matrix[:, :2], np.stack([u, v]), 1) + matrix[:, 2, None, None]
    right = x > m * y + c
    if not right.any():
        raise UserError(
            f"{plate.picture}: the midline of plate {plate.number} lies beyond its right border; "
            "nothing would be left of the picture. Correct its placement."
        )
    first = int(right.any(axis=0).argmax())
    image, labels = (np.where(right, pixels, 0)[:, first:] for pixels in (image, labels))
    return image, masks_of_labels(labels, MIN_MASK_PX)
