"""In-vivo T2 MRI of adult mice with 37 labels (rTg4510 study).

The raw folder holds `template/<scan>.nii.gz` (brain-extracted), `label/<scan>.nii.gz`, and
`scans.csv` (scan, animal, group).
"""

from pathlib import Path

from mrcnn.errors import MissingFileError
from sebre.data.csv_tables import read_if_there
from sebre.data.listing import visible
from sebre.data.regions import MOUSE
from sebre.prepare.raw import RawSet, card
from sebre.prepare.volume_source import Scan, VolumeCutter

MIN_MASK_PX = 10  # smaller pieces are the rims of a region, left over by the label fusion

# Numbers in the label table by class id of MOUSE; those of the other side are 20 higher, but three
# structures use one number for both sides. White matter, ventricles and hypothalamus belong to no
# region; the prethalamus has no label here.
_NUMBERS = {
    1: (14,),  # neocortex
    2: (1,),  # hippocampus
    3: (3, 5),  # caudate putamen, globus pallidus
    4: (7,),  # thalamus
    6: (9, 12, 13, 18),  # superior and inferior colliculi, central gray, rest of the midbrain
    7: (8, 17),  # cerebellum, brain stem
    8: (15, 16, 19),  # amygdala, olfactory bulb, basal forebrain and septum
}
LABELS = {n + side: i for i, numbers in _NUMBERS.items() for n in numbers for side in (0, 20)}


def read_source(
    raw: Path,
    *,
    plane: str = "sagittal",
    orientation: str | None = None,
    smallest: int = MIN_MASK_PX,
) -> RawSet:
    """Scans of a raw folder as sections."""
    rows = read_if_there(raw / "scans.csv", ("scan", "animal", "group"))
    known = {row["scan"]: (row["animal"], row["group"]) for row in rows}
    scans = []
    seen: dict[str, int] = {}
    for image in sorted(visible(raw / "template", "*.nii.gz"), key=_number):
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
    return VolumeCutter(MOUSE, LABELS, plane, orientation, smallest, inside_image=True).cut(
        scans,
        name="mouse_mri",
        license="GPL-3",
        card=card("mouse_mri", min_px=smallest),
        split="source",
        also_read=[raw / "scans.csv"],
    )


def _number(path: Path) -> tuple[int, str]:
    parts = path.name.split("_")
    return (int(parts[2]) if len(parts) > 2 and parts[2].isdigit() else 0, path.name)
