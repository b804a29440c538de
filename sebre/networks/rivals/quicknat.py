"""QuickNAT: densely connected blocks, unpooling to where a maximum was, and weighted borders.

Source: Roy et al., "QuickNAT: A fully convolutional network for quick and accurate segmentation of
neuroanatomy", NeuroImage 2019. Four dense blocks, each pooled by 2; a bottleneck; four dense
blocks behind unpooling, each beside what the encoder had at that size; a classifier. A dense block
is two 5 x 5 convolutions and one of 1 x 1, each behind batch normalization and a rectifier, each
fed with all before it. The loss weighs rare classes and the borders between classes.

Size: 3.3 million weights at the paper's 64 filters (QUICKNAT_FILTERS), for nine classes and a
picture of three channels.

What differs here: pictures, augmentation, optimizer and steps are those of the other networks, so
that the methods can be compared (the paper: SGD from 0.1, and a first training on labels of
FreeSurfer, which nobody has here); where the largest of four values occurs twice, unpooling gives
to both; a network is of one plane, and `sebre.trials.plane_views` takes the mean of three, where
that of sagittal slices learned sides apart and is taken for both (the paper: learned without).
"""

from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.modeling.layers import LayerStyle
from sebre.networks.unet import GRAY_UNIT, PixelKind, UNetSegmenter

_DEPTH = 4  # dense blocks of the encoder, and of the decoder
_SIDE = 5  # of the kernels


class QuickNATSettings:
    """Settings of QuickNAT; the rest are those of an experiment's small variant."""

    QUICKNAT_FILTERS = 64
    QUICKNAT_DICE_WEIGHT = 1.0  # of the Dice loss, beside the weighted cross-entropy
    QUICKNAT_SPECK = 0.0  # share of the picture; the paper drops no parts


@keras.saving.register_keras_serializable(package="sebre")
class Unpool(keras.layers.Layer):
    """Puts values back to where the maxima of a pooling by 2 were, and zeros elsewhere.

    Call arguments:
        inputs: what was pooled [B, h, w, C], its maxima and the values, both [B, h/2, w/2, C].
    """

    def call(self, inputs: Any) -> Any:
        whole, maxima, values = inputs
        chosen = ops.cast(whole >= _enlarged(maxima), values.dtype)
        return chosen * _enlarged(values)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]


def _enlarged(x: Any) -> Any:
    return ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)


def build_quicknat(config: Config) -> keras.Model:
    """The network, with random weights.

    Returns:
        Molded images float32 [B, h, w, C] -> logits float32 [B, h, w, NUM_CLASSES].
    """
    style, filters = LayerStyle.of(config), config.QUICKNAT_FILTERS
    shape = tuple(int(side) for side in config.IMAGE_SHAPE)
    if filters < 1 or any(side % 2**_DEPTH for side in shape[:2]):
        raise UserError(
            f"A QuickNAT of {filters} filters (QUICKNAT_FILTERS) for images of {shape[0]} x "
            f"{shape[1]} px: the filters must be at least 1, and the sides multiples of "
            f"{2**_DEPTH}."
        )

    def joined(parts: list[Any], name: str) -> Any:
        return keras.layers.Concatenate(name=name, dtype=style.policy)(parts)

    def step(x: Any, side: int, name: str) -> Any:
        x = style.relu(f"{name}_relu")(style.norm(f"{name}_bn")(x))
        return style.conv(filters, side, name, padding="same")(x)

    def dense(x: Any, name: str) -> Any:
        first = step(x, _SIDE, f"{name}a")
        second = step(joined([x, first], f"{name}a_join"), _SIDE, f"{name}b")
        return step(joined([x, first, second], f"{name}b_join"), 1, f"{name}c")

    image = keras.Input(shape, name="image")
    x = keras.layers.Rescaling(1 / GRAY_UNIT, name="rescale")(image)
    pooled = []
    for level in range(_DEPTH):
        whole = dense(x, f"down{level}")
        x = keras.layers.MaxPooling2D(name=f"pool{level}", dtype=style.policy)(whole)
        pooled.append((whole, x))
    x = style.norm("bottom_bn")(style.conv(filters, _SIDE, "bottom", padding="same")(x))
    for level in reversed(range(_DEPTH)):
        whole, maxima = pooled[level]
        risen = Unpool(name=f"unpool{level}", dtype=style.policy)([whole, maxima, x])
        x = dense(joined([risen, whole], f"skip{level}"), f"up{level}")
    logits = style.conv(config.NUM_CLASSES, 1, "logits", dtype="float32")(x)
    return keras.Model(image, logits, name="quicknat")


@keras.saving.register_keras_serializable(package="sebre")
class BorderLoss(keras.losses.Loss):
    """Cross-entropy with weights of classes and borders, and a soft Dice loss.

    A pixel weighs as much as the median of the shares of the classes is greater than the share of
    its own; on a border between classes twice that of the rarest class more.

    Args:
        shares: float [K], of the classes among the pixels of the training sections, the background
            first; classes that do not occur weigh as the rarest one that does.
        dice_weight: float. Of the Dice loss. Defaults to `1.0`.

    Call arguments:
        y_true: class ids [B, h, w].
        y_pred: logits [B, h, w, K].

    Source: Roy et al. 2019, "loss function".
    """

    def __init__(self, shares: Any, dice_weight: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.shares = [float(share) for share in shares]
        self.dice_weight = dice_weight
        found = np.array([share for share in self.shares if share > 0])
        filled = np.maximum(self.shares, found.min())
        self.class_weights = (np.median(found) / filled).astype(np.float32)
        self.border_weight = float(2 * np.median(found) / found.min())

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels, logits = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
        truth = ops.one_hot(labels, logits.shape[-1], dtype="float32")
        weights = ops.take(ops.convert_to_tensor(self.class_weights), labels)
        weights = weights + self.border_weight * _on_border(labels)
        entropy = ops.categorical_crossentropy(truth, logits, from_logits=True)
        weighted = ops.sum(weights * entropy) / ops.sum(weights)
        found, pixels = ops.softmax(logits), (0, 1, 2)
        both = ops.sum(found * truth, axis=pixels)
        squares = ops.sum(found**2, axis=pixels) + ops.sum(truth, axis=pixels)
        shown = ops.cast(ops.sum(truth, axis=pixels) > 0, "float32")
        dices = ops.sum(shown * 2 * both / (squares + 1e-6)) / ops.sum(shown)
        return weighted + self.dice_weight * (1 - dices)

    def get_config(self) -> dict[str, Any]:
        own = {"shares": self.shares, "dice_weight": self.dice_weight}
        return {**super().get_config(), **own}


def _on_border(labels: Any) -> Any:
    """1 where a pixel [B, h, w] or a neighbor of it has another label, else 0."""
    padded = ops.pad(labels, ((0, 0), (1, 1), (1, 1)), mode="symmetric")
    middle = padded[:, 1:-1, 1:-1]
    neighbors = (
        padded[:, :-2, 1:-1],
        padded[:, 2:, 1:-1],
        padded[:, 1:-1, :-2],
        padded[:, 1:-1, 2:],
    )
    other = sum(ops.cast(middle != one, "float32") for one in neighbors)
    return ops.minimum(other, 1.0)


class QuickNATSegmenter(UNetSegmenter):
    """A QuickNAT of one plane ready to segment sections."""

    network: ClassVar[str] = "QuickNAT"
    speck: ClassVar[str] = "QUICKNAT_SPECK"


def _loss(config: Config, shares: Callable[[], np.ndarray]) -> BorderLoss:
    return BorderLoss(shares(), config.QUICKNAT_DICE_WEIGHT)


QUICKNAT = PixelKind(
    name="quicknat",
    settings=QuickNATSettings,
    build=build_quicknat,
    segmenter=QuickNATSegmenter,
    loss=_loss,
    words=lambda config: f"{config.QUICKNAT_FILTERS} filters, one plane",
)
