"""What a source hands over: sections that can be read, and the facts about them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sebre.data.regions import RegionSet

_CARDS = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class RawSection:
    """One section of a source, before it is written.

    Attributes:
        read: gives the image, uint8 [H, W] or [H, W, 3], and the masks of the regions that the
            section shows, bool [H, W] by class id.
        facts: cells of its row in sections.csv: subject, marker, age, plate, source_row, ...
        part: "train" or "val" as the source itself divides; empty if it does not.
    """

    read: Callable[[], tuple[np.ndarray, dict[int, np.ndarray]]]
    facts: Mapping[str, Any]
    part: str = ""


@dataclass(frozen=True)
class RawSet:
    """All sections of a source.

    Attributes:
        name: of the data set.
        regions: the region set of the masks.
        sections: in anatomical order, one subject after the other.
        plane: "sagittal", "coronal", "horizontal" or "mixed".
        pixel_size_um: side of a pixel of the written images, or (height, width); None: not known.
        background: fills the corners of rotated images, 0..255 (gray, or red, green, blue);
            None takes the median of the image's border.
        license: short name or sentence.
        card: Markdown of the data set card: source, processing, quality, citation.
        files: raw files, whose checksums are recorded.
        split: rule used when none is given (`sebre.data.split`).
        processing: how images and masks were made, for dataset.json.
        flips: rotated versions are made of the mirror image too.
        texts: further text files of the data set by name, such as LICENSE.
        volumetric: the sections with one `subject` are slices of a volume, at the index `slice`.
        slice_spacing_um: between neighboring slices; None: not known, or not one for all.
    """

    name: str
    regions: RegionSet
    sections: Sequence[RawSection]
    plane: str
    pixel_size_um: float | tuple[float, float] | None
    background: int | tuple[int, int, int] | None
    license: str
    card: str
    files: Sequence[Path]
    split: str
    processing: Mapping[str, Any] = field(default_factory=dict)
    flips: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    volumetric: bool = False
    slice_spacing_um: float | None = None


def card(name: str, /, **facts: Any) -> str:
    """Markdown of `cards/<name>.md`: of a source, or the frame `data_set`, filled with facts."""
    return (_CARDS / f"{name}.md").read_text(encoding="utf-8").format(**facts)
