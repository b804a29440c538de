"""Convolutions of a finished network: constant weights, in the form that computes fastest.

In inference a batch normalization is a scale and a shift of each channel, so it can be a part
of the convolution before it; so can a rectifier. The result equals the layers' own up to
rounding. Only `mrcnn.modeling.layers.Conv` takes part; other layers of a graph run as they are.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from mrcnn.accelerate import winograd, winograd_compiled
from mrcnn.accelerate.watching import watch_assignments
from mrcnn.modeling.layers import BatchNorm, Conv, Rectifier, as_product, nested_layers


class Arithmetic(Protocol):
    """What a framework computes folded convolutions with; `relu`: rectify the result."""

    def constant(self, values: Callable[[], np.ndarray], dtype: str) -> Any:
        """A tensor, made while a graph is traced; `values` wants to run outside the graph."""

    def product(self, rows: Any, kernel: Any, bias: Any, relu: bool) -> Any:
        """Rows [n, C], kernel [C, K], bias [K] -> [n, K]."""

    def convolution(self, layer: Conv, images: Any, kernel: Any, bias: Any, relu: bool) -> Any:
        """With the strides and the padding of a layer."""


class FoldedConvolutions:
    """The convolutions of a model with the normalizations and rectifiers behind them.

    Args:
        model: functional model; its weights may change afterwards.
        arithmetic: of the framework.
    """

    def __init__(self, model: keras.Model, arithmetic: Arithmetic):
        self._arithmetic = arithmetic
        self._stale = False
        self._kernels: dict[tuple[str, str], Any] = {}
        self._biases: dict[str, Any] = {}
        self._convs: dict[str, Conv] = {}
        self._norms: dict[str, BatchNorm] = {}
        self._rectified: set[str] = set()
        self._absorbed: set[str] = set()
        self._plan(list(nested_layers(model)), model.outputs)
        watch_assignments(model, self._forget)

    def _plan(self, layers: list[keras.Layer], outputs: list[Any]) -> None:
        takers = defaultdict(list, {id(tensor): [None] for tensor in outputs})
        for layer in layers:
            for tensor in keras.tree.flatten(_io(layer, "input")):
                takers[id(tensor)].append(layer)

        def follower(layer: keras.Layer, kind: type) -> Any:
            # What something else reads too must stay as it is.
            found = takers[id(_io(layer, "output"))]
            return found[0] if len(found) == 1 and isinstance(found[0], kind) else None

        for conv in (layer for layer in layers if isinstance(layer, Conv)):
            self._convs[conv.name] = last = conv
            norm = follower(conv, BatchNorm)
            if norm is not None and not norm.train_bn:
                self._norms[conv.name] = last = norm
                self._absorbed.add(norm.name)
            rectifier = follower(last, Rectifier)
            if rectifier is not None:
                self._absorbed.add(rectifier.name)
            if rectifier is not None or conv.activation is keras.activations.relu:
                self._rectified.add(conv.name)

    def absorbs(self, layer: keras.Layer) -> bool:
        """Whether a layer is a part of the convolution before it."""
        return layer.name in self._absorbed

    def convolve(self, layer: Conv, images: Any) -> Any:
        """What a convolution, and what it absorbed, make of images [B, H, W, C]."""
        product = as_product(layer, images)
        form = self._form(layer, images, product)
        kernel, bias = self._kernel(layer, form), self._bias(layer)
        relu = layer.name in self._rectified
        if form == "winograd":
            outputs = winograd_compiled.convolve(images, kernel, bias, relu)
        elif form == "dense":
            rows, size = product
            outputs = self._arithmetic.product(rows, kernel, bias, relu)
            outputs = ops.reshape(outputs, (-1, *size, layer.filters))
        else:
            outputs = self._arithmetic.convolution(layer, images, kernel, bias, relu)
        return outputs if relu else layer.activation(outputs)

    def renew(self) -> bool:
        """Forget the constants if a weight of the model was assigned since the last time.

        Returns:
            Whether that is so: graphs that hold the constants are out of date then.
        """
        stale, self._stale = self._stale, False
        if stale:
            self._kernels.clear()
            self._biases.clear()
        return stale

    def _forget(self) -> None:
        self._stale = True

    def _form(self, layer: Conv, images: Any, product: Any) -> str:
        if product is not None:
            return "dense"
        return "winograd" if winograd_compiled.pays(layer, images) else "direct"

    def _kernel(self, layer: Conv, form: str) -> Any:
        key = (layer.name, form)
        if key not in self._kernels:
            dtype = "float32" if form == "winograd" else layer.compute_dtype
            self._kernels[key] = self._arithmetic.constant(
                lambda: _shaped(self._folded(layer)[0], form), dtype
            )
        return self._kernels[key]

    def _bias(self, layer: Conv) -> Any:
        if layer.name not in self._biases:
            self._biases[layer.name] = self._arithmetic.constant(
                lambda: self._folded(layer)[1], "float32"
            )
        return self._biases[layer.name]

    def _folded(self, layer: Conv) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias of a convolution with its normalization, float64."""

        def values(variable: Any) -> np.ndarray:
            return ops.convert_to_numpy(ops.convert_to_tensor(variable)).astype(np.float64)

        kernel = values(layer.kernel)
        bias = values(layer.bias) if layer.use_bias else np.zeros(layer.filters)
        norm = self._norms.get(layer.name)
        if norm is None:
            return kernel, bias
        scale = 1.0 / np.sqrt(values(norm.moving_variance) + norm.epsilon)
        if norm.scale:
            scale = scale * values(norm.gamma)
        bias = (bias - values(norm.moving_mean)) * scale
        return kernel * scale, bias + values(norm.beta) if norm.center else bias


def _shaped(kernel: np.ndarray, form: str) -> np.ndarray:
    if form == "winograd":
        return winograd.transform_kernel(kernel)
    return kernel.reshape(-1, kernel.shape[-1]) if form == "dense" else kernel


def _io(layer: keras.Layer, side: str) -> Any:
    """Symbolic input or output of a layer; none of one that is used several times."""
    try:
        return getattr(layer, side)
    except (AttributeError, ValueError):
        return []
