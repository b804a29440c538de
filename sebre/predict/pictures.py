"""Which pictures to segment: files, folders, and folders of brains. `sebre predict` calls it."""

import glob
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mrcnn.errors import MissingFileError
from mrcnn.imageio.header import cure_of
from mrcnn.io.own_files import is_own, written_in
from sebre.data.listing import (
    PICTURE_TYPES,
    is_left_by_system,
    is_picture,
    natural,
    some,
    visible,
)
from sebre.predict.name_claims import is_brain, is_free, numbered
from sebre.prepare.volume_header import VOLUME_TYPES, is_volume, volume_stem

_LABEL_MAP = re.compile(r"_labels\.(png|tif|nii\.gz)$")
_NO_PICTURE = "no picture by the ending"
_WITH_HEADER = "read with its header"
_OWN = "written by an earlier call"
_OUTPUTS = "folder of the outputs"
_BESIDE = "folder beside pictures: give it by itself"
_EMPTY = "folder without a picture"
_OF_SYSTEM = "left behind by a system"
_TWICE = "given twice"


@dataclass(frozen=True)
class SectionFile:
    """A picture, and what its outputs are called."""

    path: Path  # absolute
    name: str  # of its outputs in the output folder, without the ending: "s_1" or "brain/s_1"

    @property
    def is_numbered(self) -> bool:
        """Whether another picture, or the folder of another brain, has its name."""
        folder, _, name = self.name.rpartition("/")
        of_brain = folder not in ("", _written(self.path.parent.name))
        return of_brain or name != _written(_stem(self.path))

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume in place of a picture."""
        return is_volume(self.path)


@dataclass
class Inputs:
    """The pictures among files and folders, and the files and folders that were passed over."""

    sections: list[SectionFile] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)  # names by the reason

    def pass_over(self, name: str, reason: str) -> None:
        """Leave a file or folder out."""
        self.left_out.setdefault(reason, []).append(_written(name))

    def numbered(self) -> str:
        """Which pictures got a number, as another one has their name; empty if none did."""
        given = [
            f"{section.name} is of {section.path.parent.name}/{section.path.name}"
            for section in self.sections
            if section.is_numbered
        ]
        return f"Numbered, as others have their names: {some(given)}" if given else ""

    def closing_line(self) -> str:
        """How many were passed over, and why; empty if none was."""
        count = sum(map(len, self.left_out.values()))
        reasons = "; ".join(f"{reason} ({some(names)})" for reason, names in self.left_out.items())
        return f"Left out: {count}: {reasons}" if count else ""


def find_sections(inputs: Sequence[str | Path], out: str | Path | None = None) -> list[SectionFile]:
    """The pictures that `find_inputs` finds."""
    return find_inputs(inputs, out).sections


def find_inputs(inputs: Sequence[str | Path], out: str | Path | None = None) -> Inputs:
    """The pictures among files, folders and folders of brains.

    A folder gives the pictures in it. One without pictures is a folder of brains: each of its
    sub-folders gives its pictures, whose outputs go to a sub-folder of the same name. Two
    pictures, or two brains, of one name get different names: "s" and "s-2", also where the names
    differ in capitals alone. A name that an earlier call gave to a picture stays its own. What
    earlier calls wrote is never an input.

    Args:
        inputs: files, folders or patterns, in their order; within a folder the natural order of
            names counts (s_2, s_10).
        out: folder of the outputs, which is not taken for a brain.

    Raises:
        FileNotFoundError: an input does not exist, a pattern matches nothing, or a folder has no
            image.
    """
    found = Inputs()
    names = _Names(None if out is None else Path(out).absolute())
    seen: set[Path] = set()
    for entry in (_header_of(path) for given in inputs for path in _matching(Path(given))):
        if is_left_by_system(entry):
            found.pass_over(str(entry), _OF_SYSTEM)
        elif entry.is_dir():
            for name, files in _groups(entry, names.out, found):
                prefix = names.of_brain(name, files) + "/" if name else ""
                _add(found, files, names, prefix, seen)
        elif _is_output(entry, written_in(entry.parent)):
            found.pass_over(str(entry), _OWN)
        else:
            _add(found, [entry], names, "", seen)
    if not found.sections:
        raise MissingFileError(f"Nothing to segment. {found.closing_line()}")
    return found


def _matching(entry: Path) -> list[Path]:
    """The file or folder; where there is none, those that a pattern such as *.tif matches."""
    if os.path.lexists(entry):
        return [entry]
    if not glob.has_magic(str(entry)):
        raise MissingFileError(f"{entry}: no such file or folder.")
    found = sorted(map(Path, glob.glob(str(entry), recursive=True)), key=natural)
    if not found:
        raise MissingFileError(f"{entry}: no file or folder matches this pattern.")
    return found


def _header_of(path: Path) -> Path:
    """The header of the voxels of Analyze, which are given by either file; others as they are."""
    if path.suffix.lower() != ".img":
        return path
    beside = (path.with_suffix(ending) for ending in (".hdr", ".HDR"))
    return next((header for header in beside if header.is_file()), path)


def _groups(entry: Path, out: Path | None, found: Inputs) -> Iterator[tuple[str, list[Path]]]:
    """The pictures of a folder, under no name, or those of each brain in it under its name."""
    outputs = None if out is None else out.resolve()

    def folders(folder: Path) -> list[Path]:
        inside = sorted((path for path in visible(folder) if path.is_dir()), key=natural)
        for path in (path for path in inside if path.resolve() == outputs):
            found.pass_over(f"{path.relative_to(entry).as_posix()}/", _OUTPUTS)
        return [path for path in inside if path.resolve() != outputs]

    files, groups = _pictures(entry, entry, found), []
    for brain in folders(entry):
        if files:
            found.pass_over(f"{brain.name}/", _BESIDE)
        elif pictures := _pictures(brain, entry, found):
            groups.append((brain.name, pictures))
            for folder in folders(brain):
                found.pass_over(f"{brain.name}/{folder.name}/", _BESIDE)
        else:
            found.pass_over(f"{brain.name}/", _EMPTY)
    if not files and not groups:
        raise MissingFileError(
            f"{entry}: no image in it or its sub-folders "
            f"({', '.join((*PICTURE_TYPES, *VOLUME_TYPES))}). "
            f"{found.closing_line()}".strip()
        )
    yield from [("", files)] if files else groups


def _pictures(folder: Path, entry: Path, found: Inputs) -> list[Path]:
    """The pictures of a folder, which is an input or in one."""
    written, kept = written_in(folder), []
    for path in sorted((path for path in visible(folder) if not path.is_dir()), key=natural):
        if _is_output(path, written):
            found.pass_over(path.relative_to(entry).as_posix(), _OWN)
        elif is_picture(path) or is_volume(path):
            kept.append(path)
        elif _header_of(path) != path:
            found.pass_over(path.relative_to(entry).as_posix(), _WITH_HEADER)
        else:
            cure = cure_of(path)
            reason = f"{_NO_PICTURE}: {cure}" if cure else _NO_PICTURE
            found.pass_over(path.relative_to(entry).as_posix(), reason)
    return kept


def _is_output(path: Path, written: dict[str, set[str]]) -> bool:
    """Whether a file is what an earlier call wrote, or a label map of it that was corrected."""
    if is_own(path, written):
        return True
    return path.name in written and bool(_LABEL_MAP.search(path.name))


def _add(
    found: Inputs, files: Sequence[Path], names: "_Names", prefix: str, seen: set[Path]
) -> None:
    for path in files:
        if path.resolve() in seen:
            found.pass_over(str(path), _TWICE)
            continue
        seen.add(path.resolve())
        absolute = path.absolute()
        name = names.of_picture(_written(prefix + _stem(path)), absolute)
        found.sections.append(SectionFile(absolute, name))


def _stem(path: Path) -> str:
    return volume_stem(path) if is_volume(path) else path.stem


def _written(name: str) -> str:
    """A name as it can be written in UTF-8, with a sign for what is of another coding."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class _Names:
    """Names of sections and brains that are given, and those that are taken."""

    def __init__(self, out: Path | None):
        self.out = out
        self.used: set[str] = set()

    def of_picture(self, name: str, path: Path) -> str:
        return self._take(name, lambda out, free: is_free(out, free, path))

    def of_brain(self, name: str, files: Sequence[Path]) -> str:
        stems = {path: _written(_stem(path)) for path in files}
        return self._take(name, lambda out, free: is_brain(out, free, stems))

    def _take(self, name: str, is_free_in: Callable[[Path, str], bool]) -> str:
        for free in numbered(name):
            # Some disks take names for the same that differ in capitals, or in how accents are
            # written.
            key = unicodedata.normalize("NFC", free).casefold()
            if key not in self.used and (self.out is None or is_free_in(self.out, free)):
                break
        self.used.add(key)
        return free
