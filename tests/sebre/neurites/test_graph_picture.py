"""Pictures of the affinity graph and of segments."""

import numpy as np
from matplotlib.figure import Figure

from sebre.neurites.graph_picture import draw_affinity_graph, tinted


def test_every_edge_has_a_line_of_its_color():
    affinities = np.zeros((2, 3, 4), np.uint8)
    affinities[0, 1, 2] = affinities[1, 2, 3] = 255
    ax = Figure().subplots()
    draw_affinity_graph(ax, np.zeros((3, 4), np.uint8), affinities)
    up, left = ax.collections
    assert [len(lines.get_segments()) for lines in (up, left)] == [2 * 4, 3 * 3]
    for lines, ends in ((up, ((2, 1), (2, 0))), (left, ((3, 2), (2, 2)))):
        colors = lines.get_colors()
        joined = [
            s.tolist() for s, c in zip(lines.get_segments(), colors, strict=True) if c[2] > 0.5
        ]
        assert joined == [[list(end) for end in ends]]


def test_segments_have_colors_and_0_has_none():
    gray = np.full((2, 2), 100, np.uint8)
    shown = tinted(gray, np.array([[0, 1], [1, 2]]))
    assert (shown[0, 0] == 100).all()
    assert (shown[0, 1] == shown[1, 0]).all() and (shown[1, 1] != shown[0, 1]).any()
