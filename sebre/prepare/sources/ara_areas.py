"""Cortical areas and layers, and the regions of any section, in the drawings of the Allen Reference
Atlas's Nissl plates.

The drawings hold layers of areas; `sebre/prepare/allen/cortical_areas.csv` has the structure id
of each (structure tree of 2017, isocortex). Areas that are drawn on few plates make one class,
"other".
"""

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mrcnn.errors import UserError
from sebre.data.csv_tables import read_table
from sebre.data.region_masks import masks_of_labels
from sebre.data.regions import ANY_SECTION, Region, RegionSet
from sebre.prepare.allen.plate_table import Plate, plate_table, read_plates, right_half
from sebre.prepare.allen.structure_tree import read_structures, structure_table
from sebre.prepare.allen.svg_atlas import paint
from sebre.prepare.raw import RawSection, RawSet, card

OTHER = "other"
# Those on 11 or more of plates 62-95, from the front and the middle to the side.
AREAS = (
    *("MOs", "MOp", "RSPv", "RSPd", "RSPagl", "PTLp", "VISam", "VISp", "VISal"),
    *("SSp-tr", "SSp-bfd", "AUDd", "AUDp", "AUDv", "TEa", "ECT", "PERI"),
)
CORTEX = (*AREAS, OTHER)  # classes 1 to 18
LAYERS = ("1", "2/3", "4", "5", "6a", "6b")  # classes 1 to 6
STRUCTURES = ("areas", "layers")
MIN_MASK_PX = 20

_TABLE = Path(__file__).parents[1] / "allen" / "cortical_areas.csv"
_COLORS = {  # far apart where areas touch
    "MOs": (230, 25, 75),
    "MOp": (255, 165, 0),
    "RSPv": (0, 130, 200),
    "RSPd": (70, 240, 240),
    "RSPagl": (0, 80, 80),
    "PTLp": (240, 50, 230),
    "VISam": (170, 110, 40),
    "VISp": (60, 180, 75),
    "VISal": (255, 225, 25),
    "SSp-tr": (145, 30, 180),
    "SSp-bfd": (210, 245, 60),
    "AUDd": (250, 190, 212),
    "AUDp": (0, 0, 200),
    "AUDv": (0, 200, 160),
    "TEa": (200, 60, 0),
    "ECT": (170, 255, 195),
    "PERI": (128, 0, 0),
    OTHER: (150, 150, 150),
    "1": (230, 25, 75),
    "2/3": (255, 165, 0),
    "4": (255, 225, 25),
    "5": (60, 180, 75),
    "6a": (0, 130, 200),
    "6b": (145, 30, 180),
}


def cortex_classes(kind: str) -> tuple[tuple[str, ...], Mapping[int, int]]:
    """Names of the classes 1, 2, ..., and class by structure id.

    Args:
        kind: one of `STRUCTURES`.
    """
    if kind not in STRUCTURES:
        raise UserError(
            f"--structures {kind}: of the Nissl plates there are {', '.join(STRUCTURES)} and "
            "regions, or the subfields of the hippocampus without this option."
        )
    names = CORTEX if kind == "areas" else LAYERS
    column = kind.removesuffix("s")
    rows = read_table(_TABLE, ("area", "layer", "structure_id"))
    last = len(names)  # areas that have no class of their own are "other"
    number = {name: n for n, name in enumerate(names, start=1)}
    return names, {int(row["structure_id"]): number.get(row[column], last) for row in rows}


def cortex_set(raw: Path, kind: str) -> RawSet:
    """Right halves of the plates, with areas or layers, at the pixel size of the pictures."""
    names, classes = cortex_classes(kind)
    regions = RegionSet(
        f"cortical_{kind}",
        tuple(
            Region(n, name.replace("/", "-"), name, _COLORS[name])
            for n, name in enumerate(names, start=1)
        ),
    )
    return _plates_set(raw, f"ara_nissl_{kind}", regions, classes, card("ara_areas", kind=kind))


def region_set(raw: Path) -> RawSet:
    """Right halves of the plates, with the regions that `any_section` finds.

    The structure tree of the Allen adult mouse atlas says what lies in which region; it is looked
    for in the raw folder, and in `ccf` beside it.
    """
    root_class = {number: region.id for region in ANY_SECTION for number in region.atlas_ids}
    classes = {
        number: root_class[part]
        for number, path in read_structures(structure_table(raw, None)).paths.items()
        for part in path
        if part in root_class  # none lies below another
    }
    return _plates_set(raw, "ara_nissl_regions", ANY_SECTION, classes, card("ara_regions"))


def _plates_set(
    raw: Path, name: str, regions: RegionSet, classes: Mapping[int, int], text: str
) -> RawSet:
    """Right halves of all plates, with the regions that structures belong to.

    Args:
        raw: the raw folder.
        name: of the set.
        regions: of the set.
        classes: id of a region by structure id of the drawings.
        text: card of the set.
    """
    table = plate_table(raw)
    plates = read_plates(table)
    facts = {"subject": "ARA", "marker": "Nissl", "age": "P56"}
    return RawSet(
        name=name,
        regions=regions,
        sections=[
            RawSection(functools.partial(_read, plate, classes), {**facts, "plate": plate.number})
            for plate in plates
        ],
        plane="coronal",
        pixel_size_um=None,  # about 8.5; it differs from plate to plate and is not stated
        background=0,
        license="Allen Institute terms of use, non-commercial",
        card=text,
        files=[table, *(path for plate in plates for path in (plate.picture, plate.drawing))],
        split="block:5/31",
        processing={"hemisphere": "right of the picture", "min_mask_px": MIN_MASK_PX},
        flips=True,
    )


def _read(plate: Plate, classes: Mapping[int, int]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    image, drawing, placement = plate.read()
    labels = paint(drawing, classes, image.shape, placement.matrix)
    image, labels = right_half(plate, placement, image, labels)
    return image, masks_of_labels(labels, MIN_MASK_PX)
