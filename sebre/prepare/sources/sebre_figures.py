"""The four sections with masks that the released code shows in a figure.

<raw>/section_<k>/section_<k>.png                    the section
<raw>/section_<k>/<region>.png                       its masks, 0 or 255
<raw>/section_<k>/basal_ganglia_column_thalamus.png  printed as basal ganglia, is the thalamus
"""

import functools
import re
from pathlib import Path

import numpy as np

from mrcnn.errors import MissingFileError, UserError
from mrcnn.imageio.label_files import read_mask
from sebre.data.listing import visible
from sebre.data.regions import MOUSE
from sebre.prepare.big_pictures import read_shrunk
from sebre.prepare.color_matching import INK, fill_gaps
from sebre.prepare.raw import RawSection, RawSet, card

MAX_FISSURE_PX = 4

# Name of a mask file -> region.
_FILES = {region.name: region.id for region in MOUSE} | {"basal_ganglia_column_thalamus": 4}


def read_source(raw: Path) -> RawSet:
    """The sections of the figure."""
    raw = Path(raw)
    named = {folder: re.fullmatch(r"section_(\d+)", folder.name) for folder in visible(raw)}
    folders = {
        int(match[1]): folder for folder, match in named.items() if match and folder.is_dir()
    }
    if not folders:
        raise MissingFileError(
            f"{raw}: holds no folder section_0, section_1, ... with a section and its masks."
        )
    sections, files = [], []
    for number, folder in sorted(folders.items()):
        picture = folder / f"{folder.name}.png"
        if not picture.is_file():
            raise MissingFileError(f"{picture}: no such file; the section itself is missing.")
        drawn = _mask_files(folder, picture)
        sections.append(
            RawSection(
                functools.partial(_read, picture, drawn),
                {"source_row": number, "marker": "ISH", "plate": folder.name},
            )
        )
        files += [picture, *drawn.values()]
    return RawSet(
        name="sebre-figures",
        regions=MOUSE,
        sections=sections,
        plane="sagittal",
        pixel_size_um=None,
        background=(248, 248, 247),  # median of the borders of the four sections
        license="MIT",
        card=card("sebre_figures", gap=MAX_FISSURE_PX),
        files=files,
        split="section:1",
        processing={"image": "as in the figure", "filled_fissures_px": MAX_FISSURE_PX},
    )


def _mask_files(folder: Path, picture: Path) -> dict[int, Path]:
    """Mask files by class id."""
    found: dict[int, Path] = {}
    for path in visible(folder, "*.png"):
        if path == picture:
            continue
        class_id = _FILES.get(path.stem)
        if class_id is None or class_id in found:
            raise UserError(
                f"{path}: is not a mask of this source, or a second one of its region; wanted one "
                f"each of {', '.join(sorted(_FILES))}. Move it away."
            )
        found[class_id] = path
    if not found:
        raise MissingFileError(f"{folder}: holds no masks beside {picture.name}.")
    return found


def _read(picture: Path, drawn: dict[int, Path]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    image = read_shrunk(picture)
    masks = {}
    for class_id, path in sorted(drawn.items()):
        mask = read_mask(path)
        if mask.shape != image.shape[:2]:
            raise UserError(
                f"{path}: {mask.shape[0]} x {mask.shape[1]} px (height x width), but its section "
                f"{picture.name} has {image.shape[0]} x {image.shape[1]}. Fetch the files again."
            )
        masks[class_id] = mask
    drawn_anywhere = np.any(list(masks.values()), axis=0)
    return image, {i: _without_fissures(mask, drawn_anywhere) for i, mask in masks.items()}


def _without_fissures(mask: np.ndarray, drawn_anywhere: np.ndarray) -> np.ndarray:
    """Mask with its thin lines filled, not into other masks."""
    codes = np.where(mask, 1, INK).astype(np.uint8)
    return mask | ((fill_gaps(codes, MAX_FISSURE_PX) > 0) & ~drawn_anywhere)
