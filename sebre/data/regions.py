"""Region sets: which class id is which region, and its color.

The built-in ones are below; `read_regions` reads any other from a CSV file, and dataset.json holds
that of a prepared data set.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from sebre.data.csv_tables import read_rows
from sebre.data.listing import one_form

logger = logging.getLogger(__name__)

Color = tuple[int, int, int]

_NOT_IN_FILE_NAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f]')  # of any system


def safe_name(text: str) -> str:
    """A name as `Region.name` has it: underscores for spaces, "-" for what files cannot be named
    ("Layer 2/3" becomes "Layer_2-3"), accents in one form."""
    return _NOT_IN_FILE_NAMES.sub("-", "_".join(one_form(text).split()))


@dataclass(frozen=True)
class Region:
    """One region."""

    id: int  # class id, from 1; 0 is the background
    name: str  # with underscores for spaces; part of file names
    acronym: str  # for pictures
    color: Color  # red, green, blue, 0..255, in pictures
    atlas_ids: tuple[int, ...] = ()  # of the structures in the atlas or label scheme of the source
    paint: Color | None = None  # in color-coded overlays; None for that of pictures

    @property
    def code(self) -> Color:
        """Color that stands for the region in a color-coded overlay."""
        return self.color if self.paint is None else self.paint


@dataclass(frozen=True)
class RegionSet:
    """The regions of an experiment, in the order of their ids 1 .. n without a gap."""

    name: str
    regions: tuple[Region, ...]
    # A whole section shows each region twice, left and right of its midline; pictures to learn from
    # show one side.
    bilateral: bool = False

    def __post_init__(self):
        ids = [region.id for region in self.regions]
        if not ids or ids != list(range(1, len(ids) + 1)):
            raise UserError(
                f"Region set {self.name!r} has the ids {ids}; they must be 1, 2, ... in order, "
                "without a gap. Renumber the regions."
            )
        for region in self.regions:
            if not region.name or region.name != safe_name(region.name):
                raise UserError(
                    f"Region set {self.name!r}: the name {region.name!r} of region {region.id} "
                    "cannot be a part of file names; wanted one such as "
                    f"{safe_name(region.name) or 'cortex'!r}."
                )
            for color in (region.color, region.code):
                if any(not 0 <= value <= 255 for value in color):
                    raise UserError(
                        f"Region set {self.name!r}: the color of {region.name!r} is {color}; "
                        "each value must be from 0 to 255."
                    )
        for what in ("name", "color", "code"):
            values = [getattr(region, what) for region in self.regions]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise UserError(
                    f"Region set {self.name!r}: {what} {twice[0]!r} is used twice. "
                    "Each region needs its own."
                )

    def __len__(self) -> int:
        return len(self.regions)

    def __iter__(self) -> Iterator[Region]:
        return iter(self.regions)

    def __getitem__(self, class_id: int) -> Region:
        if not 1 <= class_id <= len(self.regions):
            raise KeyError(
                f"Class id {class_id} is not in region set {self.name!r} (1-{len(self.regions)})."
            )
        return self.regions[class_id - 1]

    @property
    def names(self) -> list[str]:
        """Names in the order of the ids."""
        return [region.name for region in self.regions]

    @property
    def num_classes(self) -> int:
        """Classes of a network: the regions and the background."""
        return len(self.regions) + 1

    def to_json(self) -> dict[str, Any]:
        """What dataset.json says of the regions."""
        regions = [{"id": r.id, "name": r.name, "color": list(r.color)} for r in self.regions]
        return {"region_set": self.name, "regions": regions}

    @classmethod
    def from_json(cls, record: Any, path: Path) -> "RegionSet":
        """Inverse of `to_json`; the folder of the file names the set if the record does not."""
        try:
            regions = tuple(
                Region(
                    int(r["id"]),
                    safe_name(str(r["name"])),
                    str(r["name"]),
                    tuple(map(int, r["color"])),
                )
                for r in record["regions"]
            )
            return cls(str(record.get("region_set", path.parent.name)), regions)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: its regions cannot be read ({type(error).__name__}: {error}). It wants "
                "regions: [{id, name, color: [r, g, b]}, ...], ids from 1."
            ) from error


def distinct_colors(count: int) -> list[Color]:
    """As many colors, each once: the first 20 of Matplotlib's, others around the color circle."""
    import matplotlib  # heavy
    from matplotlib.colors import hsv_to_rgb

    table = [tuple(round(255 * value) for value in c) for c in matplotlib.colormaps["tab20"].colors]
    colors: list[Color] = [*table[::2], *table[1::2]][:count]
    while len(colors) < count:
        hue = (len(colors) * 0.6180339887) % 1  # the golden ratio: neighbors lie far apart
        value = 1 - 0.4 * (len(colors) // 40 % 2)
        made = hsv_to_rgb((hue, 0.55 + 0.45 * (len(colors) % 2), value))
        color = tuple(round(255 * part) for part in made)
        while color in colors:  # of thousands of regions
            color = (*color[:2], (color[2] + 1) % 256)
        colors.append(color)
    return colors


# Ids of the released SeBRe code; the paper lists 7 and 8 in the other order. Numbers are
# structures of the Allen mouse brain common coordinate framework. Paints are the colors of the
# Allen developing mouse brain atlas, in which the released code expects its overlays; some of
# them look alike with any eyes, so pictures have others of about the same hues.
MOUSE = RegionSet(
    "mouse",
    (
        Region(1, "cortex", "Ctx", (190, 20, 0), (315,), (242, 25, 60)),
        Region(2, "hippocampus", "Hip", (255, 53, 126), (1089,), (255, 72, 101)),
        Region(3, "basal_ganglia", "BG", (231, 150, 17), (477, 803), (229, 135, 36)),
        Region(4, "thalamus", "Th", (255, 247, 44), (549,), (255, 237, 100)),
        Region(5, "prethalamus", "PTh", (210, 231, 169), (), (255, 244, 164)),
        Region(6, "midbrain", "MB", (57, 145, 127), (313,), (23, 179, 23)),
        Region(7, "hindbrain", "HB", (169, 69, 255), (1065, 512), (238, 93, 255)),
        Region(8, "telencephalic_vesicle", "Tel", (108, 199, 255), (), (237, 152, 92)),
    ),
)

# Colors of this set and of SLICEMAP: Okabe and Ito. Those of all four sets are told apart with
# any color vision (`tests/sebre/data/test_regions.py` measures it).
HIPPOCAMPUS = RegionSet(
    "hippocampus",
    (
        Region(1, "CA1", "CA1", (86, 180, 233), (382,)),
        Region(2, "CA2", "CA2", (230, 159, 0), (423,)),
        Region(3, "CA3", "CA3", (0, 158, 115), (463,)),
        Region(4, "DG", "DG", (204, 121, 167), (726,)),
    ),
    bilateral=True,
)

# All structures at or below those of `atlas_ids` in the tree of the Allen atlas.
ANY_SECTION = RegionSet(
    "any_section",
    (
        Region(1, "isocortex", "Isocortex", (112, 173, 71), (315,)),
        Region(2, "hippocampal_formation", "HPF", (255, 192, 0), (1089,)),
        Region(3, "basal_ganglia", "BG", (68, 114, 196), (477, 803)),
        Region(4, "thalamus", "TH", (237, 85, 59), (549,)),
        Region(5, "hypothalamus", "HY", (214, 64, 150), (1097,)),
        Region(6, "midbrain", "MB", (0, 176, 190), (313,)),
        Region(7, "hindbrain", "HB", (148, 103, 189), (771, 354)),
        Region(8, "cerebellum", "CB", (245, 222, 120), (512, 728)),
        Region(9, "olfactory_areas", "OLF", (165, 105, 60), (698,)),
    ),
)

# Numbers are those of FreeSurfer's and the IBSR's label tables. Left and right share a hue,
# left the lighter one.
SUBCORTICAL = RegionSet(
    "subcortical",
    (
        Region(1, "left_caudate", "L Cau", (139, 165, 217), (11,)),
        Region(2, "right_caudate", "R Cau", (27, 60, 252), (50,)),
        Region(3, "left_putamen", "L Put", (255, 255, 1), (12,)),
        Region(4, "right_putamen", "R Put", (156, 144, 20), (51,)),
        Region(5, "left_pallidum", "L Pal", (255, 170, 144), (13,)),
        Region(6, "right_pallidum", "R Pal", (158, 59, 7), (52,)),
        Region(7, "left_thalamus", "L Tha", (90, 255, 234), (10,)),
        Region(8, "right_thalamus", "R Tha", (0, 121, 94), (49,)),
    ),
)

SLICEMAP = RegionSet(
    "slicemap",
    (
        Region(1, "cortex", "Ctx", (86, 180, 233)),
        Region(2, "hippocampus", "Hip", (230, 159, 0)),
        Region(3, "thalamus", "Th", (0, 158, 115)),
        Region(4, "midbrain", "MB", (240, 228, 66)),
        Region(5, "brainstem", "BS", (204, 121, 167)),
        Region(6, "cerebellum", "Cb", (213, 94, 0)),
    ),
)

_COLUMNS = {
    "id": ("id",),
    "name": ("name", "sub-region", "region"),
    "acronym": ("acronym", "label"),
    "r": ("r", "red"),
    "g": ("g", "green"),
    "b": ("b", "blue"),
}


def read_regions(path: str | Path) -> RegionSet:
    """Read a region set from a CSV file with a header; the stem of its name is that of the set.

    Columns (upper or lower case): name (or sub-region), r, g, b; also acronym (or label),
    and id. Without an id column the regions are numbered from 1 by row. Blank rows are
    skipped. Spaces in names become underscores, and a slash "-" (`safe_name`).
    """
    path = Path(path)
    header, rows = read_rows(path, "Save it as CSV.", "text file")
    column = {
        key: next((h for h in header if h and h.strip().lower() in names), None)
        for key, names in _COLUMNS.items()
    }
    missing = [key for key in ("name", "r", "g", "b") if column[key] is None]
    if missing:
        raise UserError(
            f"{path}: column {', '.join(missing)} is missing; found {header or 'no rows'}. "
            "The header must be: id,name,acronym,r,g,b (id and acronym may be left out)."
        )

    def cell(row: dict, key: str) -> str:
        return (row.get(column[key]) or "").strip() if column[key] else ""

    regions = []
    for line, row in enumerate(rows, start=2):
        given = cell(row, "name")
        name = safe_name(given)
        if not name:
            continue
        if _NOT_IN_FILE_NAMES.search(given):
            text = "%s, line %d: files cannot be named for %r; the region is called %s."
            logger.warning(text, path, line, given, name)
        try:
            number = int(cell(row, "id")) if column["id"] else len(regions) + 1
            color = tuple(int(cell(row, key)) for key in "rgb")
        except ValueError as error:
            raise UserError(
                f"{path}, line {line} ({name}): {error}. id, r, g and b must be whole numbers."
            ) from error
        regions.append(Region(number, name, cell(row, "acronym") or name, color))
    try:
        return RegionSet(path.stem, tuple(regions))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
