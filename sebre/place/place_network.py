"""The network that says where in the brain each part of a section lies.

It stands on the network of any section, whose features stay as they are: on a grid of 20 x 20
cells it says the place of the tissue of each cell in the frame of the atlas, and how sure it is;
of the section as a whole, the age.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

GRID = 20  # cells on each side of the square that the network sees
WIDTH = 80
_BLOCKS = (1, 2, 1)  # dilation of each
_FEATURES = ("up2b_relu", "down2b_relu", "down3b_relu", "up3b_relu", "bottom_relu", "logits")
# Channels of the answer for a cell.
PLACE, SPREAD, TISSUE = slice(0, 3), slice(3, 6), slice(6, 7)


def feature_model(network: keras.Model) -> keras.Model:
    """Of the network of any section, the features that the head takes.

    Args:
        network: of `sebre.networks.any_section.build_network`.

    Raises:
        ValueError: a network without such levels.
    """
    outputs = [network.get_layer(name).output for name in _FEATURES]
    outputs[-1] = keras.layers.Softmax(name="shares")(outputs[-1])
    pooled = []
    for output in outputs:
        factor = output.shape[1] // GRID
        if factor > 1:
            output = keras.layers.AveragePooling2D(factor)(output)
        pooled.append(output)
    return keras.Model(network.inputs[0], pooled, name="place_features")


def build_head(features: keras.Model, width: int = WIDTH) -> keras.Model:
    """The head with random weights.

    Args:
        features: of `feature_model`.
        width: channels.

    Returns:
        Features -> answers for the cells float32 [B, GRID, GRID, 7] (see PLACE, SPREAD, TISSUE),
        and for the section float32 [B, 2]: logarithm of the age in days and of its spread.
    """
    inputs = [keras.Input(output.shape[1:]) for output in features.outputs]
    parts = []
    for number, one in enumerate(inputs):
        x = keras.layers.Conv2D(width, 1, use_bias=not number, name=f"enter{number}")(one)
        if GRID // one.shape[1] > 1:
            factor = GRID // one.shape[1]
            x = keras.layers.UpSampling2D(factor, interpolation="bilinear", name=f"up{number}")(x)
        parts.append(x)
    x = keras.layers.Add(name="entered")(parts)
    x = _normalized(x, "entered")
    for number, dilation in enumerate(_BLOCKS):
        name = f"block{number}"
        y = keras.layers.Conv2D(
            width, 3, padding="same", use_bias=False, dilation_rate=dilation, name=f"{name}a"
        )(x)
        y = _normalized(y, f"{name}a")
        whole = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_whole")(y)
        whole = keras.layers.Conv2D(width, 1, name=f"{name}_whole_conv")(whole)
        y = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}b")(y)
        x = keras.layers.Add(name=f"{name}_add")([x, y, whole])
        x = _normalized(x, f"{name}b")
    cells = keras.layers.Conv2D(7, 1, dtype="float32", name="cells")(x)
    whole = keras.layers.Concatenate(name="whole")(
        [
            keras.layers.GlobalAveragePooling2D(name="whole_mean")(x),
            keras.layers.GlobalMaxPooling2D(name="whole_most")(x),
        ]
    )
    age = keras.layers.Dense(64, activation="relu", name="age_hidden")(whole)
    age = keras.layers.Dense(2, dtype="float32", name="age")(age)
    return keras.Model(inputs, [cells, age], name="place_head")


def _normalized(x: Any, name: str) -> Any:
    x = keras.layers.BatchNormalization(momentum=0.98, epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def head_arrays(head: keras.Model) -> dict[str, np.ndarray]:
    """Weights of a head by the name of their variable, float16."""
    return {v.path.replace("/", "."): np.asarray(v, np.float16) for v in head.weights}


def load_head(head: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Give a head the weights of `head_arrays`.

    Raises:
        KeyError, ValueError: they are those of another head.
    """
    for variable in head.weights:
        variable.assign(np.asarray(arrays[variable.path.replace("/", ".")], np.float32))
