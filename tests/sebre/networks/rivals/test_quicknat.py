"""QuickNAT: its shape, its unpooling, and its loss."""

import keras
import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.experiments import EXPERIMENTS
from sebre.networks.rivals.quicknat import QUICKNAT, BorderLoss, Unpool, build_quicknat

EXPERIMENT = EXPERIMENTS["ibsr"]


def config(**settings):
    small = {"IMAGE_MIN_DIM": 32, "IMAGE_MAX_DIM": 32, "QUICKNAT_FILTERS": 4}
    return QUICKNAT.config(EXPERIMENT)(**{**small, **settings})


def test_shape_of_the_network():
    model = build_quicknat(config())
    assert model.output_shape == (None, 32, 32, 9)
    assert model.get_layer("bottom").output.shape[1:] == (2, 2, 4)
    # A block is fed with all before it; in the decoder with twice as much.
    widths = [
        model.get_layer(name).input.shape[-1] for name in ("down1b", "down1c", "up1a", "up1c")
    ]
    assert widths == [8, 12, 8, 16]
    assert model.get_layer("up0b").kernel_size == (5, 5)


def test_number_of_weights_that_the_module_states():
    assert round(build_quicknat(config(QUICKNAT_FILTERS=64)).count_params() / 1e6, 1) == 3.3


def test_a_size_that_does_not_fit():
    wrong = config()
    wrong.IMAGE_SHAPE = np.array([40, 32, 3])
    with pytest.raises(UserError, match="40 x 32 px.*multiples of 16"):
        build_quicknat(wrong)


def test_values_go_back_to_the_maxima():
    whole = np.random.default_rng(0).standard_normal((2, 4, 6, 3)).astype(np.float32)
    maxima = keras.layers.MaxPooling2D()(whole)
    values = np.random.default_rng(1).standard_normal(maxima.shape).astype(np.float32)
    back = np.asarray(Unpool()([whole, maxima, values]))
    again = back.reshape(2, 2, 2, 3, 2, 3)
    np.testing.assert_allclose(again.sum((2, 4)), values, rtol=1e-6)
    assert ((back != 0) == (whole == np.repeat(np.repeat(maxima, 2, 1), 2, 2))).all()


def test_rare_classes_and_borders_weigh_more():
    loss = BorderLoss([0.9, 0.09, 0.01, 0.0], dice_weight=0)
    np.testing.assert_allclose(loss.class_weights, [0.1, 1, 9, 9], rtol=1e-5)
    assert loss.border_weight == pytest.approx(18)
    labels = np.zeros((1, 5, 5), int)
    labels[0, 2, 2] = 1
    logits = np.zeros((1, 5, 5, 4), np.float32)
    logits[..., 0] = 3  # right but in the middle
    entropy = np.full((5, 5), np.log(np.exp(3) + 3) - 3)
    entropy[2, 2] += 3
    weights = np.full((5, 5), 0.1)
    weights[2, 2] = 1
    for y, x in ((2, 2), (1, 2), (3, 2), (2, 1), (2, 3)):
        weights[y, x] += 18
    wanted = (weights * entropy).sum() / weights.sum()
    assert float(loss(labels, logits)) == pytest.approx(wanted, rel=1e-5)


def test_the_dice_loss_is_of_the_classes_that_are_shown():
    labels = np.zeros((1, 4, 4), int)
    labels[0, :2] = 2
    sure = 30 * np.eye(3, dtype=np.float32)[labels]
    assert float(BorderLoss([0.5, 0.1, 0.4])(labels, sure)) == pytest.approx(0, abs=1e-4)
    flat = BorderLoss([0.5, 0.1, 0.4], dice_weight=1)
    plain = BorderLoss([0.5, 0.1, 0.4], dice_weight=0)
    zeros = np.zeros((1, 4, 4, 3), np.float32)
    third = 1 / 3
    dice = 2 * 8 * third / (16 * third**2 + 8)
    assert float(flat(labels, zeros) - plain(labels, zeros)) == pytest.approx(1 - dice, rel=1e-4)


def test_a_loss_is_made_again_of_its_settings():
    loss = BorderLoss([0.7, 0.3], dice_weight=0.5)
    again = BorderLoss.from_config(loss.get_config())
    assert (again.shares, again.dice_weight) == ([0.7, 0.3], 0.5)
