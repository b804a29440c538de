"""Pictures of sections, their names, and contents of folders."""

from pathlib import Path

import numpy as np
from fixed_segmenter import SIDE
from PIL import Image

from sebre.data.listing import visible


def save_picture(path: Path, gray: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((SIDE, SIDE), gray, np.uint8)).save(path)
    return path


def names(sections) -> list[str]:
    return [section.name for section in sections]


def tree(folder: Path) -> dict[str, bytes]:
    """Contents of all files below a folder, but hidden ones, by their relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in visible(folder, "**/*")
        if path.is_file()
    }
