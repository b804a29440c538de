"""Labeled volumes: reading, anatomical orientation, and cutting into sections.

An orientation is three letters, one per array axis, that name the direction in which the
index grows: R(ight) or L(eft), A(nterior) or P(osterior), S(uperior) or I(nferior), as in NiBabel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
import scipy.ndimage
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff

from mrcnn.errors import UserError, reading
from sebre.prepare.volume_header import (
    DAMAGED,
    checked_orientation,
    checked_sides,
    corners_apart,
    open_single,
)

# Array axis of the canonical orientation (R, A, S) that a plane is cut along.
PLANES = {"sagittal": 0, "coronal": 1, "horizontal": 2}
WINDOW = (1.0, 99.5)  # percentiles of the voxels above 0


@dataclass(frozen=True)
class Volume:
    """A volume in canonical orientation: indices grow to the right, the front, and upward.

    The affine, float [4, 4], goes from indices to mm to the right, the front, and upward, by the
    header; it is None if that does not say.
    """

    data: np.ndarray  # [X, Y, Z]
    voxel_mm: tuple[float, float, float]  # sides along the three axes
    affine: np.ndarray | None = None


def read_volume(path: str | Path, orientation: str | None = None) -> Volume:
    """Read a NIfTI (.nii, .nii.gz), Analyze (.hdr/.img), NRRD (.nrrd, .nhdr) or MGH (.mgz) volume.

    Trailing axes of length 1 are left out. Lengths in other units are turned to mm; a header
    without units is taken to mean mm. Sides of voxels and their orientation come from one source;
    `sebre.prepare.volume_header` says which, and what is refused.

    Args:
        path: the file; of an Analyze pair either file.
        orientation: of the array, such as "LAS"; overrides the header, whose affine is then
            not used; the sides are those of its own field. Needed for Analyze files, and for
            NIfTI files without orientation, whose header does not distinguish left from right.
    """
    path = Path(path)
    file = open_single(path)
    if orientation is not None:
        orientation = checked_orientation(orientation)
    affine = None if orientation else file.affine
    voxel_mm = checked_sides(path, file, affine)
    if affine is not None:
        found = nibabel.aff2axcodes(affine)
        orientation = None if None in found else "".join(found)
    if orientation is None:
        raise UserError(
            f"{path}: the header does not say which side is left. Give --orientation, the "
            "directions in which the three indices grow (for example LAS: to the left, the "
            "front, upward). A viewer that shows the indices tells them."
        )
    with reading(path, *DAMAGED):
        data = file.read().reshape(file.shape)
    if data.dtype.kind not in "biuf":
        raise UserError(f"{path}: values of type {data.dtype}; wanted one real number per voxel.")
    return canonical(data, voxel_mm, orientation, affine)


def canonical(
    data: np.ndarray, voxel_mm: Sequence[float], codes: str, affine: np.ndarray | None = None
) -> Volume:
    """Turn an array [I, J, K] to R, A, S by exchanging and reversing axes; no resampling.

    Sides of voxels, orientation (`codes`) and affine, float [4, 4], are those of the array.
    """
    turn = axcodes2ornt(checked_orientation(codes))
    order = np.argsort(turn[:, 0])
    voxels = tuple(float(voxel_mm[axis]) for axis in order)
    if affine is not None:
        affine = affine @ inv_ornt_aff(turn, data.shape)
    return Volume(apply_orientation(data, turn), voxels, affine)


def grid_difference(a: Volume, b: Volume) -> str:
    """How the voxels of two volumes differ, in words; empty if they lie in the same places.

    Where both headers give places, these may differ by half a voxel: exports round them.
    """
    if a.data.shape != b.data.shape:
        return f"{a.data.shape} and {b.data.shape} voxels"
    if not np.allclose(a.voxel_mm, b.voxel_mm, rtol=0.01):
        return f"voxels of {a.voxel_mm} and {b.voxel_mm} mm"
    if a.affine is None or b.affine is None:
        return ""
    apart = corners_apart(a.affine, b.affine, a.data.shape)
    return f"places {apart:.1f} mm apart by their headers" if apart > min(a.voxel_mm) / 2 else ""


def frame_about(inside: np.ndarray, size: Sequence[int]) -> tuple[slice, ...]:
    """The part of a volume (a slice per axis) as large as wanted that holds all that is inside.

    It is centered on the bounding box of `inside`, bool [X, Y, Z]; it is larger than `size`
    (voxels along the axes) where the box is, and ends at the ends of the volume.
    """
    frame = []
    for axis, (length, wanted) in enumerate(zip(inside.shape, size, strict=True)):
        hit = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        first, end = (hit[0], hit[-1] + 1) if hit.size else (0, length)
        kept = min(length, max(wanted, end - first))
        start = min(max((first + end - kept) // 2, 0), length - kept)
        frame.append(slice(int(start), int(start + kept)))
    return tuple(frame)


def section(volume: Volume, plane: str, index: int, order: int) -> np.ndarray:
    """One section [H, W], with square pixels of the finer of the two sides.

    Front on the left in sagittal sections and on top in horizontal ones, top upward
    otherwise; horizontal and coronal sections have the subject's right on the left of the
    picture (radiological convention). Where voxels are not square, the order of interpolation
    is 1 for images and 0 for labels.
    """
    axis = PLANES[plane]
    # Rows and columns then run along (z, y), (z, x) and (y, x); all reversed.
    picture = np.take(volume.data, index, axis).T[::-1, ::-1]
    column_mm, row_mm = (mm for i, mm in enumerate(volume.voxel_mm) if i != axis)
    if np.isclose(row_mm, column_mm, rtol=1e-3):
        return picture
    side = min(row_mm, column_mm)
    shape = [round(n * mm / side) for n, mm in zip(picture.shape, (row_mm, column_mm), strict=True)]
    # Pixel centers: new row r lies at old row (r + 0.5) * step - 0.5.
    rows, columns = (
        (np.arange(new) + 0.5) * (old / new) - 0.5
        for new, old in zip(shape, picture.shape, strict=True)
    )
    grid = np.meshgrid(rows, columns, indexing="ij")
    if order == 0:
        return scipy.ndimage.map_coordinates(picture, grid, order=0, mode="nearest")
    resampled = scipy.ndimage.map_coordinates(
        picture.astype(np.float32), grid, order=order, mode="nearest"
    )
    if picture.dtype.kind in "iu":
        resampled = np.rint(resampled)
    return resampled.astype(picture.dtype)


def pixel_size_um(volume: Volume, plane: str) -> float:
    """Side of a pixel of `section`, in micrometres."""
    return 1000 * min(mm for i, mm in enumerate(volume.voxel_mm) if i != PLANES[plane])


def slice_spacing_um(volume: Volume, plane: str) -> float:
    """Distance between the middles of neighboring sections, in micrometres."""
    return 1000 * volume.voxel_mm[PLANES[plane]]


def to_8_bit(data: np.ndarray) -> np.ndarray:
    """Intensities (float32, finite) as uint8: WINDOW percentiles of those above 0 become 0 and 255.

    One window for the whole volume, so that sections stay comparable. Voxels at 0 and below
    are background.
    """
    inside = data[data > 0]
    if not inside.size:
        return np.zeros(data.shape, np.uint8)
    low, high = np.percentile(inside, WINDOW)
    if not low < high:  # a mask: one value inside
        return np.where(data >= high, np.uint8(255), np.uint8(0))
    scaled = (data.astype(np.float32) - low) / (high - low)
    return np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def to_labels(volume: Volume, path: str | Path) -> Volume:
    """Labels as integers; a ValueError if the values are not whole numbers."""
    if volume.data.dtype.kind in "biu":
        return volume
    whole = np.rint(volume.data)
    # Above 2**53, doubles skip whole numbers.
    if not (np.abs(whole) < 2**53).all() or np.abs(volume.data - whole).max() > 0.01:
        raise UserError(
            f"{path}: values are not whole numbers, so this is not a label volume. Was it "
            "interpolated, or is it the image?"
        )
    return replace(volume, data=whole.astype(np.int64))


def classes_of_labels(labels: np.ndarray, classes: Mapping[int, int]) -> np.ndarray:
    """Class ids in the shape of `labels`, 0 for labels that `classes` lacks.

    The type is the smallest unsigned one that holds the ids: uint8 up to 255.
    """
    numbers = np.array(sorted(classes), np.int64)
    kind = np.min_scalar_type(max(classes.values()))
    ids = np.array([classes[int(number)] for number in numbers], kind)
    place = np.searchsorted(numbers, labels).clip(max=len(numbers) - 1)
    return np.where(numbers[place] == labels, ids[place], kind.type(0))
