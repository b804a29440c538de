"""Nissl plates of the Allen Reference Atlas with the drawn subfields of the hippocampus.

`sebre.prepare.allen.plate_table` says what the raw folder holds; cortical areas and larger regions
of the same plates are in `sebre.prepare.sources.ara_areas`.
"""

import functools
import re
from pathlib import Path

import numpy as np

from mrcnn.errors import UserError
from sebre.data.region_masks import masks_of_labels
from sebre.data.regions import HIPPOCAMPUS
from sebre.prepare.allen.plate_table import Plate, plate_table, read_plates, right_half
from sebre.prepare.allen.svg_atlas import paint
from sebre.prepare.raw import RawSection, RawSet, card
from sebre.prepare.sources.ara_areas import cortex_set, region_set

MIN_MASK_PX = 20

# The id of a subfield never occurs in the drawings, only those of its layers.
LAYERS = {
    **dict.fromkeys((391, 399, 407, 415), 1),  # CA1: slm, so, sp, sr
    **dict.fromkeys((431, 438, 446, 454), 2),  # CA2: slm, so, sp, sr
    **dict.fromkeys((471, 479, 486, 495, 504), 3),  # CA3: slm, slu, so, sp, sr
    **dict.fromkeys((10703, 10704, 632), 4),  # DG: mo, po, sg
}

_BY_TABLE = {"placed": "`alignment.csv` has the pairs and the placements.", "error": "1-3 px"}
_BY_FIT = {"placed": "Placements were fitted to outline and cell layers.", "error": "1-7 px"}


def read_source(raw: Path, *, structures: Path | None = None) -> RawSet:
    """Plates of a raw folder as sections.

    Args:
        raw: the folder.
        structures: "areas" for the cortical areas, "layers" for the layers of the cortex
            (`sebre.prepare.sources.ara_areas`), "regions" for those of `any_section`, in place of
            the hippocampus.
    """
    raw = Path(raw)
    if structures is not None:
        kind = str(structures)
        return region_set(raw) if kind == "regions" else cortex_set(raw, kind)
    table = plate_table(raw)
    aligned = table.name == "alignment.csv"
    sections, files = [], [table]
    for plate in read_plates(table):
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


def _shows_subfield(drawing: Path) -> bool:
    numbers = re.findall(rb"""structure_id\s*=\s*["'](\d+)["']""", drawing.read_bytes())
    return not LAYERS.keys().isdisjoint(map(int, numbers))


def _read(plate: Plate) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    image, drawing, placement = plate.read()
    labels = paint(drawing, LAYERS, image.shape, placement.matrix)
    image, labels = right_half(plate, placement, image, labels)
    return image, masks_of_labels(labels, MIN_MASK_PX)
