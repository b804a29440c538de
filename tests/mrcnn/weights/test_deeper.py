"""A deeper network with the weights of a shallower one computes the same, and can learn more."""

import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.modeling import backbone as modeling
from mrcnn.weights.deeper import begin_as_identity
from mrcnn.weights.loading import load_weights, save_weights

# As ResNet-50 and ResNet-101, which differ in their fourth stage, with fewer blocks.
BLOCKS = {"short": ((1, 1, 2, 1), True), "long": ((1, 1, 4, 1), True)}
ADDED = ["4c", "4d"]


def backbone(architecture, seed):
    keras.utils.set_random_seed(seed)
    image = keras.Input((64, 64, 3))
    maps = modeling.resnet_graph(image, architecture, stage5=True, train_bn=False, width=0.125)
    return keras.Model(image, maps)


@pytest.fixture(scope="module")
def deeper(tmp_path_factory):
    path = tmp_path_factory.mktemp("start") / "short.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modeling, "_ARCHITECTURES", BLOCKS)
        small, large = backbone("short", 0), backbone("long", 1)
    save_weights(small, path)
    return small, large, path


def test_the_deeper_network_starts_as_the_other(deeper):
    small, large, path = deeper
    report = load_weights(large, path, by_name=True)
    image = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype("float32")
    assert not np.allclose(small(image)[4], large(image)[4], rtol=1e-3)
    assert begin_as_identity(large, report.loaded) == ADDED
    for ours, theirs in zip(large(image), small(image), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))


def test_what_was_added_learns(deeper):
    import tensorflow as tf

    _, large, path = deeper
    begin_as_identity(large, load_weights(large, path, by_name=True).loaded)
    scale = large.get_layer("bn4d_branch2c").gamma
    with tf.GradientTape() as tape:
        loss = ops.sum(ops.square(large(np.ones((1, 64, 64, 3), "float32"))[4]))
    assert np.any(ops.convert_to_numpy(tape.gradient(loss, scale.value)))


@pytest.mark.parametrize("loaded", [[], ["conv1", "bn_conv1"]])
def test_blocks_of_a_stage_without_weights_stay(deeper, loaded):
    _, large, _ = deeper
    scale = large.get_layer("bn4d_branch2c").gamma
    scale.assign(ops.ones_like(scale))
    assert begin_as_identity(large, loaded) == []
    assert np.all(ops.convert_to_numpy(scale) == 1)


def test_blocks_with_a_shortcut_of_their_own_stay(deeper):
    _, large, _ = deeper
    names = {layer.name for layer in large.layers if not layer.name.startswith(("res4a", "bn4a"))}
    assert begin_as_identity(large, names) == []
