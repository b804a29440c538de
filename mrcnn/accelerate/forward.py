"""The compiled call of a finished network, for inference."""

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from mrcnn.accelerate.folding import FoldedModel
from mrcnn.backend import backend

Forward = Callable[[list[np.ndarray]], Any]


def compile_forward(model: keras.Model) -> Forward:
    """A function inputs -> outputs (NumPy, in the model's output structure), in inference mode.

    It is compiled at the first call with a combination of input shapes; several threads may call
    it. On TensorFlow the weights are folded, and a later assignment to a variable is noticed.
    """
    run = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[backend()](model)

    def forward(inputs: list[np.ndarray]) -> Any:
        tensors = [ops.convert_to_tensor(i, dtype="float32") for i in inputs]
        return keras.tree.map_structure(ops.convert_to_numpy, run(tensors))

    return forward


def _tensorflow(model: keras.Model) -> Callable[[list[Any]], Any]:
    import tensorflow as tf

    folded = FoldedModel(model)
    compiled: dict[tuple, Callable] = {}
    lock = threading.Lock()

    def run(inputs: list[Any]) -> Any:
        shapes = tuple(tuple(i.shape) for i in inputs)
        with lock:
            if folded.renew():
                compiled.clear()
            if shapes not in compiled:
                signature = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
                compiled[shapes] = tf.function(folded, input_signature=[signature], autograph=False)
            function = compiled[shapes]
        return function(inputs)

    return run


def _jax(model: keras.Model) -> Callable[[list[Any]], Any]:
    import jax

    jitted = jax.jit(
        lambda trainable, fixed, inputs: model.stateless_call(
            trainable, fixed, inputs, training=False
        )[0]
    )

    def run(inputs: list[Any]) -> Any:
        return jitted(
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
            inputs,
        )

    return run


def _torch(model: keras.Model) -> Callable[[list[Any]], Any]:
    import torch

    def run(inputs: list[Any]) -> Any:
        with torch.no_grad():
            return model(inputs, training=False)

    return run
