"""Images beside drawings of the same number, and a table of facts: what users' folders hold."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import MissingFileError, UserError
from mrcnn.imageio.contrast import BITS
from mrcnn.imageio.header import EVERYTHING, Choice
from mrcnn.imageio.reading import read_header
from sebre.data.csv_tables import read_rows
from sebre.data.listing import one_form, visible
from sebre.data.regions import RegionSet
from sebre.data.section_files import numbered
from sebre.prepare.big_pictures import picture_size
from sebre.prepare.raw import RawSection, RawSet, card
from sebre.prepare.sources import source_module

PLANES = ("sagittal", "coronal", "horizontal", "mixed")
UNKNOWN_PLANE = "mixed"  # where neither an option nor sections.csv names it
IMAGES = "images"
FACTS = "sections.csv"
SPLIT = "section:1/3"  # of a folder that does not divide its sections; 20 and 10 in the paper

_PARTS = {"train": "training", "val": "validation"}  # part -> word in the notebook's folders
# Columns under other names (image and masks are what a section is written with), and those that
# are written when the data set is made.
_SAME_AS = {
    "brain": "subject",
    "number": "section",
    "image": "source_image",
    "masks": "source_masks",
}
_WRITTEN = ("section", "subset", "angle", "flipped", "regions")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """An image and what was drawn on it."""

    number: int  # that both names end with
    image: Path
    drawing: Path  # overlay or label map
    part: str = ""  # "train" or "val" as the folders divide, or ""
    facts: Mapping[str, str] = field(default_factory=dict)  # cells for sections.csv

    def check_sizes(self, choice: Choice = EVERYTHING) -> tuple[int, int]:
        """Size of both, (height, width); a ValueError if they differ.

        `choice` is that of the image.
        """
        size = picture_size(self.image, choice)
        drawn = picture_size(self.drawing, Choice(index=0))
        if _turned(self.image, choice) != _turned(self.drawing, Choice(index=0)):
            _log.warning(
                "%s: is stored turned, and read upright by its orientation tag, unlike %s. If the "
                "regions lie wrong, save both upright.",
                *(self.image, self.drawing),
            )
        if size != drawn:
            raise UserError(
                f"{self.drawing}: {drawn[0]} x {drawn[1]} px (height x width), but its image "
                f"{self.image} has {size[0]} x {size[1]}. Both must have the same size: export the "
                "drawing at the size of the image."
            )
        return size


def _turned(path: Path, choice: Choice) -> int:
    return read_header(path, choice).orientation


def find_pairs(raw: str | Path, drawings: str) -> list[Pair]:
    """Images and drawings of a raw folder, in the order of the number that ends their names.

        <raw>/images/<anything>_<k>.png    <raw>/<drawings>/<anything>_<k>.png
        <raw>/sections.csv                 facts

    The facts may be left out.
    """
    raw = Path(raw)
    for name in (IMAGES, drawings):
        if not (raw / name).is_dir():
            raise MissingFileError(
                f"{raw / name}: no such folder. The raw folder must hold {IMAGES}/ and "
                f"{drawings}/ with pictures <anything>_<number>."
            )
    images, drawn = numbered(raw / IMAGES, "file"), numbered(raw / drawings, "file")
    return _with_facts(raw, _joined(raw / IMAGES, images, raw / drawings, drawn, ""))


def find_notebook_pairs(raw: str | Path) -> list[Pair]:
    """Images and overlays in the folders of the released notebook, first those for training.

        <raw>/mrcnn_train_dataset_images/<anything>_<k>.jpg
        <raw>/training_images_masked/masked_section_<k>/<one file>

    and the same with `val` and `validation`, which may be left out; none if nothing is there.
    """
    raw = Path(raw)
    pairs = []
    for part, word in _PARTS.items():
        overlays = raw / f"{word}_images_masked"
        if not overlays.is_dir():
            continue
        images = raw / f"mrcnn_{part}_dataset_images"
        if not images.is_dir():
            raise MissingFileError(f"{images}: no such folder; {overlays} needs its images there.")
        drawn = {k: _only_file(folder) for k, folder in numbered(overlays, "folder").items()}
        pairs += _joined(images, numbered(images, "file"), overlays, drawn, part)
    return _with_facts(raw, pairs) if pairs else []


def choose_plane(plane: str | None, pairs: list[Pair]) -> str:
    """Plane of a data set: the option, else the column plane of sections.csv, else "mixed"."""
    named = {pair.facts["plane"] for pair in pairs if pair.facts.get("plane")}
    found = plane or (named.pop() if len(named) == 1 else UNKNOWN_PLANE)
    if found not in PLANES:
        raise UserError(f"The plane is {found!r}; it must be one of {', '.join(PLANES)}.")
    return found


def check_downsample(downsample: int) -> None:
    """Raise a ValueError for a factor below 1."""
    if downsample < 1:
        raise UserError(f"--downsample is {downsample}; it must be a whole number from 1.")


def described(choice: Choice) -> dict[str, Any]:
    """What `dataset.json` says of how values of the images became 8 bits, and of what."""
    chosen = {"channel": choice.channel, "z": choice.z}
    return {"contrast": BITS, **{name: value for name, value in chosen.items() if value}}


def shrunk_by(downsample: int, choice: Choice, masks: str) -> dict[str, Any]:
    """What `dataset.json` says of how images and masks were made smaller; `masks` says what masks
    are that were not."""
    shrunk = f"shrunk by {downsample}, "
    return {
        "image": f"{shrunk}averages of areas" if downsample > 1 else "as in the source",
        "mask": f"{shrunk}each pixel by the larger area" if downsample > 1 else masks,
        "downsample": downsample,
        **described(choice),
    }


def picture_set(
    raw: Path,
    pairs: list[Pair],
    read: Callable[[Pair], tuple[np.ndarray, dict[int, np.ndarray]]],
    *,
    name: str,
    regions: RegionSet,
    plane: str | None,
    table: Path | None,
    processing: Mapping[str, Any],
    split: str = SPLIT,
    choice: Choice = EVERYTHING,
) -> RawSet:
    """The data set of pairs of one size, as the source `name` reads them; see `RawSet`."""
    for pair in pairs:
        pair.check_sizes(choice)
    pictures = [path for pair in pairs for path in (pair.image, pair.drawing)]
    return RawSet(
        name=name,
        regions=regions,
        sections=[RawSection(partial(read, pair), pair.facts, pair.part) for pair in pairs],
        plane=choose_plane(plane, pairs),
        pixel_size_um=None,
        background=None,
        license="that of the pictures; not stated",
        card=card(source_module(name), **processing),
        files=[*pictures, *(path for path in (table, raw / FACTS) if path and path.is_file())],
        split=split,
        processing=processing,
        shrunk=processing["downsample"],
        animals_named=all(pair.facts.get("subject") for pair in pairs),
    )


def _only_file(folder: Path) -> Path:
    files = [path for path in visible(folder) if path.is_file()]
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "no file"
        raise UserError(f"{folder}: holds {names}; wanted exactly one overlay.")
    return files[0]


def _joined(
    images_folder: Path,
    images: Mapping[int, Path],
    drawings_folder: Path,
    drawings: Mapping[int, Path],
    part: str,
) -> list[Pair]:
    if not images:
        raise UserError(f"{images_folder}: holds no pictures <anything>_<number>.")
    for here, there, where in (
        (images, drawings, drawings_folder),
        (drawings, images, images_folder),
    ):
        if alone := sorted(set(here) - set(there)):
            raise UserError(
                f"{here[alone[0]]}: nothing in {where} has its number {alone[0]}. Add it, or move "
                "this one away."
            )
    return [Pair(k, images[k], drawings[k], part) for k in sorted(images)]


def _with_facts(raw: Path, pairs: list[Pair]) -> list[Pair]:
    table = _read_facts(raw / FACTS) if (raw / FACTS).is_file() else None
    done = []
    for pair in pairs:
        facts = {"source_image": pair.image.name}
        if not pair.part:  # numbers of two parts are not of one section
            facts["source_row"] = str(pair.number)
        if table is not None:
            rows = table.get(("", pair.number)) or table.get((pair.part, pair.number))
            if rows is None and not pair.part:  # the table has parts, the folders have none
                of_number = [row for (_, number), row in table.items() if number == pair.number]
                rows = of_number[0] if len(of_number) == 1 else None
            if rows is None:
                raise UserError(
                    f"{raw / FACTS}: no row for section {pair.number} ({pair.image}). Add one."
                )
            facts.update(rows)
        done.append(Pair(pair.number, pair.image, pair.drawing, pair.part, facts))
    unused = len(table or ()) - len(done)
    if unused > 0:
        _log.info("%s: %d rows without an image", raw / FACTS, unused)
    return done


def _read_facts(path: Path) -> dict[tuple[str, int], dict[str, str]]:
    """Rows of sections.csv by (part, number)."""
    header, rows = read_rows(path, "Save it as CSV.", "CSV file")
    names = {h: h.strip().lower().replace(" ", "_") for h in header if h and h.strip()}
    names = {h: _SAME_AS.get(name, name) for h, name in names.items()}
    taken = list(names.values())
    if taken.count("section") != 1:
        raise UserError(
            f"{path}: found the columns {', '.join(header) or 'none'}; wanted one column section "
            "(or number) with the numbers of the images; subject (or brain), marker, age, plane "
            "and others may follow."
        )
    if twice := next((name for name in taken if taken.count(name) > 1), ""):
        raise UserError(f"{path}: two columns mean {twice!r}. Keep one of them.")
    found: dict[tuple[str, int], dict[str, str]] = {}
    for line, row in enumerate(rows, start=2):
        cells = {name: one_form((row.get(h) or "").strip()) for h, name in names.items()}
        if not any(cells.values()):
            continue
        if not cells["section"].isdecimal():
            raise UserError(
                f"{path}, line {line}: section is {cells['section']!r}; wanted a number from 0."
            )
        key = cells.get("subset", ""), int(cells["section"])
        if key in found:
            raise UserError(
                f"{path}, line {line}: section {key[1]} has a row already. Keep one of them."
            )
        found[key] = {name: cell for name, cell in cells.items() if name not in _WRITTEN}
    return found
