"""Inference by folded weights: a finished network as a function that computes faster.

In inference a batch normalization is a scale and a shift of each channel, so it can be a part
of the convolution before it; so can a rectifier. The result equals the layers' own up to
rounding. `mrcnn.accelerate.forward` compiles it; `mrcnn.export` folds by the same formulas.
"""

import functools
import inspect
import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from mrcnn.accelerate import winograd
from mrcnn.accelerate.watching import watch_assignments
from mrcnn.modeling.layers import graph_nodes


def scale_and_shift(norm: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """What a batch normalization does in inference, x * scale + shift: both float64 [channels]."""
    scale = 1.0 / np.sqrt(_values(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale = scale * _values(norm.gamma)
    shift = -_values(norm.moving_mean) * scale
    return scale, shift + _values(norm.beta) if norm.center else shift


def folded_weights(
    layer: keras.layers.Conv2D, norm: keras.layers.BatchNormalization | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (of the layer's shape) and bias [filters], float64, of a convolution that does the
    work of the normalization behind it, if any, as well."""
    # As the layer itself reads them: in low precision they are rounded before they are folded.
    kernel = _values(layer.kernel, layer.compute_dtype)
    bias = np.zeros(layer.filters)
    if layer.use_bias:
        bias = _values(layer.bias, layer.compute_dtype)
    if norm is None:
        return kernel, bias
    scale, shift = scale_and_shift(norm)
    return kernel * scale, bias * scale + shift


class FoldedModel:
    """A finished model as a function inputs -> outputs, with constant weights, for TensorFlow; its
    weights may change afterwards, see `renew`."""

    def __init__(self, model: keras.Model):
        self._model = model
        self._stale = False
        self._kernels: dict[tuple[keras.Layer, str], Any] = {}
        self._biases: dict[keras.Layer, Any] = {}
        self._convs: set[keras.Layer] = set()
        self._norms: dict[keras.Layer, keras.layers.BatchNormalization] = {}
        self._rectified: set[keras.Layer] = set()
        self._absorbed: set[keras.Layer] = set()
        self._plan(model)
        watch_assignments(model, self._forget)

    def __call__(self, inputs: Any) -> Any:
        """The model's outputs, in inference mode."""
        return self._run(self._model, inputs)

    def renew(self) -> bool:
        """Forget the constants if a weight of the model was assigned since the last time, and say
        whether that is so: graphs that hold the constants are out of date then."""
        stale, self._stale = self._stale, False
        if stale:
            self._kernels.clear()
            self._biases.clear()
        return stale

    def _forget(self) -> None:
        self._stale = True

    def _plan(self, model: keras.Model) -> None:
        """Find out what is folded, here and in the models inside."""
        # None stands for who reads the outputs of the model.
        readers = defaultdict(list, {id(tensor): [None] for tensor in model.outputs})
        calls = defaultdict(list)
        for node in graph_nodes(model):
            calls[node.operation].append(node)
            for tensor in node.input_tensors:
                readers[id(tensor)].append(node)

        def follower(node: Any) -> Any:
            # What something else reads too must stay as it is, and so must shared layers.
            found = readers[id(node.outputs[0])]
            alone = len(found) == 1 and found[0] is not None
            return found[0] if alone and len(calls[found[0].operation]) == 1 else None

        for layer, (node, *others) in calls.items():
            if isinstance(layer, keras.Function):
                self._plan(layer)
            if others or not isinstance(layer, keras.layers.Conv2D) or layer.groups != 1:
                continue
            self._convs.add(layer)
            after = follower(node)
            if after is not None and _is_stored_norm(after.operation):
                self._norms[layer] = after.operation
                self._absorbed.add(after.operation)
                after = follower(after)
            rectifies = after is not None and _is_rectifier(after.operation)
            if rectifies:
                self._absorbed.add(after.operation)
            if rectifies or layer.activation is keras.activations.relu:
                self._rectified.add(layer)

    def _run(self, model: keras.Model, inputs: Any) -> Any:
        return model._run_through_graph(inputs, operation_fn=self._form_of)

    def _form_of(self, operation: Any) -> Callable:
        """What is called in the place of a layer, with what the layer was called with."""
        if isinstance(operation, keras.Function):
            return lambda inputs, **_: self._run(operation, inputs)
        if operation in self._absorbed:
            return lambda images, **_: ops.cast(images, operation.compute_dtype)
        if operation in self._convs:
            return functools.partial(self._convolve, operation)
        if "training" in inspect.signature(operation.call).parameters:
            return lambda *inputs, **given: operation(*inputs, **{**given, "training": False})
        return operation

    def _convolve(self, layer: keras.layers.Conv2D, images: Any) -> Any:
        """What a convolution, and what it absorbed, make of images [B, H, W, C]."""
        import tensorflow as tf

        images = ops.cast(images, layer.compute_dtype)
        product = _as_product(layer, images)
        form = self._form(layer, images, product)
        kernel, bias = self._kernel(layer, form), self._bias(layer)
        relu = layer in self._rectified
        if form == "winograd":
            outputs = winograd.convolve_folded(images, kernel, bias, relu)
        else:
            # In the operations that TensorFlow joins into one: product, bias, rectifier.
            if form == "dense":
                outputs = tf.matmul(product[0], kernel)
            else:
                sliding = layer.strides, layer.padding.upper()
                dilations = layer.dilation_rate
                outputs = tf.nn.conv2d(images, kernel, *sliding, dilations=dilations)
            outputs = tf.nn.bias_add(outputs, tf.cast(bias, outputs.dtype))
            outputs = tf.nn.relu(outputs) if relu else outputs
            if form == "dense":
                outputs = tf.reshape(outputs, (-1, *product[1], layer.filters))
        return outputs if relu else layer.activation(outputs)

    def _form(self, layer: keras.layers.Conv2D, images: Any, product: Any) -> str:
        if product is not None:
            return "dense"
        return "winograd" if winograd.pays(layer, images) else "direct"

    def _kernel(self, layer: keras.layers.Conv2D, form: str) -> Any:
        if (layer, form) not in self._kernels:
            dtype = "float32" if form == "winograd" else layer.compute_dtype
            self._kernels[layer, form] = _constant(
                lambda: _shaped(self._folded(layer)[0], form), dtype
            )
        return self._kernels[layer, form]

    def _bias(self, layer: keras.layers.Conv2D) -> Any:
        if layer not in self._biases:
            self._biases[layer] = _constant(lambda: self._folded(layer)[1], "float32")
        return self._biases[layer]

    def _folded(self, layer: keras.layers.Conv2D) -> tuple[np.ndarray, np.ndarray]:
        return folded_weights(layer, self._norms.get(layer))


def _as_product(layer: keras.layers.Conv2D, images: Any) -> tuple[Any, tuple[int, int]] | None:
    """The matrix product that a convolution of images [B, H, W, C] amounts to, if it looks at
    single pixels or at its whole input at once: rows [n, C'] to be multiplied by the kernel
    [C', K], and the size (h, w) of the result [B, h, w, K]. None if no product does it, a size is
    unknown, or it is no faster, as in low precision.
    """
    if layer.compute_dtype != "float32" or None in images.shape[1:3]:
        return None
    # Leaving out pixels costs more than the product saves.
    if layer.kernel_size == layer.strides == (1, 1):
        return ops.reshape(images, (-1, images.shape[-1])), tuple(images.shape[1:3])
    if layer.padding == "valid" and tuple(images.shape[1:3]) == layer.kernel_size:
        # In the order of the kernel's weights.
        return ops.reshape(images, (-1, math.prod(images.shape[1:]))), (1, 1)
    return None


def _constant(values: Callable[[], np.ndarray], dtype: str) -> Any:
    """A tensor of values that are computed outside of the graph that is being traced."""
    import tensorflow as tf

    with tf.init_scope():
        return tf.cast(values(), dtype)


def _is_stored_norm(layer: Any) -> bool:
    """Whether a layer normalizes the last axis by stored statistics in inference."""
    return (
        isinstance(layer, keras.layers.BatchNormalization)
        and layer.axis in (-1, 3)
        and not getattr(layer, "train_bn", None)
    )


def _is_rectifier(layer: Any) -> bool:
    plain = isinstance(layer, keras.layers.Activation)
    return plain and layer.activation is keras.activations.relu


def _shaped(kernel: np.ndarray, form: str) -> np.ndarray:
    if form == "winograd":
        return winograd.transform_kernel(kernel)
    return kernel.reshape(-1, kernel.shape[-1]) if form == "dense" else kernel


def _values(variable: Any, dtype: str = "float32") -> np.ndarray:
    return ops.convert_to_numpy(ops.convert_to_tensor(variable, dtype=dtype)).astype(np.float64)
