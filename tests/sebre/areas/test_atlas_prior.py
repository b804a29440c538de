"""Priors: labels carried from section to section, blurred, wrong, left out."""

import numpy as np
import pytest

from sebre.areas.alignment import Alignment, carry_labels, chained
from sebre.areas.atlas_prior import (
    Neighbors,
    PriorDraw,
    blurred,
    drawn_on,
    one_hot,
    renamed,
    signed_distances,
)


def shifted(shape, down, right):
    grid = np.moveaxis(np.indices(shape), 0, -1).astype(np.float32)
    return grid + np.array([down, right], np.float32)


def test_labels_are_carried_from_where_each_pixel_lies():
    labels = np.zeros((20, 20), np.uint8)
    labels[5:9, 6:10] = 3
    found = carry_labels(labels, shifted(labels.shape, 2, -1))
    assert np.array_equal(np.argwhere(found == 3).min(0), [3, 7])
    assert (found == 3).sum() == 16


def test_a_chain_adds_its_steps():
    steps = [shifted((20, 20), 2, 0), shifted((20, 20), 0, 3)]
    assert np.allclose(chained(steps)[5:10, 5:10], shifted((20, 20), 2, 3)[5:10, 5:10])


def test_registration_is_done_once_and_kept(stack, tmp_path, monkeypatch):
    calls = []

    def register(method, moving, fixed, seed):
        calls.append(method)
        return type("Found", (), {"points": shifted(fixed.shape, 1, 0)})

    monkeypatch.setattr("sebre.areas.alignment.register", register)
    for _ in range(2):
        alignment = Alignment(stack.images, tmp_path / "kept")
        neighbors = Neighbors(stack, alignment)
        found = neighbors.points(3, 0)
    assert calls == ["elastix"] * 3  # from neighbor to neighbor, the second time from files
    assert found[10, 10].tolist() == [13, 10]
    assert (Neighbors(stack, alignment, "direct").points(3, 0)[10, 10]).tolist() == [11, 10]


def test_near_sources_count_for_more(neighbors, stack):
    shares = neighbors.expected(2, [1, 5])
    assert shares.sum(-1) == pytest.approx(1)
    differ = stack.labels[1] != stack.labels[5]
    first = np.take_along_axis(shares, stack.labels[1][..., None].astype(int), -1)[..., 0]
    assert first[differ] == pytest.approx(0.75)


def test_the_nearest_on_either_side(neighbors):
    assert neighbors.nearest(3, [0, 1, 3, 5, 6]) == [1, 5]
    assert neighbors.nearest(2, [0, 1, 5], both=False) == [1]
    assert neighbors.nearest(6, [0, 4]) == [4]


def test_shapes_pass_into_each_other(neighbors, stack):
    middle = neighbors.shapes(3, [0, 6]).argmax(-1)
    dice = 2 * ((middle == 2) & (stack.labels[3] == 2)).sum()
    dice /= (middle == 2).sum() + (stack.labels[3] == 2).sum()
    copy = 2 * ((stack.labels[0] == 2) & (stack.labels[3] == 2)).sum()
    copy /= (stack.labels[0] == 2).sum() + (stack.labels[3] == 2).sum()
    assert dice > 0.95 > copy
    assert ((middle > 0) == (stack.labels[3] > 0)).mean() > 0.99


def test_distances_are_positive_inside_and_areas_are_drawn_on():
    labels = np.zeros((9, 9), np.uint8)
    labels[3:6, 3:6] = 1
    far = signed_distances(labels, 3, 5.0)
    assert far[4, 4, 1] == pytest.approx(2, abs=0.1) and far[0, 4, 1] < 0
    assert (far[..., 2] == -5).all()
    assert (drawn_on(labels) == 1).all()


def test_blur_makes_weak_and_keeps_sums(stack):
    shares = one_hot(stack.labels[0], 4)
    weak = blurred(shares, 3.0)
    assert weak.sum(-1) == pytest.approx(1, abs=1e-5)
    assert weak.max(-1).mean() < shares.max(-1).mean()


def test_priors_of_a_training_are_absent_wrong_or_right(neighbors, stack):
    def draws(draw):
        rng = np.random.default_rng(0)
        return [draw.draw(3, range(7), neighbors, rng) for _ in range(30)]

    def right(prior):
        return (prior.argmax(-1) == stack.labels[3]).mean()

    assert all(prior is None for prior in draws(PriorDraw(absent=1)))
    near = [right(prior) for prior in draws(PriorDraw(0, 0, furthest=1))]
    wrong = [right(prior) for prior in draws(PriorDraw(0, 1, wrong_from=3))]
    assert min(near) > 0.97 > np.mean(wrong)
    own = draws(PriorDraw(0, 0, own=1.0))
    assert min(right(prior) for prior in own) == 1
    names = renamed(one_hot(stack.labels[3], 4), np.random.default_rng(1))
    assert np.array_equal(names[..., 0] > 0, stack.labels[3] == 0)
    assert PriorDraw(0, 0).draw(3, [3], neighbors, np.random.default_rng(0)) is None
