"""The Markov random field: what it minimizes, on grids small enough to try all labels."""

import builtins
import itertools

import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.networks.rivals.markov_field import most_probable_field


def cost(labels: np.ndarray, probabilities: np.ndarray, potts: float) -> float:
    unary = -np.log(np.take_along_axis(probabilities, labels[..., None], -1)).sum()
    pairs = sum(np.sum(np.diff(labels, axis=axis) != 0) for axis in range(labels.ndim))
    return float(unary + potts * pairs)


@pytest.mark.parametrize("shape", [(2, 3), (2, 2, 2)])
def test_two_labels_are_solved_exactly(shape):
    found = np.random.default_rng(3).dirichlet([1, 1], shape)
    tried = [
        np.array(values).reshape(shape)
        for values in itertools.product((0, 1), repeat=found[..., 0].size)
    ]
    best = min(cost(labels, found, 0.4) for labels in tried)
    assert cost(most_probable_field(found, 0.4), found, 0.4) == pytest.approx(best)


def test_more_labels_cost_no_more_than_the_most_probable_ones():
    found = np.random.default_rng(4).dirichlet([1] * 4, (9, 9))
    labels = most_probable_field(found, 0.3)
    assert cost(labels, found, 0.3) < cost(found.argmax(-1), found, 0.3)


def test_without_a_potts_term_each_pixel_decides():
    found = np.random.default_rng(5).dirichlet([1] * 3, (6, 6))
    assert (most_probable_field(found, 0.0) == found.argmax(-1)).all()


def test_one_label_needs_no_cut():
    found = np.tile([0.1, 0.8, 0.1], (4, 4, 1))
    assert (most_probable_field(found, 1.0) == 1).all()


def test_what_is_refused(monkeypatch):
    found = np.random.default_rng(6).dirichlet([1, 1], (3, 3))
    with pytest.raises(UserError, match="Potts term is -1"):
        most_probable_field(found, -1)
    load = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("maxflow"):
            raise ModuleNotFoundError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match="pip install 'sebre.rivals.'.*FCNN_POTTS=0"):
        most_probable_field(found, 1)
