"""Made-up Nissl plates with drawings and the table that places them."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 64
UNITS = 8  # of the drawing a pixel
COLUMNS = "plate jpg svg jpg_width jpg_height a11 a12 b1 a21 a22 b2 midline_m midline_c".split()
PLACEMENT = ("a11", "a12", "b1", "a21", "a22", "b2")
# Squares of 8 pixels, one a layer of CA1 (two), CA2, CA3 and DG; and the brain around them.
SQUARES = {407: (40, 8), 415: (48, 8), 446: (40, 24), 495: (48, 24), 632: (40, 40)}


def drawing(squares: dict[int, tuple[int, int]]) -> str:
    def square(structure: int, x: int, y: int, side: int) -> str:
        x, y, side = (UNITS * n for n in (x, y, side))
        return f'<path structure_id="{structure}" d="M{x},{y}h{side}v{side}h-{side}z"/>'

    body = square(8, 32, 0, 64) + "".join(square(s, *place, 8) for s, place in squares.items())
    return f'<svg width="512" height="512" xmlns="http://www.w3.org/2000/svg">{body}</svg>'


def write_table(raw: Path, rows: list[dict[str, str]]) -> None:
    with (raw / "alignment.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def make(raw: Path, plates: list[int]) -> list[dict[str, str]]:
    """Made-up plates, and those at the ends, 62 and 94, without a subfield; rows of the table."""
    for folder in ("nissl", "svg"):
        (raw / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for plate in (94, *plates, 62):
        squares = {} if plate in (62, 94) else SQUARES
        image = Image.fromarray(rng.integers(20, 250, (SIZE, SIZE), np.uint8))
        image.save(raw / "nissl" / f"{plate}.jpg")
        (raw / "svg" / f"{plate}00.svg").write_text(drawing(squares))
        cells = (plate, f"nissl/{plate}.jpg", f"svg/{plate}00.svg", SIZE, SIZE)
        numbers = (UNITS, 0, 0, 0, UNITS, 0, 0, 32 * UNITS)
        rows.append(dict(zip(COLUMNS, map(str, (*cells, *numbers)), strict=True)))
    write_table(raw, rows)
    return rows
