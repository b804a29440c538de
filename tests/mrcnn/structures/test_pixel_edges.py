"""Outlines along the edges of pixels: exactly the pixels, by a program that is not ours."""

import numpy as np
import pytest
from other_readers import pixels
from shapely.geometry import LinearRing, Polygon

from mrcnn.structures.mask_formats import mask_to_rle
from mrcnn.structures.pixel_edges import pixel_outlines


def random_mask(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 30, 2)) < rng.choice([0.05, 0.3, 0.5, 0.8, 0.97])
    return np.repeat(np.repeat(mask, 2, axis=0), 3, axis=1) if seed % 3 == 0 else mask


def check(mask: np.ndarray) -> list[np.ndarray]:
    lines = pixel_outlines(mask_to_rle(mask))
    np.testing.assert_array_equal(pixels([line[:, ::-1] for line in lines], mask.shape), mask)
    for line in lines:
        assert line.dtype.kind == "i" and (line[0] == line[-1]).all()
        steps = np.diff(line, axis=0)
        assert ((steps == 0).sum(axis=1) == 1).all()  # level or upright, never of no length
        assert ((steps[1:] == 0) != (steps[:-1] == 0)).all()  # corners alone
    return lines


@pytest.mark.parametrize("seed", range(40))
def test_any_mask(seed):
    check(random_mask(seed))


def test_pixels_that_touch_at_a_corner_have_outlines_of_their_own():
    for mask in (np.eye(3, dtype=bool), np.eye(3, dtype=bool)[::-1]):
        lines = check(mask)
        assert len(lines) == 3
        assert all(LinearRing(line).is_simple and Polygon(line).area == 1 for line in lines)


def test_holes_run_the_other_way():
    mask = np.ones((5, 6), bool)
    mask[1:4, 1:5] = False
    mask[2, 2] = True
    lines = check(mask)
    areas = sorted(
        float((y[:-1] * x[1:] - y[1:] * x[:-1]).sum() / 2) for y, x in (line.T for line in lines)
    )
    assert sorted(map(abs, areas)) == [1.0, 12.0, 30.0]
    by_size = {abs(area): np.sign(area) for area in areas}
    assert by_size[1.0] == by_size[30.0] == -by_size[12.0]


def test_nothing_and_everything():
    assert pixel_outlines(mask_to_rle(np.zeros((4, 4), bool))) == []
    (line,) = check(np.ones((1, 7), bool))
    assert line.tolist() == [[0, 0], [0, 7], [1, 7], [1, 0], [0, 0]]


def test_large_masks_lose_nothing():
    rows, columns = np.mgrid[:2600, :2300]
    mask = (np.hypot(rows - 1300, columns - 1150) < 1140) & ((rows + columns) % 97 > 3)
    found = pixel_outlines(mask_to_rle(mask))
    area = sum(Polygon(line).area * (-1 if _turns_back(line) else 1) for line in found)
    assert area == mask.sum()


def _turns_back(line: np.ndarray) -> bool:
    y, x = line.T
    outer = np.array([[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]).T
    sign = [(a[:-1] * b[1:] - a[1:] * b[:-1]).sum() for a, b in ((y, x), outer)]
    return sign[0] * sign[1] < 0
