"""Outlines of regions in the files of other programs: QuPath, COCO, labelme, ImageJ.

| ending | program | name of the region |
|---|---|---|
| `.geojson`, `.json` | QuPath | `classification.name`, else `name` |
| `.json` with `images` and `annotations` | COCO: one file for many pictures | of the category |
| `.json` with `shapes` | labelme | `label` |
| `.roi`, `.zip` | ImageJ, ROI Manager | of the ROI; `CA1-2` is another `CA1` where that is there |

Coordinates in these files count from the upper left corner of the picture, so that the center of
its first pixel lies at (0.5, 0.5). A pixel is of a region if its center is.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError, reading
from mrcnn.structures.mask_formats import contours_to_mask
from sebre.data.regions import Color

ENDINGS = (".geojson", ".json", ".roi", ".zip")

_CORNER = 0.5  # from the corner of a pixel to its center
_CIRCLE_POINTS = 256
# ImageJ calls what has no name after its place, and a second one of a name NAME-1.
_UNNAMED_ROI, _SECOND_ROI = re.compile(r"[\d-]+"), re.compile(r"-\d+$")


@dataclass(frozen=True)
class Outline:
    """One drawn shape.

    Attributes:
        region: name.
        color: red, green, blue, if the file has one.
        rings: closed lines [n, (x, y)] in px from the corner of the picture; one inside another is
            a hole.
        rle: instead of lines, run lengths of COCO's kind.
    """

    region: str
    color: Color | None = None
    rings: tuple[np.ndarray, ...] = ()
    rle: Mapping[str, Any] | None = None

    def mask(self, size: tuple[int, int]) -> np.ndarray:
        """Its pixels, bool [H, W]."""
        if self.rle is not None:
            return _decoded(self.rle, size)
        lines = [ring[:, ::-1] - _CORNER for ring in self.rings]
        return contours_to_mask({"size": list(size), "polygons": lines})


@dataclass(frozen=True)
class OutlineFile:
    """The outlines of one picture.

    Attributes:
        path: of the file.
        image: name of the picture, with or without its ending.
        outlines: drawn on it.
        size: (height, width) px of the picture as the file says, if it does.
        ignored: how many things it has that are no areas, such as points.
    """

    path: Path
    image: str
    outlines: tuple[Outline, ...]
    size: tuple[int, int] | None = None
    ignored: int = 0


def read_outlines(path: Path) -> list[OutlineFile]:
    """The outlines of a file, of one picture or (COCO) of several.

    Raises:
        UserError: a file that is damaged, of another kind, or has shapes without a name.
    """
    with reading(path, "these annotations", "Export them again."):
        if path.suffix.lower() in (".roi", ".zip"):
            return [_imagej(path)]
        record = json.loads(path.read_text(encoding="utf-8-sig"))
        if isinstance(record, Mapping) and "shapes" in record:
            return [_labelme(path, record)]
        if isinstance(record, Mapping) and {"images", "annotations"} <= record.keys():
            return list(_coco(path, record))
        features = record if isinstance(record, list) else record.get("features", [record])
        if not all(isinstance(f, Mapping) and f.get("type") == "Feature" for f in features):
            raise UserError(
                f"{path}: neither GeoJSON (features), COCO (images, annotations) nor labelme "
                "(shapes). Export the annotations in one of these forms."
            )
        return [_geojson(path, features)]


def _named(path: Path, name: Any, what: str) -> str:
    text = "" if name is None else str(name).strip()
    if not text:
        raise UserError(
            f"{path}: {what} has no name of a region. Name it (QuPath: set its class), or remove "
            "it."
        )
    return text


# --- QuPath ----------------------------------------------------------------------------------


def _geojson(path: Path, features: Sequence[Mapping[str, Any]]) -> OutlineFile:
    outlines, ignored = [], 0
    for number, feature in enumerate(features, start=1):
        facts = feature.get("properties") or {}
        shapes = [*_polygons(feature.get("geometry") or {})]
        if not shapes:
            ignored += 1
            continue
        of_class = facts.get("classification") or {}
        name = _named(path, of_class.get("name") or facts.get("name"), f"annotation {number}")
        color = _color(of_class.get("color", of_class.get("colorRGB", facts.get("color"))))
        outlines += [Outline(name, color, rings) for rings in shapes]
    stem = path.name.removesuffix(path.suffix)
    return OutlineFile(path, stem, tuple(outlines), ignored=ignored)


def _polygons(geometry: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, ...]]:
    """Rings of each polygon of a geometry; none of lines and points."""
    kind, places = geometry.get("type"), geometry.get("coordinates", ())
    if kind == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _polygons(part)
    for polygon in {"Polygon": [places], "MultiPolygon": places}.get(kind, ()):
        yield tuple(np.array([point[:2] for point in ring], float) for ring in polygon)


def _color(value: Any) -> Color | None:
    """A color of QuPath: three numbers, or earlier one, -0x1000000 + 0xRRGGBB."""
    if isinstance(value, int):
        return (value >> 16 & 255, value >> 8 & 255, value & 255)
    return tuple(map(int, value[:3])) if value else None


# --- COCO ------------------------------------------------------------------------------------


def _coco(path: Path, record: Mapping[str, Any]) -> Iterator[OutlineFile]:
    names = {c["id"]: _named(path, c["name"], f"category {c['id']}") for c in record["categories"]}
    colors = {c["id"]: _color(c.get("color")) for c in record["categories"]}
    drawn: dict[Any, list[Outline]] = {image["id"]: [] for image in record["images"]}
    for one in record["annotations"]:
        region, color = names[one["category_id"]], colors[one["category_id"]]
        shapes, onto = one["segmentation"], drawn[one["image_id"]]
        if isinstance(shapes, Mapping):
            onto.append(Outline(region, color, rle=shapes))
        else:  # parts of one region; there are no holes
            onto += [
                Outline(region, color, (np.reshape(s, (-1, 2)).astype(float),)) for s in shapes
            ]
    for image in record["images"]:
        size = (int(image["height"]), int(image["width"]))
        name = Path(str(image["file_name"]).replace("\\", "/")).name
        yield OutlineFile(path, name, tuple(drawn[image["id"]]), size)


def _decoded(rle: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    from pycocotools import mask as coco

    if isinstance(rle["counts"], list):
        rle = coco.frPyObjects(dict(rle), *rle["size"])
    return coco.decode(dict(rle)).astype(bool)


# --- labelme ---------------------------------------------------------------------------------


def _labelme(path: Path, record: Mapping[str, Any]) -> OutlineFile:
    outlines, ignored = [], 0
    for number, shape in enumerate(record["shapes"], start=1):
        make = _LABELME.get(shape.get("shape_type") or "polygon")
        if make is None:
            ignored += 1
            continue
        points = np.array(shape["points"], float).reshape(-1, 2)
        outlines.append(
            Outline(_named(path, shape.get("label"), f"shape {number}"), None, make(points))
        )
    image = Path(str(record.get("imagePath") or path.stem).replace("\\", "/")).name
    height, width = record.get("imageHeight"), record.get("imageWidth")
    size = (int(height), int(width)) if height and width else None
    return OutlineFile(path, image, tuple(outlines), size, ignored)


def _rectangle(points: np.ndarray) -> tuple[np.ndarray, ...]:
    (x1, y1), (x2, y2) = points[:2]
    return (np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)]),)


def _circle(points: np.ndarray) -> tuple[np.ndarray, ...]:
    center, edge = points[:2]
    angles = np.linspace(0, 2 * np.pi, _CIRCLE_POINTS, endpoint=False)
    radius = float(np.hypot(*(edge - center)))
    return (center + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1),)


_LABELME: dict[str, Callable[[np.ndarray], tuple[np.ndarray, ...]]] = {
    "polygon": lambda points: (points,),
    "rectangle": _rectangle,
    "circle": _circle,
}


# --- ImageJ ----------------------------------------------------------------------------------


def _imagej(path: Path) -> OutlineFile:
    import roifile

    kinds = roifile.ROI_TYPE
    areas = (kinds.POLYGON, kinds.RECT, kinds.OVAL, kinds.FREEHAND, kinds.TRACED)
    found = roifile.roiread(path)
    rois = found if isinstance(found, list) else [found]
    names = {roi.name for roi in rois}
    outlines, ignored = [], 0
    for roi in rois:
        if roi.roitype not in areas:
            ignored += 1
            continue
        name = roi.name or ""
        if (first := _SECOND_ROI.sub("", name)) in names:
            name = first
        if _UNNAMED_ROI.fullmatch(name):
            raise UserError(
                f"{path}: the ROI {name!r} is not named for a region. Rename it in the ROI Manager."
            )
        rings = tuple(np.array(ring, float) for ring in roi.coordinates(multi=True))
        stroke = roi.stroke_color
        color = tuple(stroke[1:4]) if stroke and any(stroke) else None
        outlines.append(Outline(_named(path, name, "a ROI"), color, rings))
    stem = path.name.removesuffix(path.suffix).removesuffix("_rois")
    return OutlineFile(path, stem, tuple(outlines), ignored=ignored)
