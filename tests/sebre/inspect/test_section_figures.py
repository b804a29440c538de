"""Figures of sections and of what a network of any kind finds in them."""

import matplotlib.pyplot as plt
import numpy as np
from section_cases import Scripted, prepared, result_of

from sebre.data.regions import SLICEMAP
from sebre.inspect.section_figures import show_drawn, show_predicted
from sebre.predict.prediction import Prediction

BOX = (4, 4, 20, 20)


def test_drawn_and_found_side_by_side(tmp_path):
    sections = prepared(tmp_path / "set", [{1: BOX}, {1: BOX, 2: (22, 22, 30, 30)}])
    dices = show_drawn(Scripted(result_of((1, 0.9, BOX))), sections)
    assert dices == {"cortex": 1.0, "hippocampus": 0.0}
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes if ax.get_title()] == ["val/0", "val/1"]
    assert [ax.get_ylabel() for ax in axes if ax.get_ylabel()] == ["section", "drawn", "found"]
    assert all(len(ax.images) == 1 for ax in axes)
    plt.close("all")


def test_predictions_are_drawn_above_what_was_found():
    picture, labels = np.full((40, 60, 3), 90, np.uint8), np.zeros((40, 60), np.uint8)
    labels[10:30, 20:40] = 1
    found = [Prediction(name, picture, labels, [], SLICEMAP) for name in ("a", "b")]
    show_predicted(found)
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes if ax.get_title()] == ["a", "b"]
    above, below = (axes[row].images[0].get_array() for row in (0, 2))
    np.testing.assert_array_equal(above, picture)
    # Inside the region it has the color of the cortex.
    scale = below.shape[0] // 40
    red, _, blue = (int(v) for v in below[20 * scale, 30 * scale])
    cortex = SLICEMAP[1].color
    assert (red > blue) == (cortex[0] > cortex[2]) and len({*below[0, 0]}) == 1
    plt.close("all")
