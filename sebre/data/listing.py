"""What counts in a folder: which endings pictures have, and what systems leave behind."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from mrcnn.imageio.header import PICTURE_TYPES

# Names, in small letters, that macOS, Windows and Synology give to what they leave behind.
_OF_SYSTEMS = (
    *(".ds_store", ".appledouble", ".spotlight-v100", ".trashes", ".fseventsd", ".localized"),
    *("icon\r", "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin"),
    *("system volume information", "@eadir"),
)


def one_form(text: str) -> str:
    """A text whose accents are composed (NFC), so that texts are equal which look it: macOS and
    other systems write "\u00e9" as one character or as two."""
    return unicodedata.normalize("NFC", text)


def is_picture(path: Path) -> bool:
    """Whether the ending is one of a picture."""
    return path.suffix.lower() in PICTURE_TYPES


def is_left_by_system(path: Path) -> bool:
    """Whether a file or folder is what a system leaves behind; never a part of anybody's data."""
    return path.name.startswith("._") or path.name.lower() in _OF_SYSTEMS


def visible(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """What lies in a folder under a pattern, in the order of names, but for what is hidden, or left
    behind by systems."""
    for path in sorted(folder.glob(pattern)):
        below = path.relative_to(folder).parts
        if not any(part.startswith(".") or is_left_by_system(Path(part)) for part in below):
            yield path


def natural(path: Path) -> list[list[tuple[int, int | str]]]:
    """Key for the natural order of paths: s_2 before s_10, folder by folder."""
    return [
        [(0, int(piece)) if piece.isdecimal() else (1, piece) for piece in re.split(r"(\d+)", part)]
        for part in path.parts
    ]


def some(names: Sequence[str], most: int = 3) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
