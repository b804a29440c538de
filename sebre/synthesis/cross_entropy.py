"""The loss of the network of any section, and the weights of its classes."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from sebre.synthesis.classes import IGNORE, NUM_CLASSES


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
