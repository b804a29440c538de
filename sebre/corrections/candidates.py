"""What a folder of `sebre predict` tells of its sections, for the choice of those to correct."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mrcnn.errors import MissingFileError, UserError
from sebre.data.listing import some
from sebre.networks.any_section import frame_of, squared
from sebre.networks.tissue import find_tissue
from sebre.predict.measures import is_found
from sebre.predict.section_records import all_records
from sebre.trust.trust_features import measure_looks
from sebre.trust.trust_model import NO_TISSUE

_GRAY = 255.0  # values of a picture
_CELLS, _CELL_PX = 16, 8  # of the grid that regions are compared on, a side; px of a cell
_NEAREST = Image.Resampling.NEAREST


@dataclass(frozen=True)
class FoundPart:
    """A region on a section: its area in px, and its expected Dice."""

    area: float
    expected_dice: float


@dataclass(frozen=True)
class Candidate:
    """A section that may be corrected.

    Attributes:
        name: of its outputs.
        picture: that was predicted.
        expected_dice: mean over the regions found, of how good they are likely to be: the expected
            Dice of the table, or where the network has no trust file its scores; 0 where no region
            was found.
        regions: what was found of each region, by its name.
        looks: what the section shows, float [n]: see `_looks_of`.
        warnings: what the page says against it.
    """

    name: str
    picture: str
    expected_dice: float
    regions: Mapping[str, FoundPart]
    looks: np.ndarray
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidates:
    """The sections of a folder.

    Attributes:
        sections: that may be corrected.
        left_out: why the others may not, by the reason, and which they are.
        calibrated: whether all expected Dices are those of a trust file.
    """

    sections: tuple[Candidate, ...]
    left_out: Mapping[str, Sequence[str]]
    calibrated: bool


def read_candidates(predictions: Path) -> Candidates:
    """The sections of a folder of `sebre predict`.

    Raises:
        UserError: it is none, or has no section that could be corrected.
    """
    if not predictions.is_dir():
        raise MissingFileError(f"{predictions}: no such folder. Give the --out of `sebre predict`.")
    sections: list[Candidate] = []
    looked_for: dict[tuple[str, ...], str] = {}
    left_out: dict[str, list[str]] = {}
    calibrated = True
    for name, record in all_records(predictions).items():
        if why := _why_not(record):
            left_out.setdefault(why, []).append(name)
            continue
        looked_for.setdefault(tuple(one[1] for one in record["about"]["regions"]), name)
        found = [row for row in record["rows"] if is_found(row)]
        calibrated &= all("expected_dice" in row for row in found)
        sections.append(_candidate(name, record, found))
    if not sections:
        reasons = "; ".join(f"{why}: {some(names)}" for why, names in left_out.items())
        raise UserError(
            f"{predictions}: no section of `sebre predict` that could be corrected"
            f"{f' ({reasons})' if reasons else ''}. Give the folder that it wrote to (--out)."
        )
    if len(looked_for) > 1:
        raise UserError(
            f"{predictions}: {some(list(looked_for.values()))} were looked at by networks of other "
            "regions, which cannot be compared. Predict into a folder for each network."
        )
    return Candidates(tuple(sections), left_out, calibrated)


def _why_not(record: Mapping[str, Any]) -> str:
    """Why a section cannot be chosen; empty if it can."""
    if not record:
        return "damaged records: predict them again"
    if "rows" not in record:
        return "not finished"
    about = record.get("about", {})
    if len(about.get("shape", ())) != 2:
        return "volumes: predict their sections as pictures"
    return "without tissue" if str(NO_TISSUE) in about.get("warnings", ()) else ""


def _candidate(
    name: str, record: Mapping[str, Any], found: Sequence[Mapping[str, Any]]
) -> Candidate:
    expected = [float(row.get("expected_dice", row["score"])) for row in found]
    parts: dict[str, FoundPart] = {}
    for row, dice in zip(found, expected, strict=True):
        # Of the two rows of a region, in the halves of a whole section, the worse one counts.
        other = parts.get(row["region"], FoundPart(0.0, dice))
        area = other.area + float(row["area_px"])
        parts[row["region"]] = FoundPart(area, min(dice, other.expected_dice))
    return Candidate(
        name,
        str(record["picture"]["path"]),
        float(np.mean(expected)) if expected else 0.0,
        parts,
        _looks_of(record),
        tuple(record["about"].get("warnings", ())),
    )


def _looks_of(record: Mapping[str, Any]) -> np.ndarray:
    """What a section shows and how it lies, so that the distance of two is small where they are
    alike: 0 where regions and looks are the same, 1.41 where no region is at the same place.

    Of the square around the tissue, turned as the network of any section sees it, the share of each
    region in every cell of a grid, over the root of the cells that have one; then brightness of
    the background, contrast and color, of 255. A network that goes on with a few sections does not
    know them turned or mirrored, so that two which lie otherwise are not alike.
    """
    about = record["about"]
    picture = _image(about["picture"]).convert("RGB")
    pixels = np.asarray(picture)
    colors = np.asarray(_image(about["labels"]).convert("RGBA").resize(picture.size, _NEAREST))
    masks = np.stack(
        [(colors == (*color, int(_GRAY))).all(-1) for _, _, color in about["regions"]], axis=-1
    )
    frame = frame_of(pixels.mean(axis=-1, dtype=np.float32), 1.0)
    side = _CELLS * _CELL_PX
    cells = squared(masks, side, frame).reshape(_CELLS, _CELL_PX, _CELLS, _CELL_PX, -1)
    shares = cells.mean(axis=(1, 3))
    looks = measure_looks(pixels, find_tissue(pixels).mask) / _GRAY
    whole = np.sqrt(max(float(np.square(shares).sum()), 1e-6))
    return np.concatenate([shares.ravel() / whole, looks])


def _image(packed: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(packed)))
