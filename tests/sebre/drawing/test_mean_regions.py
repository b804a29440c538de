"""The regions of many sections laid over each other."""

import numpy as np

from sebre.data.regions import HIPPOCAMPUS
from sebre.drawing.mean_regions import draw_mean_regions


def _section(top, left, height=80, width=160):
    """A block of tissue with region 1 on its left half and 4 in a corner, somewhere on a plate."""
    labels, tissue = np.zeros((200, 300), np.uint8), np.zeros((200, 300), bool)
    place = np.s_[top : top + height, left : left + width]
    tissue[place] = True
    labels[place][:, : width // 2] = 1
    labels[place][: height // 4, 3 * width // 4 :] = 4
    return labels, tissue


def test_regions_lie_where_most_sections_have_them():
    sections = [_section(10, 20), _section(90, 100), _section(0, 0, 100, 200)]
    picture = draw_mean_regions(sections, HIPPOCAMPUS, longest=200)
    assert picture.shape == (100, 200, 3)
    assert tuple(picture[50, 50]) == HIPPOCAMPUS[1].color
    assert tuple(picture[10, 180]) == HIPPOCAMPUS[4].color
    assert tuple(picture[80, 150]) == (70, 70, 70)
    colors = {tuple(c) for c in picture.reshape(-1, 3)}
    assert HIPPOCAMPUS[2].color not in colors, "no section shows it"


def test_nothing_to_draw():
    empty = np.zeros((9, 9), np.uint8), np.zeros((9, 9), bool)
    assert not draw_mean_regions([empty], HIPPOCAMPUS, longest=40).any()
