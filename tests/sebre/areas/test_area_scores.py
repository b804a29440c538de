"""Scores of areas, worked by hand."""

import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.areas.area_measures import measure, split_of
from sebre.areas.area_scores import (
    AreaScore,
    interval,
    mean_accuracy,
    mean_dice,
    score_areas,
    summary,
)


def test_dice_counts_what_is_drawn_and_accuracy_the_cortex():
    drawn = np.zeros((20, 20), np.uint8)
    drawn[:10, :10], drawn[10:, :10] = 1, 2
    found = drawn.copy()
    found[5:10, :10] = 2  # half of area 1
    found[:, 10:12] = 3  # beyond the cortex
    score = score_areas(found, drawn, ("A", "B", "C"), "62")
    assert score.dice == pytest.approx({"A": 2 * 50 / 150, "B": 2 * 100 / 250})
    assert score.accuracy == 0.75
    assert score.cortex == pytest.approx(2 * 200 / 440)
    assert score_areas(found, drawn, ("A", "B"), "62", counted={"A"}).dice.keys() == {"A"}


def test_areas_count_the_same_however_often_they_occur():
    scores = [AreaScore("1", {"A": 0.2, "B": 1.0}, 0.5), AreaScore("2", {"A": 0.4}, 0.7)]
    assert mean_dice(scores) == pytest.approx((0.3 + 1.0) / 2)
    assert mean_accuracy(scores) == pytest.approx(0.6)
    assert interval(scores[:1], mean_dice) is None
    low, high = interval(scores, mean_accuracy)
    assert (low, high) == (0.5, 0.7)


def test_a_difference_is_of_the_same_sections():
    low = [AreaScore(str(n), {"A": 0.1 * n}, 0.5, 0.9) for n in range(8)]
    high = [AreaScore(str(n), {"A": 0.1 * n + 0.05}, 0.6, 0.9) for n in range(8)]
    found = summary(high, low)
    assert found["more_dice"] == pytest.approx(0.05)
    assert found["more_dice_interval"] == pytest.approx((0.05, 0.05))


def test_splits(stack):
    split = split_of("every:4:2", stack)
    assert (split.tested, split.known) == ((2, 6), (0, 1, 3, 4, 5))
    assert split_of("block:61:63", stack).tested == (1, 2, 3)
    assert split_of("names:60,66", stack).tested == (0, 6)
    for wrong in ("every:4", "each:4:2", "block:60:66"):
        with pytest.raises(UserError, match="every|leaves"):
            split_of(wrong, stack)


class Copyist:
    """Follows its prior; knows nothing without."""

    def predict(self, image, prior=None):
        empty = np.zeros((*image.shape, 4), np.float32)
        empty[..., 0] = 1
        return empty if prior is None else prior


def test_a_network_that_copies_a_wrong_prior_is_found_out(stack, neighbors):
    rows = measure(stack, split_of("every:4:3", stack), neighbors, Copyist())
    renamed = rows["network, wrong prior: areas renamed"]
    assert renamed["followed_where_wrong"] == 1 and renamed["right_where_wrong"] == 0
    assert rows["network without prior"]["dice"] == 0
    nearest = rows["registered copy of the nearest"]
    assert rows["network, prior of the nearest"]["dice"] == pytest.approx(nearest["dice"])
    # Nothing was registered: the same as a plain copy.
    assert nearest["dice"] == pytest.approx(rows["copy of the nearest"]["dice"])
    # Told where the cortex is, it is asked for the area alone.
    for name in ("registered copy of the nearest", "network and copy, prior of the nearest"):
        given = rows[f"{name}, cortex given"]
        assert given["cortex_dice"] == 1 and given["accuracy"] >= rows[name]["accuracy"]
    assert rows["copy of the one 3 away"]["dice"] < rows["copy of the nearest"]["dice"]
