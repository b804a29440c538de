"""Regions as other programs read them: independent readers of the files that are written."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import roifile
from matplotlib.path import Path as Outline
from pycocotools.coco import COCO
from shapely.geometry import shape

Rings = Sequence[Sequence[tuple[float, float]]]


def pixels(rings: Rings, size: tuple[int, int]) -> np.ndarray:
    """Pixels whose centers are inside an odd number of closed lines (x, y), bool [H, W]."""
    inside = np.zeros(size, int)
    for ring in rings:
        line = np.asarray(ring)
        (left, top), (right, bottom) = (
            np.clip(ends, 0, size[::-1])
            for ends in (np.floor(line.min(0)).astype(int), np.ceil(line.max(0)).astype(int))
        )
        y, x = np.mgrid[top:bottom, left:right]
        centers = np.stack([x + 0.5, y + 0.5], axis=-1).reshape(-1, 2)
        within = Outline(line).contains_points(centers)
        inside[top:bottom, left:right] += within.reshape(y.shape)
    return inside % 2 == 1


def geojson_rings(path: Path) -> dict[str, Rings]:
    """Lines of each feature of a GeoJSON file, by its name; each must be a valid shape."""
    found = {}
    for feature in json.loads(path.read_text("utf-8"))["features"]:
        outline = shape(feature["geometry"])
        assert outline.is_valid
        parts = outline.geoms if outline.geom_type == "MultiPolygon" else [outline]
        rings = [list(ring.coords) for part in parts for ring in (part.exterior, *part.interiors)]
        found[feature["properties"]["name"]] = rings
    return found


def imagej_rings(path: Path) -> dict[str, Rings]:
    """Lines of each ROI of a zip archive, by its name."""
    return {
        roi.name: roifile.ImagejRoi.path2coords(roi.multi_coordinates)
        for roi in roifile.roiread(path)
    }


def svg_rings(path: Path) -> dict[str, Rings]:
    """Lines of each path of a drawing, by its id."""
    found = {}
    for line in ElementTree.parse(path).getroot().findall("{http://www.w3.org/2000/svg}path"):
        rings = []
        for part in line.attrib["d"].split("M ")[1:]:
            points = part.replace("Z", "").split(" L ")
            ring = [tuple(map(float, point.split())) for point in points]
            rings.append([*ring, ring[0]])
        found[line.attrib["id"]] = rings
    return found


def coco_masks(path: Path) -> dict[str, np.ndarray]:
    """Masks bool [H, W] of a COCO file, by the name of the category."""
    data = COCO(str(path))
    names = {category["id"]: category["name"] for category in data.loadCats(data.getCatIds())}
    return {
        names[annotation["category_id"]]: data.annToMask(annotation) > 0
        for annotation in data.loadAnns(data.getAnnIds())
    }
