"""NIfTI volumes as layers of napari, at their scale: scans, and label volumes with their names.

A volume is looked at, plane by plane; it is no section, so nothing is predicted in it here.
"""

from pathlib import Path

import numpy as np

from mrcnn.errors import reading
from sebre.drawing.label_descriptions import read_label_descriptions
from sebre.prepare.volume_header import DAMAGED, checked_sides, open_single, volume_stem
from sebre.viewer.label_layers import LayerData, named_colors

VOLUME_ENDINGS = (".nii", ".nii.gz")


def is_volume(path: Path) -> bool:
    """Whether the ending is that of a NIfTI volume."""
    return path.name.lower().endswith(VOLUME_ENDINGS)


def volume_layer(path: Path) -> LayerData:
    """A volume [X, Y, Z] as a layer [Z, Y, X].

    It is one of labels where a label description file of ITK-SNAP lies beside it, as beside those
    of `sebre predict` and `sebre areas fill`: NAME.txt beside NAME.nii.gz.

    Raises:
        UserError: a damaged file, one of other axes, or sides of voxels that are no lengths.
    """
    file = open_single(path)
    with reading(path, *DAMAGED):
        values = np.ascontiguousarray(file.read().reshape(file.shape).transpose(2, 1, 0))
    sides_um = tuple(1000 * mm for mm in checked_sides(path, file, file.affine)[::-1])
    stem = volume_stem(path)
    attributes = {"name": stem, "scale": sides_um, "units": ("micrometer",) * 3}
    described = read_label_descriptions(path.with_name(f"{stem}.txt"))
    if not described or not np.issubdtype(values.dtype, np.integer):
        return values, attributes, "image"
    return values, {**attributes, **named_colors(described)}, "labels"
