"""One real mouse brain, registered to the Allen CCFv3, with the eight regions of its atlas.

The raw folder holds `downsampled_standard_brainreg.tiff` (the brain, 0.1 mm),
`annotation_25_reoriented_2017.nrrd` (the atlas, 0.025 mm) and the structure table.
"""

from pathlib import Path

import nrrd
import tifffile

from mrcnn.errors import MissingFileError, UserError, reading
from sebre.data.regions import MOUSE
from sebre.prepare.allen.structure_tree import mouse_classes, structure_table
from sebre.prepare.raw import RawSet, card
from sebre.prepare.volume import Volume, canonical
from sebre.prepare.volume_header import TIFFFILE, without_log
from sebre.prepare.volume_source import Scan, VolumeCutter

IMAGE = "downsampled_standard_brainreg.tiff"
ANNOTATION = "annotation_25_reoriented_2017.nrrd"
VOXEL_MM = (0.1, 0.1, 0.1)
MIN_MASK_PX = 10
_STEP = 4  # voxels of the atlas per voxel of the brain


def read_source(
    raw: Path,
    *,
    plane: str = "sagittal",
    structures: Path | None = None,
    smallest: int = MIN_MASK_PX,
) -> RawSet:
    """The brain as sections."""
    for name in (IMAGE, ANNOTATION):
        if not (raw / name).is_file():
            raise MissingFileError(
                f"{raw / name}: no such file. The raw folder must hold {IMAGE} and {ANNOTATION}."
            )
    facts = {"subject": "brainreg", "marker": "autofluorescence", "age": "adult"}
    tree = structure_table(raw, structures)
    cutter = VolumeCutter(
        MOUSE,
        mouse_classes(tree),
        plane,
        min_px=smallest,
        inside_image=True,
        read=lambda path, _: _read(path),
    )
    return cutter.cut(
        [Scan(raw / IMAGE, raw / ANNOTATION, facts)],
        name="ccf",
        license="Allen Institute terms of use, non-commercial; BSD-3 (brain)",
        card=card("ccf", min_px=smallest),
        split="test",
        also_read=[tree],
    )


def _read(path: Path) -> Volume:
    """The image, or the labels at the centers of its voxels."""
    labels = path.name == ANNOTATION
    with reading(path, "this volume", "Fetch it again."), without_log(TIFFFILE):
        data = nrrd.read(str(path))[0] if labels else tifffile.imread(path)
    if data.ndim != 3:
        raise UserError(f"{path}: an array of shape {data.shape}; wanted one volume of 3 axes.")
    if not labels:
        # Front to back, top to bottom, across.
        return canonical(data, VOXEL_MM, "PIR")
    # Against its header, the indices run across, from back to front, and upward.
    half = _STEP // 2
    return canonical(data[half::_STEP, half::_STEP, half::_STEP], VOXEL_MM, "RAS")
