"""Human T1 scans with caudate, putamen, pallidum and thalamus (IBSR 18; paper, Fig. 7).

The raw folder holds, in folders of the subjects or not, `IBSR_<nn>_ana_strip` (skull-stripped)
and `IBSR_<nn>_seg_ana` (labels) as NIfTI (.nii, .nii.gz) or Analyze (.img with .hdr, also .gz).
"""

import re
from pathlib import Path

from mrcnn.errors import MissingFileError, UserError
from sebre.data.listing import visible
from sebre.data.regions import SUBCORTICAL
from sebre.prepare.raw import RawSet, card
from sebre.prepare.volume_source import Scan, VolumeCutter

# Class id of SUBCORTICAL by number in the label volume.
LABELS = {number: region.id for region in SUBCORTICAL for number in region.atlas_ids}

# The paper crops to 158 x 123 x 145 voxels. The thick axis of the files, 128 voxels of 1.5 mm, is
# the front-back one, so these are voxels to the right, front and top.
FRAME = (158, 123, 145)

_NAME = re.compile(r"(IBSR_\d+)(_[a-z_]+)?(\.nii\.gz|\.nii|\.img\.gz|\.img)", re.IGNORECASE)
_TYPES = (".nii.gz", ".nii", ".img.gz", ".img")  # the first is taken where there are several
# Copies of the set drop "ana" from the names.
_IMAGES, _LABELS = ("_ana_strip", ""), ("_seg_ana", "_seg")

_WANTED = (
    "The raw folder must hold IBSR_<nn>_ana_strip and IBSR_<nn>_seg_ana of each subject, "
    "as .nii.gz, .nii or .img with .hdr."
)


def read_source(raw: Path, *, plane: str = "horizontal", orientation: str | None = None) -> RawSet:
    """Scans of a raw folder as sections; Analyze files need the orientation."""
    scans, alone = [], []
    for subject, files in sorted(_files(raw).items()):
        image, labels = (
            next((files[kind] for kind in kinds if kind in files), None)
            for kinds in (_IMAGES, _LABELS)
        )
        if image and labels:
            scans.append(Scan(image, labels, {"subject": subject, "marker": "T1"}))
        else:
            alone.append(f"{subject}{_IMAGES[0] if labels else _LABELS[0]}")
    if not scans:
        missing = f" Missing: {', '.join(alone)}." if alone else ""
        raise MissingFileError(f"{raw}: no scan with labels in it. {_WANTED}{missing}")
    raw_set = VolumeCutter(SUBCORTICAL, LABELS, plane, orientation, frame=FRAME).cut(
        scans,
        name="ibsr",
        license="IBSR terms: free for research, with acknowledgement",
        card=card("ibsr", count=len(scans)),
        split="subject:1/3",
    )
    # Only now: if no label file fits, that is the message a user needs.
    if alone:
        raise MissingFileError(f"{raw}: no {', no '.join(alone)}. {_WANTED}")
    return raw_set


def _files(raw: Path) -> dict[str, dict[str, Path]]:
    """Files by subject, in capitals, and kind, such as "_seg_ana"."""
    found: dict[str, dict[str, Path]] = {}
    # As unpacked: in this folder, in those of the subjects, or in these inside another.
    paths = [path for pattern in ("*", "*/*", "*/*/*") for path in visible(raw, pattern)]
    for wanted in _TYPES:
        for path in paths:
            if not (match := _NAME.fullmatch(path.name)) or match[3].lower() != wanted:
                continue
            files = found.setdefault(match[1].upper(), {})
            kept = files.setdefault((match[2] or "").lower(), path)
            if kept != path and kept.name.lower() == path.name.lower():
                raise UserError(f"{raw}: both {kept} and {path}. Keep one of them.")
    return found
