"""One real mouse brain, registered to the Allen CCFv3, with the eight regions of its atlas.

The raw folder holds `downsampled_standard_brainreg.tiff` (the brain, 0.1 mm),
`annotation_25_reoriented_2017.nrrd` (the atlas, 0.025 mm) and the structure table.
"""

from pathlib import Path

import nrrd
import tifffile

from mrcnn.errors import MissingFileError, UserError, reading
from sebre.data.regions import MOUSE
from sebre.prepare.allen.structure_tree import mouse_classes
from sebre.prepare.raw import RawSet
from sebre.prepare.volume import TIFFFILE, Volume, canonical, without_log
from sebre.prepare.volume_source import Scan, VolumeCutter

IMAGE = "downsampled_standard_brainreg.tiff"
ANNOTATION = "annotation_25_reoriented_2017.nrrd"
VOXEL_MM = (0.1, 0.1, 0.1)
MIN_MASK_PX = 10
_STEP = 4  # voxels of the atlas per voxel of the brain

_CARD = """One adult mouse brain (autofluorescence, the test brain of brainreg), registered to the
Allen CCFv3 at 0.1 mm, with the labels of the CCFv3 (2017), in sagittal sections (front left, top
up).

- **Regions**: from the structure tree. The prethalamus is reticular nucleus, ventral lateral
  geniculate group and zona incerta; the hindbrain includes the cerebellum; hypothalamus, fiber
  tracts and ventricles belong to none.
- Masks under {min_px} px are left out, and labels where the image is 0.
- **Split**: all sections are held out (rule `test`): it is one brain, to test a network on.
- **Quality**: labels were carried over by a registration, not drawn on this brain; good to a voxel
  or two for large regions. The tip of the olfactory bulb and the end of the brain stem are cut
  off in the image.

## Source, license, citation

Annotation: Allen Institute, terms of use, non-commercial (Wang et al., Cell 181:936, 2020). Brain:
brainreg (Tyson et al., Sci Rep 12:867, 2022; BSD-3).
"""


def read_source(raw: Path, *, plane: str = "sagittal", structures: Path | None = None) -> RawSet:
    """The brain as sections."""
    for name in (IMAGE, ANNOTATION):
        if not (raw / name).is_file():
            raise MissingFileError(
                f"{raw / name}: no such file. The raw folder must hold {IMAGE} and {ANNOTATION}."
            )
    facts = {"subject": "brainreg", "marker": "autofluorescence", "age": "adult"}
    cutter = VolumeCutter(
        MOUSE,
        mouse_classes(raw, structures),
        plane,
        min_px=MIN_MASK_PX,
        inside_image=True,
        read=lambda path, _: _read(path),
    )
    return cutter.cut(
        [Scan(raw / IMAGE, raw / ANNOTATION, facts)],
        name="ccf",
        license="Allen Institute terms of use, non-commercial; BSD-3 (brain)",
        card=_CARD.format(min_px=MIN_MASK_PX),
        split="test",
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
