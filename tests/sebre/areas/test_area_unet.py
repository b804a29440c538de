"""The network of areas: shapes, scales, the encoder it shares, its loss."""

import keras
import numpy as np
import pytest

from sebre.areas.area_samples import (
    CONTEXT_STEP,
    OUTPUT_STEP,
    Augmentation,
    looked_up,
    looked_up_many,
    square,
    standardized,
)
from sebre.areas.area_unet import (
    AreaCrossEntropy,
    build_area_network,
    class_weights,
    copy_detail_encoder,
)
from sebre.areas.pretraining.siamese import build_siamese

WIDTHS = (4, 6, 8, 8), (4, 6, 8)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build_area_network(5, *WIDTHS, patch=32)


def test_the_output_is_half_as_fine_as_the_detail(model):
    inputs = [
        np.zeros(shape, np.float32) for shape in ((2, 64, 64, 1), (2, 32, 32, 1), (2, 32, 32, 5))
    ]
    assert model(inputs).shape == (2, 32, 32, 5)


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_detail_context_and_prior_all_count(model, changed):
    rng = np.random.default_rng(0)
    shapes = ((1, 64, 64, 1), (1, 32, 32, 1), (1, 32, 32, 5))
    inputs = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    before = np.array(model(inputs))
    inputs[changed] = inputs[changed] + rng.normal(size=shapes[changed]).astype(np.float32)
    assert np.abs(np.array(model(inputs)) - before).max() > 1e-4


def test_the_encoder_of_the_siamese_network_fits(model):
    siamese = build_siamese(64, WIDTHS[0])
    other = build_area_network(5, *WIDTHS, patch=32)
    # Convolution and normalization of stem, first level and twice three levels.
    assert copy_detail_encoder(siamese, other) == 16
    name = "detail2a"
    theirs, ours = (m.get_layer(name).get_weights()[0] for m in (siamese, other))
    assert np.array_equal(theirs, ours)


def test_a_square_lies_around_its_center_at_three_scales():
    where = square((40, 50), 32)
    for points in (where.detail, where.context, where.output):
        assert points.reshape(-1, 2).mean(0) == pytest.approx((40, 50))
    steps = [np.diff(points[:, 0, 0])[0] for points in (where.detail, where.context, where.output)]
    assert steps == [1, CONTEXT_STEP, OUTPUT_STEP]
    # The middle half of the context is what the detail shows.
    assert where.context[8, 8] == pytest.approx(where.detail[:4, :4].reshape(-1, 2).mean(0))


def test_an_augmentation_moves_all_scales_alike():
    rng = np.random.default_rng(3)
    where = square((40, 50), 32, Augmentation(20, 0.2, 60), 20.0, rng)
    assert np.abs(where.detail - square((40, 50), 32).detail).max() > 3
    fine = where.detail.reshape(32, 2, 32, 2, 2).mean((1, 3))
    assert np.abs(fine - where.output).max() < 0.8


def test_many_channels_are_looked_up_as_few():
    values = np.random.default_rng(0).uniform(size=(12, 10, 7)).astype(np.float32)
    points = square((6, 5), 4).output
    found = looked_up_many(values, points)
    for n in range(7):
        assert np.allclose(found[..., n], looked_up(np.ascontiguousarray(values[..., n]), points))


def test_tissue_is_standardized():
    image = np.zeros((20, 20), np.uint8)
    image[5:] = np.random.default_rng(0).integers(50, 90, (15, 20))
    found = standardized(image)
    assert found[5:].mean() == pytest.approx(0, abs=0.01)
    assert not standardized(np.zeros((4, 4), np.uint8)).any()


def test_rare_classes_weigh_more():
    labels = np.repeat([0, 1, 2], [400, 100, 1])
    assert class_weights(labels, 4) == [1.0, 2.0, 8.0, 1.0]
    loss = AreaCrossEntropy([1.0, 3.0])
    logits = np.zeros((1, 1, 2, 2), np.float32)
    logits[0, 0, 0] = (0, 9)  # class 0 is missed, class 1 not known
    truth = np.array([[[0, 1]]])
    sure, unsure = 9 + np.log1p(np.exp(-9)), np.log(2)
    assert float(loss(truth, logits)) == pytest.approx((sure + 3 * unsure) / 4, rel=1e-5)
    assert AreaCrossEntropy.from_config(loss.get_config()).class_weights == [1.0, 3.0]
