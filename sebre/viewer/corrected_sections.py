"""Corrected sections as a prepared data set: one section after the other, each with its animal and
with what was corrected.

The set is of the form of `sebre prepare`, so every command takes it. A section is added whole or
not at all; no section that is there is touched.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.imageio.contrast import BITS
from mrcnn.imageio.reading import open_source
from mrcnn.io.files import file_sha256, part_of, replace_text
from mrcnn.io.own_files import demand_place
from sebre import __version__
from sebre.data.csv_tables import read_rows, write_table
from sebre.data.leakage import audit
from sebre.data.metadata import recorded_contrast
from sebre.data.region_masks import masks_of_labels
from sebre.data.region_names import in_words, recorded_regions
from sebre.data.regions import RegionSet
from sebre.data.section_files import list_subset, part_folder
from sebre.prepare.layout import SECTION_COLUMNS, LayoutWriter, demand_empty, new_data_set
from sebre.prepare.sources.image_pairs import PLANES, UNKNOWN_PLANE
from sebre.viewer.label_layers import demand_ids

SUBSETS = ("train", "val")
_MARK = "corrections"  # entry of dataset.json that such a set is known by
_PICTURE = "picture_sha256"  # column by which a picture is known that is there already
_SAME_SIDE = 0.01  # pixels whose sides differ by more have no one size
_SUMS = "SHA256SUMS"
_TABLES = ("sections.csv", "dataset.json")

_CARD = """# {name}

Sections whose regions were corrected by hand, beside what a network found. Written by the napari
plugin of SeBRe {version}, a section at a time.

`sections.csv` has a row a section: `subject` (the animal), `source_image`, whose labels were
corrected (`network` and `weights_sha256`, or the file `label_map`), `changed_px` (pixels whose
region is another one now), `corrected_at` (UTC) and `sebre_version`. `dataset.json` has the
regions.

    sebre check {name}
    sebre train custom --dataset {name} --weights any_section --logs logs
"""


@dataclass(frozen=True)
class CorrectedSection:
    """One section to be saved.

    Attributes:
        picture: [H, W] gray of any depth, or [H, W, 3 or 4] colors.
        labels: class ids [H, W], as they were corrected.
        facts: of the layer of labels, as `sebre.viewer.label_layers.facts_of` gives them.
        name: of the picture or its file.
        subject: the animal; empty if it is not known.
        subset: "train" to learn from, "val" to be held out.
        pixel_um: (rows, columns) um from one pixel to the next; None if not known.
    """

    picture: np.ndarray
    labels: np.ndarray
    facts: Mapping[str, Any]
    name: str
    subject: str = ""
    subset: str = "train"
    pixel_um: tuple[float, float] | None = None


def save_section(root: str | Path, section: CorrectedSection) -> str:
    """Add a section to the data set of a folder, which is made if it is not there.

    Pictures deeper than 8 bits are scaled as the network that was corrected saw them, by the rule
    that the data set was begun with.

    Returns:
        The name of the section, such as "train/3".

    Raises:
        UserError: a folder with anything else, other regions, a picture that is there already, or
            labels that are no regions.
    """
    root, regions = Path(root), section.facts["regions"]
    demand_ids(section.labels, regions, section.name)
    if section.subset not in SUBSETS:
        raise UserError(f"The part is {section.subset!r}; wanted one of {', '.join(SUBSETS)}.")
    if section.labels.shape != section.picture.shape[:2]:
        raise UserError(
            f"{section.name}: the picture has {_size(section.picture)} px, its labels "
            f"{_size(section.labels)}. Take the labels that were made of this picture."
        )
    if not section.labels.any():
        raise UserError(f"{section.name}: no region is drawn. Draw one first; nothing was saved.")
    new = not os.path.lexists(root) or (root.is_dir() and not any(root.iterdir()))
    if not new:
        return _add(root, section, regions)
    demand_empty(root)
    rule = str(section.facts.get("contrast", BITS))
    with new_data_set(root, regions) as writer:
        picture = eight_bits(section.picture, rule)
        masks = masks_of_labels(section.labels)
        writer.add(section.subset, 0, picture, masks, **_row(section, picture, 0))
        writer.write_text("README.md", _CARD.format(name=root.name, version=__version__))
        writer.write_facts(**_set_facts(root.name, section, rule, writer.rows))
    return f"{section.subset}/0"


def count_sections(root: str | Path) -> dict[str, int]:
    """Sections of each part of a data set of corrections; none where there is no such set."""
    path = Path(root) / "sections.csv"
    rows = read_rows(path)[1] if path.is_file() else []
    return {part: sum(row.get("subset") == part for row in rows) for part in SUBSETS}


def eight_bits(picture: np.ndarray, rule: str) -> np.ndarray:
    """A picture as data sets hold it, uint8 [H, W] or [H, W, 3], deeper values by the rule."""
    with open_source(np.asarray(picture), rule=rule) as source:
        pixels = source.read(0, 0, *source.shape[:2])
    return np.ascontiguousarray(pixels[..., 0] if picture.ndim == 2 else pixels)


def _add(root: Path, section: CorrectedSection, regions: RegionSet) -> str:
    record = _demand_corrections(root, regions)
    rule = recorded_contrast(root)
    picture = eight_bits(section.picture, rule)
    columns, rows = read_rows(root / "sections.csv")
    row = _row(section, picture, 1 + max((_number(r.get("source_row")) for r in rows), default=-1))
    same = next((r for r in rows if r.get(_PICTURE) == row[_PICTURE]), None)
    if same is not None:
        raise UserError(
            f"{root}: has this picture already, as {same['subset']}/{same['section']} "
            f"({same.get('source_image')}, saved {same.get('corrected_at')}). Nothing of it is "
            "replaced: choose another folder, or take that section out of this one first."
        )
    number = _free_number(root, section.subset)
    part = part_of(root / "section")
    part.mkdir()
    try:
        writer = LayoutWriter(part, regions)
        writer.add(section.subset, number, picture, masks_of_labels(section.labels), **row)
        (image,) = part_folder(part, section.subset, "images").iterdir()
        (masks,) = part_folder(part, section.subset, "masks").iterdir()
        new = [*sorted(masks.iterdir()), image]
        names = [path.relative_to(part).as_posix() for path in new]
        # The image comes last: a section that has one is whole.
        for path in (masks, image):
            place = root / path.relative_to(part)
            place.parent.mkdir(exist_ok=True)  # the first section of its part
            if os.path.lexists(place):
                raise UserError(f"{place}: is there already. Nothing was saved; save again.")
            os.replace(path, place)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    rows = [*rows, *writer.rows]
    columns = list(dict.fromkeys([*columns, *SECTION_COLUMNS, *writer.rows[0]]))
    write_table(root / "sections.csv", columns, rows)
    record |= _changing_facts(rows)
    replace_text(root / "dataset.json", json.dumps(record, indent=1) + "\n")
    _add_checksums(root, [*names, *_TABLES])
    return f"{section.subset}/{number}"


def _demand_corrections(root: Path, regions: RegionSet) -> dict[str, Any]:
    """The dataset.json of a set of corrections of these regions."""
    demand_place(root)
    path = root / "dataset.json"
    recorded = recorded_regions(root) if root.is_dir() else None
    record = {} if recorded is None else json.loads(path.read_text(encoding="utf-8"))
    if _MARK not in record:
        raise UserError(
            f"{root}: holds something else than corrected sections. Choose a new folder, or one "
            "that corrections were saved to before."
        )
    if recorded.names != regions.names:
        raise UserError(
            f"{path}: the corrections in this folder are of the regions {in_words(recorded.names)};"
            f" these are of {in_words(regions.names)}. Choose another folder."
        )
    return record


def _free_number(root: Path, subset: str) -> int:
    """A number that no section of a part has, nor had by sections.csv."""
    sections = list_subset(root, subset)[0]
    rows = [r for r in read_rows(root / "sections.csv")[1] if r.get("subset") == subset]
    return 1 + max([*sections, *(_number(row.get("section")) for row in rows)], default=-1)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else -1


def _row(section: CorrectedSection, picture: np.ndarray, source_row: int) -> dict[str, Any]:
    facts = section.facts
    found = facts.get("found")
    sides = section.pixel_um
    square = sides is not None and abs(sides[0] - sides[1]) <= _SAME_SIDE * max(sides)
    return {
        "subject": section.subject.strip(),
        "angle": 0,
        "flipped": 0,
        "source_row": source_row,
        "source_image": section.name,
        "pixel_um": f"{np.sqrt(sides[0] * sides[1]):g}" if square else "",
        "network": facts.get("network", ""),
        "weights_sha256": facts.get("weights_sha256", ""),
        "label_map": Path(facts.get("label_map", "")).name,
        "changed_px": "" if found is None else np.count_nonzero(section.labels != found),
        "corrected_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "sebre_version": __version__,
        _PICTURE: hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).hexdigest(),
    }


def _set_facts(
    name: str, section: CorrectedSection, rule: str, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What dataset.json says of a new set, but for its regions."""
    plane = section.facts.get("plane")  # that the network knows
    return {
        "name": name,
        "plane": plane if plane in PLANES else UNKNOWN_PLANE,
        "pixel_size_um": None,  # sections.csv has those of the sections
        "volumetric": False,
        "licence": "that of the pictures; not stated",  # spelled as in the folders that are there
        "rotations": None,
        "processing": {"image": "as opened", "mask": "drawn by hand", "contrast": rule},
        _MARK: {"begun_with": __version__},
        **_changing_facts(rows),
    }


def _changing_facts(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What dataset.json says of all sections."""
    named = all(row.get("subject") for row in rows)
    rule = "as chosen when each section was saved"
    return {"animals_named": named, "split": {"rule": rule, "leaks": str(audit(rows))}}


def _add_checksums(root: Path, names: Sequence[str]) -> None:
    """Add lines for files, or replace those that they have; others stay, right or not."""
    path = root / _SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    known = {line.partition("  ")[2]: line for line in lines}
    known |= {name: f"{file_sha256(root / name)}  {name}" for name in names}
    replace_text(path, "\n".join(known[name] for name in sorted(known)) + "\n")


def _size(pixels: np.ndarray) -> str:
    return " x ".join(map(str, pixels.shape[:2]))
