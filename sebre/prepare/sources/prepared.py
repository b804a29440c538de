"""A data set that is prepared already, for other regions (`--map`), rotations or another split.

The raw folder is what `sebre prepare` wrote, with its dataset.json.
"""

import functools
from pathlib import Path

import numpy as np

from mrcnn.errors import UserError
from sebre.data.csv_tables import read_if_there
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import read_facts
from sebre.data.region_names import recorded_regions
from sebre.data.section_files import part_folder
from sebre.prepare.raw import RawSection, RawSet, card

_PARTS = ("train", "val")
_TURNED = ("angle", "flipped")
_BESIDE = ("sections.csv", "LICENSE", "README.md", "SHA256SUMS", "contact_sheet.png")
_WRITTEN = ("section", "subset", "regions", *_TURNED)  # anew, by the preparation


def read_source(raw: Path) -> RawSet:
    """Sections of both parts of a prepared data set, which the rule `source` keeps apart."""
    raw = Path(raw)
    regions, known = recorded_regions(raw), read_facts(raw)
    if regions is None:
        raise UserError(
            f"{raw}: no dataset.json that says which regions it has. Give a folder that `sebre "
            "prepare` wrote."
        )
    rows = {
        (row["subset"], row["section"]): row
        for row in read_if_there(raw / "sections.csv", ("section", "subset"))
    }
    lying = (None, "", "0", "0.0")
    if any(row.get(key) not in lying for row in rows.values() for key in _TURNED):
        raise UserError(
            f"{raw / 'sections.csv'}: the data set holds turned versions of its sections. Give "
            "one that was prepared without --rotations."
        )
    sections = []
    read_too = [raw / name for name in _BESIDE]
    for part in _parts_of(raw):
        dataset = SectionDataset(regions).load(raw, part)
        dataset.prepare()
        for image_id in dataset.image_ids:
            row = rows.get((part, str(dataset.image_info[image_id]["number"])), {})
            facts = {key: cell for key, cell in row.items() if key not in _WRITTEN and cell}
            read = functools.partial(_read, dataset, int(image_id))
            sections.append(RawSection(read, facts, part))
            info = dataset.image_info[image_id]
            read_too += [info["path"], *info["masks"].values()]
    record = known.record
    size = record.get("pixel_size_um")
    license_file = raw / "LICENSE"
    return RawSet(
        name=str(record.get("name", raw.resolve().name)),
        regions=regions,
        sections=sections,
        plane=record.get("plane") or "mixed",
        pixel_size_um=tuple(size) if isinstance(size, list) else size,
        background=None,
        license=record.get("licence") or "not stated",
        card=card("prepared", name=raw.resolve().name),
        files=[raw / "dataset.json"],
        also_read=read_too,
        split="source",
        processing=record.get("processing") or {},
        texts={"LICENSE": license_file.read_text("utf-8")} if license_file.is_file() else {},
        volumetric=bool(record.get("volumetric")),
        slice_spacing_um=record.get("slice_spacing_um"),
        animals_named=bool(record.get("animals_named")),
    )


def _parts_of(raw: Path) -> list[str]:
    """The parts that are there; one of which no section was prepared has no folder."""
    parts = [part for part in _PARTS if part_folder(raw, part, "images").is_dir()]
    return parts or [*_PARTS]  # which says what is missing


def _read(dataset: SectionDataset, image_id: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    image = dataset.load_image(image_id)
    masks, class_ids = dataset.load_mask(image_id)
    gray = (image == image[..., :1]).all()
    return image[..., 0] if gray else image, {
        int(class_id): masks[..., row] for row, class_id in enumerate(class_ids)
    }
