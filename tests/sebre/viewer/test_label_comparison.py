"""Layers side by side."""

import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.data.regions import HIPPOCAMPUS, SLICEMAP
from sebre.viewer.label_comparison import MEAN, compare_layers, demand_same_regions


def labels(*rows: slice) -> np.ndarray:
    found = np.zeros((10, 10), np.uint8)
    for class_id, place in enumerate(rows, start=1):
        found[place] = class_id
    return found


def test_areas_and_dice_by_hand():
    before, after = labels(slice(0, 4)), labels(slice(2, 4), slice(8, 10))
    corrected = labels(slice(2, 6))
    rows = compare_layers(before, after, SLICEMAP, corrected, (1000.0, 500.0))
    assert [row["region"] for row in rows] == ["cortex", "hippocampus", MEAN]
    cortex, hippocampus, mean = rows
    assert (cortex["before"], cortex["after"], cortex["corrected"]) == (20, 10, 20)  # mm2
    assert cortex["change"] == -0.5
    assert cortex["dice_before_after"] == pytest.approx(2 * 20 / 60)
    assert cortex["dice_before"] == pytest.approx(0.5)
    assert cortex["dice_after"] == pytest.approx(2 * 20 / 60)
    assert hippocampus == {
        **{"region": "hippocampus", "before": 0, "after": 10, "corrected": 0},
        **{"dice_before_after": 0},
    }
    assert mean["dice_before_after"] == pytest.approx(1 / 3)
    assert mean["dice_before"] == cortex["dice_before"], "of what is drawn"
    missed = compare_layers(before, labels(), SLICEMAP, corrected)[0]
    assert missed["dice_after"] == 0 and missed["change"] == -1


def test_two_layers_without_a_third():
    same = labels(slice(0, 4))
    row, mean = compare_layers(same, same, SLICEMAP)
    assert row == {
        **{"region": "cortex", "before": 40, "after": 40, "change": 0, "dice_before_after": 1}
    }
    assert mean == {"region": MEAN, "dice_before_after": 1}
    assert compare_layers(same * 0, same * 0, SLICEMAP) == []


def test_layers_that_cannot_be_compared():
    with pytest.raises(UserError, match="several sizes .before 10 x 10 px, after 5 x 10 px"):
        compare_layers(labels(), labels()[:5], SLICEMAP)
    with pytest.raises(UserError, match="a has the regions 1 cortex, .*; b has 1 CA1"):
        demand_same_regions(SLICEMAP, HIPPOCAMPUS, ("a", "b"))
    demand_same_regions(SLICEMAP, SLICEMAP, ("a", "b"))
