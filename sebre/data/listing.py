"""What counts in a folder: which endings pictures have, and what systems leave behind."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mrcnn.imageio.header import PICTURE_TYPES

# Names, in small letters, that Windows, macOS and Synology give; all others of theirs are hidden.
_OF_SYSTEMS = (
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"),
    *("$recycle.bin", "system volume information"),
)


def is_picture(path: Path) -> bool:
    """Whether the ending is one of a picture."""
    return path.suffix.lower() in PICTURE_TYPES


def is_left_by_system(path: Path) -> bool:
    """Whether a file or folder is hidden, or left behind by a system: it is passed over."""
    return path.name.startswith(".") or path.name.lower() in _OF_SYSTEMS


def visible(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """What lies in a folder under a pattern, in the order of names, but for what systems leave."""
    for path in sorted(folder.glob(pattern)):
        below = path.relative_to(folder).parts
        if not any(is_left_by_system(Path(part)) for part in below):
            yield path


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Key for the natural order of paths: s_2 before s_10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def some(names: Sequence[str], most: int = 3) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
