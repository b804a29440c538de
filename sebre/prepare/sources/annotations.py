"""Sections with outlines of QuPath (GeoJSON), COCO, labelme or ImageJ (ROIs): the sources
"annotations", and "qupath" and "fiji", which take the files of these programs alone.

    <raw>/images/<name>.tif                       the sections
    <raw>/annotations/<name>.geojson, <name>.json, <name>.zip, <name>.roi, <name>_rois.zip
    <raw>/annotations/<anything>.json             COCO: pictures by their file names
    <raw>/regions.csv                             id, name, R, G, B; may be left out

The names of the annotations are those of the regions; without regions.csv they are numbered in
their natural order. Sections without a file of annotations are left out. Of "qupath" and "fiji" the
pictures may lie in <raw> itself, and the files in <raw>/annotations or beside the pictures.
"""

import functools
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mrcnn.errors import MissingFileError, UserError, reading
from mrcnn.imageio.header import EVERYTHING, Choice
from mrcnn.imageio.reading import read_header
from mrcnn.io.own_files import is_own
from sebre.data.csv_tables import read_rows
from sebre.data.listing import is_picture, natural, one_form, some, visible
from sebre.data.region_names import alike, plain, same_names
from sebre.data.regions import Region, RegionSet, distinct_colors, read_regions, safe_name
from sebre.prepare.big_pictures import picture_size, read_shrunk
from sebre.prepare.color_matching import downsample_labels, say_lost
from sebre.prepare.drawn_outlines import ENDINGS, Outline, OutlineFile
from sebre.prepare.outline_files import read_outlines
from sebre.prepare.raw import RawSet
from sebre.prepare.sources.image_pairs import (
    FACTS,
    IMAGES,
    Pair,
    check_downsample,
    picture_set,
    shrunk_by,
)

ANNOTATIONS = "annotations"
REGIONS = "regions.csv"
# Endings of the files of a program, where nothing but annotations lies, and beside pictures.
PROGRAMS = {
    "": (ENDINGS, ENDINGS),
    "qupath": ((".geojson", ".json"), (".geojson",)),
    "fiji": ((".zip", ".roi"), (".zip", ".roi")),
}

_ONE_PAGE = set("YXSC")  # axes of a picture that is no stack

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutlinedImage(Pair):
    """An image and the outlines drawn on it."""

    outlines: tuple[Outline, ...] = ()
    stated: tuple[int, int] | None = None  # size that the file says
    page: int | None = None  # of a stack, that the file says

    def check_sizes(self, choice: Choice = EVERYTHING) -> tuple[int, int]:
        """Size of the image, (height, width); a UserError if the file says another."""
        size = picture_size(self.image, choice)
        header = read_header(self.image, choice)
        if header.orientation != 1 and self.drawing.suffix != ".json":
            _log.warning(
                "%s: is stored turned, and read upright by its orientation tag, which QuPath and "
                "ImageJ do not heed. If its outlines lie wrong, save it upright and draw on that.",
                self.image,
            )
        in_stack = not set(header.axes) <= _ONE_PAGE and isinstance(choice.z, int)
        if in_stack and self.page not in (None, choice.z):
            raise UserError(
                f"{self.drawing}: drawn on page {self.page} of the stack {self.image}, but page "
                f"{choice.z} is read (--z). Save the page that was drawn on as a picture."
            )
        if self.stated not in (None, size):
            raise UserError(
                f"{self.drawing}: drawn on a picture of {self.stated[0]} x {self.stated[1]} px "
                f"(height x width), but {self.image} has {size[0]} x {size[1]}. Give the picture "
                "that was drawn on."
            )
        for outline in self.outlines:
            if (runs := outline.runs_of()) not in (None, size):
                raise UserError(
                    f"{self.drawing}: run lengths of {outline.region} are of {runs[0]} x {runs[1]} "
                    f"px (height x width), but {self.image} has {size[0]} x {size[1]}. Give the "
                    "picture that was drawn on; `size` is [height, width]."
                )
        if away := [outline.region for outline in self.outlines if outline.lies_outside(size)]:
            raise UserError(
                f"{self.drawing}: {len(away)} outline(s) ({some(away)}) lie outside of "
                f"{self.image}, which has {size[0]} x {size[1]} px (height x width). Give the "
                "picture that was drawn on, at the size that it had there."
            )
        if beyond := [outline.region for outline in self.outlines if outline.reaches_beyond(size)]:
            _log.warning(
                "%s: %d outline(s) (%s) reach beyond %s, which has %d x %d px (height x width), "
                "and are cut at its border. If it was drawn on at another size, give that picture.",
                *(self.drawing, len(beyond), some(beyond), self.image, *size),
            )
        return size


def read_source(
    raw: Path,
    *,
    program: str = "",
    regions: Path | None = None,
    plane: str | None = None,
    downsample: int = 1,
    channel: int | None = None,
    z: int | str | None = None,
) -> RawSet:
    """Read a folder of sections and annotations; `program` is one of PROGRAMS."""
    raw = Path(raw)
    check_downsample(downsample)
    pairs = _pairs(raw, program)
    if (raw / FACTS).is_file():
        raise UserError(
            f"{raw / FACTS}: is not read with annotations, whose pictures have no numbers. Name "
            "the animals in a table with the columns image,subject (--subjects), and move this "
            "one away."
        )
    table = Path(regions) if regions else raw / REGIONS
    given = bool(regions) or (table.is_file() and not _is_of_predictions(table))
    region_set = read_regions(table) if given else _regions_of(pairs, raw)
    ids = _ids_of(pairs, region_set, table)
    choice = Choice(channel, z)
    raw_set = picture_set(
        raw,
        pairs,
        functools.partial(_read, regions=region_set, ids=ids, factor=downsample, choice=choice),
        name=program or ANNOTATIONS,
        regions=region_set,
        plane=plane,
        table=table if given else None,
        processing=shrunk_by(downsample, choice, "as drawn"),
        choice=choice,
    )
    sizes = {read_header(pair.image, choice).pixel_um for pair in pairs}
    size = sizes.pop() if len(sizes) == 1 else None
    pixel_um = None
    if size is not None:
        height, width = (side * downsample for side in size)
        pixel_um = height if height == width else (height, width)
    files = list(dict.fromkeys(raw_set.files))  # one COCO file is of many pictures
    return replace(raw_set, pixel_size_um=pixel_um, files=files)


def _ids_of(pairs: Sequence[OutlinedImage], regions: RegionSet, table: Path) -> dict[str, int]:
    """Class ids by the names that are drawn; a UserError for one that the table has not."""
    drawn = {safe_name(o.region): (o.region, pair.drawing) for pair in pairs for o in pair.outlines}
    same = same_names(drawn, regions.names)
    for name, (given, path) in drawn.items():
        if name not in same:
            every = {*drawn, *regions.names} - {name}
            others = sorted(other for other in every if plain(other) == plain(name))
            raise UserError(
                f"{path}: the region {given!r} is not in {table}, which has "
                f"{', '.join(regions.names)}. "
                + (f"If it is the same as {some(others)}, spell it so. " if others else "")
                + "Add it there, or remove the annotation."
            )
    numbers = {region.name: region.id for region in regions}
    return {name: numbers[known] for name, known in same.items()}


def _is_of_predictions(table: Path) -> bool:
    """Whether `regions.csv` is what `sebre predict` wrote, where its outputs lie here too."""
    return {"image", "area_px"} <= set(read_rows(table)[0])


def _folders(raw: Path, program: str) -> tuple[Path, Path]:
    """Where the pictures and the annotations lie."""
    images, drawn = raw / IMAGES, raw / ANNOTATIONS
    if program:
        images = images if images.is_dir() else raw
        return images, drawn if drawn.is_dir() else images
    for folder in (images, drawn):
        if not folder.is_dir():
            raise MissingFileError(
                f"{folder}: no such folder. The raw folder must hold {IMAGES}/ with pictures "
                f"and {ANNOTATIONS}/ with files of the same names ({', '.join(ENDINGS)})."
            )
    return images, drawn


def _pairs(raw: Path, program: str) -> list[OutlinedImage]:
    """The images that have annotations, in the natural order of names."""
    images, folder = _folders(raw, program)
    endings = PROGRAMS[program][images == folder]
    pictures = [path for path in visible(images) if path.is_file() and is_picture(path)]
    by_name: dict[str, list[Path]] = {}
    for path in pictures:
        for name in {one_form(path.name), one_form(path.stem)}:
            by_name.setdefault(name, []).append(path)
    files = [path for path in visible(folder) if path.suffix.lower() in endings]
    found: dict[Path, OutlineFile] = {}
    for drawn in (drawn for path in files for drawn in read_outlines(path)):
        image = _image_of(drawn, by_name, images)
        if image in found:
            raise UserError(
                f"{drawn.path}: {image.name} has annotations in {found[image].path} too. Keep one."
            )
        found[image] = drawn
    if found:
        _say(found.values())
    found = {image: drawn for image, drawn in found.items() if drawn.outlines}
    if not found:
        raise UserError(f"{folder}: holds no annotations ({', '.join(endings)}).")
    if bare := [path.name for path in pictures if path not in found]:
        _log.info("%d section(s) without annotations are left out: %s", len(bare), some(bare))
    pairs = []
    for number, image in enumerate(sorted(found, key=natural)):
        drawn = found[image]
        facts = {"source_row": str(number), "source_image": image.name}
        facts["source_masks"] = drawn.path.name
        pairs.append(
            OutlinedImage(
                *(number, image, drawn.path, "", facts),
                *(drawn.outlines, drawn.size, drawn.page),
            )
        )
    return pairs


def _say(files: Collection[OutlineFile]) -> None:
    """What was read otherwise than it was drawn, or may not be what was meant."""
    if ignored := sum(drawn.ignored for drawn in files):
        _log.info(
            "%d annotation(s) that are no areas (points, lines, bare boxes) are left out.", ignored
        )
    for drawn in files:
        for note in dict.fromkeys(drawn.notes):
            _log.warning("%s: %s.", drawn.path, note)
    if same := [f.path.name for f in files if f.predicted or is_own(f.path)]:
        _log.warning(
            "%d file(s) are as `sebre predict` wrote them, not corrected: %s", len(same), some(same)
        )


def _image_of(drawn: OutlineFile, by_name: dict[str, list[Path]], folder: Path) -> Path:
    """The picture that annotations are of: by its name with or without the ending."""
    # labelme may name a copy of another kind, as it shows no TIFF.
    names = (drawn.image, Path(drawn.image).stem, drawn.path.stem)
    images = next((by_name[name] for name in map(one_form, names) if name in by_name), [])
    if len(images) != 1:
        raise UserError(
            f"{drawn.path}: {len(images) or 'no'} picture(s) in {folder} are called "
            f"{drawn.image!r}; wanted one. Rename the file, or add the picture."
        )
    return images[0]


def _regions_of(pairs: Sequence[OutlinedImage], raw: Path) -> RegionSet:
    """The regions that are drawn, numbered in the natural order of their names."""
    outlines = [outline for pair in pairs for outline in pair.outlines]
    names = {safe_name(outline.region) for outline in outlines}
    if not names:
        raise UserError(f"{pairs[0].drawing.parent}: no area is drawn in any file.")
    # Capitals count only where nothing else differs.
    ordered = sorted(names, key=lambda name: (natural(Path(plain(name))), name))
    if twice := alike(ordered):
        _log.warning(
            "%s: %s: names that only spelling tells apart are regions each. If they are one, spell "
            "them alike, or join them with --map.",
            *(raw, some(twice)),
        )
    drawn = {safe_name(o.region): o.color for o in outlines if o.color is not None}
    colors = [drawn.get(name) for name in ordered]
    if None in colors or len(set(colors)) < len(colors):
        colors = distinct_colors(len(ordered))
    regions = (
        Region(number, name, name, color)
        for number, (name, color) in enumerate(zip(ordered, colors, strict=True), start=1)
    )
    return RegionSet(raw.resolve().name, tuple(regions))


def _read(
    pair: OutlinedImage, regions: RegionSet, ids: dict[str, int], factor: int, choice: Choice
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    size = pair.check_sizes(choice)
    image = read_shrunk(pair.image, factor, choice)
    masks: dict[int, np.ndarray] = {}
    nothing = []
    for outline in pair.outlines:
        class_id = ids[safe_name(outline.region)]
        with reading(pair.drawing, f"the outline of {outline.region}", "Export it again."):
            mask = outline.mask(size)
        masks[class_id] = masks[class_id] | mask if class_id in masks else mask
        nothing += [] if mask.any() else [outline.region]
    if nothing:
        _log.warning(
            "%s: %d outline(s) (%s) cover no pixel: the center of none is inside.",
            *(pair.drawing, len(nothing), some(nothing)),
        )
    masks = {class_id: mask for class_id, mask in sorted(masks.items()) if mask.any()}
    if factor > 1:
        shrunk = {
            class_id: downsample_labels(mask.astype(np.uint8), factor) > 0
            for class_id, mask in masks.items()
        }
        drawn, masks = masks, {i: mask for i, mask in shrunk.items() if mask.any()}
        say_lost(pair.drawing, drawn, masks, regions, factor)
    if twice := int((sum(mask.astype(np.uint8) for mask in masks.values()) > 1).sum()):
        _log.info("%s: %d px are of more than one region.", pair.drawing, twice)
    return image, masks
