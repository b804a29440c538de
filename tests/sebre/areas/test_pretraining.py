"""Distances along the cortex, the siamese network, and what is read from its codes."""

import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.areas.pretraining.embedding import (
    border_scores,
    clusters,
    distance_scores,
    probe,
    random_codes,
    shared_information,
)
from sebre.areas.pretraining.ribbon import Points, geodesic_distances, middle_points
from sebre.areas.pretraining.siamese import (
    PatchMaker,
    SiameseSettings,
    codes_of,
    distances_of,
    load_siamese,
    pretrain,
)
from sebre.areas.stacks import Stack

KEYS = ("section", "place", "position_mm")


@pytest.fixture(scope="module")
def points(stack) -> Points:
    return middle_points(stack, stack.labels > 0, 0.4)


@pytest.fixture(scope="module")
def distances(stack, points) -> np.ndarray:
    return geodesic_distances(stack, stack.labels > 0, points)


def test_points_lie_in_the_middle_and_apart(stack, points):
    rows, columns = points.place.T
    away = np.hypot(rows - 88, columns)
    assert np.abs(away - 60).max() < 5  # the ring goes from 48 to 72
    first = points.of(points.section == 0)
    gaps = np.linalg.norm(first.place[:, None] - first.place[None], axis=-1)
    assert gaps[np.triu_indices(len(first), 1)].min() * 0.05 >= 0.4
    assert points.position_mm[0, 0] == stack.z_mm[points.section[0]]


def test_distances_go_around_the_ring_and_from_section_to_section(points, distances):
    assert np.isfinite(distances).all() and np.allclose(distances, distances.T, atol=1e-4)
    one = np.flatnonzero(points.section == 0)
    first, last = (
        min(one, key=lambda n: points.place[n][0]),
        max(one, key=lambda n: points.place[n][0]),
    )
    straight = np.linalg.norm(points.place[first] - points.place[last]) * 0.05
    arc = distances[first, last]
    assert straight * 1.02 < arc < np.pi / 2 * 72 * 0.05
    # The same place six sections on: 0.6 mm, and what the grid adds.
    far = np.flatnonzero(points.section == 6)
    there = far[np.argmin(np.linalg.norm(points.place[far] - points.place[first], axis=1))]
    sideways = np.linalg.norm(points.place[there] - points.place[first]) * 0.05
    assert (
        0.6 <= distances[first, there] + 0.08
        and distances[first, there] <= 0.6 + 1.5 * sideways + 0.2
    )


def test_ways_lead_across_sections_at_a_slant():
    """In a block the distance is the straight one; going along and across it would be 40 % more."""
    images = np.zeros((9, 40, 60), np.uint8)
    block = Stack(tuple("123456789"), images, np.arange(9) * 0.1, 50.0)
    cortex = np.ones(block.images.shape, bool)
    columns = np.array([5.0, 13, 21, 29, 37, 45, 53])
    place = np.column_stack([np.full(7, 20), columns]).astype(np.float32)
    position = np.column_stack([np.full(7, 0.0), place * 0.05]).astype(np.float32)
    ends = Points(np.full(7, 8), place, position)
    start = Points(np.zeros(1, int), place[:1], position[:1])
    both = Points(*(np.concatenate([getattr(part, key) for part in (start, ends)]) for key in KEYS))
    found = geodesic_distances(block, cortex, both, sources=[0])[0, 1:]
    straight = np.hypot(0.8, (columns - columns[0]) * 0.05)
    assert found == pytest.approx(straight, rel=0.09) and (found >= straight - 1e-5).all()


def test_what_nothing_joins_is_infinitely_far(stack):
    cortex = np.zeros(stack.images.shape, bool)
    cortex[0, 10:20, 10:60] = cortex[0, 40:50, 10:60] = True
    points = middle_points(stack, cortex, 0.5)
    found = geodesic_distances(stack, cortex, points, sources=[0])
    apart = np.abs(points.place[:, 0] - points.place[0, 0]) > 10
    assert np.isinf(found[0, apart]).all() and np.isfinite(found[0, ~apart]).all()


def test_the_siamese_network_learns_distances(stack, points, distances, tmp_path):
    settings = SiameseSettings(
        steps=40, batch=12, side=64, window=6, detail_widths=(8, 8, 8, 8), learning_rate=1e-2
    )
    maker = PatchMaker(stack, points, distances, settings.side)
    model = pretrain(maker, tmp_path / "run", settings)
    codes = codes_of(model, maker, range(len(points)))
    told = distances_of(model, codes)
    scores = distance_scores(told, distances, points.section, 6)
    assert scores["error_mm"] < 0.7 * scores["median_error_mm"] and scores["correlation"] > 0.7
    assert np.allclose(codes, codes_of(load_siamese(tmp_path / "run"), maker, range(len(points))))
    assert random_codes(maker, (4, 4)).shape == (len(points), 8)
    # Other distances are another training.
    other = PatchMaker(stack, points, 2 * distances, settings.side)
    with pytest.raises(UserError, match="learned_from was"):
        pretrain(other, tmp_path / "run", settings)


def test_scores_of_distances_are_of_pairs_in_the_window():
    true = np.array([[0, 1, 9], [1, 0, 2], [9, 2, 0]], float)
    found = distance_scores(true + 0.5, true, np.array([0, 1, 5]), 4)
    assert found == {
        **{"error_mm": 0.5, "correlation": pytest.approx(1)},
        **{"median_error_mm": 0.5, "pairs": 2},
    }


def test_the_probe_asks_the_nearest_codes():
    rng = np.random.default_rng(0)
    areas = rng.integers(1, 4, 90)
    codes = np.eye(4)[areas] + rng.normal(0, 0.1, (90, 4))
    learned = np.arange(90) < 60
    found = probe(codes, areas, learned, ~learned)
    assert found["accuracy"] == 1 and found["patches"] == 30
    mixed = probe(rng.permutation(codes), areas, learned, ~learned)
    assert mixed["accuracy"] < 0.7
    assert shared_information(areas, areas) == pytest.approx(1)
    assert shared_information(areas, rng.permutation(areas)) < 0.1
    assert shared_information(clusters(codes, 3), areas) > 0.9


def test_codes_that_jump_at_borders_are_found(points, distances, stack):
    areas = stack.labels[(points.section, *points.place.astype(int).T)].astype(int)
    rng = np.random.default_rng(0)
    # Points lie 0.4 mm apart or more.
    jumping = np.eye(4)[areas] + rng.normal(0, 0.05, (len(areas), 4))
    even = points.position_mm + rng.normal(0, 0.05, (len(areas), 3))
    found, plain = (border_scores(c, areas, distances, points) for c in (jumping, even))
    assert found["correlation"] > 0.9 > 0.5 > plain["correlation"]
    assert 0 < found["across"] < found["pairs"]
