"""What a source hands over: sections that can be read, and the facts about them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sebre.data.listing import some, visible
from sebre.data.regions import RegionSet

_CARDS = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class RawSection:
    """One section of a source, before it is written."""

    # Gives the image, uint8 [H, W] or [H, W, 3], and the masks of the regions that the section
    # shows, bool [H, W] by class id.
    read: Callable[[], tuple[np.ndarray, dict[int, np.ndarray]]]
    facts: Mapping[
        str, Any
    ]  # its cells in sections.csv: subject, marker, age, plate, source_row ...
    part: str = ""  # "train" or "val" as the source itself divides; empty if it does not


@dataclass(frozen=True)
class RawSet:
    """All sections of a source."""

    name: str  # of the data set
    regions: RegionSet
    sections: Sequence[RawSection]  # in anatomical order, one subject after the other
    plane: str  # "sagittal", "coronal", "horizontal" or "mixed"
    # Side of a pixel of the written images, or (height, width); None if it is not known.
    pixel_size_um: float | tuple[float, float] | None
    # Fills the corners of rotated images, 0..255; None takes the median of the image's border.
    background: int | tuple[int, int, int] | None
    license: str  # short name or sentence
    card: str  # Markdown: source, processing, quality, citation
    files: Sequence[Path]  # raw files, whose checksums are recorded
    split: str  # rule used when none is given (`sebre.data.split`)
    processing: Mapping[str, Any] = field(
        default_factory=dict
    )  # of images, masks; for dataset.json
    # What sides of its pictures are divided by as they are read: `pixel_um` of a table is that of
    # the picture. None where facts are those of the sections as they are written.
    shrunk: int | None = None
    flips: bool = False  # rotated versions are made of the mirror image too
    # Further files that were read: tables, licenses.
    also_read: Sequence[Path] = ()
    texts: Mapping[str, str] = field(default_factory=dict)  # further text files, such as LICENSE
    volumetric: bool = False  # sections of one `subject` are slices of a volume, at index `slice`
    slice_spacing_um: float | None = None  # of neighboring slices; None: not known, or not one
    animals_named: bool = False  # each `subject` by the user: intervals of scores are over them
    # New names of the regions of the source by their own (`sebre.prepare.region_map`), if given.
    region_map: Mapping[str, str] = field(default_factory=dict)


def unused(raw_set: RawSet, raw: Path) -> str:
    """Which files of the raw folder are not used, in one line; empty if all are."""
    used = {path.absolute() for path in (*raw_set.files, *raw_set.also_read)}
    folders = {folder for path in used for folder in path.parents}
    names: list[str] = []
    count = 0
    for path in visible(raw, "**/*"):
        if path.is_dir() or path.absolute() in used:
            continue
        count += 1
        # Of a folder of which nothing is used, one name stands for all.
        parents = list(path.relative_to(raw).parents)[-2::-1]
        of_none = (folder for folder in parents if (raw / folder).absolute() not in folders)
        folder = next(of_none, None)
        name = path.relative_to(raw).as_posix() if folder is None else f"{folder.as_posix()}/"
        if name not in names:
            names.append(name)
    return f"Not used of {raw}: {count} file(s): {some(names)}" if count else ""


def card(name: str, /, **facts: Any) -> str:
    """Markdown of `cards/<name>.md`: of a source, or the frame `data_set`, filled with facts."""
    return (_CARDS / f"{name}.md").read_text(encoding="utf-8").format(**facts)
