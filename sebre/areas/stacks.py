"""Stacks of sections in one frame, with areas drawn on some or all of them, and their files.

A stack is an npz file of `images` uint8 [z, y, x], `z_mm` [z], `pixel_um`, `names`, and, where
areas are drawn, `labels` uint8 [z, y, x] and `areas`, the names of labels 1, 2, ...; perhaps
`layers` likewise. Pictures of a folder and scans in NIfTI are read as stacks as well.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from mrcnn.errors import MissingFileError, UserError, reading
from mrcnn.imageio.label_files import read_labels
from mrcnn.imageio.reading import read_picture
from mrcnn.io.own_files import replace_own
from sebre.data.listing import visible
from sebre.prepare.volume_header import DAMAGED, checked_sides, corners_apart, open_single

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
MOST_AREAS = 254
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stack:
    """Sections, one behind the other.

    Attributes:
        names: of the sections, in their order.
        images: uint8 [z, y, x].
        z_mm: float64 [z], place of each section along the stack, in mm, rising.
        pixel_um: side of a pixel.
        labels: uint8 [z, y, x], 0 outside the areas; None where nothing is drawn.
        areas: names of labels 1, 2, ...
        layers: uint8 [z, y, x], numbers of cortical layers, likewise; None if not known.
        affine: float [4, 4], of the scan that the stack was cut from; None for pictures.
        axis: of that scan, from section to section.
    """

    names: tuple[str, ...]
    images: np.ndarray
    z_mm: np.ndarray
    pixel_um: float
    labels: np.ndarray | None = None
    areas: tuple[str, ...] = ()
    layers: np.ndarray | None = None
    affine: np.ndarray | None = None
    axis: int = 0

    def __post_init__(self):
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise UserError(
                f"The stack is {self.images.dtype} {self.images.shape}; wanted uint8 sections of "
                "one size, [z, y, x]."
            )
        if len(self.z_mm) != len(self.images) or (np.diff(self.z_mm) <= 0).any():
            raise UserError(
                f"The places of the sections are {np.asarray(self.z_mm).tolist()}; wanted a rising "
                f"one for each of {len(self.images)}."
            )
        for key, most in (("labels", len(self.areas) or MOST_AREAS), ("layers", MOST_AREAS)):
            if (values := getattr(self, key)) is not None:
                object.__setattr__(self, key, self._checked(key, values, most))

    def _checked(self, key: str, values: np.ndarray, most: int) -> np.ndarray:
        """Labels or layers as uint8."""
        if values.shape != self.images.shape:
            raise UserError(
                f"The {key} are {values.shape}, the sections {self.images.shape}; wanted "
                f"{key} drawn on these sections, of the same size."
            )
        low, high = (int(values.min(initial=0)), int(values.max(initial=0)))
        if values.dtype.kind not in "iub" or low < 0 or high > most:
            raise UserError(
                f"The {key} are {values.dtype} from {low} to {high}; wanted whole numbers from 0 "
                f"to {most}, the number of areas."
            )
        return values.astype(np.uint8, copy=False)

    def __len__(self) -> int:
        return len(self.images)

    def sections(self, numbers: Sequence[int]) -> "Stack":
        """The sections of these numbers, in rising order."""
        kept = sorted(numbers)
        parts = {
            key: None if (value := getattr(self, key)) is None else value[kept]
            for key in ("images", "labels", "layers")
        }
        names = tuple(self.names[n] for n in kept)
        affine = None
        if self.affine is not None and kept == list(range(kept[0], kept[0] + len(kept))):
            affine = self.affine.copy()
            affine[:3, 3] += kept[0] * affine[:3, self.axis]
        return replace(self, names=names, z_mm=self.z_mm[kept], affine=affine, **parts)

    def drawn(self) -> "Stack":
        """Itself.

        Raises:
            UserError: nothing is drawn.
        """
        if self.labels is None or not self.areas:
            raise UserError("The stack has no labels to learn from or to score by.")
        return self

    def numbers_of(self, names: Sequence[str]) -> list[int]:
        """Numbers of sections by their names, or by their places in the stack ("3", from 0).

        Where names are numbers, "3" is the section of that number: with a place in its stead, a
        section that is missing would silently be another one.
        """
        found = []
        numbered = {int(own): n for n, own in enumerate(self.names) if own.isdecimal()}
        for name in map(str, names):
            place = int(name) if name.isdecimal() else -1
            if name in self.names:
                found.append(self.names.index(name))
            elif place in numbered:
                found.append(numbered[place])
            elif not numbered and 0 <= place < len(self):
                found.append(place)
            else:
                raise UserError(
                    f"{name}: no such section. There are {', '.join(self.names[:8])}"
                    f"{', ...' if len(self) > 8 else ''}"
                    f"{'.' if numbered else '; numbers count from 0.'}"
                )
        return found


def write_stack(stack: Stack, path: str | Path) -> None:
    """Write a stack as an npz file."""
    arrays = {
        "images": stack.images,
        "z_mm": stack.z_mm,
        "pixel_um": np.float64(stack.pixel_um),
        "names": np.array(stack.names),
    }
    if stack.labels is not None:
        arrays |= {"labels": stack.labels, "areas": np.array(stack.areas)}
    if stack.layers is not None:
        arrays["layers"] = stack.layers

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)

    replace_own(Path(path), write)


def open_stack(
    path: str | Path,
    labels: str | Path | None = None,
    pixel_um: float | None = None,
    spacing_mm: float | None = None,
    axis: int = 1,
) -> Stack:
    """Read a stack.

    Args:
        path: npz file, folder of pictures of one size, or NIfTI scan.
        labels: folder of label pictures with the names of their sections, or NIfTI scan; where
            a section has none, nothing is drawn on it. None takes those of an npz file; others take
            their place, with its names of areas.
        pixel_um: side of a pixel; None takes what the file says.
        spacing_mm: between neighboring sections; None takes what the file says, else 0.1.
        axis: of a scan, from section to section: 0, 1 or 2.

    Raises:
        FileNotFoundError: no such file.
        UserError: a file that is no stack.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFileError(f"{path}: no such file or folder. Give a stack of sections.")
    if path.is_dir():
        return _open_folder(path, labels, pixel_um, spacing_mm)
    if path.name.endswith((".nii", ".nii.gz", ".img", ".hdr")):
        return _open_scan(path, labels, axis, pixel_um, spacing_mm)
    if path.suffix != ".npz":
        raise UserError(
            f"{path}: is no stack. Wanted .npz of `sebre areas prepare`, a folder of pictures or a "
            "scan in NIfTI."
        )
    with reading(path, "this stack"), np.load(path, allow_pickle=False) as file:
        if missing := {"images", "z_mm", "pixel_um", "names"} - set(file):
            raise UserError(f"{path}: has no {', '.join(sorted(missing))}; it is no stack.")
        stack = Stack(
            tuple(file["names"].tolist()),
            file["images"],
            file["z_mm"],
            float(file["pixel_um"]),
            file["labels"] if "labels" in file else None,
            tuple(file["areas"].tolist()) if "areas" in file else (),
            file["layers"] if "layers" in file else None,
        )
    if pixel_um is not None:
        stack = replace(stack, pixel_um=pixel_um)
    if spacing_mm is not None:
        stack = replace(stack, z_mm=np.arange(len(stack)) * spacing_mm)
    if labels is None:
        return stack
    drawn = _label_pictures(Path(labels), stack.names, stack.images.shape[1:])
    stack = replace(stack, labels=drawn)
    return stack if stack.areas else _named(stack)


def _open_folder(
    path: Path, labels: str | Path | None, pixel_um: float | None, spacing_mm: float | None
) -> Stack:
    pictures = [p for p in visible(path, "*") if p.suffix.lower() in PICTURES]
    pictures.sort(key=_natural)
    if len(pictures) < 3:
        raise UserError(f"{path}: holds {len(pictures)} pictures; wanted 3 sections or more.")
    if pixel_um is None:
        raise UserError(f"{path}: pictures do not say their pixel size. Give --pixel-um.")
    images = [_gray(picture) for picture in pictures]
    if len(sizes := {image.shape for image in images}) > 1:
        raise UserError(
            f"{path}: the pictures have {len(sizes)} sizes, {sorted(sizes)[:3]}. Wanted one: "
            "sections of a stack lie in one frame."
        )
    names = tuple(picture.stem for picture in pictures)
    drawn = _label_pictures(Path(labels), names, images[0].shape) if labels else None
    z_mm = _places(names) * (spacing_mm or 0.1)
    return _named(Stack(names, np.stack(images), z_mm, pixel_um, drawn))


def _places(names: Sequence[str]) -> np.ndarray:
    """Places of sections, in spacings, by the numbers in their names; evenly spaced where names
    have none, or several that differ."""
    texts = {re.sub(r"\d+", "#", name) for name in names}
    parts = [[int(part) for part in re.findall(r"\d+", name)] for name in names]
    even = np.arange(len(names), dtype=float)
    if len(texts) > 1 or not parts[0]:
        return even
    columns = [column for column in np.array(parts).T if len(set(column)) > 1]
    if len(columns) != 1 or (np.diff(columns[0]) <= 0).any():
        return even
    steps = np.diff(columns[0])
    places = (columns[0] - columns[0][0]) / np.gcd.reduce(steps)
    if missing := int(places[-1]) + 1 - len(names):
        _log.warning(
            "%d of %d sections are missing by the numbers in their names, the first after %s. "
            "Those on both sides of a gap are taken to lie as much further apart.",
            *(missing, int(places[-1]) + 1, names[int(np.argmax(np.diff(places) > 1))]),
        )
    return places


def _label_pictures(folder: Path, names: Sequence[str], shape: tuple) -> np.ndarray:
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: no such folder of label pictures.")
    by_stem = {p.stem: p for p in visible(folder, "*") if p.suffix.lower() in PICTURES}
    labels = np.zeros((len(names), *shape), np.uint8)
    for number, name in enumerate(names):
        if (found := by_stem.get(name)) is None:
            continue
        values = read_labels(found)
        if values.shape != shape or values.max(initial=0) > MOST_AREAS:
            raise UserError(
                f"{found}: {values.shape} with labels up to {values.max(initial=0)}; wanted "
                f"{shape} pixels and labels up to {MOST_AREAS}."
            )
        labels[number] = values
    if not labels.any():
        raise UserError(f"{folder}: no picture in it belongs to a section, or all are empty.")
    return labels


def _open_scan(
    path: Path,
    labels: str | Path | None,
    axis: int,
    pixel_um: float | None,
    spacing_mm: float | None,
) -> Stack:
    if pixel_um is not None or spacing_mm is not None:
        raise UserError(
            f"{path}: a scan says the size of its voxels in its header, which ITK-SNAP and napari "
            "go by. Leave --pixel-um and --spacing-mm out; if the header is wrong, mend it."
        )
    volume, sizes, affine = _scan(path, axis)
    if abs(sizes[1] - sizes[2]) > 0.01 * sizes[1]:
        raise UserError(
            f"{path}: pixels of {sizes[1]:g} x {sizes[2]:g} mm across axis {axis}; wanted square "
            "ones. Give another --axis."
        )
    top = float(np.percentile(volume[volume > 0], 99.8)) if (volume > 0).any() else 1.0
    images = (np.clip(volume / top, 0, 1) * 255).round().astype(np.uint8)
    drawn = None
    if labels is not None:
        values, _, place = _scan(Path(labels), axis)
        apart = corners_apart(place, affine, np.moveaxis(volume, 0, axis).shape)
        if values.shape == volume.shape and apart > min(sizes) / 2:
            raise UserError(
                f"{labels}: lies {apart:.1f} mm apart from {path} by their headers, although both "
                "have as many voxels. Resample the labels to the scan, or mend the header."
            )
        if values.max() > MOST_AREAS or values.min() < 0:
            raise UserError(
                f"{labels}: labels of {values.min():g} to {values.max():g}; wanted 0 to "
                f"{MOST_AREAS}."
            )
        drawn = values.round().astype(np.uint8)
    names = tuple(f"{n:04d}" for n in range(len(images)))
    z_mm = np.arange(len(images)) * sizes[0]
    return _named(Stack(names, images, z_mm, sizes[1] * 1000, drawn, affine=affine, axis=axis))


def _scan(path: Path, axis: int) -> tuple[np.ndarray, tuple[float, ...], np.ndarray]:
    file = open_single(path)
    with reading(path, *DAMAGED):
        volume = np.asarray(file.read().reshape(file.shape), np.float32)
    sides = checked_sides(path, file, file.affine)
    sizes = [sides[axis], *(sides[n] for n in range(3) if n != axis)]
    affine = np.diag([*sides, 1.0]) if file.affine is None else file.affine
    return np.moveaxis(volume, axis, 0), tuple(sizes), np.array(affine, float)


def _named(stack: Stack) -> Stack:
    if stack.labels is None:
        return stack
    names = tuple(str(n) for n in range(1, int(stack.labels.max()) + 1))
    return replace(stack, areas=names)


def _gray(path: Path) -> np.ndarray:
    return np.array(Image.fromarray(read_picture(path)).convert("L"))


def _natural(path: Path) -> list:
    return [int(t) if t.isdecimal() else t for t in re.split(r"(\d+)", path.stem)]
