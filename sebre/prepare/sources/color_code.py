"""Sections with color-coded overlays: your own data, in either of two layouts.

    <raw>/images/<anything>_<k>.png     the sections
    <raw>/overlays/<anything>_<k>.png   the same with regions painted, each in its color
    <raw>/regions.csv                   region, R, G, B; without it the eight mouse regions
    <raw>/sections.csv                  section, subject, marker, age, plane ...; may be left out

or the folders of the released notebook (`image_pairs.find_notebook_pairs`), which divide the
sections into training and validation.
"""

import functools
import logging
from pathlib import Path

import numpy as np

from mrcnn.errors import UserError
from mrcnn.imageio.header import Choice
from sebre.data.region_masks import masks_of_labels
from sebre.data.regions import MOUSE, RegionSet, read_regions
from sebre.prepare.big_pictures import check_factor, read_shrunk
from sebre.prepare.color_matching import (
    EXACT_FACTOR,
    TOLERANCE,
    downsample_labels,
    match_colors,
    match_exactly,
    say_lost,
)
from sebre.prepare.raw import RawSet
from sebre.prepare.sources.image_pairs import (
    SPLIT,
    Pair,
    check_downsample,
    described,
    find_notebook_pairs,
    find_pairs,
    picture_set,
)

OVERLAYS = "overlays"
REGIONS = "regions.csv"

_MATCHED = (
    "each pixel of the overlay is the region whose color lies within {tolerance} of it in every "
    "channel; thin lines and letters between such pixels are filled; {shrunk}"
)
_EXACT = (
    "the overlay is shrunk by {factor} with bilinear interpolation and its colors are compared "
    "exactly, as in the released notebook; pixels of mixed color are lost"
)

_log = logging.getLogger(__name__)


def read_source(
    raw: Path,
    *,
    regions: Path | None = None,
    plane: str | None = None,
    downsample: int | None = None,
    tolerance: int = TOLERANCE,
    exact: bool = False,
    channel: int | None = None,
    z: int | str | None = None,
) -> RawSet:
    """Read a folder of sections and overlays (options: `sebre.prepare.sources`).

    The tolerance is the largest difference of a color in a channel, 0..255; `exact` matches as the
    released notebook does, with its loss, and shrinks by 16 if not told otherwise.
    """
    raw = Path(raw)
    table = Path(regions) if regions else raw / REGIONS
    region_set = read_regions(table) if regions or table.is_file() else MOUSE
    factor = downsample if downsample is not None else EXACT_FACTOR if exact else 1
    check_downsample(factor)
    if not 0 <= tolerance <= 255:
        raise UserError(f"--tolerance is {tolerance}; it must be from 0 to 255.")
    choice = Choice(channel, z)
    pairs = find_notebook_pairs(raw)
    split = "source" if pairs else SPLIT
    pairs = pairs or find_pairs(raw, OVERLAYS)
    shrunk = f"labels are then shrunk by {factor}, each pixel by the larger area"
    matched = _MATCHED.format(
        tolerance=tolerance, shrunk=shrunk if factor > 1 else "at full resolution"
    )
    processing = {
        "image": f"shrunk by {factor}, averages of areas" if factor > 1 else "as in the source",
        "mask": _EXACT.format(factor=factor) if exact else matched,
        "downsample": factor,
        "tolerance": 0 if exact else tolerance,
        "exact": exact,
        **described(choice),
    }
    read = functools.partial(
        _read, regions=region_set, factor=factor, tolerance=tolerance, exact=exact, choice=choice
    )
    return picture_set(
        raw,
        pairs,
        read,
        name="colour-code",
        regions=region_set,
        plane=plane,
        table=table,
        processing=processing,
        split=split,
        choice=choice,
    )


def _read(
    pair: Pair, regions: RegionSet, factor: int, tolerance: int, exact: bool, choice: Choice
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    if exact:
        labels = match_exactly(pair.drawing, regions, factor)
    else:
        found = match_colors(pair.drawing, regions, tolerance)
        named = ", ".join(f"{c.color}: {c.pixels} px" for c in found.unlisted)
        if found.unlisted and not found.labels.any():
            raise UserError(
                f"{pair.drawing}: no pixel has the color of a region of {regions.name!r}. Most "
                f"frequent colors: {named}. Correct the colors of the regions, or raise "
                "--tolerance."
            )
        if found.unlisted:
            _log.info("%s: colors of no region: %s", pair.drawing, named)
        labels = downsample_labels(found.labels, factor)
        check_factor(pair.image, labels.shape, factor)
        say_lost(pair.drawing, np.unique(found.labels), np.unique(labels), regions, factor)
    return read_shrunk(pair.image, factor, choice), masks_of_labels(labels)
