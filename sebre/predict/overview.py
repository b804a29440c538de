"""The page that opens in a browser, and the summary, of all sections of a folder of outputs.

The page is one file that needs no network: pictures, regions and the program that sorts and shows
them are in it. `overview.html` beside this module is what it is made from.
"""

import base64
import io
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sebre import __version__
from sebre.data.regions import RegionSet
from sebre.drawing.overlay import reduced_labels
from sebre.predict.measures import TABLE_COLUMNS, is_found
from sebre.predict.prediction import Prediction
from sebre.predict.scans import ScanPrediction

PAGE, SUMMARY = "report.html", "summary.json"
_TEMPLATE = Path(__file__).with_name("overview.html")
_PREVIEW_PX = 480  # longest side of a picture on the page
_MOST_PICTURES = 400  # on one page; of the other sections it has the rows
_QUALITY = 80  # of JPEG


def about(found: Prediction | ScanPrediction) -> dict[str, Any]:
    """What the page says and shows of a section, as plain JSON."""
    facts: dict[str, Any] = {
        "warnings": list(found.warnings),
        "notes": list(found.notes),
        "regions": [[region.id, region.name, list(region.color)] for region in found.region_set],
        "shape": [int(n) for n in found.label_map.shape],
    }
    if isinstance(found, ScanPrediction):
        return facts | {"voxel_mm": list(found.voxel_mm), "picture": _jpeg(found.sheet)}
    pixels = found.pixels
    factor = max(1, -(-max(pixels.shape[:2]) // _PREVIEW_PX))
    if factor > 1:
        pixels = np.asarray(Image.fromarray(pixels).reduce(factor))
    labels = reduced_labels(found.label_map, pixels.shape)
    facts |= {"picture": _jpeg(pixels), "labels": _see_through(labels, found.region_set)}
    if found.pixel_um is not None:
        facts["pixel_um"] = list(found.pixel_um)
    if found.place is not None:
        facts["place"] = found.place.to_json()
    return facts


def page(records: Mapping[str, Mapping[str, Any]]) -> str:
    """The page, HTML.

    Args:
        records: of the sections, by their names (`sebre.predict.section_records`).
    """
    ordered = sorted(records, key=lambda name: not _warnings(records[name]))  # warnings first
    with_picture = set(ordered[:_MOST_PICTURES])
    sections = []
    for name in ordered:
        told = dict(records[name].get("about", {}))
        if name not in with_picture:
            told = {key: told[key] for key in told if key not in ("picture", "labels")}
        sections.append({"name": name, **told, "rows": records[name]["rows"]})
    data = {"version": __version__, "columns": TABLE_COLUMNS, "sections": sections}
    # Nothing in it may end the script that it stands in.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    template = _TEMPLATE.read_text(encoding="utf-8")
    return template.replace("{{title}}", escape("Brain regions")).replace("{{data}}", text)


def summary(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Counts, areas and warnings of all sections, as plain JSON.

    `area_mm2` and `volume_mm3` are sums over the sections in which a region was found and where
    the size of pixels or voxels is known: `measured_in` says in how many.
    """
    regions: dict[str, dict[str, Any]] = {}
    for record in records.values():
        for name in dict.fromkeys(row["region"] for row in record["rows"]):
            own = [row for row in record["rows"] if row["region"] == name]  # one, or one a side
            found = [row for row in own if is_found(row)]
            one = regions.setdefault(name, {"expected_in": 0, "found_in": 0})
            one["expected_in"] += 1
            one["found_in"] += bool(found)
            for column in ("area_mm2", "volume_mm3"):
                if sizes := [row[column] for row in found if column in row]:
                    one["measured_in"] = one.get("measured_in", 0) + 1
                    one[column] = float(f"{one.get(column, 0.0) + sum(sizes):.6g}")
    rows = [row for record in records.values() for row in record["rows"]]
    return {
        "version": __version__,
        "sections": len(records),
        "sections_with_warnings": sum(bool(_warnings(record)) for record in records.values()),
        "sections_without_region": sum(
            not any(map(is_found, record["rows"])) for record in records.values()
        ),
        "regions_found": sum(map(is_found, rows)),
        "regions_flagged": sum(bool(row.get("flags")) for row in rows),
        "regions": regions,
        "warnings": {name: w for name, record in records.items() if (w := _warnings(record))},
        "places": {
            name: place
            for name, record in records.items()
            if (place := record.get("about", {}).get("place"))
        },
    }


def _warnings(record: Mapping[str, Any]) -> list[str]:
    return list(record.get("about", {}).get("warnings", ()))


def _jpeg(pixels: np.ndarray) -> str:
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, format="JPEG", quality=_QUALITY)
    return base64.b64encode(packed.getvalue()).decode()


def _see_through(labels: np.ndarray, regions: RegionSet) -> str:
    """A label map as PNG in the colors of the regions, see-through where there is none."""
    colors = np.zeros((regions.num_classes, 4), np.uint8)
    for region in regions:
        colors[region.id] = (*region.color, 255)
    packed = io.BytesIO()
    Image.fromarray(colors[labels]).save(packed, format="PNG", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()
