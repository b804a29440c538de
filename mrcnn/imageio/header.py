"""What the header of a picture file says, and what the user chooses of a file with more than one.

Every reader of this room makes a `PictureHeader` first and reads pixels by it.
"""

import math
import numbers
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError

# Endings of the files that are read. Which format a file has is seen from its first bytes.
PICTURE_TYPES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif"),
    *(".tif", ".tiff", ".btf", ".tf8"),
    *(".svs", ".ndpi", ".qptiff", ".scn", ".bif"),  # TIFF files of slide scanners
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    *(".bmp", ".dib", ".gif", ".webp", ".tga", ".ppm", ".pgm", ".pbm", ".pnm"),
)

_SLIDE = "export it as OME-TIFF, with the program of the microscope or with Bio-Formats (Fiji)"
_SCAN = "convert it to NIfTI (.nii.gz), which `sebre predict` reads, with {}"
# Of endings of files that are not read: what makes one of them that is.
_CURES = {
    **dict.fromkeys((".czi", ".nd2", ".lif", ".lsm", ".oib", ".oif", ".ims", ".vsi"), _SLIDE),
    **dict.fromkeys((".mrxs", ".sld", ".zvi", ".dv"), _SLIDE),
    **dict.fromkeys((".dcm", ".dicom", ".ima"), _SCAN.format("dcm2niix")),
    **dict.fromkeys((".mnc", ".mnc2"), _SCAN.format("mnc2nii")),
    **dict.fromkeys((".mha", ".mhd"), _SCAN.format("ITK-SNAP or 3D Slicer")),
    ".img": "put its header (.hdr) beside it, or " + _SCAN.format("FSL or ITK-SNAP"),
    **dict.fromkeys((".heic", ".heif", ".pdf", ".svg", ".psd"), "export it as PNG or TIFF"),
}

# Of each EXIF orientation: whether rows and columns change places, and which of the upright
# picture's axes are then reversed, (rows, columns).
TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}

# A file that claims to hold so much more than its own size is damaged: no usual compression gets
# there, and nothing may be allocated for it.
_MOST_COMPRESSED = 2000
_UNSUSPECTED_BYTES = 2**28


@dataclass(frozen=True)
class Choice:
    """What is read of a file that holds more than one picture; nothing is chosen silently.

    Attributes:
        channel: number of the channel, from 1; None where there are colors, or one channel alone.
        z: number of the page of a stack or series, from 1; "max" for the largest value of all
            pages; None where there is one.
        index: number of a picture of the file, from 0, whatever its axes mean; None for the above.
    """

    channel: int | None = None
    z: int | str | None = None
    index: int | None = None

    def __post_init__(self) -> None:
        if self.channel is not None and not _is_number(self.channel):
            raise UserError(
                f"channel is {self.channel!r}; wanted a whole number: channels are counted from 1."
            )
        if self.z is not None and self.z != "max" and not _is_number(self.z):
            raise UserError(f"z is {self.z!r}; wanted 'max', or the number of a page from 1.")


def _is_number(value: Any) -> bool:
    """Whether a value numbers something, from 1."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 1


class UnknownPictureError(UserError):
    """A file that is no picture of a kind that is read."""


def cure_of(path: Path) -> str:
    """What makes a file that is read of one that is not, by its ending; empty if not known."""
    return _CURES.get(path.suffix.lower(), "")


EVERYTHING = Choice()
_COARSEST_UM = 60.0  # a side of a pixel above it comes from a resolution that is meant for print
_PRINT_DPI = (300, 600, 1200, 2400)  # dots per inch that figures are saved with
_INCH_UM = 25400.0


@dataclass(frozen=True)
class PictureHeader:
    """What a file says of its picture, before any pixel is decoded.

    Attributes:
        path: of the file, for messages.
        format: "PNG", "JPEG", "TIFF" and the like.
        shape: (H, W) px, upright.
        dtype: of the stored samples.
        bits: of a sample, as the file says.
        color: how samples stand for colors, one of `mrcnn.imageio.color_models.MODELS`.
        alpha: "straight" or "premultiplied" where the last sample is opacity; else "".
        palette: uint8 [n, 3 or 4], the colors of indices; None without a palette.
        orientation: EXIF number 1 to 8 of how the stored picture lies.
        axes: of the file, by letters: Y, X, S (samples), C (channels), Z, T and others.
        pages: pictures in the file.
        compression: as the format calls it.
        pixel_um: (rows, columns) um from one pixel to the next, upright; None if not said.
        dpi: the resolution that `pixel_um` comes from, by rows, dots per inch; None where it comes
            from elsewhere.
        notes: what was converted, assumed or passed over, for the user.
    """

    path: Any
    format: str
    shape: tuple[int, int]
    dtype: np.dtype
    bits: int
    color: str = "gray"
    alpha: str = ""
    palette: np.ndarray | None = None
    orientation: int = 1
    axes: str = "YX"
    pages: int = 1
    compression: str = "none"
    pixel_um: tuple[float, float] | None = None
    dpi: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def transposed(self) -> bool:
        """Whether rows of the file are columns of the upright picture."""
        return TURNS[self.orientation][0]

    @property
    def has_alpha(self) -> bool:
        """Whether pixels may be transparent."""
        return bool(self.alpha) or (self.palette is not None and self.palette.shape[-1] == 4)

    @property
    def is_deep(self) -> bool:
        """Whether values have to be scaled to become 8 bits."""
        return self.palette is None and self.dtype != bool and self.dtype.itemsize > 1


def size_of_dpi(dpi: tuple[float, float]) -> tuple[float, float] | None:
    """(rows, columns) um of a pixel, of a resolution in dots per inch; None where it is meant for
    print or screens, or is none. One rule for all formats."""
    if not all(0 < value < math.inf for value in dpi):
        return None
    if any(abs(value - printed) < 0.5 for value in dpi for printed in _PRINT_DPI):
        return None
    found = _INCH_UM / dpi[0], _INCH_UM / dpi[1]
    return found if max(found) < _COARSEST_UM else None


def upright(shape: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(H, W) of a stored picture (h, w) that is turned upright."""
    return shape[::-1] if TURNS[orientation][0] else shape


def demand_plausible(path: Path, shape: tuple[int, ...], bits: int) -> None:
    """Raise UserError where a header claims a picture that its file cannot hold.

    `shape` is that of all samples, of `bits` each.
    """
    if 0 in shape:
        raise UserError(f"{path}: its header says {shape} px: there is no picture in it.")
    size, wanted = path.stat().st_size, int(np.prod(shape, dtype=np.float64)) * bits / 8
    if wanted > _UNSUSPECTED_BYTES and wanted > _MOST_COMPRESSED * size:
        raise UserError(
            f"{path}: cannot read this picture (its header says {' x '.join(map(str, shape))} "
            f"samples, {wanted / 2**20:.0f} MiB, but the file has {size} bytes). It is damaged: "
            "replace it."
        )
