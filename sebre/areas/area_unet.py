"""The network of areas: a U-Net of two scales, with an atlas prior as a second encoder.

After Spitzer et al. 2017 (arXiv 1705.10545), who give a U-Net cytoarchitecture at high resolution
and, at low resolution, where it lies and what an atlas expects there. Here:

- a detail encoder sees a square of the section;
- a context encoder sees twice its width at a quarter of its resolution;
- a prior encoder sees the areas that a registered neighbor expects in that context, blurred;
- one decoder joins them and labels the square at half its resolution.

The prior comes in at the low resolution only and is blurred (`sebre.areas.atlas_prior`): where a
border lies exactly, the section alone can say.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

DETAIL_WIDTHS = (16, 32, 48, 64)
CONTEXT_WIDTHS = (16, 32, 48)
PATCH = 96  # side of the output, in its pixels
_MOMENTUM = 0.95  # trainings are short


def build_area_network(
    classes: int,
    detail_widths: Sequence[int] = DETAIL_WIDTHS,
    context_widths: Sequence[int] = CONTEXT_WIDTHS,
    patch: int = PATCH,
) -> keras.Model:
    """The network with random weights.

    Args:
        classes: with the background.
        detail_widths: filters of the levels of detail encoder and decoder.
        context_widths: filters of the levels of the encoders of context and prior.
        patch: side of the output, a multiple of 16.

    Returns:
        detail float32 [B, 2 patch, 2 patch, 1], context [B, patch, patch, 1] and prior
        [B, patch, patch, classes] -> logits float32 [B, patch, patch, classes]. A pixel of the
        output is two of the detail; of context and prior it is half of one. A prior of zeros is
        none.
    """
    detail = keras.Input((2 * patch, 2 * patch, 1), name="detail")
    context = keras.Input((patch, patch, 1), name="context")
    prior = keras.Input((patch, patch, classes), name="prior")
    skips = encode_detail(detail, detail_widths)

    around = _conv(context, context_widths[0], "context_in")
    expected = _conv(prior, context_widths[0], "prior_in", kernel=1)
    levels = []
    for number, width in enumerate(context_widths):
        if number:
            around, expected = (
                keras.layers.MaxPooling2D(name=f"{name}_pool{number}")(x)
                for name, x in (("context", around), ("prior", expected))
            )
        expected = _conv(expected, width, f"prior{number}")
        around = keras.layers.Concatenate(name=f"met{number}")([around, expected])
        around = _block(around, width, f"context{number}")
        levels.append(around)
    for number in reversed(range(len(levels) - 1)):
        around = _joined(around, levels[number], context_widths[number], f"context_up{number}")
    # What lies under the detail: the middle half.
    around = keras.layers.Cropping2D(patch // 4, name="middle")(around)

    x = skips[-1]
    for number in reversed(range(len(skips) - 1)):
        skip = skips[number]
        if number == 1:  # the resolution of the context
            skip = keras.layers.Concatenate(name="with_context")([skip, around])
        x = _joined(x, skip, detail_widths[number], f"up{number}")
    logits = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(x)
    return keras.Model([detail, context, prior], logits, name="areas")


def encode_detail(
    detail: keras.KerasTensor, widths: Sequence[int] = DETAIL_WIDTHS
) -> list[keras.KerasTensor]:
    """Features of the detail at 1/2, 1/4, ... of its resolution.

    Its layers are named `detail_...`: `sebre.areas.pretraining.siamese` learns the same ones
    without labels.
    """
    x, found = detail, []
    for number, width in enumerate(widths):
        if number:
            x = keras.layers.MaxPooling2D(name=f"detail_pool{number}")(x)
            x = _block(x, width, f"detail{number}")
        else:
            x = _conv(x, width, "detail_stem", kernel=4, strides=2)
            x = _conv(x, width, "detail0")
        found.append(x)
    return found


def copy_detail_encoder(source: keras.Model, target: keras.Model) -> int:
    """Give a network the detail encoder of another one; returns the number of layers copied."""
    theirs = {layer.name: layer for layer in source.layers if layer.weights}
    count = 0
    for layer in target.layers:
        if layer.name.startswith("detail") and layer.weights and layer.name in theirs:
            layer.set_weights(theirs[layer.name].get_weights())
            count += 1
    return count


def _joined(
    x: keras.KerasTensor, skip: keras.KerasTensor, width: int, name: str
) -> keras.KerasTensor:
    x = keras.layers.UpSampling2D(name=f"{name}_rise")(x)
    x = keras.layers.Concatenate(name=f"{name}_join")([x, skip])
    return _block(x, width, name)


def _block(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    return _conv(_conv(x, width, f"{name}a"), width, f"{name}b")


def _conv(
    x: keras.KerasTensor, width: int, name: str, kernel: int = 3, strides: int = 1
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(width, kernel, strides, "same", use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


@keras.saving.register_keras_serializable("sebre")
class AreaCrossEntropy(keras.losses.Loss):
    """Cross-entropy of the softmax in which each class has a weight.

    With many classes and small batches a Dice loss collapses: it gives up on all areas at once.

    Args:
        class_weights: float by class, from the background on.
        name: of the loss.
    """

    def __init__(self, class_weights: Sequence[float], name: str = "weighted_cross_entropy"):
        super().__init__(name=name)
        self.class_weights = [float(weight) for weight in class_weights]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true = ops.cast(y_true, "int32")
        weights = ops.take(ops.convert_to_tensor(self.class_weights, "float32"), y_true)
        losses = keras.losses.sparse_categorical_crossentropy(
            y_true, ops.cast(y_pred, "float32"), from_logits=True
        )
        return ops.sum(weights * losses) / ops.sum(weights)

    def get_config(self) -> dict[str, Any]:
        return {"class_weights": self.class_weights, "name": self.name}


def class_weights(labels: np.ndarray, classes: int, most: float = 8.0) -> list[float]:
    """Weights of classes by the root of their rarity; the commonest weighs 1.

    Args:
        labels: integers of any shape.
        classes: with the background. Those that do not occur weigh 1, as they teach nothing.
        most: the highest weight.
    """
    counts = np.bincount(labels.ravel(), minlength=classes)[:classes].astype(float)
    weights = np.where(counts > 0, np.sqrt(counts.max() / np.maximum(counts, 1)), 1.0)
    return [round(float(w), 4) for w in np.minimum(weights, most)]
