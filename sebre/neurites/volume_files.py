"""Volumes and their neurites in files, read and written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrcnn.errors import MissingFileError, UserError, reading


@dataclass(frozen=True)
class EmVolume:
    """A volume of electron microscopy, with labels or without.

    Attributes:
        name: of the file.
        raw: uint8 [z, y, x]. Gray values.
        voxel_nm: voxel size along z, y, x, in nm; None where the file does not say it.
        labels: integers [z, y, x], 0 where nothing is labeled; None without labels.
    """

    name: str
    raw: np.ndarray
    voxel_nm: tuple[float, float, float] | None
    labels: np.ndarray | None = None

    def sections(self, first: int, last: int) -> "EmVolume":
        """The sections from `first` up to, not with, `last`."""
        labels = None if self.labels is None else self.labels[first:last]
        return EmVolume(self.name, self.raw[first:last], self.voxel_nm, labels)


def read_npz(path: Path) -> EmVolume:
    """Read `raw`, `labels` and `voxel_nm` of an npz file; the last two need not be there."""
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file. Give a volume.")
    with reading(path, "this volume"), np.load(path, allow_pickle=False) as file:
        if "raw" not in file:
            raise UserError(
                f"{path}: has no array `raw`, but {', '.join(file) or 'none at all'}. Store the "
                "gray values, uint8 [z, y, x], under that name."
            )
        voxel_nm = tuple(file["voxel_nm"].tolist()) if "voxel_nm" in file else None
        labels = file["labels"] if "labels" in file else None
        volume = EmVolume(path.name, file["raw"], voxel_nm, labels)
    return checked(volume, path)


def checked(volume: EmVolume, path: Path) -> EmVolume:
    """The volume, if it can be worked with; raises a UserError otherwise."""
    raw, labels = volume.raw, volume.labels
    if raw.ndim != 3 or 0 in raw.shape:
        raise UserError(f"{path}: raw is {raw.shape}; wanted a volume [z, y, x].")
    if raw.dtype != np.uint8:
        raise UserError(f"{path}: raw is {raw.dtype}; wanted gray values of uint8.")
    if volume.voxel_nm is not None:
        demand_voxel_size(volume.voxel_nm, path)
    if labels is not None:
        if labels.shape != raw.shape:
            raise UserError(
                f"{path}: labels are {labels.shape}, raw is {raw.shape}; wanted the same shape, "
                "z, y, x in this order."
            )
        if not np.issubdtype(labels.dtype, np.integer):
            raise UserError(
                f"{path}: labels are {labels.dtype}; wanted whole numbers, one for each neurite."
            )
    return volume


def demand_voxel_size(voxel_nm: Sequence[float], path: Path | str) -> None:
    """Raise a UserError unless a voxel size is three positive numbers."""
    if len(voxel_nm) != 3 or not all(np.isfinite(s) and s > 0 for s in voxel_nm):
        raise UserError(
            f"{path}: the voxel size is {tuple(voxel_nm)}; wanted three positive numbers, nm "
            "along z, y, x."
        )
