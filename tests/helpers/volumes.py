"""Volumes made for tests: a lopsided one, and files of it in any orientation."""

from pathlib import Path

import nibabel
import nrrd
import numpy as np

VOXEL_MM = (1.0, 1.5, 2.0)  # right, front, up
AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def lopsided() -> tuple[np.ndarray, np.ndarray]:
    """Image and labels [9, 7, 5] in canonical orientation, each voxel of the image with a
    value of its own; label 1 lies left, front and top, label 2 at the right.
    """
    image = (np.arange(9 * 7 * 5, dtype=np.int16) * 3 + 5).reshape(9, 7, 5)
    labels = np.zeros((9, 7, 5), np.int16)
    labels[1:3, 4:6, 2:4] = 1
    labels[6:8, 1:3, 1:4] = 2
    return image, labels


def turned(data: np.ndarray, codes: str) -> np.ndarray:
    """A canonical array stored in another orientation."""
    axes = [AXES[code] for code in codes]
    stored = data.transpose([axis for axis, _ in axes])
    flips = tuple(slice(None, None, sign) for _, sign in axes)
    return np.ascontiguousarray(stored[flips])


def affine_of(shape: tuple[int, ...], codes: str, voxel_mm=VOXEL_MM) -> np.ndarray:
    """That puts canonical voxel (0, 0, 0) at (-20, 10, 5) mm; `shape` is the canonical one."""
    affine = np.eye(4)
    affine[:3] = 0
    affine[:3, 3] = (-20, 10, 5)
    for column, code in enumerate(codes):
        axis, sign = AXES[code]
        affine[axis, column] = sign * voxel_mm[axis]
        if sign < 0:
            affine[axis, 3] += voxel_mm[axis] * (shape[axis] - 1)
    return affine


def save_nifti(
    path: Path,
    data: np.ndarray,
    codes: str = "RAS",
    forms: tuple[int, int] = (1, 1),
    voxel_mm=VOXEL_MM,
) -> Path:
    """Save a canonical array in an orientation; `forms` are the codes of sform and qform."""
    affine = affine_of(data.shape, codes, voxel_mm)
    image = nibabel.Nifti1Image(turned(data, codes), affine)
    image.set_sform(affine if forms[0] else None, forms[0])
    image.set_qform(affine, forms[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


def save_analyze(
    path: Path, data: np.ndarray, codes: str, big_endian: bool = False, **fields
) -> Path:
    """Save a canonical array as an Analyze pair; `path` is that of the .img."""
    voxel_mm = VOXEL_MM
    header = nibabel.AnalyzeHeader(endianness=">" if big_endian else "<")
    header.set_data_dtype(data.dtype)
    image = nibabel.AnalyzeImage(turned(data, codes), None, header)
    image.header.set_zooms([voxel_mm[AXES[code][0]] for code in codes])
    for name, value in fields.items():
        image.header[name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


def save_nrrd(path: Path, data: np.ndarray, codes: str, space: str) -> Path:
    """Save a canonical array in an orientation, with its place told in a space such as LPS."""
    affine = affine_of(data.shape, codes)
    signs = np.array([1 if code in "RAS" else -1 for code in space.upper()])
    names = {"L": "left", "R": "right", "A": "anterior", "P": "posterior", "S": "superior"}
    header = {
        "space": "-".join(names[code] for code in space) if space.isupper() else space.upper(),
        "space directions": (signs[:, None] * affine[:3, :3]).T,
        "space origin": signs * affine[:3, 3],
    }
    nrrd.write(str(path), turned(data, codes), header)
    return path
