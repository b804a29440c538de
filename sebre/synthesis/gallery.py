"""A set of synthetic sections to look at: pictures, labels, a table, and one sheet of them all.

`synthesize` writes it.
"""

import csv
import io
import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from sebre.synthesis.classes import COLORS, IGNORE, NAMES
from sebre.synthesis.curriculum import HARD, Recipe, recipe_at
from sebre.synthesis.labeled_volume import Volume
from sebre.synthesis.sources import read_volumes
from sebre.synthesis.stream import SyntheticSection, sections

logger = logging.getLogger(__name__)

_COLUMNS = ("section", "subject", "plane", "painted", "mm_per_px", *NAMES)
_GAP = 4  # px between the sections of a sheet
_COLOR_SHARE = 0.45  # of the color of a class, over the picture
_IGNORED_COLOR = (128, 128, 128)


def synthesize(
    out: Path,
    data: Path | None = None,
    *,
    count: int = 48,
    size: int = 192,
    seed: int = 0,
    recipe: Recipe = HARD,
    graded: bool = False,
    sources: Sequence[str] | None = None,
    without: Sequence[str] = (),
    volumes: Sequence[Volume] | None = None,
) -> Path:
    """Write a set of synthetic sections.

        <out>/images/section_0000.png   8-bit gray
        <out>/labels/section_0000.png   class ids; 255 is tissue that is not scored
        <out>/regions.csv               the classes
        <out>/sections.csv              volume (as subject), plane, size of a pixel, and pixels of
                                        each class
        <out>/gallery.png               all of them, each beside its labels in color

    `sebre prepare labels --raw <out> --map unscored=none` makes a prepared data set of it.

    Args:
        out: folder, made if need be.
        data: folder of the collections of labeled volumes; not needed with `volumes`.
        count: number of sections.
        size: side of the pictures, px.
        seed: of the stream.
        recipe: how hard they are.
        graded: from easy ones to hard ones instead.
        sources: names of collections; None takes all.
        without: names of collections or volumes to leave out.
        volumes: that were read already.

    Returns:
        Path of the gallery.

    Raises:
        ValueError: no volumes, or less than one section.
        FileNotFoundError: files of a collection are missing.
    """
    if count < 1 or (data is None and volumes is None):
        raise ValueError("synthesize needs a count of at least 1, and `data` or `volumes`.")
    if volumes is None:
        volumes = read_volumes(data, sources, without)
    steps = (lambda number: recipe_at(number / max(count - 1, 1), (0, 1))) if graded else recipe
    made = list(islice(sections(volumes, seed, recipe=steps, size=size), count))
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for number, section in enumerate(made):
        name = f"section_{number:04d}"
        Image.fromarray(eight_bit(section.picture)).save(out / "images" / f"{name}.png")
        Image.fromarray(section.labels).save(out / "labels" / f"{name}.png")
        counts = np.bincount(section.labels.reshape(-1), minlength=256)[1 : len(NAMES) + 1]
        facts = (section.volume, section.plane.name, section.painted)
        writer.writerow([number, *facts, f"{section.plane.side_mm / size:.4f}", *counts])
    (out / "sections.csv").write_text(table.getvalue(), "utf-8")
    (out / "regions.csv").write_text(_regions(), "utf-8")
    path = out / "gallery.png"
    Image.fromarray(gallery(made)).save(path)
    logger.info("%d sections in %s", count, out)
    return path


def _regions() -> str:
    """The classes as `sebre prepare labels` reads them."""
    rows = ["id,name,r,g,b,value"]
    named = [*zip(NAMES, COLORS[1:], strict=True), ("unscored", _IGNORED_COLOR)]
    for number, (name, color) in enumerate(named, start=1):
        value = IGNORE if number > len(NAMES) else number
        rows.append(",".join(map(str, (number, name, *color, value))))
    return "\n".join(rows) + "\n"


def gallery(made: Sequence[SyntheticSection], columns: int = 4) -> np.ndarray:
    """A sheet of sections, each beside its labels.

    Args:
        made: sections of one size.
        columns: sections side by side.

    Returns:
        uint8 [H, W, 3].
    """
    size = made[0].picture.shape[0]
    rows = -(-len(made) // columns)
    step = size + _GAP
    sheet = np.full((rows * step, columns * 2 * step, 3), 255, np.uint8)
    for number, section in enumerate(made):
        y, x = (number // columns) * step, (number % columns) * 2 * step
        gray = eight_bit(section.picture)
        sheet[y : y + size, x : x + size] = gray[..., None]
        sheet[y : y + size, x + step : x + step + size] = colored(gray, section.labels)
    return sheet


def colored(gray: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A picture with its classes in color.

    Args:
        gray: uint8 [H, W].
        labels: uint8 [H, W]. Class ids; 255 is drawn in gray.

    Returns:
        uint8 [H, W, 3].
    """
    palette = np.zeros((256, 3), np.float32)
    palette[: len(COLORS)] = COLORS
    palette[IGNORE] = _IGNORED_COLOR
    share = np.where(labels > 0, _COLOR_SHARE, 0)[..., None]
    return np.rint(gray[..., None] * (1 - share) + palette[labels] * share).astype(np.uint8)


def eight_bit(picture: np.ndarray) -> np.ndarray:
    """A picture 0..1 as uint8."""
    return np.rint(picture * 255).astype(np.uint8)
