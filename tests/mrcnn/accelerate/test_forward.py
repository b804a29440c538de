import threading

import keras
import numpy as np
import pytest

from mrcnn.accelerate import folding, winograd
from mrcnn.accelerate.fast_layers import FastBatchNorm, FastConv
from mrcnn.accelerate.forward import compile_forward
from mrcnn.config import Config
from mrcnn.model import MaskRCNN
from mrcnn.modeling.layers import BatchNorm, LayerStyle, nested_layers


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def small_network(style=None, train_bn=False, side=16):
    """Every way in which a convolution, a normalization and a rectifier meet."""
    style = style or LayerStyle(train_bn=train_bn)
    inner_input = keras.Input([side, side, 8])
    inner = keras.Model(
        inner_input,
        style.conv(8, 3, "inner", padding="same", activation="relu")(inner_input),
        name="inner_model",
    )
    images = keras.Input([side, side, 3])
    x = style.relu()(style.norm("norm_a")(style.conv(8, 3, "a", padding="same")(images)))
    shortcut = style.norm("norm_b")(style.conv(16, 1, "b", strides=2)(x))
    y = style.conv(16, 3, "c", strides=2, padding="same")(x)
    read_twice = style.norm("norm_c")(y)
    x = style.relu()(style.add()([shortcut, read_twice, y]))
    x = style.conv(8, 3, "d", padding="same", activation="tanh")(x)
    x = inner(keras.layers.UpSampling2D(2)(x))
    rows = style.relu()(style.norm("norm_e")(style.conv(5, side, "e")(x)))
    outputs = [keras.layers.Activation("linear", dtype="float32")(t) for t in (x, rows)]
    model = keras.Model([images], [*outputs, read_twice])
    rng = np.random.default_rng(1)
    for layer in nested_layers(model):
        if isinstance(layer, BatchNorm):
            n = layer.gamma.shape
            layer.set_weights(
                [rng.uniform(0.5, 2, n), *rng.normal(size=(2, *n)), rng.uniform(0.1, 4, n)]
            )
        elif isinstance(layer, keras.layers.Conv2D):
            layer.bias.assign(rng.normal(size=layer.bias.shape))
    return model


def gap(found, wanted):
    return max(
        np.abs(np.asarray(f, "float32") - np.asarray(w, "float32")).max() / np.abs(w).max()
        for f, w in zip(found, wanted, strict=True)
    )


def by_the_layers(model, images):
    return [keras.ops.convert_to_numpy(o) for o in model([images], training=False)]


@pytest.mark.parametrize("shape", [(1, 16, 16, 4), (2, 14, 9, 3), (3, 5, 22, 7)])
def test_winograd_is_the_convolution(shape):
    images, kernel, bias = values(*shape), values(3, 3, shape[-1], 6, seed=1), values(6, seed=2)
    found = winograd.convolve(images, winograd.transform_kernel(kernel).astype("float32"), bias)
    wanted = keras.ops.conv(images, kernel, padding="same") + bias
    np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("products", [0, 1e18], ids=["winograd", "direct"])
def test_folding_changes_nothing(monkeypatch, products):
    monkeypatch.setattr(winograd, "_LEAST_PRODUCTS", products)
    forms = []
    form = folding.FoldedModel._form
    monkeypatch.setattr(
        folding.FoldedModel, "_form", lambda *a: forms.append(form(*a)) or forms[-1]
    )
    model = small_network()
    images = values(2, 16, 16, 3)
    found = compile_forward(model)([images])
    assert gap(found, by_the_layers(model, images)) < 2e-5
    assert ("winograd" in forms) == (products == 0)
    assert "dense" in forms


def test_what_is_folded():
    plan = folding.FoldedModel(small_network())
    absorbed = {layer.name for layer in plan._absorbed}
    absorbed = {n for n in ("norm_a", "norm_b", "norm_c", "norm_e") if n in absorbed}
    assert absorbed == {"norm_a", "norm_b", "norm_e"}, "c is read by two layers"
    plan = folding.FoldedModel(small_network(train_bn=True))
    assert plan._norms == {}, "statistics of the batch are no constants"
    style = LayerStyle()
    images = keras.Input([8, 8, 3])
    conv = style.conv(4, 3, "shown")(images)
    shown = keras.Model(images, [conv, style.relu()(style.norm("norm")(conv))])
    plan = folding.FoldedModel(shown)
    assert "norm" not in {layer.name for layer in plan._absorbed}, (
        "an output of the model stays as it is"
    )


def test_a_change_of_weights_is_noticed():
    model = small_network()
    images = values(1, 16, 16, 3)
    forward = compile_forward(model)
    before = forward([images])
    kernel, _ = model.get_layer("a").get_weights()
    kernel[..., 3] = 0  # one filter switched off
    model.get_layer("a").kernel.assign(kernel)
    after = forward([images])
    assert gap(after, before) > 1e-3
    assert gap(after, by_the_layers(model, images)) < 2e-5
    model.set_weights([0.5 * w for w in model.get_weights()])
    assert gap(forward([images]), by_the_layers(model, images)) < 2e-5


@pytest.mark.parametrize("precision, tolerance", [("bfloat16", 0.06), ("float16", 0.01)])
def test_low_precision_stays_near(precision, tolerance):
    exact, images = small_network(), values(1, 16, 16, 3)
    model = small_network(LayerStyle(train_bn=False, precision=precision))
    model.set_weights(exact.get_weights())
    found = compile_forward(model)([images])
    assert found[0].dtype == np.float32
    assert 1e-5 < gap(found, by_the_layers(exact, images)) < tolerance


def test_each_shape_is_compiled_once(monkeypatch):
    calls = []
    convolve = folding.FoldedModel._convolve
    monkeypatch.setattr(
        folding.FoldedModel, "_convolve", lambda *a: calls.append(1) or convolve(*a)
    )
    forward = compile_forward(small_network())
    for batch, traces in ((1, 1), (1, 1), (2, 2), (1, 2), (2, 2)):
        forward([values(batch, 16, 16, 3)])
        assert len(calls) == traces * 6


class Tiny(Config):
    NAME = "tiny"
    BACKBONE, BACKBONE_WIDTH = "resnet18", 0.25
    TOP_DOWN_PYRAMID_SIZE, RPN_CONV_FILTERS = 16, 16
    FPN_CLASSIF_FC_LAYERS_SIZE, MASK_CONV_FILTERS = 32, 16
    NUM_CLASSES, IMAGES_PER_GPU, SEED = 3, 1, 0
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    POST_NMS_ROIS_INFERENCE, DETECTION_MAX_INSTANCES, DETECTION_MIN_CONFIDENCE = 50, 4, 0


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return MaskRCNN("inference", Tiny(), tmp_path_factory.mktemp("logs"))


def test_threads_may_detect_at_once(detector):
    images = [np.random.default_rng(i).integers(0, 255, (64, 64, 3), np.uint8) for i in range(8)]
    assert 0 < detector.warm_up((50, 40)) < 300
    wanted = [detector.detect([image])[0] for image in images]
    found = [None] * len(images)

    def work(first):
        for i in range(first, len(images), 2):
            found[i] = detector.detect([images[i]])[0]

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, wanted, strict=True):
        assert len(one["scores"]) == 4
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_masks_in_other_formats(detector):
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    full, short = detector.detect([image])[0], detector.detect([image], masks="rle")[0]
    np.testing.assert_array_equal(full["rois"], short["rois"])
    assert len(short["masks"]) == full["masks"].shape[-1]
    with pytest.raises(ValueError, match="'full', 'rle', 'contours'"):
        detector.detect([image], masks="polygon")


def test_memory_does_not_grow(detector):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1])

    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for _ in range(20):
        detector.detect([image])
    before = resident()
    for _ in range(200):
        detector.detect([image])
    assert resident() < 1.05 * before


def gradients(layer, images):
    """Outputs of a layer, and gradients to the images and to its trainable weights, float32."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 2)
    found = [outputs, *tape.gradient(loss, [images, *layer.trainable_weights])]
    return [tf.cast(f, tf.float32) for f in found]


def test_winograd_in_training_has_the_gradients_of_the_convolution(monkeypatch):
    tf = pytest.importorskip("tensorflow")
    images = tf.constant(values(2, 18, 15, 4))
    ours = FastConv(6, 3, padding="same", activation="relu")
    direct = keras.layers.Conv2D(6, 3, padding="same", activation="relu")
    for layer in (ours, direct):
        layer.build(images.shape)
        layer.set_weights([values(3, 3, 4, 6, seed=1), values(6, seed=3)])
    used = []
    convolve = winograd.convolve_in_training
    monkeypatch.setattr(winograd, "convolve_in_training", lambda *a: used.append(1) or convolve(*a))
    monkeypatch.setattr(winograd, "_LEAST_PRODUCTS", 0)
    assert gap(gradients(ours, images), gradients(direct, images)) < 5e-5
    assert used


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_stored_statistics_in_low_precision(precision):
    tf = pytest.importorskip("tensorflow")
    images = tf.cast(values(2, 9, 7, 4), precision)
    style = LayerStyle(train_bn=False, precision=precision, normalization=FastBatchNorm)
    ours = style.norm("norm")
    keras_layer = keras.layers.BatchNormalization(dtype=f"mixed_{precision}")
    for layer in (ours, keras_layer):
        layer.build(images.shape)
    rng = np.random.default_rng(1)
    ours.set_weights([rng.uniform(0.5, 2, 4), *rng.normal(size=(2, 4)), rng.uniform(0.1, 4, 4)])
    keras_layer.set_weights(ours.get_weights())
    assert ours(images, training=True).dtype == precision
    assert gap(gradients(ours, images), gradients(keras_layer, images)) < 1e-2
