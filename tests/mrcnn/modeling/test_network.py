"""The training graph leaves out of the backward pass what has no gradient, and only that."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from phantoms import PhantomConfig, Phantoms

from mrcnn.accelerate.rpn_sampling import rpn_at, sampled_anchors
from mrcnn.data.batches import Batches
from mrcnn.model import MaskRCNN
from mrcnn.modeling.layers import LayerStyle
from mrcnn.modeling.rpn import apply_rpn, build_rpn_model


def test_the_sample_holds_all_anchors_that_count_in_their_order():
    match = np.zeros((2, 50, 1), "int32")
    match[0, [40, 3, 17], 0] = 1, -1, -1
    match[1, [49, 0], 0] = -1, 1
    rows = np.asarray(sampled_anchors(match, 4))
    assert (np.diff(rows) > 0).all()
    assert {3, 17, 40} <= set(rows[0]) and {0, 49} <= set(rows[1])


@pytest.mark.parametrize("stride", [1, 2])
def test_rpn_at_some_anchors_has_the_values_and_gradients_of_the_whole_rpn(stride):
    rpn = build_rpn_model(stride, 3, 5, 7, LayerStyle())
    rng = np.random.default_rng(0)
    for weight in rpn.weights:
        weight.assign(rng.normal(size=weight.shape))
    sides = ((8, 6), (4, 3), (2, 2), (1, 1))
    maps = [tf.Variable(rng.normal(size=(2, *s, 5)).astype("float32")) for s in sides]
    count = 3 * sum(-(-h // stride) * -(-w // stride) for h, w in sides)
    rows = np.stack([np.sort(rng.permutation(count)[: count // 2]) for _ in range(2)])
    weights = rng.normal(size=(2, count // 2, 6)).astype("float32")
    found = []
    for whole in (True, False):
        with tf.GradientTape() as tape:
            levels = [tf.identity(m) for m in maps]
            if whole:
                logits, _, deltas = apply_rpn(rpn, levels)
                values = tf.gather(tf.concat([logits, deltas], -1), rows, batch_dims=1)
            else:
                values = rpn_at(rpn, levels, tf.constant(rows, tf.int32))
            total = tf.reduce_sum(values * weights)
        sources = [*maps, *(w.value for w in rpn.weights)]
        found.append([values, *map(tf.convert_to_tensor, tape.gradient(total, sources))])
    for wanted, value in zip(*found, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-4)


def measured(config, tmp_path, weights, inputs):
    """Outputs and gradients of one step; the model's weights are set first."""
    model = MaskRCNN("training", config, tmp_path).keras_model
    model.set_weights(weights or model.get_weights())
    with tf.GradientTape() as tape:
        outputs = model([tf.constant(a) for a in inputs], training=True)
        total = model.compute_loss(y_pred=outputs)
    gradients = tape.gradient(total, [v.value for v in model.trainable_variables])
    return model, [o.numpy() for o in outputs], [tf.convert_to_tensor(g) for g in gradients]


def test_masks_of_negative_rois_are_given_but_not_differentiated(tmp_path):
    settings = {"TRAIN_BN": False, "SEED": 1, "TRAIN_ROIS_PER_IMAGE": 11}
    config = PhantomConfig(MASK_ROIS="positive", **settings)
    (inputs,) = Batches(Phantoms(2), config)[0]
    model, outputs, gradients = measured(config, tmp_path, None, inputs)
    weights = model.get_weights()
    config = PhantomConfig(MASK_ROIS="all", **settings)
    _, all_outputs, all_gradients = measured(config, tmp_path, weights, inputs)
    slots = outputs[6].shape[1]
    assert all_outputs[6].shape[1] == 11 > 2 * slots
    np.testing.assert_allclose(all_outputs[6][:, :slots], outputs[6], atol=1e-6)
    np.testing.assert_allclose(all_outputs[-5:], outputs[-5:], rtol=1e-5)
    for wanted, gradient in zip(gradients, all_gradients, strict=True):
        rounding = 2e-6 * max(1.0, np.abs(wanted).max())
        np.testing.assert_allclose(gradient, wanted, rtol=1e-3, atol=rounding)
    # The other rows are what the head gives for their ROIs, not a filling.
    rois, masks = all_outputs[8], all_outputs[6]
    meta, levels = inputs[1], [model.get_layer(f"fpn_p{n}").output for n in range(2, 6)]
    maps = keras.Function(model.inputs, levels)([tf.constant(a) for a in inputs])
    head = keras.Function([*model.get_layer("roi_align_mask").input], model.outputs[6])
    expected = head([tf.constant(rois[:, -slots:]), tf.constant(meta), *maps])
    np.testing.assert_allclose(masks[:, -slots:], expected, atol=1e-5)
    assert np.ptp(masks[:, -slots:]) > 0
