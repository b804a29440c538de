"""Names and pixels of the files of a prepared data set, for its reader and its check.

    <root>/
      mrcnn_<subset>_dataset_images/<anything>_<k>.png
      mrcnn_<subset>_dataset_masks/<anything>_<k>/<anything>_m<id>.png

The number k joins an image and its mask folder. The class id is the number at the end of the
mask's name, of any length: `..._cortex_m1.png`, `..._m_12.png` and `..._3.png` are all read.
Folders made for the released SeBRe code are of this form.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from mrcnn.errors import MissingFileError, UserError
from mrcnn.imageio import label_files
from mrcnn.imageio.header import PICTURE_TYPES
from mrcnn.imageio.reading import read_header
from sebre.data.listing import visible

_NUMBER = re.compile(r"(?:^|.*\D)(\d+)")


@dataclass(frozen=True)
class Refused:
    """Something in a folder that cannot be read as a part of the data set."""

    kind: str  # short name
    path: Path
    problem: str  # what is wrong
    cure: str  # what to do
    number: int | None = None  # of the section that cannot be read because of it; None: all of them

    def __str__(self) -> str:
        return f"{self.path}: {self.problem} {self.cure}"


@dataclass(frozen=True)
class SectionFiles:
    """Files of a section: its image, and its masks by class id, in their order."""

    image: Path
    masks: dict[int, Path]


def part_folder(root: Path, subset: str, content: Literal["images", "masks"]) -> Path:
    """Folder of the images or of the masks of a subset."""
    return root / f"mrcnn_{subset}_dataset_{content}"


def scan(folder: Path, kind: Literal["file", "folder"]) -> tuple[dict[int, Path], list[Refused]]:
    """Files or folders in a folder by the number at the end of their names, in the order of names.

    What operating systems leave behind is passed over; what has no such name, or a number that was
    there before, is refused.
    """
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: no such folder.")
    found: dict[int, Path] = {}
    refused = []
    for path in visible(folder):
        fits = path.is_dir() if kind == "folder" else path.suffix.lower() in PICTURE_TYPES
        match = _NUMBER.fullmatch(path.name if kind == "folder" else path.stem)
        if not fits or match is None:
            wanted = (
                "folders named <anything>_<number>"
                if kind == "folder"
                else f"images named <anything>_<number> ({', '.join(PICTURE_TYPES)})"
            )
            problem, cure = f"only {wanted} belong here.", "Rename it or move it away."
            refused.append(Refused("file name", path, problem, cure))
            continue
        number = int(match[1])
        if number in found:
            problem = f"{found[number].name} has the number {number} too."
            refused.append(Refused("file name", path, problem, "Keep one of them."))
            continue
        found[number] = path
    return found, refused


def numbered(folder: Path, kind: Literal["file", "folder"]) -> dict[int, Path]:
    """As `scan`, where nothing may be refused."""
    found, refused = scan(folder, kind)
    if refused:
        raise UserError(str(refused[0]))
    return found


def list_subset(root: Path, subset: str) -> tuple[dict[int, SectionFiles], list[Refused]]:
    """Sections of one subset by number, in their order, and what cannot be read."""
    images, masks = (part_folder(root, subset, content) for content in ("images", "masks"))
    for folder in (images, masks):
        if not folder.is_dir():
            cure = f"A prepared data set has {images.name} and {masks.name}; check the path, or "
            cure += "make it with `sebre prepare`."
            return {}, [Refused("layout", folder, "no such folder.", cure)]
    pictures, refused = scan(images, "file")
    folders, others = scan(masks, "folder")
    refused += others
    if not pictures:
        problem = f"no images ({', '.join(PICTURE_TYPES)}) in it."
        refused.append(Refused("layout", images, problem, "Add them."))
    for number in sorted(folders.keys() - pictures.keys()):
        problem, cure = f"no image in {images} ends in _{number}.", "Add it, or remove the masks."
        refused.append(Refused("no image", folders[number], problem, cure))
    sections = {}
    for number, picture in sorted(pictures.items()):
        files: dict[int, Path] = {}
        if number in folders:
            files, others = scan(folders[number], "file")
            refused += [replace(other, number=number) for other in others]
        else:
            problem = f"no folder in {masks} ends in _{number}."
            cure = "Add it; leave it empty if the section shows no region."
            refused.append(Refused("no mask folder", picture, problem, cure, number))
        sections[number] = SectionFiles(picture, dict(sorted(files.items())))
    return sections, refused


def read_mask_at(
    path: Path, image: Path, shape: tuple[int, int], rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Some rows [h], in rising order, and columns [w] of a mask, bool [h, w]; needs little memory.

    The image of `shape` (H, W) px is named in messages.
    """
    demand_same_size(path, read_header(path).shape, image, shape)
    return label_files.read_mask_at(path, rows, columns)


def demand_same_size(
    mask: Path, found: tuple[int, int], image: Path, shape: tuple[int, int]
) -> None:
    """Raise ValueError if a mask (H, W) differs in size from its image (H, W)."""
    if found != shape:
        raise UserError(
            f"{mask}: the mask has {found[0]} x {found[1]} px, its image {image} has "
            f"{shape[0]} x {shape[1]}. Export both at the same size."
        )
