"""What the header of a volume says of voxels: their sides, and how they lie.

Both come from one source. Where the header says how the voxels lie, their sides follow from the
same affine: in NIfTI the sform if it has a code, else the qform. Fields that say otherwise are
refused; with an orientation given by the user, the field of the sides is taken alone.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.openers import ImageOpener

from mrcnn.errors import MissingFileError, UserError, reading

NRRD = (".nrrd", ".nhdr")  # the second has its values in another file
VOLUME_TYPES = (".nii", ".nii.gz", *NRRD, ".mgz", ".mgh", ".hdr")
DAMAGED = "this volume", "Fetch or export the file again."  # for `mrcnn.errors.reading`
NIBABEL, TIFFFILE = "nibabel.global", "tifffile"

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def without_log(logger: str) -> Iterator[None]:
    """Let a logger of this name write nothing; also a decorator."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)


_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "I": "S", "S": "I"}
_MM = {
    **dict.fromkeys(("", "unknown", "mm", "millimeter", "millimeters"), 1.0),
    **dict.fromkeys(("m", "meter", "meters"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimeters"), 10.0),
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "micron", "microns"), 1e-3),
    **dict.fromkeys(("micrometer", "micrometers"), 1e-3),
    **dict.fromkeys(("nm", "nanometer", "nanometers"), 1e-6),
}
# Beyond these a length is in another unit than the header says: from 2 um, the finest scans of
# whole brains, to a meter.
_SMALLEST_MM, _LARGEST_MM, _LONGEST_MM = 0.002, 20.0, 1000.0
_SAME = 1e-3  # relative difference of sides that rounding leaves
_SQUARE = 1e-2  # cosine between axes that rounding leaves
_MOST_PACKED = 1100  # gzip packs at most 1032 bytes into one


@dataclass(frozen=True)
class VolumeFile:
    """What the header of a file says."""

    shape: tuple[int, ...]
    affine: np.ndarray | None  # from indices to mm to the right, the front, and up; or not said
    sides: tuple[float, ...] | None  # mm, by a field of their own
    packed: int  # bytes of the file that holds the values
    read: Callable[[], np.ndarray]
    source: str = ""  # of the affine, in words
    other: np.ndarray | None = None  # affine of another field, which is not used


def is_volume(path: Path) -> bool:
    """Whether the ending is one of a volume."""
    return path.name.lower().endswith(VOLUME_TYPES)


def volume_stem(path: Path) -> str:
    """The name of a volume without its ending."""
    ending = next(e for e in sorted(VOLUME_TYPES, key=len)[::-1] if path.name.lower().endswith(e))
    return path.name[: -len(ending)]


def open_volume(path: Path) -> VolumeFile:
    """Read the header of a NIfTI, Analyze, NRRD or MGH file."""
    return _open_nrrd(path) if path.suffix.lower() in NRRD else _open_nibabel(path)


def open_single(path: Path) -> VolumeFile:
    """Read the header of a file that holds one volume; trailing axes of length 1 are left out of
    its shape.

    Raises:
        UserError: no such file, a damaged one, other axes, or more voxels than it can hold.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file.")
    with reading(path, *DAMAGED):
        file = open_volume(path)
    shape = file.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(
            f"{path}: an array of shape {shape}; wanted one volume of three axes, [X, Y, Z]."
        )
    # A reader would first allocate what a broken header claims.
    if prod(shape) > _MOST_PACKED * file.packed:
        raise UserError(
            f"{path}: the header claims {shape} voxels, more than the file can hold. "
            "Fetch or export the file again."
        )
    return replace(file, shape=shape)


def checked_orientation(codes: str) -> str:
    """The three letters in upper case; a ValueError unless they name the three axes."""
    upper = codes.upper()
    axes = {frozenset((code, _OPPOSITE[code])) for code in upper if code in _OPPOSITE}
    if len(upper) != 3 or len(axes) != 3:
        raise UserError(
            f"orientation {codes!r}: wanted three letters, one each of R/L, A/P and S/I, such as "
            "RAS or LPI."
        )
    return upper


def checked_sides(path: Path, file: VolumeFile, affine: np.ndarray | None) -> tuple[float, ...]:
    """Sides of the voxels, mm, of a file of three axes.

    Args:
        path: of the file.
        file: its header.
        affine: that of the file, if it is used; None where the user gives the orientation.

    Raises:
        UserError: sides that are broken, implausible, or not those of another field; or a shear.
    """
    own = None if file.sides is None else tuple(float(mm) for mm in file.sides[:3])
    by_affine = None if file.affine is None else tuple(voxel_sizes(file.affine).tolist())
    sides = by_affine if own is None or affine is not None else own
    for found in (own or sides, sides):
        if found is None or not all(np.isfinite(mm) and mm > 0 for mm in found):
            raise UserError(
                f"{path}: voxels of {_listed(found or ())} mm; the header is broken or does not "
                "give their size. Correct it, or export the file again."
            )
    longest = max(n * mm for n, mm in zip(file.shape, sides, strict=False))
    if min(sides) < _SMALLEST_MM or max(sides) > _LARGEST_MM or longest > _LONGEST_MM:
        raise UserError(
            f"{path}: voxels of {_listed(sides)} mm, {longest:g} mm in all, are no brain. The "
            "header has another unit than its numbers, such as micrometers or meters taken for "
            "millimeters: correct the unit or the sizes."
        )
    if affine is None:
        return sides
    if own is not None and not np.allclose(own, sides, rtol=_SAME, atol=0):
        raise UserError(
            f"{path}: voxels of {_listed(own)} mm by the sizes in the header, and of "
            f"{_listed(sides)} mm by its {file.source}. Correct the header; or give --orientation, "
            f"which leaves the {file.source} aside and takes the sizes."
        )
    axes = affine[:3, :3] / sides
    if (shear := np.abs(np.triu(axes.T @ axes, 1)).max()) > _SQUARE:
        raise UserError(
            f"{path}: its axes are not at right angles (by {np.degrees(np.arcsin(shear)):.1f} "
            f"degrees, by the {file.source}). Resample it to a straight grid; or give "
            f"--orientation, which leaves the {file.source} aside."
        )
    if file.other is not None:
        _compare(path, file)
    return sides


def _compare(path: Path, file: VolumeFile) -> None:
    """Warn where the field that is not used places the voxels elsewhere."""
    both = file.affine, file.other
    codes = ["".join(code or "?" for code in nibabel.aff2axcodes(affine)) for affine in both]
    apart = corners_apart(file.affine, file.other, file.shape)
    if codes[0] != codes[1] or not apart <= min(voxel_sizes(file.affine)) / 2:
        _log.warning(
            "%s: the sform (%s) is used; the qform (%s) places voxels up to %.1f mm elsewhere. If "
            "sides are exchanged, correct the header, or give --orientation.",
            path,
            *codes,
            apart,
        )


def corners_apart(a: np.ndarray, b: np.ndarray, shape: Sequence[int]) -> float:
    """Largest distance, mm, between the places that two affines give the corners of an array."""
    last = np.array(shape[:3]) - 1
    corners = np.array([[*(corner * last), 1] for corner in np.ndindex(2, 2, 2)])
    return float(np.linalg.norm(corners @ (a - b)[:3].T, axis=1).max())


def _listed(sides: Sequence[float]) -> str:
    return " x ".join(f"{mm:.6g}" for mm in sides) or "no"


def _scale(path: Path, unit: Any) -> float:
    """Millimeters of a unit; without one, lengths are taken to be in mm."""
    name = str(unit).strip('" ').lower()
    if name not in _MM:
        raise UserError(
            f"{path}: lengths in {name!r}, which is not known. Write them in mm into the header."
        )
    return _MM[name]


@without_log(NIBABEL)
def _open_nibabel(path: Path) -> VolumeFile:
    image = nibabel.load(path)
    header = image.header
    affine, other, source, unit = image.affine, None, "affine", ""
    # As it is in the file: NiBabel makes sides of 0 or below to others.
    files = image.file_map
    with ImageOpener(files.get("header", files["image"]).filename) as file:
        if isinstance(header, MGHHeader):
            sides, knows = header["delta"], int.from_bytes(file.read(30)[28:], "big", signed=True)
            affine, sides = (affine, sides) if knows > 0 else (None, None)
        else:
            sides = type(header).from_fileobj(file, check=False)["pixdim"][1:4]
    if isinstance(header, nibabel.Nifti1Header):
        source = "sform" if header["sform_code"] else "qform"
        if not header["sform_code"] and not header["qform_code"]:
            affine = None
        elif header["sform_code"] and header["qform_code"]:
            with contextlib.suppress(ValueError):  # no rotation; it is not used
                other = header.get_qform()
        try:
            unit = header.get_xyzt_units()[0]
        except KeyError as error:
            raise UserError(
                f"{path}: lengths in the unit number {int(header['xyzt_units']) % 8}, which is not "
                "known. Write them in mm into the header."
            ) from error
    elif isinstance(header, nibabel.AnalyzeHeader):
        affine = None
        # The reader that NiBabel prefers scales by the range for display, which spoils labels.
        image = nibabel.Spm99AnalyzeImage.load(path)
    mm = _scale(path, unit)

    def in_mm(affine: np.ndarray | None) -> np.ndarray | None:
        return None if affine is None else np.vstack([mm * affine[:3], affine[3:]])

    return VolumeFile(
        shape=tuple(int(n) for n in image.shape),
        affine=in_mm(affine),
        sides=None if sides is None else tuple(mm * float(side) for side in sides),
        packed=Path(image.file_map["image"].filename).stat().st_size,
        read=lambda: np.asanyarray(image.dataobj),
        source=source,
        other=in_mm(other),
    )


def _open_nrrd(path: Path) -> VolumeFile:
    header = nrrd.read_header(str(path))
    directions = header.get("space directions")
    count = len(header["sizes"])
    of_axes = [_scale(path, unit) for unit in header.get("units", [""] * count)]
    spacings = np.array(header.get("spacings", [np.nan] * count), float) * of_axes
    sides = tuple(spacings.tolist()) if np.isfinite(spacings).all() else None
    affine = None
    if directions is not None and np.isfinite(directions).all():
        # Rows are the steps of the three indices in the named space.
        if "space units" in header:
            of_space = np.array([_scale(path, unit) for unit in header["space units"]])
            steps, origin = directions * of_space, header.get("space origin", 0) * of_space
        else:
            steps = directions * np.array(of_axes)[:, None]
            origin = header.get("space origin", np.zeros(3)) * of_axes[0]
        sides = sides or tuple(np.linalg.norm(steps, axis=1).tolist())
        to_ras = _space(header.get("space", ""))
        if to_ras is not None:
            affine = np.eye(4)
            affine[:3, :3] = to_ras @ steps.T
            affine[:3, 3] = to_ras @ origin
    values = header.get("data file", header.get("datafile", path.name))
    return VolumeFile(
        shape=tuple(int(n) for n in header["sizes"]),
        affine=affine,
        sides=sides,
        packed=(path.parent / str(values)).stat().st_size,
        read=lambda: nrrd.read(str(path))[0],
        source="space directions",
    )


def _space(name: str) -> np.ndarray | None:
    """From the named space of an NRRD file to R, A, S, float [3, 3]; None if it has no sides."""
    words = name.lower().replace("_", "-").split("-")
    codes = name if len(words) == 1 else "".join(word[:1] for word in words)
    try:
        codes = checked_orientation(codes)
    except ValueError:
        return None
    turn = np.zeros((3, 3))
    for axis, code in enumerate(codes):
        sign, ras = (1, "RAS") if code in "RAS" else (-1, "LPI")
        turn[ras.index(code), axis] = sign
    return turn
