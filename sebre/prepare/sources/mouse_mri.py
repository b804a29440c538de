"""In-vivo T2 MRI of adult mice with 37 labels (rTg4510 study).

The raw folder holds `template/<scan>.nii.gz` (brain-extracted), `label/<scan>.nii.gz`, and
`scans.csv` (scan, animal, group).
"""

from pathlib import Path

from mrcnn.errors import MissingFileError
from sebre.data.csv_tables import read_table
from sebre.data.regions import MOUSE
from sebre.prepare.raw import RawSet, card
from sebre.prepare.volume_source import Scan, VolumeCutter

MIN_MASK_PX = 10  # smaller pieces are the rims of a region, left over by the label fusion

# Name in the label table and class id of MOUSE, by number; the other side is 20 higher, but three
# structures use one number for both sides. The names that are left out (white matter, ventricles,
# hypothalamus) belong to no region; the prethalamus has no label here.
_STRUCTURES = {
    1: ("Hippocampus", 2),
    3: ("Caudate Putamen", 3),
    5: ("Globus Pallidus", 3),
    7: ("Thalamus", 4),
    8: ("Cerebellum", 7),
    9: ("Superior Colliculi", 6),
    12: ("Inferior Colliculi", 6),
    13: ("Central Gray", 6),
    14: ("Neocortex", 1),
    15: ("Amygdala", 8),
    16: ("Olfactory bulb", 8),
    17: ("Brain Stem", 7),
    18: ("Rest of Midbrain", 6),
    19: ("Basal Forebrain Septum", 8),
}
LABELS = {
    number + side: class_id for number, (_, class_id) in _STRUCTURES.items() for side in (0, 20)
}


def read_source(raw: Path, *, plane: str = "sagittal", orientation: str | None = None) -> RawSet:
    """Scans of a raw folder as sections."""
    known = _animals(raw / "scans.csv")
    scans = []
    seen: dict[str, int] = {}
    for image in sorted((raw / "template").glob("*.nii.gz"), key=_number):
        name = image.name.removesuffix(".nii.gz")
        # Scan names end in the group: tg4510_tp3_10_20130523_UT.
        animal, group = known.get(name, ("_".join(name.split("_")[:3]), name.rsplit("_")[-1]))
        cells = {"subject": animal, "scan": name, "marker": group, "age": "adult"}
        # Every fourth animal of a group is held out, so that both parts have all groups.
        part = "val" if seen.get(group, 0) % 4 == 1 else "train"
        seen[group] = seen.get(group, 0) + 1
        scans.append(Scan(image, raw / "label" / image.name, cells, part))
    if not scans:
        raise MissingFileError(
            f"{raw / 'template'}: no <scan>.nii.gz in it. The raw folder must hold "
            "template/<scan>.nii.gz, label/<scan>.nii.gz and scans.csv."
        )
    return VolumeCutter(MOUSE, LABELS, plane, orientation, MIN_MASK_PX, inside_image=True).cut(
        scans,
        name="mouse_mri",
        license="GPL-3",
        card=card("mouse_mri", min_px=MIN_MASK_PX),
        split="source",
    )


def _number(path: Path) -> tuple[int, str]:
    parts = path.name.split("_")
    return (int(parts[2]) if len(parts) > 2 and parts[2].isdigit() else 0, path.name)


def _animals(path: Path) -> dict[str, tuple[str, str]]:
    rows = read_table(path, ("scan", "animal", "group")) if path.is_file() else []
    return {row["scan"]: (row["animal"], row["group"]) for row in rows}
