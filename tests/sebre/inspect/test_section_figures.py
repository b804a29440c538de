"""Figures of sections and of what a network of any kind finds in them."""

import matplotlib.pyplot as plt
from section_cases import Scripted, prepared, result_of

from sebre.inspect.section_figures import show_drawn

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
