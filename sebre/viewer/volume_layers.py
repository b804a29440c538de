"""NIfTI volumes as layers of napari, at their scale: scans, and label volumes with their names.

A volume is looked at, plane by plane; it is no section, so nothing is predicted in it here.
"""

from pathlib import Path

import numpy as np

from mrcnn.errors import MissingFileError, UserError, reading
from sebre.drawing.label_descriptions import read_label_descriptions
from sebre.prepare.volume_header import checked_sides, open_volume
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
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file.")
    with reading(path, "this volume", "Fetch or export the file again."):
        file = open_volume(path)
        if len(file.shape) != 3:
            raise UserError(f"{path}: an array of {file.shape}; wanted one volume of three axes.")
        values = np.ascontiguousarray(file.read().transpose(2, 1, 0))
    sides_um = tuple(1000 * mm for mm in checked_sides(path, file, file.affine)[::-1])
    stem = path.name[: path.name.lower().rindex(".nii")]
    attributes = {"name": stem, "scale": sides_um, "units": ("micrometer",) * 3}
    described = read_label_descriptions(path.with_name(f"{stem}.txt"))
    if not described or not np.issubdtype(values.dtype, np.integer):
        return values, attributes, "image"
    numbers, names, colors = zip(*described, strict=True)
    return values, {**attributes, **named_colors(numbers, names, colors)}, "labels"
