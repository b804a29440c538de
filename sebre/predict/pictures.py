"""Which pictures to segment: files, folders, and folders of brains. `sebre detect` calls it."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mrcnn.errors import MissingFileError

logger = logging.getLogger(__name__)

_IMAGE_TYPES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class SectionFile:
    """A picture, and what its outputs are called."""

    path: Path  # absolute
    name: str  # of its outputs in the output folder, without the ending: "s_1" or "brain/s_1"


def find_sections(inputs: Sequence[str | Path], out: str | Path | None = None) -> list[SectionFile]:
    """The pictures among files, folders and folders of brains.

    A folder gives the pictures in it. One without pictures is a folder of brains: each of its
    sub-folders gives its pictures, whose outputs go to a sub-folder of the same name. Two
    pictures, or two brains, of one name get different names: "s" and "s-2".

    Args:
        inputs: in their order; within a folder the natural order of names counts (s_2, s_10).
        out: folder of the outputs, which is not taken for a brain.

    Raises:
        FileNotFoundError: an input does not exist, or a folder has no image.
    """
    sections: list[SectionFile] = []
    used: set[str] = set()
    for entry in map(Path, inputs):
        if entry.is_dir():
            files = _pictures(entry)
            if files:
                sections += _named(files, "", used)
                continue
            brains = _brains(entry, out)
            if not brains:
                raise MissingFileError(
                    f"{entry}: no image in it or its sub-folders ({', '.join(_IMAGE_TYPES)})."
                )
            for folder, files in brains.items():
                sections += _named(files, _free(folder.name, used) + "/", set())
        elif entry.is_file():
            sections += _named([entry], "", used)
        else:
            raise MissingFileError(f"{entry}: no such file or folder.")
    return sections


def _pictures(folder: Path) -> list[Path]:
    found = [p for p in folder.iterdir() if p.suffix.lower() in _IMAGE_TYPES and p.is_file()]
    return sorted(found, key=_natural)


def _brains(folder: Path, out: str | Path | None) -> dict[Path, list[Path]]:
    """Pictures of each sub-folder that has any."""
    outputs = None if out is None else Path(out).resolve()
    folders = sorted((p for p in folder.iterdir() if p.is_dir()), key=_natural)
    found = {p: _pictures(p) for p in folders if p.resolve() != outputs}
    for empty in (p for p, files in found.items() if not files):
        logger.warning("%s: no image in it; left out.", empty)
    return {p: files for p, files in found.items() if files}


def _named(files: Sequence[Path], prefix: str, used: set[str]) -> list[SectionFile]:
    return [SectionFile(path.absolute(), prefix + _free(path.stem, used)) for path in files]


def _free(name: str, used: set[str]) -> str:
    """The name, or with a number that makes it different from all used; it is used then."""
    free, copy = name, 2
    while free in used:
        free, copy = f"{name}-{copy}", copy + 1
    used.add(free)
    return free


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]
