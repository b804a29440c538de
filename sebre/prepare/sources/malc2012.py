"""Human T1 scans with caudate, putamen, pallidum and thalamus (MICCAI 2012 challenge).

The raw folder holds `<scan>_SS.nii.gz` (skull-stripped) and `<scan>_glm.nii.gz` (labels), and
`subjects.csv` (scan_id, subject_id, split), which says whose scan it is.
"""

from pathlib import Path

from mrcnn.errors import MissingFileError
from sebre.data.csv_tables import read_if_there
from sebre.data.listing import visible
from sebre.data.regions import SUBCORTICAL
from sebre.prepare.raw import RawSet, card
from sebre.prepare.volume_source import Scan, VolumeCutter

MIN_MASK_PX = 10  # the first and last voxels of a structure; 7 % of the masks

# Number in the label volume -> class id of SUBCORTICAL.
LABELS = {37: 1, 36: 2, 58: 3, 57: 4, 56: 5, 55: 6, 60: 7, 59: 8}

# Second scans of a person: they must stay with the first. (Also in subjects.csv.)
_RESCANS = {1023: 1003, 1025: 1005, 1038: 1018}

# Training scans of the challenge; its other scans are for testing. (Also in subjects.csv.)
_TRAINING = {
    *("1000", "1001", "1002", "1006", "1007", "1008", "1009", "1010"),
    *("1011", "1012", "1013", "1014", "1015", "1017", "1036"),
}


def read_source(
    raw: Path,
    *,
    plane: str = "horizontal",
    orientation: str | None = None,
    smallest: int = MIN_MASK_PX,
) -> RawSet:
    """Scans of a raw folder as sections."""
    rows = read_if_there(raw / "subjects.csv", ("scan_id", "subject_id", "split"))
    facts = {row["scan_id"]: row for row in rows}
    images = list(visible(raw, "*_SS.nii.gz"))
    names = [image.name.removesuffix("_SS.nii.gz") for image in images]
    if not facts and _TRAINING & set(names):  # files of the challenge, without the table
        facts = {
            name: {"split": "train" if name in _TRAINING else "test"}
            for name in names
            if name.isdigit()
        }
    scans = []
    for image, name in zip(images, names, strict=True):
        known = facts.get(name, {})
        subject = known.get("subject_id") or str(
            _RESCANS.get(int(name), name) if name.isdigit() else name
        )
        part = {"train": "train", "test": "val"}.get(known.get("split", ""), "")
        cells = {"subject": subject, "scan": name, "marker": "T1", "age": known.get("age", "")}
        scans.append(Scan(image, image.with_name(f"{name}_glm.nii.gz"), cells, part))
    if not scans:
        raise MissingFileError(
            f"{raw}: no <scan>_SS.nii.gz in it. The raw folder must hold the scans "
            "(<scan>_SS.nii.gz), their labels (<scan>_glm.nii.gz) and subjects.csv."
        )
    return VolumeCutter(SUBCORTICAL, LABELS, plane, orientation, smallest).cut(
        scans,
        name="malc2012",
        license="CC BY-NC 3.0",
        card=card("malc2012", min_px=smallest),
        split="source" if all(scan.part for scan in scans) else "subject:1/3",
        also_read=[raw / "subjects.csv"],
    )
