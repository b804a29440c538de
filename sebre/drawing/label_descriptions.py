"""Names and colors of a label volume's numbers, in a label description file of ITK-SNAP: NAME.txt
beside NAME.nii.gz, as NIfTI has no place for them."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sebre.data.regions import Color, Region

# Number, red, green, blue, opacity, shown, meshed, name; lines of # are remarks.
_LINE = re.compile(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+\S+\s+\S+\s+\S+\s+"(.*)"\s*')


class LabelDescription(NamedTuple):
    """What one number of a label volume is."""

    number: int  # from 1; 0 is no label
    name: str
    color: Color


def of_regions(regions: Iterable[Region]) -> list[LabelDescription]:
    """What the class ids of regions are."""
    return [LabelDescription(region.id, region.name, region.color) for region in regions]


def label_descriptions(described: Iterable[LabelDescription]) -> str:
    """The text of a file."""
    lines = ['    0     0    0    0        0  0  0    "Clear Label"']
    for number, name, (r, g, b) in described:
        lines.append(f'{number:5d} {r:5d} {g:4d} {b:4d}        1  1  1    "{name}"')
    return "\n".join([*lines, ""])


def read_label_descriptions(path: Path) -> list[LabelDescription]:
    """What a file describes, 0 aside; nothing where it is not there, or is another kind of text."""
    if not path.is_file():
        return []
    lines = path.read_text("utf-8", errors="replace").splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    found = [_LINE.fullmatch(line) for line in lines]
    if None in found:
        return []
    rows = [(int(number), name, color) for number, *color, name in (f.groups() for f in found)]
    return [
        LabelDescription(number, name, tuple(min(int(value), 255) for value in color))
        for number, name, color in rows
        if number
    ]
