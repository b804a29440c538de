"""Two layers of labels side by side, and both beside a third: what another network, or a
correction, changed."""

from typing import Any

import numpy as np

from mrcnn.errors import UserError
from sebre.data.region_masks import count_labels
from sebre.data.region_names import in_words
from sebre.data.regions import RegionSet
from sebre.evaluation.mask_metrics import dice

MEAN = "mean"


def compare_layers(
    before: np.ndarray,
    after: np.ndarray,
    regions: RegionSet,
    corrected: np.ndarray | None = None,
    pixel_um: tuple[float, float] | None = None,
) -> list[dict[str, Any]]:
    """Cells `region`, `before`, `after` (areas), `change` and `dice_before_after`, and with a
    corrected layer `corrected`, `dice_before` and `dice_after`, for every region that one of them
    shows; the last row has the mean of each Dice over the regions that have one.

    Areas are mm2 where the size of a pixel is known, else px; `change` is that of the area, as a
    share of the one before. As in every score of the house, a region that is missed has a Dice of
    0, and one that the corrected layer does not show has none with it.

    Args:
        before: class ids [H, W].
        after: class ids [H, W].
        regions: that the ids of all layers mean.
        corrected: class ids [H, W] to hold both against.
        pixel_um: (rows, columns) um from one pixel to the next.

    Raises:
        UserError: layers of several sizes.
    """
    layers = {"before": before, "after": after}
    layers |= {} if corrected is None else {"corrected": corrected}
    if len({labels.shape for labels in layers.values()}) > 1:
        sizes = ", ".join(
            f"{name} {' x '.join(map(str, labels.shape))} px" for name, labels in layers.items()
        )
        raise UserError(f"Layers of several sizes ({sizes}). Compare layers of one picture.")
    px = 1.0 if pixel_um is None else pixel_um[0] * pixel_um[1] / 1e6
    areas = {
        name: count_labels(labels, regions.num_classes) * px for name, labels in layers.items()
    }
    pairs = {"dice_before_after": ("before", "after")}
    if corrected is not None:
        pairs |= {"dice_before": ("before", "corrected"), "dice_after": ("after", "corrected")}
    rows = []
    for region in regions:
        if not any(area[region.id] for area in areas.values()):
            continue
        row: dict[str, Any] = {"region": region.name}
        row |= {name: float(area[region.id]) for name, area in areas.items()}
        if row["before"]:
            row["change"] = row["after"] / row["before"] - 1
        for column, (one, other) in pairs.items():
            # What does not count beside a corrected layer counts between the two others.
            if areas[other][region.id] or (other == "after" and areas[one][region.id]):
                row[column] = float(dice(layers[one] == region.id, layers[other] == region.id))
        rows.append(row)
    if not rows:
        return []
    cells = {column: [row[column] for row in rows if column in row] for column in pairs}
    means = {column: float(np.mean(values)) for column, values in cells.items() if values}
    return [*rows, {"region": MEAN, **means}]


def demand_same_regions(one: RegionSet, other: RegionSet, names: tuple[str, str]) -> None:
    """Raise a UserError unless layers of these names have the same regions under the same ids."""
    if one.names != other.names:
        raise UserError(
            f"{names[0]} has the regions {in_words(one.names)}; {names[1]} has "
            f"{in_words(other.names)}. Only layers of the same regions can be compared."
        )
