"""Data parallelism on the framework's own distribution.

A model that is built and trained inside `mrcnn.backend.distribution_scope` runs on
GPU_COUNT devices: each takes IMAGES_PER_GPU images of the batch, and the gradients are
averaged before they are clipped and applied. On TensorFlow each device averages the losses
over its own ROIs and the result is the mean of these means, as in Matterport's package; it
equals one step on one device over the whole batch only when all devices have as many ROIs
that count. On JAX the means go over the whole batch.
"""

import keras

from mrcnn.backend import distribution_scope


def ParallelModel(keras_model: keras.Model, gpu_count: int) -> keras.Model:
    """A copy of a model that computes on several devices, with the same weights.

    `MaskRCNN` needs no such copy: it builds its model inside `distribution_scope`.

    Args:
        keras_model: functional model.
        gpu_count: devices that share each batch.

    Returns:
        keras Model with the layers, the names and the weights of `keras_model`; `fit`,
        `predict`, `save_weights` and `load_weights` are its own. With one device the model
        itself.

    Raises:
        ValueError: fewer devices than wanted, or the backend is torch.

    Source: Matterport's `parallel_model.ParallelModel`.
    """
    if gpu_count == 1:
        return keras_model
    weights = keras_model.get_weights()
    with distribution_scope(gpu_count):
        copy = keras.models.clone_model(keras_model)
        copy.set_weights(weights)
    return copy
