"""What is done to a network before it ships."""

import dataclasses

import keras
import numpy as np
import pytest
from section_cases import HALF, WHOLE, prepared

from mrcnn.errors import UserError
from sebre.cli.publish import Release, best_dice, license_of, tame_statistics
from sebre.experiments import EXPERIMENTS


def test_large_batch_statistics_shrink_and_the_function_stays():
    inputs = keras.Input((6, 6, 2))
    x = inputs
    for conv, norm in (
        ("conv1", "bn_conv1"),
        ("mrcnn_class_conv1", "mrcnn_class_bn1"),
        ("mrcnn_mask_conv1", "mrcnn_mask_bn1"),
    ):
        x = keras.layers.Conv2D(3, 2, name=conv, bias_initializer="random_normal")(x)
        x = keras.layers.BatchNormalization(name=norm, epsilon=1e-3)(x)
    model = keras.Model(inputs, x)
    large = model.get_layer("bn_conv1")
    large.moving_variance.assign([4e5, 2e4, 9e4])
    large.moving_mean.assign([300.0, -20.0, 5.0])
    image = np.random.default_rng(0).uniform(0, 255, (1, 6, 6, 2)).astype(np.float32)
    before = np.asarray(model(image))
    other = model.get_layer("mrcnn_mask_conv1").get_weights()

    tame_statistics(model)

    np.testing.assert_allclose(np.asarray(large.moving_variance), [1e4, 500, 2250], rtol=1e-5)
    np.testing.assert_allclose(np.asarray(model(image)), before, rtol=1e-4, atol=1e-5)
    for a, b in zip(other, model.get_layer("mrcnn_mask_conv1").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_best_dice_of_labels_that_cannot_overlap(tmp_path):
    # Where the left half lies on the whole square, 32 of its 64 px are lost: Dice 2 / 3.
    dataset = prepared(tmp_path / "overlapping", [{2: HALF, 4: WHOLE}, {4: WHOLE}, {}])
    assert best_dice(dataset) == pytest.approx((1 + (2 / 3 + 1) / 2) / 2)
    assert best_dice(prepared(tmp_path / "apart", [{4: WHOLE}])) == 1


def test_the_license_is_given_or_that_of_the_data(tmp_path):
    release = Release("x", "w.h5", EXPERIMENTS["slicemap"], tmp_path, "sebre train", "none")
    with pytest.raises(UserError, match="states no licence. Say with --licence"):
        license_of(release)
    (tmp_path / "dataset.json").write_text('{"licence": "CC BY-NC 3.0"}')
    assert license_of(release) == "MIT for the code; trained on data under CC BY-NC 3.0"
    assert license_of(dataclasses.replace(release, license="CC0")) == "CC0"
