"""Parts of a training step that TensorFlow has as one kernel.

They are the same arithmetic as the steps of `keras.ops`, with fewer passes over the weights.
"""

from typing import Any

import keras
from keras import ops

from mrcnn.backend import backend, replica_count


def one_kernel() -> bool:
    """Whether variables can be handed to kernels of TensorFlow."""
    # Mirrored variables have no single handle.
    return backend() == "tensorflow" and replica_count() == 1


def square_sum(values: Any) -> Any:
    """Sum of the squares of a float32 tensor or variable, a scalar."""
    values = ops.convert_to_tensor(values, dtype="float32")
    if one_kernel():
        import tensorflow as tf

        return 2.0 * tf.nn.l2_loss(values)
    return ops.sum(ops.square(values))


def normalizes(layer: keras.layers.BatchNormalization, images: Any) -> bool:
    """Whether `normalize` takes them: low precision, which Keras converts there and back."""
    if not (layer.scale and layer.center and layer.axis == -1):
        return False
    low = keras.backend.standardize_dtype(images.dtype) in ("bfloat16", "float16")
    return low and len(images.shape) == 4 and backend() == "tensorflow"


def normalize(layer: keras.layers.BatchNormalization, images: Any) -> Any:
    """Batch normalization of [B, H, W, C] (bfloat16 or float16; so is the result, computed in
    float32) by the stored statistics of the last axis, with gamma and beta."""
    import tensorflow as tf

    weights = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    gamma, beta, mean, variance = (ops.convert_to_tensor(w, dtype="float32") for w in weights)
    return tf.compat.v1.nn.fused_batch_norm(
        images, gamma, beta, mean, variance, epsilon=layer.epsilon, is_training=False
    )[0]
