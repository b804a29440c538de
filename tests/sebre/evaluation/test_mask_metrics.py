"""Overlap and contour distances: hand cases, and against other people's code."""

import itertools
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import surface_distance
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter
from scipy.spatial.distance import directed_hausdorff
from skimage.metrics import hausdorff_distance
from skimage.segmentation import find_boundaries

from sebre.evaluation.mask_metrics import (
    contour_mean_distance,
    dice,
    hausdorff,
    iou,
    mean_squared_error,
    surface_distances,
)

PAIRS = 500


def points(*at: tuple[int, ...], shape: tuple[int, ...] = (12, 12)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(np.transpose(at))] = True
    return mask


def square(y: int, x: int, side: int) -> np.ndarray:
    mask = np.zeros((20, 20), bool)
    mask[y : y + side, x : x + side] = True
    return mask


NOTHING = np.zeros((20, 20), bool)


def test_overlap_of_a_hand_case():
    a, b = square(0, 0, 4), square(2, 0, 4)  # 8 of 16 px in common
    assert dice(a, b) == 0.5
    assert iou(a, b) == pytest.approx(8 / 24)
    assert iou(square(0, 0, 4), square(0, 0, 4) & square(0, 2, 4)) == 0.5  # exactly
    assert mean_squared_error(a, b) == 16 / 400
    assert dice(a.astype(np.uint8) * 255, b) == 0.5


def test_distances_of_hand_cases():
    a, b = points((0, 0)), points((3, 4))
    assert hausdorff(a, b) == contour_mean_distance(a, b) == 5
    assert hausdorff(a, b, spacing=0.1) == pytest.approx(0.5)
    assert hausdorff(a, b, spacing=2) == 10
    assert hausdorff(a, b, spacing=(1, 10)) == pytest.approx(np.hypot(3, 40))

    # One way 0, the other way 0 and 6: the larger maximum, the mean of the means.
    b = points((0, 0), (0, 6))
    assert hausdorff(a, b) == hausdorff(b, a) == 6
    assert contour_mean_distance(a, b) == contour_mean_distance(b, a) == 1.5
    assert hausdorff(a, b, percentile=50) == 0
    assert hausdorff(a, b, percentile=51) == 6

    # A square grown by one pixel: 4 corners of 16 pixels are sqrt(2) away, seen from outside.
    a, b = square(5, 5, 3), square(4, 4, 5)
    assert hausdorff(a, b) == pytest.approx(2**0.5)
    outside = (12 + 4 * 2**0.5) / 16
    assert contour_mean_distance(a, b) == pytest.approx((1 + outside) / 2)


def test_only_contours_count():
    ring = square(2, 2, 9) & ~square(5, 5, 3)
    there, back = surface_distances(square(2, 2, 9), ring)
    assert len(there) == 32
    assert (there == 0).all()
    assert len(back) == 32 + 12  # neighbors of the hole share an edge with it: no corners
    assert back.max() == 2


def test_the_border_of_the_picture_is_a_contour():
    whole = np.ones((6, 8), bool)
    there, back = surface_distances(whole, whole)
    assert len(there) == len(back) == 24
    assert hausdorff(whole, points((0, 0), shape=(6, 8))) == pytest.approx(np.hypot(5, 7))


def test_contours_in_space_and_on_a_line():
    cube = np.zeros((9, 9, 9), bool)
    cube[3:6, 3:6, 3:6] = True
    there, _ = surface_distances(cube, cube)
    assert len(there) == 26  # all but the middle
    lone = points((4, 4, 8), shape=cube.shape)
    assert hausdorff(cube, lone, spacing=(1, 1, 2)) == pytest.approx((1 + 1 + 100) ** 0.5)
    line = np.array([0, 1, 1, 1, 0, 0], bool)
    assert hausdorff(line, np.roll(line, 2)) == 2


def test_empty_masks():
    a = square(3, 3, 4)
    assert dice(NOTHING, NOTHING) == iou(NOTHING, NOTHING) == 1
    assert dice(a, NOTHING) == iou(NOTHING, a) == 0
    assert mean_squared_error(NOTHING, NOTHING) == 0
    assert mean_squared_error(a, NOTHING) == 16 / 400
    assert mean_squared_error(NOTHING[:0], NOTHING[:0]) == 0
    for distance in (hausdorff, contour_mean_distance):
        assert distance(NOTHING, NOTHING) == 0
        assert distance(a, NOTHING) == distance(NOTHING, a) == float("inf")
        assert distance(a, a) == 0


@pytest.mark.parametrize(
    "score", [dice, iou, mean_squared_error, hausdorff, contour_mean_distance, surface_distances]
)
def test_masks_of_different_shapes(score):
    with pytest.raises(ValueError, match=r"\(20, 20\) and \(3, 20\) cannot be compared"):
        score(NOTHING, NOTHING[:3])


@pytest.mark.parametrize("spacing", [0, -1, float("nan"), (1, 1, 1), (1, 0)])
def test_spacings_that_do_not_fit(spacing):
    with pytest.raises(ValueError, match="each of the 2 axes"):
        hausdorff(square(0, 0, 3), square(1, 1, 3), spacing)


def test_percentiles_that_do_not_fit():
    with pytest.raises(ValueError, match="range"):
        hausdorff(square(0, 0, 3), square(1, 1, 3), percentile=101)


def random_pairs() -> Iterator[tuple[np.ndarray, np.ndarray, tuple[float, ...]]]:
    """Pairs of blobs that overlap, touch the border, have holes and parts; some in space.

    Of every third pair one mask is thin, lines of one pixel; half have pixels that are not
    square.
    """
    rng = np.random.default_rng(0)
    for index in range(PAIRS):
        axes = 3 if index % 5 == 0 else 2
        shape = rng.integers(6, 14 if axes == 3 else 44, axes)
        noise = gaussian_filter(rng.normal(size=(2, *shape)), (0, *[rng.uniform(0.5, 4)] * axes))
        a = noise[0] > np.quantile(noise[0], rng.uniform(0.3, 0.95))
        b = noise[0] + rng.uniform(0, 2) * noise[1]
        b = b > np.quantile(b, rng.uniform(0.3, 0.95))
        if index % 3 == 0:
            a = find_boundaries(np.pad(a, 1), 1, "inner")[(slice(1, -1),) * axes]
        spacing = tuple(rng.uniform(0.2, 3, axes)) if index % 2 else (1.0,) * axes
        yield a, b, spacing


def test_against_other_libraries():
    """Dice, percentiles and means of surface-distance, contours and Hausdorff distance of
    scikit-image, distances between contours by SciPy's distance transform and point by point."""
    kinds = Counter()
    for a, b, spacing in random_pairs():
        assert dice(a, b) == pytest.approx(
            surface_distance.compute_dice_coefficient(a, b), abs=1e-6
        )
        edges = [
            find_boundaries(np.pad(m, 1), connectivity=1, mode="inner", background=0)[
                (slice(1, -1),) * m.ndim
            ]
            for m in (a, b)
        ]
        there, back = (
            distance_transform_edt(~edges[1 - i], sampling=spacing)[edges[i]] for i in (0, 1)
        )
        distances = {
            "distances_gt_to_pred": np.sort(there),
            "distances_pred_to_gt": np.sort(back),
            "surfel_areas_gt": np.ones(len(there)),
            "surfel_areas_pred": np.ones(len(back)),
        }
        for percentile in (100, 95, 50):
            assert hausdorff(a, b, spacing, percentile) == pytest.approx(
                surface_distance.compute_robust_hausdorff(distances, percentile), abs=1e-3
            )
        assert contour_mean_distance(a, b, spacing) == pytest.approx(
            np.mean(surface_distance.compute_average_surface_distance(distances)), abs=1e-3
        )
        if set(spacing) == {1.0}:
            assert hausdorff(a, b) == pytest.approx(hausdorff_distance(*edges), abs=1e-3)
        places = [np.argwhere(edge) * spacing for edge in edges]
        assert hausdorff(a, b, spacing) == pytest.approx(
            max(directed_hausdorff(*pair)[0] for pair in (places, places[::-1])), abs=1e-3
        )
        kinds["thin"] += not binary_erosion(a).any()
        kinds["at the border"] += a.sum() > np.count_nonzero(a[(slice(1, -1),) * a.ndim])
        kinds["not square"] += len(set(spacing)) > 1
        kinds["in space"] += a.ndim == 3
        kinds["all"] += 1
    assert kinds.pop("all") == PAIRS
    assert min(kinds.values()) >= 90, kinds


# It uses an old name of SciPy's.
@pytest.mark.filterwarnings("ignore:Please import .* from the .scipy.ndimage:DeprecationWarning")
def test_contours_between_pixels_differ_by_the_known_bound():
    """surface-distance lays the contour on pixel corners, half a diagonal from our pixels; so
    its Hausdorff distance is within one diagonal of ours."""
    for a, b, spacing in itertools.islice(random_pairs(), 60):
        theirs = surface_distance.compute_surface_distances(a, b, spacing)
        theirs = surface_distance.compute_robust_hausdorff(theirs, 100)
        assert abs(hausdorff(a, b, spacing) - theirs) <= np.linalg.norm(spacing) + 1e-6
