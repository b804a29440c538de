"""`keras.Model.fit` on `mrcnn.data.batches.Batches`, without its pauses between epochs.

Under TensorFlow, Keras reads a `PyDataset` through one tf.data iterator an epoch, whose tuning
thread sleeps ever longer, up to a minute; about every third iterator waits for it at its end
(TensorFlow 2.21). Here one iterator that is not tuned serves all epochs.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import keras

from mrcnn.backend import backend
from mrcnn.data.batches import Batches

_AHEAD = 2  # batches that wait ready as tensors; the threads of `Batches` prepare more


def fit(
    model: keras.Model, batches: Batches, checks: Batches | None = None, **arguments: Any
) -> keras.callbacks.History:
    """Train a compiled model on batches from their `epoch` on, and validate on `checks` after each
    epoch; further arguments are those of `keras.Model.fit`. An error of reading a batch is raised
    as it was."""
    inputs, validation = batches, checks
    if backend() == "tensorflow":
        inputs = endless(batches)
        arguments["steps_per_epoch"] = len(batches)
        if checks is not None:
            validation = endless(checks)
            arguments["validation_steps"] = len(checks)
    begun = batches.epoch
    try:
        # The batches shuffle by themselves; Keras would draw from Python's own state.
        history = model.fit(inputs, validation_data=validation, shuffle=False, **arguments)
    except Exception:
        for part in filter(None, (batches, checks)):
            if part.error is not None:
                raise part.error from None
        raise
    batches.epoch = begun + len(history.epoch)
    return history


def endless(batches: Batches) -> Any:
    """Batches without end as a `tf.data.Dataset`: all epochs from the present one on, or the
    present one again and again if they are not for training."""
    import tensorflow as tf

    begun = batches.epoch

    def read() -> Iterator[Any]:
        for epoch in itertools.count(begun, int(batches.training)):
            for index in range(len(batches)):
                yield batches.read(epoch, index)

    # The number of pictures is left open, as Keras does.
    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), batches[0]
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(read, output_signature=signature)
    return dataset.prefetch(_AHEAD).with_options(options)
