"""The network of any section: a U-Net that sees the whole picture and is cheap on a CPU.

Ronneberger et al. 2015, with these differences: the first convolution halves the picture, and
classes come at half its size, where one convolution on each side does; the last level is a few
pixels wide and adds the mean of the whole picture, so that plane and contrast are known
everywhere; batch normalization.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from sebre.synthesis.classes import IGNORE, NUM_CLASSES

STEP = 2  # px of the picture for one of the network's answer
WIDTHS = (16, 32, 64, 128, 256)


def build_network(
    size: int = 192, widths: Sequence[int] = WIDTHS, num_classes: int = NUM_CLASSES
) -> keras.Model:
    """The network with random weights.

    Args:
        size: side of the pictures, px; it must be divisible by 2 ** len(widths).
        widths: filters of each level.
        num_classes: with the outside.

    Returns:
        Pictures float32 [B, size, size, 1], 0..1 -> logits float32 [B, size / 2, size / 2,
        num_classes].

    Raises:
        ValueError: the side does not fit the levels.
    """
    if not widths or size % 2 ** len(widths):
        raise ValueError(
            f"Pictures of {size} px (size) cannot be halved {len(widths)} times, once a level "
            "(widths). Give a multiple of that power of 2."
        )
    picture = keras.Input((size, size, 1), name="picture")
    x = keras.layers.Rescaling(2.0, -1.0, name="rescale")(picture)
    x = _conv(x, widths[0], "stem", kernel=5, strides=STEP)
    skips = []
    for level, width in enumerate(widths):
        if level:
            skips.append(x)
            x = keras.layers.MaxPooling2D(name=f"pool{level}")(x)
            x = _conv(x, width, f"down{level}a")
            x = _conv(x, width, f"down{level}b")
    whole = keras.layers.GlobalAveragePooling2D(keepdims=True, name="whole")(x)
    whole = keras.layers.Conv2D(widths[-1], 1, activation="relu", name="whole_conv")(whole)
    x = _conv(keras.layers.Add(name="with_whole")([x, whole]), widths[-1], "bottom")
    for level in reversed(range(len(widths) - 1)):
        x = _conv(x, widths[level], f"narrow{level}", kernel=1)
        x = keras.layers.UpSampling2D(interpolation="bilinear", name=f"rise{level}")(x)
        x = keras.layers.Concatenate(name=f"skip{level}")([skips[level], x])
        x = _conv(x, widths[level], f"up{level}a")
        if level:
            x = _conv(x, widths[level], f"up{level}b")
    logits = keras.layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x)
    return keras.Model(picture, logits, name="any_section")


@keras.saving.register_keras_serializable(package="sebre")
class WeightedCrossEntropy(keras.losses.Loss):
    """Cross-entropy of the softmax, weighted by class, without the pixels of no class.

    Soft Dice alone collapsed to few classes on pictures of any contrast; this does not.

    Args:
        class_weights: float list [classes]. Of the pixels of each class.

    Call arguments:
        y_true: class ids [B, h, w]; 255 is left out.
        y_pred: logits [B, h, w, classes].
    """

    def __init__(self, class_weights: Sequence[float], **kwargs: Any):
        super().__init__(**kwargs)
        self.class_weights = [float(weight) for weight in class_weights]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        ids = ops.cast(y_true, "int32")
        scored = ops.cast(ids != IGNORE, "float32")
        ids = ops.where(ids == IGNORE, 0, ids)
        weights = scored * ops.take(ops.convert_to_tensor(self.class_weights, "float32"), ids)
        entropy = ops.sparse_categorical_crossentropy(ids, y_pred, from_logits=True)
        return ops.sum(weights * entropy) / ops.maximum(ops.sum(weights), 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "class_weights": self.class_weights}


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Weights of the classes: one over the root of their share of the pixels, mean 1.

    Args:
        labels: uint8, any shape. Class ids; 255 is left out.

    Returns:
        float32 [NUM_CLASSES].
    """
    counts = np.bincount(labels.reshape(-1), minlength=256)[:NUM_CLASSES]
    weights = 1 / np.sqrt(np.maximum(counts / max(counts.sum(), 1), 1e-4))
    return (weights / weights.mean()).astype(np.float32)


def _conv(x: Any, filters: int, name: str, kernel: int = 3, strides: int = 1) -> Any:
    """Convolution, batch normalization, ReLU."""
    x = keras.layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    x = keras.layers.BatchNormalization(momentum=0.98, epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
