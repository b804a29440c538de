"""Region proposal network: objectness and box deltas for every anchor."""

import functools
from typing import Any

import keras
from keras import layers

from mrcnn.modeling.layers import LayerStyle, SoftmaxOfTwo


def build_rpn_model(
    anchor_stride: int,
    anchors_per_location: int,
    depth: int,
    filters: int = 512,
    style: LayerStyle | None = None,
) -> keras.Model:
    """The model `rpn_model`, shared by all pyramid levels.

    Anchors lie `anchor_stride` cells apart; `anchors_per_location` is the number of ratios,
    `depth` the channels of the feature maps; the shared 3x3 convolution has `filters`.

    Returns:
        Model [B, h, w, depth] -> logits [B, n, 2] (background, foreground),
        probabilities [B, n, 2], deltas [B, n, (dy, dx, log dh, log dw)], all float32;
        n = h * w * anchors_per_location, in anchor order: row, column, ratio.
    """
    feature_map = keras.Input([None, None, depth], name="input_rpn_feature_map")
    outputs = rpn_graph(feature_map, anchors_per_location, anchor_stride, filters, style)
    return keras.Model(feature_map, outputs, name="rpn_model")


def rpn_graph(
    feature_map: Any,
    anchors_per_location: int,
    anchor_stride: int,
    filters: int = 512,
    style: LayerStyle | None = None,
) -> list[Any]:
    """What `build_rpn_model` makes a model of: [logits, probabilities, deltas]."""
    style = style or LayerStyle()
    shared = style.conv(
        filters, 3, "rpn_conv_shared", padding="same", activation="relu", strides=anchor_stride
    )(feature_map)
    # Outputs are float32 at any precision: they decide on scores and coordinates.
    output = functools.partial(style.conv, size=1, spread=0.01, dtype="float32")
    logits = output(2 * anchors_per_location, name="rpn_class_raw")(shared)
    logits = layers.Reshape((-1, 2))(logits)
    probabilities = SoftmaxOfTwo(name="rpn_class_xxx")(logits)
    deltas = output(4 * anchors_per_location, name="rpn_bbox_pred")(shared)
    deltas = layers.Reshape((-1, 4))(deltas)
    return [logits, probabilities, deltas]


def apply_rpn(rpn: keras.Model, feature_maps: list[Any]) -> list[Any]:
    """Run the RPN on every level and join the levels in anchor order: [rpn_class_logits [B, A, 2],
    rpn_class [B, A, 2], rpn_bbox [B, A, 4]]."""
    outputs = zip(*[rpn(features) for features in feature_maps], strict=True)
    names = ("rpn_class_logits", "rpn_class", "rpn_bbox")
    return [
        layers.Concatenate(axis=1, name=name)(list(output))
        for name, output in zip(names, outputs, strict=True)
    ]
