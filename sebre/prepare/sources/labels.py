"""Sections with label maps, whose pixel values are ids of regions.

    <raw>/images/<anything>_<k>.png   the sections
    <raw>/labels/<anything>_<k>.png   gray values of any depth or a palette, or one page a region
    <raw>/regions.csv                 id, region, R, G, B
    <raw>/sections.csv                section, subject, marker, age, plane ...; may be left out

Ids in regions.csv count 1, 2, 3 ... Where the label maps have other numbers, such as those of an
atlas, they stand in a further column `value` (several with spaces between). 0 is background.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mrcnn.errors import MissingFileError, UserError
from mrcnn.imageio.header import Choice
from mrcnn.imageio.label_files import read_labels
from sebre.data.csv_tables import read_rows
from sebre.data.region_masks import masks_of_labels
from sebre.data.regions import RegionSet, read_regions
from sebre.prepare.big_pictures import check_factor, read_shrunk
from sebre.prepare.color_matching import downsample_labels, say_lost
from sebre.prepare.raw import RawSet
from sebre.prepare.sources.image_pairs import (
    Pair,
    check_downsample,
    find_pairs,
    picture_set,
    shrunk_by,
)

LABELS = "labels"
REGIONS = "regions.csv"

_MAX_VALUE = 2**31 - 1  # ids of the Allen Institute have up to 9 digits
_MAX_REGIONS = 255


def read_source(
    raw: Path,
    *,
    regions: Path | None = None,
    plane: str | None = None,
    downsample: int = 1,
    channel: int | None = None,
    z: int | str | None = None,
) -> RawSet:
    """Read a folder of sections and label maps; the regions come with their ids."""
    raw = Path(raw)
    check_downsample(downsample)
    table = Path(regions) if regions else raw / REGIONS
    if not table.is_file():
        raise MissingFileError(
            f"{table}: no such file. It must say which pixel value is which region: "
            "id,region,R,G,B."
        )
    region_set = read_regions(table)
    values = read_pixel_values(table, region_set)
    choice = Choice(channel, z)
    pairs = find_pairs(raw, LABELS)
    processing = {
        **shrunk_by(downsample, choice, "as in the source"),
        "values": {str(value): class_id for value, class_id in values.items()},
    }
    read = functools.partial(
        _read, regions=region_set, values=values, table=table, factor=downsample, choice=choice
    )
    return picture_set(
        raw,
        pairs,
        read,
        name="labels",
        regions=region_set,
        plane=plane,
        table=table,
        processing=processing,
        choice=choice,
    )


def read_pixel_values(path: str | Path, regions: RegionSet) -> dict[int, int]:
    """Class ids by pixel value: the column `value` of the table of the regions, else `id`."""
    path = Path(path)
    if len(regions) > _MAX_REGIONS:
        raise UserError(f"{path}: has {len(regions)} regions; at most {_MAX_REGIONS} can be used.")
    rows = [
        {key.strip().lower(): cell or "" for key, cell in row.items() if key}
        for row in read_rows(path)[1]
    ]
    column = next((name for name in ("value", "id") if name in rows[0]), None)
    if column is None:
        raise UserError(
            f"{path}: found the columns {', '.join(rows[0])}; wanted one more, id, with the pixel "
            "value of each region (or value, if these do not count 1, 2, 3 ...)."
        )
    if column == "id":
        return {region.id: region.id for region in regions}
    cells = [row[column].split() for row in rows if any(cell.strip() for cell in row.values())]
    if len(cells) != len(regions):
        raise UserError(
            f"{path}: {len(cells)} rows with values, but {len(regions)} with names. Each region "
            "needs a name."
        )
    values: dict[int, int] = {}
    for region, numbers in zip(regions, cells, strict=True):
        for text in numbers:
            if not text.isdecimal() or not 1 <= int(text) <= _MAX_VALUE or int(text) in values:
                raise UserError(
                    f"{path}: the value {text!r} of {region.name} does not fit; wanted whole "
                    f"numbers from 1 to {_MAX_VALUE}, each once."
                )
            values[int(text)] = region.id
    return values


def _read(
    pair: Pair,
    regions: RegionSet,
    values: Mapping[int, int],
    table: Path,
    factor: int,
    choice: Choice,
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    drawn = read_labels(pair.drawing)
    found, places = np.unique(drawn, return_inverse=True)
    if unknown := [int(value) for value in found if value and value not in values]:
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        raise UserError(
            f"{pair.drawing}: the id {unknown[0]}{more} is not in {table}, which has "
            f"{', '.join(map(str, sorted(values)))}. Add it there, or paint it 0 (background)."
        )
    class_ids = np.array([values.get(int(value), 0) for value in found], np.uint8)
    labels = downsample_labels(class_ids[places].reshape(drawn.shape), factor)
    check_factor(pair.image, labels.shape, factor)
    say_lost(pair.drawing, class_ids, np.unique(labels), regions, factor)
    return read_shrunk(pair.image, factor, choice), masks_of_labels(labels)
