"""Names of sections, and contents of folders."""

from pathlib import Path


def names(sections) -> list[str]:
    return [section.name for section in sections]


def tree(folder: Path) -> dict[str, bytes]:
    """Contents of all files below a folder by their relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
