"""What the table says of the regions of a section: one row for every region that was looked for.

All of it is measured on the label map, so that table, label map and the files of other programs
agree. Areas and boxes are exact. Shapes of label maps above 4 million pixels are measured on every
n-th pixel in both directions, which is as exact as the borders themselves are.
"""

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.ndimage import find_objects
from skimage.measure import regionprops

from mrcnn.structures.mask_formats import Masks, count_masks
from sebre.data.region_masks import count_labels
from sebre.data.region_names import sides_of
from sebre.data.regions import RegionSet
from sebre.drawing.overlay import reduced_labels
from sebre.networks.segmenter import best_labels, best_per_region
from sebre.networks.unet import SPECKS
from sebre.place.atlas_frame import AXES
from sebre.place.section_place import SectionPlace
from sebre.trust.place_doubts import NOT_IN_PLANE
from sebre.trust.trust_model import RegionTrust

TABLE_COLUMNS = (
    *("image", "region_id", "region", "found", "reason", "score", "expected_dice", "flags"),
    *("hemisphere", "area_px", "area_um2", "area_mm2", "tissue_share", "volume_mm3"),
    *("centroid_y", "centroid_x", "y1", "x1", "y2", "x2"),
    *("perimeter_px", "perimeter_mm", "solidity", "orientation_deg"),
    *("plane", "position_mm", "position_error_mm", "ap_mm", "dv_mm", "ml_mm"),
)
_SHAPE_PX = 2048**2  # of larger label maps, shapes are measured on a part of the pixels
_UM_A_MM = 1000.0
_NOT_FOUND = "not found"
_TOO_LOW = "not found: no detection with a score of at least {:g}"
_SPECK = "left out: smaller than the share of the picture below which parts count as specks"
_SUPPRESSED = "suppressed: regions of higher scores have all its pixels"
ON_GLASS = "left out: all its pixels were on glass"


def region_rows(
    name: str,
    result: dict[str, Any],
    regions: RegionSet,
    labels: np.ndarray | None = None,
    pixel_um: tuple[float, float] | None = None,
    tissue_px: int | None = None,
    least_score: float = 0.0,
    trust: Mapping[int, RegionTrust] | None = None,
    on_glass: Collection[int] = (),
    lacking: Collection[int] = (),
) -> list[dict[str, Any]]:
    """Table rows of one section, in the order of the class ids: see TABLE_COLUMNS.

    A region has the pixels that the label map (`best_labels`) gives it, so that overlaps count
    once. One without a pixel has a row too, that says why.

    Args:
        name: of the section.
        result: of `detect`.
        regions: the region set.
        labels: the label map, uint8 or uint16 [H, W]; None makes it.
        pixel_um: (rows, columns) um from one pixel to the next; None leaves out um and mm.
        tissue_px: pixels of tissue; None leaves its shares out.
        least_score: that a detection had to have.
        trust: of the regions found, by class id, as of `sebre.trust.trust_model`.
        on_glass: class ids that had pixels before those on glass were left out.
        lacking: class ids of regions that do not occur where the section lies.
    """
    if labels is None:
        labels = best_labels(result, _shape_of(result["masks"]))
    best, measured = best_per_region(result), measure(labels, regions.num_classes, pixel_um)
    rows = []
    for region, side in zip(regions, sides_of(regions.names), strict=True):
        row: dict[str, Any] = {"image": name, "region_id": region.id, "region": region.name}
        row |= {"hemisphere": side, "area_px": 0}
        if facts := measured.get(region.id):
            row |= {"found": "yes", "score": round(float(result["scores"][best[region.id]]), 4)}
            told = trust.get(region.id) if trust else None
            flags = [*map(str, told.flags if told else ())]
            flags += [NOT_IN_PLANE] * (region.id in lacking)
            if told:
                row["expected_dice"] = told.expected_dice
            if told or flags:
                row["flags"] = "; ".join(flags)
            if tissue_px:
                row["tissue_share"] = round(facts["area_px"] / tissue_px, 4)
            row |= facts
        else:
            why = _TOO_LOW.format(least_score) if least_score else _NOT_FOUND
            why = _SPECK if region.id in result.get(SPECKS, ()) else why
            why = _SUPPRESSED if region.id in best else why
            why = NOT_IN_PLANE if region.id in lacking else why
            why = ON_GLASS if region.id in on_glass else why
            row |= {"found": "no", "reason": why}
        rows.append({column: row[column] for column in TABLE_COLUMNS if column in row})
    return rows


def place_cells(place: SectionPlace | None, row: Mapping[str, Any]) -> dict[str, Any]:
    """Cells of where a section lies, and the center of a region in it; none where it is not known.

    Args:
        place: of the section.
        row: of the region.
    """
    if place is None or not place.sure:
        return {}
    cells: dict[str, Any] = {
        "plane": place.plane,
        "position_mm": round(place.position_mm, 2),
        "position_error_mm": round(place.position_error_mm, 2),
    }
    if "centroid_x" in row:
        center = place.at(row["centroid_x"], row["centroid_y"])
        cells |= {f"{a}_mm": round(v, 2) for a, v in zip(AXES, center, strict=True)}
    return cells


def is_found(row: Mapping[str, Any]) -> bool:
    """Whether a row is of a region that was found."""
    return row["found"] == "yes"


def measure(
    labels: np.ndarray, num_classes: int, pixel_um: tuple[float, float] | None = None
) -> dict[int, dict[str, Any]]:
    """Area, place and shape of every region that a label map shows, by class id.

    Args:
        labels: class ids [H, W], 0 is background.
        num_classes: with the background.
        pixel_um: (rows, columns) um from one pixel to the next; None leaves out um and mm.

    Returns:
        Cells of TABLE_COLUMNS. `y1, x1, y2, x2` and `centroid` are px, 0 being the upper left
        corner of the picture and 0.5 the middle of its first pixel; `orientation_deg` is the angle
        of the long axis, from horizontal, growing counterclockwise, -90..90.
    """
    areas, boxes = count_labels(labels, num_classes), find_objects(labels)
    step = max(1, math.ceil(math.sqrt(labels.size / _SHAPE_PX)))
    size = [max(1, round(n / step)) for n in labels.shape]
    shown = labels if step == 1 else reduced_labels(labels, size)
    steps = [n / m for n, m in zip(labels.shape, shown.shape, strict=True)]
    shapes = {one.label: one for one in regionprops(shown)}
    found = {}
    for class_id in (int(i) for i in np.flatnonzero(areas) if i):
        rows, columns = boxes[class_id - 1]
        facts: dict[str, Any] = {"area_px": int(areas[class_id])}
        if pixel_um is not None:
            um2 = facts["area_px"] * pixel_um[0] * pixel_um[1]
            facts |= {"area_um2": round(um2, 3), "area_mm2": float(f"{um2 / _UM_A_MM**2:.6g}")}
        facts |= {"y1": rows.start, "x1": columns.start, "y2": rows.stop, "x2": columns.stop}
        if class_id in shapes:  # not one that falls between the pixels looked at
            facts |= _shape(shapes[class_id], steps, pixel_um)
        found[class_id] = facts
    return found


def _shape(
    one: Any, steps: Sequence[float], pixel_um: tuple[float, float] | None
) -> dict[str, Any]:
    """Cells of the shape of a region of `skimage.measure.regionprops`, looked at every `steps`."""
    y, x = (float(c + 0.5) * step for c, step in zip(one.centroid, steps, strict=True))
    perimeter = float(one.perimeter) * math.sqrt(steps[0] * steps[1])
    # There it is the angle between rows and the long axis.
    turned = (math.degrees(one.orientation) + 180) % 180 - 90
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a line of pixels has no hull, and is its own
        hull = max(one.area_convex, one.area)
    facts = {
        "centroid_y": round(y, 2),
        "centroid_x": round(x, 2),
        "perimeter_px": round(perimeter, 2),
        "solidity": round(float(one.area / hull), 4),
        "orientation_deg": round(turned, 2),
    }
    if pixel_um is not None:
        um = math.sqrt(pixel_um[0] * pixel_um[1])
        facts["perimeter_mm"] = float(f"{perimeter * um / _UM_A_MM:.6g}")
    return facts


def _shape_of(masks: Masks) -> tuple[int, int]:
    if isinstance(masks, np.ndarray):
        return masks.shape[:2]
    return tuple(masks[0]["size"]) if count_masks(masks) else (0, 0)
