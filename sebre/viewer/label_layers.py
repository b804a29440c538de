"""What a layer of labels is to us: regions with names and colors, a pixel size, and where it came
from. Plain data: no viewer is needed, and none is imported.

A layer is handed to napari as it takes it from plugins: (data, attributes, kind). Under KEY its
metadata keep what a file or a prepared data set needs: the regions, and of what it was made.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from sebre.data.region_masks import count_labels
from sebre.data.regions import RegionSet
from sebre.drawing.label_descriptions import LabelDescription, of_regions

LayerData = tuple[np.ndarray, dict[str, Any], str]

KEY = "sebre"  # in the metadata of a layer
AREA_COLUMNS = ("region", "area_mm2", "area_px", "score", "expected_dice", "doubts")
_UM = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}
CHANGED = "drawn otherwise since"


def labels_layer(
    labels: np.ndarray,
    regions: RegionSet,
    name: str,
    pixel_um: tuple[float, float] | None = None,
    **facts: Any,
) -> LayerData:
    """A layer of labels with the names and colors of its regions.

    Args:
        labels: class ids [H, W], 0 is no region.
        regions: that the ids mean.
        name: of the layer.
        pixel_um: (rows, columns) um from one pixel to the next; None if not known.
        **facts: of what it was made, kept beside the regions.
    """
    attributes = {
        "name": name,
        **named_colors(of_regions(regions)),
        "metadata": {KEY: {"regions": regions, **facts}},
        **scale_of(pixel_um),
    }
    return labels.astype(np.min_scalar_type(regions.num_classes - 1)), attributes, "labels"


def named_colors(described: Sequence[LabelDescription]) -> dict[str, Any]:
    """The attributes of a layer that give its numbers names and colors."""
    import pandas  # heavy

    clear = np.zeros(4)
    colors = {number: np.array([*color, 255]) / 255 for number, _, color in described}
    names = {0: "none"} | {number: name for number, name, _ in described}
    return {
        "colormap": {None: clear, 0: clear, **colors},
        # What the status line says of the pixel under the pointer.
        "features": pandas.DataFrame({"index": list(names), "region": list(names.values())}),
    }


def scale_of(pixel_um: tuple[float, float] | None) -> dict[str, Any]:
    """The attributes of a layer that say the size of its pixels; none where it is not known."""
    if pixel_um is None:
        return {}
    return {"scale": tuple(map(float, pixel_um)), "units": ("micrometer", "micrometer")}


def pixel_of(scale: Sequence[float], units: Sequence[Any] | None) -> tuple[float, float] | None:
    """(Rows, columns) um from one pixel of a layer to the next; None where its units are no
    lengths, as of a layer whose pixel size nobody knows."""
    sizes = [_UM.get(str(unit)) for unit in (units or ())][-2:]
    if len(sizes) < 2 or None in sizes:
        return None
    rows, columns = (float(step) * um for step, um in zip(scale[-2:], sizes, strict=True))
    return rows, columns


def facts_of(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What is kept of a layer of this name: its regions and of what it was made.

    Raises:
        UserError: the layer is none of ours.
    """
    facts = metadata.get(KEY)
    if not isinstance(facts, Mapping) or not isinstance(facts.get("regions"), RegionSet):
        raise UserError(
            f"{name}: does not say which regions its numbers are. Take a layer that was predicted "
            "here, or open a label map of `sebre predict`."
        )
    return dict(facts)


def area_rows(
    labels: np.ndarray, facts: Mapping[str, Any], pixel_um: tuple[float, float] | None
) -> list[dict[str, Any]]:
    """Cells of AREA_COLUMNS for every region of a layer, as it is drawn now.

    Args:
        labels: class ids [H, W].
        facts: of the layer (`facts_of`). Scores and doubts are of a region as it was found; one
            that was drawn otherwise since has none, and its doubt is that it was changed.
        pixel_um: (rows, columns) um from one pixel to the next; without it there are no mm2.

    Raises:
        UserError: an id that no region has.
    """
    regions, found = facts["regions"], facts.get("found")
    demand_ids(labels, regions)
    areas = count_labels(labels, regions.num_classes)
    said, changed, table = facts.get("said", {}), _changed(labels, found), []
    for region in regions:
        area = int(areas[region.id])
        cells: dict[str, Any] = {"region": region.name, "area_px": area}
        if pixel_um is not None:
            cells["area_mm2"] = float(f"{area * pixel_um[0] * pixel_um[1] / 1e6:.6g}")
        if found is not None:
            cells |= {"doubts": CHANGED} if region.id in changed else said.get(region.id, {})
        table.append(cells)
    return table


def _changed(labels: np.ndarray, found: np.ndarray | None) -> set[int]:
    """Class ids of regions that are drawn otherwise than they were found."""
    if found is None:
        return set()
    other = labels != found
    return {*np.unique(labels[other]).tolist(), *np.unique(found[other]).tolist()}


def demand_ids(labels: np.ndarray, regions: RegionSet, name: str = "The layer") -> None:
    """Raise a UserError if labels [H, W] are no plane of ids of the regions."""
    if labels.ndim != 2:
        raise UserError(
            f"{name}: has {labels.ndim} dimensions; wanted one section. Split it first (Layer > "
            "Convert > Split Stack)."
        )
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high > len(regions):
        wrong = low if low < 0 else high
        count = np.count_nonzero(labels == wrong)
        raise UserError(
            f"{name}: {count} px have the label {wrong}, which is no region; wanted 0 (none) to "
            f"{len(regions)}: {', '.join(regions.names)}. Paint them with one of these."
        )
