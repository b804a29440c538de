"""Data parallelism on the framework's own distribution.

A model that is built and trained inside `mrcnn.backend.distribution_scope` runs on GPU_COUNT
devices, each with IMAGES_PER_GPU images; gradients are averaged before they are clipped. On
TensorFlow the result is the mean of the devices' mean losses, as in Matterport's package: equal
to one device with the whole batch only when all have as many ROIs that count. On JAX the means
go over the whole batch.
"""

import keras

from mrcnn.backend import distribution_scope


def ParallelModel(keras_model: keras.Model, gpu_count: int) -> keras.Model:
    """A copy of a functional model that shares each batch among `gpu_count` devices, with the same
    layers, names and weights; the model itself for one device. ValueError on torch, or when
    devices are missing. `MaskRCNN` needs none: it builds inside `distribution_scope`.

    Source: Matterport's `parallel_model.ParallelModel`.
    """
    if gpu_count == 1:
        return keras_model
    weights = keras_model.get_weights()
    with distribution_scope(gpu_count):
        copy = keras.models.clone_model(keras_model)
        copy.set_weights(weights)
    return copy
