"""Templates of the mouse brain from P4 to adult, 0.2 mm, with Allen labels.

The raw folder holds `<name>_mouse_200um.npz` with the arrays `reference` and `annotation`
(templates without annotation are passed over), and the structure table of the Allen atlas.
"""

import re
from pathlib import Path

import numpy as np

from mrcnn.errors import MissingFileError, UserError, reading
from sebre.data.listing import visible
from sebre.data.regions import MOUSE
from sebre.prepare.allen.structure_tree import mouse_classes, structure_table
from sebre.prepare.raw import RawSet, card
from sebre.prepare.volume import Volume, canonical
from sebre.prepare.volume_source import Scan, VolumeCutter

# Index 0 grows from front to back, 1 from top to bottom, 2 across; which side comes first is
# not stated, and does not matter to regions of both sides.
ORIENTATION = "PIR"
VOXEL_MM = (0.2, 0.2, 0.2)
MIN_MASK_PX = 10
# One age between those of the series, and one template of another laboratory and method.
HELD_OUT = ("demba_P28", "princeton")


def read_source(
    raw: Path,
    *,
    plane: str = "sagittal",
    structures: Path | None = None,
    smallest: int = MIN_MASK_PX,
) -> RawSet:
    """Templates of a raw folder as sections."""
    scans = []
    for path in sorted(visible(raw, "*_200um.npz"), key=_age):
        if "annotation" not in _names(path):
            continue
        name = path.name.removesuffix("_mouse_200um.npz")
        age = re.search(r"P(\d+)", name)
        facts = {
            "subject": name,
            "marker": "two-photon" if name.startswith(("demba", "allen")) else "light sheet",
            "age": age[0] if age else "adult",
        }
        scans.append(Scan(path, path, facts, "val" if name in HELD_OUT else "train"))
    if not scans:
        raise MissingFileError(
            f"{raw}: no <name>_200um.npz with an annotation in it. The raw folder must hold the "
            "templates of brainglobe-ccf-translator."
        )
    tree = structure_table(raw, structures)
    cutter = VolumeCutter(
        MOUSE,
        mouse_classes(tree),
        plane,
        min_px=smallest,
        read=lambda path, _: _array(path, "reference"),
        read_labels=lambda path, _: _array(path, "annotation"),
    )
    return cutter.cut(
        scans,
        name="demba",
        license="MIT (repository); terms of the atlases, non-commercial",
        card=card("demba", min_px=smallest),
        split="source",
        also_read=[tree],
    )


def _names(path: Path) -> list[str]:
    # The file is opened here, so that it is closed when the reader fails.
    with reading(path, "this npz file", "Fetch it again."), path.open("rb") as file:
        with np.load(file, allow_pickle=False) as arrays:
            return list(arrays)


def _array(path: Path, name: str) -> Volume:
    with reading(path, f"the array {name!r}", "Fetch the file again."), path.open("rb") as file:
        with np.load(file, allow_pickle=False) as arrays:
            data = arrays[name]
    if data.ndim != 3:
        raise UserError(f"{path}: {name} has the shape {data.shape}; wanted [AP, DV, ML].")
    return canonical(data, VOXEL_MM, ORIENTATION)


def _age(path: Path) -> tuple[int, str]:
    age = re.search(r"P(\d+)", path.name)
    return (int(age[1]) if age else 1000, path.name)
