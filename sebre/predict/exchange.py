"""The regions of a section in the files of other programs, all from one set of pixels.

Coordinates in files count from the upper left corner of the picture, so that the center of its
first pixel lies at (0.5, 0.5). Outlines follow the edges of the pixels, in whole numbers, so that
every program that fills them has the very pixels of the label map.

| name | file | read by |
|---|---|---|
| `geojson` | `<name>.geojson` | QuPath and everything that reads GeoJSON |
| `imagej` | `<name>_rois.zip` | ImageJ and Fiji, ROI Manager |
| `svg` | `<name>.svg` | drawing programs |
| `coco` | `<name>_coco.json` | COCO's tools; run lengths, as polygons have no holes there |
| `flat` | `<name>.flat` and `<name>_flat.json` | the QUINT workflow (VisuAlign, Nutil, PyNutil) |
| `tiff` | `<name>_labels.tif` | ImageJ, napari: the label map, with names, colors and size |
"""

import functools
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from mrcnn.io.own_files import replace_own, replace_own_text
from mrcnn.structures.mask_formats import (
    Contours,
    mask_to_rle,
    rle_area,
    rle_box,
    rle_to_contours,
    rle_to_text,
)
from mrcnn.structures.pixel_edges import pixel_outlines
from sebre.data.regions import Region, RegionSet
from sebre.prepare.drawn_outlines import AREA_PX

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # steps of a path in ImageJ
_UM_A_MM = 1000.0


@dataclass(frozen=True)
class FoundRegion:
    """One region of a section, and the pixels that are its own.

    Attributes:
        region: which.
        score: of its detection, 0..1.
        rle: its pixels in the label map, as run lengths.
    """

    region: Region
    score: float
    rle: dict[str, Any]

    @functools.cached_property
    def contours(self) -> Contours:
        """Contours of the same pixels."""
        return rle_to_contours(self.rle)

    @functools.cached_property
    def rings(self) -> list[np.ndarray]:
        """Closed lines [n, (x, y)] along the edges of the same pixels, px from the corner of the
        picture."""
        return [line[:, ::-1] for line in pixel_outlines(self.rle)]


@dataclass(frozen=True)
class FoundSection:
    """The regions of one section.

    Attributes:
        name: of its outputs.
        labels: class ids [H, W], 0 is background.
        regions: that have a pixel, in the order of their ids.
        region_set: all that could have been found.
        pixel_um: (rows, columns) um from one pixel to the next; None if not known.
        picture: folder and name of its file, as "mouse1/s1.png"; "" of an array.
    """

    name: str
    labels: np.ndarray
    regions: tuple[FoundRegion, ...]
    region_set: RegionSet
    pixel_um: tuple[float, float] | None = None
    picture: str = ""


def found_section(
    name: str,
    labels: np.ndarray,
    scores: dict[int, float],
    region_set: RegionSet,
    pixel_um: tuple[float, float] | None = None,
    picture: str = "",
) -> FoundSection:
    """The regions of a label map [H, W], with the scores of their class ids."""
    found = []
    for class_id in (int(i) for i in np.unique(labels) if i):
        rle = mask_to_rle(labels == class_id)
        found.append(FoundRegion(region_set[class_id], scores[class_id], rle))
    return FoundSection(name, labels, tuple(found), region_set, pixel_um, picture)


# --- GeoJSON ------------------------------------------------------------------------------


def geojson(section: FoundSection) -> dict[str, Any]:
    """A FeatureCollection; each region is one feature, as QuPath's annotations, in px. Of which
    picture they are is a member of its own, which readers that do not know it pass over."""
    height, width = section.labels.shape
    return {
        "type": "FeatureCollection",
        "picture": {"file": section.picture, "width": width, "height": height},
        "features": [_feature(section, found) for found in section.regions],
    }


def _feature(section: FoundSection, found: FoundRegion) -> dict[str, Any]:
    from shapely.geometry import mapping

    region = found.region
    facts = {"Score": round(found.score, 4), AREA_PX: rle_area(found.rle)}
    if section.pixel_um is not None:
        facts["Area mm^2"] = rle_area(found.rle) * area_mm2(section.pixel_um)
    return {
        "type": "Feature",
        "geometry": mapping(shape_of(found.rings)),
        "properties": {
            "objectType": "annotation",
            "name": region.name,
            "classification": {"name": region.name, "color": list(region.color)},
            "measurements": facts,
            "metadata": {
                "region_id": str(region.id),
                "acronym": region.acronym,
                "atlas_ids": " ".join(map(str, region.atlas_ids)),
            },
        },
    }


def shape_of(rings: Sequence[np.ndarray]) -> Any:
    """A shapely (Multi)Polygon with holes, px from the corner of the picture."""
    from shapely.geometry import MultiPolygon, Polygon
    from shapely.ops import unary_union

    shapes = sorted((Polygon(ring) for ring in rings), key=lambda ring: -ring.area)
    # Rings do not cross; one inside another is a hole, one inside that is filled again.
    shape = MultiPolygon()
    for ring in shapes:
        inside = shape.covers(ring.representative_point())
        shape = shape.difference(ring) if inside else unary_union([shape, ring])
    return shape


def area_mm2(pixel_um: tuple[float, float]) -> float:
    """mm2 of one pixel."""
    return pixel_um[0] * pixel_um[1] / _UM_A_MM**2


# --- ImageJ -------------------------------------------------------------------------------


def imagej(section: FoundSection) -> bytes:
    """A zip archive of ROIs, one a region, with holes and separate parts; of which picture they
    are is a property of each."""
    import roifile

    height, width = section.labels.shape
    # ImageJ reads properties as Java does: Latin 1, with escapes.
    escaped = "".join(
        c if c.isascii() and c.isprintable() and c != "\\" else "".join(_java_escapes(c))
        for c in section.picture
    )
    props = f"picture: {escaped}\npicture_size: {width}x{height}\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for found in section.regions:
            name = found.region.name
            roi = roifile.ImagejRoi(
                name=name,
                props=props,
                roitype=roifile.ROI_TYPE.RECT,
                version=228,
                shape_roi_size=0,
                stroke_color=bytes([255, *found.region.color]),
                stroke_width=1,
            )
            y1, x1, y2, x2 = rle_box(found.rle)
            roi.top, roi.left, roi.bottom, roi.right = y1, x1, y2, x2
            path = _path(found.rings)
            roi.multi_coordinates, roi.shape_roi_size = path, len(path)
            # A fixed date, so that the same regions give the same file.
            info = zipfile.ZipInfo(f"{name}.roi", (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, roi.tobytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _java_escapes(character: str) -> Iterator[str]:
    units = character.encode("utf-16-be", "replace")
    return (f"\\u{units[k]:02x}{units[k + 1]:02x}" for k in range(0, len(units), 2))


def _path(rings: Sequence[np.ndarray]) -> np.ndarray:
    steps: list[float] = []
    for ring in rings:
        for i, (x, y) in enumerate(ring[:-1]):
            steps += [_LINE if i else _MOVE, float(x), float(y)]
        steps.append(_CLOSE)
    return np.array(steps, np.float32)


# --- SVG, COCO, flat ----------------------------------------------------------------------


def svg(section: FoundSection) -> str:
    """A drawing of the size of the picture, one path a region."""
    height, width = section.labels.shape
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">',
        f"<title>{escape(section.name)}</title>",
    ]
    for found in section.regions:
        rings = (" L ".join(f"{x:g} {y:g}" for x, y in ring[:-1]) for ring in found.rings)
        path = " ".join(f"M {ring} Z" for ring in rings)
        color = "#{:02x}{:02x}{:02x}".format(*found.region.color)
        lines.append(
            f'<path id={quoteattr(found.region.name)} fill="{color}" fill-opacity="0.45" '
            f'stroke="{color}" fill-rule="evenodd" d="{path}">'
            f"<title>{escape(found.region.name)}</title></path>"
        )
    return "\n".join([*lines, "</svg>", ""])


def coco(section: FoundSection, file_name: str) -> dict[str, Any]:
    """A COCO data set of one image, its masks as compressed run lengths."""
    height, width = section.labels.shape
    annotations = []
    for number, found in enumerate(section.regions, start=1):
        y1, x1, y2, x2 = rle_box(found.rle)
        annotations.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": found.region.id,
                "segmentation": rle_to_text(found.rle),
                "area": rle_area(found.rle),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "iscrowd": 0,
                "score": round(found.score, 4),
            }
        )
    return {
        "images": [{"id": 1, "file_name": file_name, "width": width, "height": height}],
        "categories": [
            {"id": region.id, "name": region.name, "color": list(region.color)}
            for region in section.region_set
        ],
        "annotations": annotations,
    }


def flat(section: FoundSection) -> bytes:
    """The label map as QUINT's programs take it: bytes a pixel, width, height, then rows."""
    size = 1 if max((r.id for r in section.region_set), default=0) < 2**8 else 2
    height, width = section.labels.shape
    return struct.pack(">BII", size, width, height) + section.labels.astype(f">u{size}").tobytes()


def flat_names(section: FoundSection) -> list[dict[str, Any]]:
    """What the numbers of `flat` mean."""
    clear = {"index": 0, "name": "Clear Label", "red": 0, "green": 0, "blue": 0}
    return [clear] + [
        dict(zip(("index", "name", "red", "green", "blue"), (r.id, r.name, *r.color), strict=True))
        for r in section.region_set
    ]


def tiff(section: FoundSection) -> bytes:
    """The label map as TIFF; `regions` in its description are the names of its numbers."""
    import tifffile

    names = {str(region.id): region.name for region in section.region_set}
    options: dict[str, Any] = {"compression": "zlib", "description": json.dumps({"regions": names})}
    if section.labels.dtype == np.uint8:
        colors = np.zeros((3, 256), np.uint16)
        for region in section.region_set:
            colors[:, region.id] = np.array(region.color) * 257  # 8 bits to 16
        options |= {"photometric": "palette", "colormap": colors}
    if section.pixel_um is not None:
        a_cm = tuple(1e4 / um for um in reversed(section.pixel_um))
        options |= {"resolution": a_cm, "resolutionunit": "CENTIMETER"}
    packed = io.BytesIO()
    tifffile.imwrite(packed, section.labels, **options, metadata=None, software=False)
    return packed.getvalue()


# --- Files --------------------------------------------------------------------------------


def _write_json(path: Path, content: Any) -> None:
    replace_own_text(path, json.dumps(content) + "\n")


def _write_bytes(path: Path, content: bytes) -> None:
    replace_own(path, lambda part: part.write_bytes(content))


# Name of a format -> endings of its files, and what writes them (section, paths, picture).
FORMATS: dict[str, tuple[tuple[str, ...], Callable[[FoundSection, Sequence[Path], str], None]]] = {
    "geojson": ((".geojson",), lambda s, paths, _: _write_json(paths[0], geojson(s))),
    "imagej": (("_rois.zip",), lambda s, paths, _: _write_bytes(paths[0], imagej(s))),
    "svg": ((".svg",), lambda s, paths, _: replace_own_text(paths[0], svg(s))),
    "coco": (("_coco.json",), lambda s, paths, name: _write_json(paths[0], coco(s, name))),
    "flat": (
        (".flat", "_flat.json"),
        lambda s, paths, _: (
            _write_bytes(paths[0], flat(s)),
            _write_json(paths[1], flat_names(s)),
        ),
    ),
    "tiff": (("_labels.tif",), lambda s, paths, _: _write_bytes(paths[0], tiff(s))),
}


def format_paths(name: str, out: Path, formats: Sequence[str]) -> list[Path]:
    """Where the files of some formats go for a section."""
    return [out / f"{name}{ending}" for fmt in formats for ending in FORMATS[fmt][0]]


def write_formats(
    section: FoundSection, out: Path, formats: Sequence[str], picture: str
) -> list[Path]:
    """Write a section in some of `FORMATS`.

    Args:
        section: what was found.
        out: folder.
        formats: names.
        picture: name of the file of the section.

    Returns:
        What was written.
    """
    for fmt in formats:
        endings, write = FORMATS[fmt]
        write(section, [out / f"{section.name}{ending}" for ending in endings], picture)
    return format_paths(section.name, out, formats)
