"""From the sections of a source to a prepared data set."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mrcnn.errors import UserError
from mrcnn.io.files import file_sha256
from sebre.data.leakage import audit
from sebre.data.regions import RegionSet
from sebre.data.rotation import ANGLES, rotated_versions
from sebre.data.split import SplitRule, assign
from sebre.drawing.contact_sheet import save_sheet
from sebre.drawing.overlay import label_map, overlay
from sebre.prepare.layout import new_data_set
from sebre.prepare.raw import RawSection, RawSet, card
from sebre.prepare.region_map import in_lines

SHEET_SECTIONS = 24  # at most this many on the contact sheet
_SHEET_PX = 512  # longer side of a picture on the sheet

_PIXEL_UM = "pixel_um"  # column: of a section that has its own
_log = logging.getLogger(__name__)


def build(
    raw_set: RawSet,
    out: str | Path,
    split: str | None = None,
    seed: int = 0,
    rotations: bool = False,
    command: str = "",
) -> None:
    """Write a prepared data set: images, masks, tables, card and contact sheet.

    Args:
        raw_set: what to write.
        out: folder to write; it must not exist, or be empty.
        split: rule (`sebre.data.split`); None takes that of the source.
        seed: of the split.
        rotations: write the 20 rotated versions of each section (paper, Methods).
        command: recorded in the card.
    """
    rule = SplitRule.parse(split or raw_set.split)
    versions = len(ANGLES) * (1 + raw_set.flips) if rotations else 1
    by_image = rule.unit == "image"
    rows = [
        {"section": i, "source_row": i, **section.facts, "part": section.part}
        for i, section in enumerate(raw_set.sections)
        for _ in range(versions if by_image else 1)
    ]
    # By section, all versions of it go to one part; by image, each is drawn on its own.
    subsets = assign(rows, rule, seed)
    if not by_image:
        subsets = [subset for subset in subsets for _ in range(versions)]

    count = len(raw_set.sections)
    on_sheet = np.linspace(0, count - 1, min(count, SHEET_SECTIONS)).round().astype(int)
    sheet: list[tuple[str, list[np.ndarray]]] = []
    with new_data_set(out, raw_set.regions) as writer:
        numbers = {"train": 0, "val": 0}
        remaining = iter(subsets)
        for index, section in enumerate(raw_set.sections):
            image, masks = section.read()
            facts = {"source_row": index, **_shrunk_facts(section.facts, raw_set, index)}
            versions_made = [(0, False, image, masks)]
            if rotations:
                versions_made = rotated_versions(image, masks, raw_set.flips, raw_set.background)
            for angle, flipped, picture, drawn in versions_made:
                subset = next(remaining)
                facts |= {"angle": angle, "flipped": int(flipped)}
                writer.add(subset, numbers[subset], picture, drawn, **facts)
                numbers[subset] += 1
            if index in on_sheet:
                sheet.append((_title(index, section), _panels(image, masks, raw_set.regions)))
            if (index + 1) % 50 == 0:
                _log.info("%d of %d sections written", index + 1, count)
        _demand_regions(raw_set, writer.rows)
        save_sheet(sheet, ("masks",), raw_set.regions, writer.part / "contact_sheet.png", across=4)
        for name, text in raw_set.texts.items():
            writer.write_text(name, text)
        leaks = str(audit(writer.rows))
        writer.write_text("README.md", _card(raw_set, writer.rows, str(rule), seed, leaks, command))
        writer.write_facts(
            name=raw_set.name,
            plane=raw_set.plane,
            pixel_size_um=raw_set.pixel_size_um,
            volumetric=raw_set.volumetric,
            **({"slice_spacing_um": raw_set.slice_spacing_um} if raw_set.volumetric else {}),
            **({"animals_named": True} if raw_set.animals_named else {}),
            licence=raw_set.license,  # spelled as in the folders that are there
            split={"rule": str(rule), "seed": seed, "leaks": leaks},
            rotations=list(ANGLES) if rotations else None,
            processing=dict(raw_set.processing),
            **({"region_map": dict(raw_set.region_map)} if raw_set.region_map else {}),
            raw_sha256=_checksums(raw_set.files),
        )


def _shrunk_facts(facts: Mapping[str, Any], raw_set: RawSet, index: int) -> dict[str, Any]:
    """What is known of a section; a pixel size in a table is that of the picture, and that of the
    section is larger where pictures are shrunk."""
    size, factor = facts.get(_PIXEL_UM), raw_set.shrunk
    if not size or factor is None:
        return dict(facts)
    try:
        return {**facts, _PIXEL_UM: f"{float(size) * factor:g}"}
    except (TypeError, ValueError):
        raise UserError(
            f"Section {index}: {_PIXEL_UM} is {size!r} in the table; wanted one number, the side "
            "of a pixel of the picture in um."
        ) from None


def _demand_regions(raw_set: RawSet, rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise a UserError if no section shows a region; say how many do not."""
    empty = sum(not row["regions"] for row in rows)
    if empty < len(rows):
        if empty:
            _log.info("%d of %d sections show no region.", empty, len(rows))
        return
    raise UserError(
        f"{_folder_of(raw_set.files)}: no section of {len(raw_set.sections)} shows a region, so "
        "there is nothing to learn. Are the drawings empty, or of other regions than "
        f"{', '.join(raw_set.regions.names)}?"
    )


def _checksums(files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 by path below the folder that all files are in."""
    folder, absolute = _folder_of(files), [path.absolute() for path in files]
    return {
        (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix(): file_sha256(
            path
        )
        for path in absolute
    }


def _folder_of(files: Sequence[Path]) -> Path:
    """The folder that all files are in; that of the first where they are on several drives."""
    folders = [path.absolute().parent for path in files]
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:
        return folders[0]


def _title(index: int, section: RawSection) -> str:
    keys = ("subject", "plate", "slice")
    parts = [str(section.facts[key]) for key in keys if key in section.facts]
    return " ".join(parts)[:28] or str(index)


def _panels(
    image: np.ndarray, masks: Mapping[int, np.ndarray], regions: RegionSet
) -> list[np.ndarray]:
    labels = label_map(
        np.array(list(masks), int),
        np.zeros(len(masks)),
        np.stack(list(masks.values()), axis=-1) if masks else np.zeros((*image.shape[:2], 0), bool),
        image.shape,
    )
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=-1)
    scale = max(1, max(labels.shape) / _SHEET_PX)
    size = (round(labels.shape[1] / scale), round(labels.shape[0] / scale))
    image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    labels = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    return [overlay(image, shown, regions) for shown in (np.zeros_like(labels), labels)]


def _card(
    raw_set: RawSet,
    rows: Sequence[Mapping[str, Any]],
    split: str,
    seed: int,
    leaks: str,
    command: str,
) -> str:
    def present(subset: str, name: str) -> int:
        return sum(r["subset"] == subset and name in r["regions"].split() for r in rows)

    table = "\n".join(
        f"| {r.id} | {r.name} | {present('train', r.name)} | {present('val', r.name)} |"
        for r in raw_set.regions
    )
    n_train = sum(row["subset"] == "train" for row in rows)
    size = raw_set.pixel_size_um
    versions = len(rows) // max(1, len(raw_set.sections))
    return card(
        "data_set",
        name=raw_set.name,
        card=raw_set.card.strip() + "\n",
        count=len(rows),
        versions=f" ({len(raw_set.sections)} sections, {versions} versions each)"
        if versions > 1
        else "",
        n_train=n_train,
        n_val=len(rows) - n_train,
        table=table,
        region_map=in_lines(raw_set.region_map),
        plane=raw_set.plane,
        pixel_size="not known" if size is None else f"{size} um",
        license=raw_set.license,
        split=split,
        seed=seed,
        leaks=leaks,
        command=command,
    )
