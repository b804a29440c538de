"""Outlines of regions in the files of other programs: QuPath, COCO, labelme, ImageJ.

| ending | program | name of the region |
|---|---|---|
| `.geojson`, `.json` | QuPath | `classification.name`, else `name` |
| `.json` with `images` and `annotations` | COCO: one file for many pictures | of the category |
| `.json` with `shapes` | labelme, X-AnyLabeling | `label` |
| `.roi`, `.zip` | ImageJ, ROI Manager | of the ROI; `CA1-2` is another `CA1` where that is there |

Of QuPath, detections are taken as annotations are; cells, tiles and cores are left out. What its
coordinates mean is said in `sebre.prepare.drawn_outlines`.
"""

import base64
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mrcnn.errors import UserError, reading
from mrcnn.structures.mask_formats import mask_to_rle
from mrcnn.structures.pixel_edges import pixel_outlines
from sebre.data.regions import Color
from sebre.prepare.drawn_outlines import (
    AREA_PX,
    Outline,
    OutlineFile,
    demand_name,
    demand_one_page,
)
from sebre.prepare.imagej_rois import read_rois

_CIRCLE_POINTS = 256
_HEX_COLOR = re.compile("#[0-9a-fA-F]{6}")
_NO_ANNOTATIONS = ("cell", "tile", "tmaCore")  # of QuPath, that are areas


def read_outlines(path: Path) -> list[OutlineFile]:
    """The outlines of a file, of one picture or (COCO) of several.

    Raises:
        UserError: a file that is damaged, of another kind, or has shapes without a name or with
            coordinates that are no numbers.
    """
    with reading(path, "these annotations", "Export them again."):
        files = _read(path)
    for outline in (outline for drawn in files for outline in drawn.outlines):
        if not all(np.isfinite(ring).all() for ring in outline.rings):
            raise UserError(
                f"{path}: an outline of {outline.region} has coordinates that are no finite "
                "numbers (NaN or infinite). Draw it again."
            )
    return files


def _read(path: Path) -> list[OutlineFile]:
    if path.suffix.lower() in (".roi", ".zip"):
        return [read_rois(path)]
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


# --- QuPath ----------------------------------------------------------------------------------


def _geojson(path: Path, features: Sequence[Mapping[str, Any]]) -> OutlineFile:
    outlines, ignored, pages, kept = [], 0, set(), []
    for number, feature in enumerate(features, start=1):
        facts, geometry = feature.get("properties") or {}, feature.get("geometry") or {}
        shapes = [*_polygons(geometry)]
        if not shapes or facts.get("objectType") in _NO_ANNOTATIONS:
            ignored += 1
            continue
        of_class = facts.get("classification") or {}
        if isinstance(of_class, str):  # of other programs
            of_class = {"name": of_class}
        # A class of a class, as "cortex: layer 1", is a list of names in some versions.
        class_name = of_class.get("name") or ": ".join(of_class.get("names", ()))
        name = demand_name(path, class_name or facts.get("name"), f"annotation {number}")
        color = _color(of_class.get("color", of_class.get("colorRGB", facts.get("color"))))
        outlines += [Outline(name, color, rings) for rings in shapes]
        # A new class is a correction, too; the name stays that of the prediction.
        same = facts.get("name") in (None, name)
        kept.append(same and _stated_px(facts) == sum(map(_area_px, shapes)))
        plane = geometry.get("plane") or {}
        pages.add((plane.get("z", 0), plane.get("t", 0)))
    demand_one_page(path, pages)
    stem = path.name.removesuffix(path.suffix)
    page = pages.pop()[0] + 1 if pages else None  # QuPath counts from 0
    predicted = bool(kept) and all(kept)
    file = OutlineFile(path, stem, tuple(outlines), ignored=ignored, page=page)
    return replace(file, predicted=predicted)


def _stated_px(facts: Mapping[str, Any]) -> float | None:
    """How many pixels `sebre predict` said of a region, if it did; programs keep that."""
    measured = facts.get("measurements") or {}
    if isinstance(measured, list):  # of earlier versions of QuPath
        measured = {one.get("name"): one.get("value") for one in measured}
    return measured.get(AREA_PX)


def _area_px(rings: Sequence[np.ndarray]) -> float:
    """Pixels of a polygon along the edges of pixels; its first ring holds the others, holes."""
    with np.errstate(invalid="ignore"):  # infinite coordinates are refused elsewhere
        sizes = [
            abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2
            for x, y in (ring.T for ring in rings)
        ]
    return 2 * sizes[0] - sum(sizes)


def _polygons(geometry: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, ...]]:
    """Rings of each polygon of a geometry; none of lines and points."""
    kind, places = geometry.get("type"), geometry.get("coordinates", ())
    if kind == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _polygons(part)
    for polygon in {"Polygon": [places], "MultiPolygon": places}.get(kind, ()):
        yield tuple(np.array([point[:2] for point in ring], float) for ring in polygon)


def _color(value: Any) -> Color | None:
    """A color of QuPath: three numbers, or earlier one, -0x1000000 + 0xRRGGBB; of other programs
    "#RRGGBB". None of anything else."""
    if isinstance(value, str):
        if not _HEX_COLOR.fullmatch(value):
            return None
        value = int(value[1:], 16)
    if isinstance(value, int):
        return (value >> 16 & 255, value >> 8 & 255, value & 255)
    return tuple(map(int, value[:3])) if value else None


# --- COCO ------------------------------------------------------------------------------------


def _coco(path: Path, record: Mapping[str, Any]) -> Iterator[OutlineFile]:
    categories = _by_id(path, record["categories"], "categories")
    names = {key: demand_name(path, c["name"], f"category {key}") for key, c in categories.items()}
    images = _by_id(path, record["images"], "images")
    drawn: dict[str, list[Outline]] = {key: [] for key in images}
    empty = dict.fromkeys(drawn, 0)  # annotations that are boxes alone
    for number, one in enumerate(record["annotations"], start=1):
        # Some programs write ids as text in one place and as numbers in another.
        image, category = str(one["image_id"]), str(one["category_id"])
        for kind, key, known in (("image", image, images), ("category", category, categories)):
            if key not in known:
                raise UserError(
                    f"{path}: annotation {number} is of the {kind} {key}, which the file does not "
                    "have. Export the annotations again."
                )
        shapes = one.get("segmentation")
        empty[image] += not shapes
        color = _color(categories[category].get("color"))
        drawn[image] += _coco_shapes(path, shapes or (), Outline(names[category], color))
    for key, image in images.items():
        height, width = image.get("height"), image.get("width")
        size = (int(height), int(width)) if height and width else None
        name = Path(str(image["file_name"]).replace("\\", "/")).name
        yield OutlineFile(path, name, tuple(drawn[key]), size, ignored=empty[key])


def _by_id(
    path: Path, records: Sequence[Mapping[str, Any]], what: str
) -> dict[str, Mapping[str, Any]]:
    """Records by their ids, as text; a UserError if two have the same."""
    found = {str(record["id"]): record for record in records}
    if len(found) < len(records):
        raise UserError(
            f"{path}: {len(records)} {what} have {len(found)} different ids. Each needs its own: "
            "export the annotations again."
        )
    return found


def _coco_shapes(path: Path, shapes: Any, empty: Outline) -> Iterator[Outline]:
    """The outlines of a segmentation: run lengths, or polygons that are parts of one region."""
    if isinstance(shapes, Mapping):
        if not {"size", "counts"} <= shapes.keys() or len(shapes["size"]) != 2:
            raise UserError(
                f"{path}: run lengths of {empty.region} lack size [height, width] or counts. "
                "Export the annotations again."
            )
        yield replace(empty, rle=shapes)
        return
    flat = bool(shapes) and not isinstance(shapes[0], Sequence)  # one polygon
    for shape in [shapes] if flat else shapes:
        yield replace(empty, rings=(np.reshape(shape, (-1, 2)).astype(float),))


# --- labelme ---------------------------------------------------------------------------------


def _labelme(path: Path, record: Mapping[str, Any]) -> OutlineFile:
    outlines, ignored = [], 0
    for number, shape in enumerate(record["shapes"], start=1):
        kind = shape.get("shape_type") or "polygon"
        if kind in _NO_AREAS:
            ignored += 1
            continue
        name = demand_name(path, shape.get("label"), f"shape {number}")
        if kind not in _LABELME:
            raise UserError(
                f"{path}: shape {number} ({name}) is of the kind {kind!r}, which is not known. "
                f"Wanted {', '.join(_LABELME)}; draw it as one of these, or remove it."
            )
        outlines.append(Outline(name, None, tuple(_LABELME[kind](shape))))
    image = Path(str(record.get("imagePath") or path.stem).replace("\\", "/")).name
    height, width = record.get("imageHeight"), record.get("imageWidth")
    size = (int(height), int(width)) if height and width else None
    return OutlineFile(path, image, tuple(outlines), size, ignored)


def _points(shape: Mapping[str, Any]) -> np.ndarray:
    return np.array(shape["points"], float).reshape(-1, 2)


def _polygon(shape: Mapping[str, Any]) -> list[np.ndarray]:
    return [_points(shape)]


def _rectangle(shape: Mapping[str, Any]) -> list[np.ndarray]:
    """Of two corners, or (X-AnyLabeling) of four."""
    points = _points(shape)
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return [np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])]


def _circle(shape: Mapping[str, Any]) -> list[np.ndarray]:
    center, edge = _points(shape)[:2]
    angles = np.linspace(0, 2 * np.pi, _CIRCLE_POINTS, endpoint=False)
    radius = float(np.hypot(*(edge - center)))
    return [center + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)]


def _painted(shape: Mapping[str, Any]) -> list[np.ndarray]:
    """Outlines of a mask, a PNG whose first and last pixel are the two points."""
    (left, top), (right, bottom) = _points(shape).astype(int)
    with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as picture:
        mask = np.asarray(picture) > 0
    if mask.shape != (bottom - top + 1, right - left + 1):
        raise ValueError(
            f"a mask of {' x '.join(map(str, mask.shape))} px in a box of {bottom - top + 1} x "
            f"{right - left + 1}"
        )
    return [line[:, ::-1] + (left, top) for line in pixel_outlines(mask_to_rle(mask))]


# Kinds of shapes; those of X-AnyLabeling, which writes the same files, are among them.
_LABELME: dict[str, Callable[[Mapping[str, Any]], list[np.ndarray]]] = {
    **dict.fromkeys(("polygon", "rotation", "oriented_rectangle", "quadrilateral"), _polygon),
    "rectangle": _rectangle,
    "circle": _circle,
    "mask": _painted,
}
_NO_AREAS = ("point", "points", "line", "linestrip")
