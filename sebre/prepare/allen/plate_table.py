"""Nissl plates of the Allen Reference Atlas: which drawing belongs to which picture, and where.

The raw folder holds `nissl/<plate>.jpg`, `svg/<id>.svg`, and one of two tables:

- `alignment.csv`: plate, jpg, svg, the placement a11 a12 b1 a21 a22 b2 (picture to drawing,
  `sebre.prepare.allen.svg_atlas`), and the midline X = midline_m * Y + midline_c in the
  coordinates of the drawing; perhaps jpg_width and jpg_height, which are then compared;
- `atlas_index.csv`, as published: plate.id (of the drawing), image.id. Placements are fitted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mrcnn.errors import MissingFileError, UserError, reading
from sebre.data.csv_tables import read_table
from sebre.data.listing import visible
from sebre.prepare.allen.placement import Placement, place
from sebre.prepare.allen.svg_atlas import Drawing, read_drawing

FETCH_AGAIN = "Fetch it again."
CELL_LAYERS = (407, 446, 495, 632)  # pyramidal and granule cells: the bright bands

_PLACEMENT = ("a11", "a12", "b1", "a21", "a22", "b2")
_NUMBERS = (*_PLACEMENT, "midline_m", "midline_c")
_COLUMNS = ("plate", "jpg", "svg", *_NUMBERS)
_INDEX_COLUMNS = ("plate.id", "image.id")
# The index lists the drawing of image 46 again as image 54, so from there on its numbers are
# one too high; before, it is not settled which picture a drawing belongs to.
_FIRST_INDEXED = 54


@dataclass(frozen=True)
class Plate:
    """A picture and the drawing of its right half.

    Attributes:
        number: of the picture; neighbors lie 0.1 mm apart.
        placement: of the picture in the drawing; None: to be fitted.
    """

    number: int
    picture: Path
    drawing: Path
    placement: Placement | None

    def read(self) -> tuple[np.ndarray, Drawing, Placement]:
        """The picture, uint8 [H, W], the drawing, and how they lie on each other."""
        with reading(self.picture, cure=FETCH_AGAIN), Image.open(self.picture) as file:
            image = np.array(file.convert("L"))
        drawing = read_drawing(self.drawing)
        try:
            placement = self.placement or place(image, drawing, CELL_LAYERS)
        except ValueError as error:
            raise UserError(f"{self.drawing} on {self.picture}: {error}.") from error
        return image, drawing, placement


def plate_table(raw: Path) -> Path:
    """The table of a raw folder."""
    table = raw / "alignment.csv"
    table = table if table.is_file() else raw / "atlas_index.csv"
    if not table.is_file():
        raise MissingFileError(
            f"{raw}: neither alignment.csv nor atlas_index.csv is there. Wanted the table that "
            "pairs plates with drawings; `--download` fetches the public files."
        )
    return table


def read_plates(table: Path) -> list[Plate]:
    """The plates of a table by their numbers, all their files there."""
    found = _aligned(table) if table.name == "alignment.csv" else _indexed(table)
    plates = sorted(found, key=lambda plate: plate.number)
    for plate in plates:
        for path in (plate.picture, plate.drawing):
            if not path.is_file():
                raise MissingFileError(
                    f"{path}: no such file; it belongs to plate {plate.number} in {table.name}."
                )
    return plates


def right_half(
    plate: Plate, placement: Placement, image: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What lies right of the midline, the drawn side, of a picture and its labels, both [H, W]."""
    matrix, (m, c) = placement.matrix, placement.midline
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
    return image, labels


def _aligned(table: Path) -> Iterator[Plate]:
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
            with reading(picture, cure=FETCH_AGAIN), Image.open(picture) as file:
                found = file.size
            if tuple(map(str, found)) != stated:
                raise UserError(
                    f"{picture}: {found[0]} x {found[1]} pixels; {table.name} places the drawing "
                    f"on {stated[0]} x {stated[1]}. Fetch it again, and do not resize it."
                )
        placement = Placement(matrix, (numbers[6], numbers[7]))
        yield Plate(plate, picture, table.parent / row["svg"], placement)


def _indexed(table: Path) -> Iterator[Plate]:
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
        yield Plate(int(picture.stem), picture, path, None)
