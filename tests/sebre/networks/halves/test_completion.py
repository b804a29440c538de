"""Half sections: where they end, and what they look like with their mirror image."""

import cv2
import numpy as np
import pytest

from sebre.networks.halves.completion import Cut, completed, find_cuts


def ellipse(turn: float = 0.0, half: bool = True) -> np.ndarray:
    """Tissue like a coronal section, cut at its middle if it is a half, turned by degrees."""
    rows, columns = np.indices((200, 240)) + 0.5
    y, x = rows - 100, columns - 120
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    along, across = cos * x + sin * y, -sin * x + cos * y
    inside = (along / 80) ** 2 + (across / 60) ** 2 < 1
    return inside & (along > 0) if half else inside


@pytest.mark.parametrize("turn", [0, 30, 90, 200])
def test_a_half_ends_where_it_was_cut(turn):
    cut = find_cuts(ellipse(turn), (200, 240))[0]
    away = -np.array([np.sin(np.radians(turn)), np.cos(np.radians(turn))])
    assert np.degrees(np.arccos(np.dot(cut.normal, away))) < 3
    assert abs(cut.beyond(np.array(100.0), np.array(120.0))) < 2.5
    rows, columns = np.nonzero(ellipse(turn))
    assert cut.beyond(rows + 0.5, columns + 0.5).max() < 2.5


def test_the_line_is_told_in_px_of_the_picture():
    (cut,) = find_cuts(ellipse(), (400, 480))
    assert abs(cut.beyond(np.array(200.0), np.array(240.0))) < 4
    half = cut.scaled(0.5)
    assert half.beyond(np.array(50.0), np.array(30.0)) == pytest.approx(
        cut.beyond(np.array(100.0), np.array(60.0)) / 2
    )


def flat() -> np.ndarray:
    """A whole section with a flat base that is shorter than the section is wide."""
    whole = ellipse(half=False)
    whole[140:] = False
    return whole


@pytest.mark.parametrize("tissue", [ellipse(half=False), flat(), np.zeros((60, 80), bool)])
def test_whole_sections_end_in_no_line(tissue):
    assert find_cuts(tissue, tissue.shape) == []


def test_a_line_that_tissue_touches_at_its_ends_alone_is_no_cut():
    tissue = ellipse()
    tissue[45:155, :150] = False  # hollow
    assert find_cuts(tissue, tissue.shape) == []


@pytest.mark.parametrize("turn", [0, 25])
def test_a_half_is_made_whole(turn):
    gray = np.full((200, 240), 200, np.float32)
    whole = ellipse(turn, half=False)
    texture = cv2.GaussianBlur(np.random.default_rng(0).random((200, 240)), (0, 0), 4) * 100
    gray[ellipse(turn)] = texture[ellipse(turn)]
    (cut, *_) = find_cuts(ellipse(turn), gray.shape)
    made, (row, column) = completed(gray, cut)
    part = made[-row : 200 - row, -column : 240 - column]
    assert (np.abs(part - 200) > 50)[whole].mean() > 0.97
    np.testing.assert_allclose(part[ellipse(turn)], gray[ellipse(turn)], atol=0.5)
    # Places the same distance from the line, on either side.
    normal = np.array(cut.normal)
    for depth in (8, 20, 35):
        sides = [np.array(cut.point) + s * depth * normal for s in (-1, 1)]
        values = [made[tuple((one - (row, column)).astype(int))] for one in sides]
        assert values[0] == pytest.approx(values[1], abs=6)


def test_a_cut_at_the_border_of_the_picture():
    cut = Cut((0.0, 0.0), (0.0, -1.0))  # the left border
    picture = np.arange(12, dtype=np.float32).reshape(3, 4)
    made, corner = completed(picture, cut)
    assert corner == (0, -4)
    np.testing.assert_allclose(made, np.concatenate([picture[:, ::-1], picture], axis=1))
