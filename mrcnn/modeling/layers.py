"""Layers and layer settings shared by backbone, pyramid and heads."""

import contextlib
import contextvars
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from mrcnn.accelerate import fused, winograd_compiled
from mrcnn.config import Config

_folded: contextvars.ContextVar[Any] = contextvars.ContextVar("folded", default=None)


@contextlib.contextmanager
def folded(convolutions: Any) -> Iterator[None]:
    """Context in which layers are called with constant weights.

    Args:
        convolutions: `mrcnn.accelerate.folding.FoldedConvolutions` of the model that is called.
    """
    token = _folded.set(convolutions)
    try:
        yield
    finally:
        _folded.reset(token)


def as_product(layer: keras.layers.Conv2D, images: Any) -> tuple[Any, tuple[int, int]] | None:
    """The matrix product that a convolution amounts to.

    Args:
        layer: it may look at single pixels, or at its whole input at once.
        images: its input [B, H, W, C].

    Returns:
        Rows [n, C'] to be multiplied by the kernel [C', K], and the size (h, w) of the
        result [B, h, w, K]; or None if it is no such convolution, or a size is unknown.
    """
    if layer.groups != 1 or None in images.shape[1:3]:
        return None
    # Leaving out pixels costs more than the product saves.
    if layer.kernel_size == layer.strides == (1, 1):
        return ops.reshape(images, (-1, images.shape[-1])), tuple(images.shape[1:3])
    if layer.padding == "valid" and tuple(images.shape[1:3]) == layer.kernel_size:
        # In the order of the kernel's weights.
        return ops.reshape(images, (-1, math.prod(images.shape[1:]))), (1, 1)
    return None


@keras.saving.register_keras_serializable(package="mrcnn")
class Conv(keras.layers.Conv2D):
    """A convolution that can be folded, and is a matrix product where that is the same.

    Products take about 30 % less time on CPUs, and so do their gradients.
    """

    def call(self, inputs: Any) -> Any:
        convolutions = _folded.get()
        if convolutions is not None:
            return convolutions.convolve(self, inputs)
        product = as_product(self, inputs)
        if product is not None:
            rows, size = product
            outputs = ops.matmul(rows, ops.reshape(self.kernel, (-1, self.filters)))
            outputs = ops.reshape(outputs, (-1, *size, self.filters))
        elif winograd_compiled.pays(self, inputs):
            outputs = winograd_compiled.convolve_in_training(inputs, self.kernel)
        else:
            return super().call(inputs)
        outputs = outputs + self.bias if self.use_bias else outputs
        return self.activation(outputs)


@keras.saving.register_keras_serializable(package="mrcnn")
class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalization whose mode is fixed when the network is built.

    Keras overrides a `training=False` given while a functional model is built as soon as
    the model itself is called in training mode, so the choice is kept by the layer.

    Args:
        train_bn: None normalizes as usual (batch statistics in training); False always
            uses the stored statistics and never changes them, while gamma and beta stay
            trainable; True always uses the statistics of the batch. A `training` argument
            given in a symbolic call, as Matterport's graphs do, sets it too.
    """

    def __init__(self, train_bn: bool | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.train_bn = train_bn

    def __call__(self, inputs: Any, training: bool | None = None, **kwargs: Any) -> Any:
        if training is not None and isinstance(inputs, keras.KerasTensor):
            self.train_bn = training
        return super().__call__(inputs, training=training, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        convolutions = _folded.get()
        if convolutions is not None and convolutions.absorbs(self):
            return inputs
        if self.train_bn is not None:
            training = self.train_bn
        if self.train_bn is False and fused.normalizes(self, inputs):
            return fused.normalize(self, inputs)
        return super().call(inputs, training=training, mask=mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "train_bn": self.train_bn}


@keras.saving.register_keras_serializable(package="mrcnn")
class Rectifier(keras.layers.Activation):
    """max(x, 0), which can be folded into the convolution before it."""

    def __init__(self, **kwargs: Any):
        super().__init__("relu", **kwargs)

    def call(self, inputs: Any) -> Any:
        convolutions = _folded.get()
        if convolutions is not None and convolutions.absorbs(self):
            return inputs
        return super().call(inputs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["activation"]
        return config


@keras.saving.register_keras_serializable(package="mrcnn")
class SoftmaxOfTwo(keras.layers.Activation):
    """Softmax over a last axis of two, from the difference: ten times faster on CPUs."""

    def __init__(self, **kwargs: Any):
        super().__init__("softmax", **kwargs)

    def call(self, inputs: Any) -> Any:
        difference = inputs[..., 1] - inputs[..., 0]
        return ops.stack([ops.sigmoid(-difference), ops.sigmoid(difference)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["activation"]
        return config


@dataclass(frozen=True)
class LayerStyle:
    """How the learned layers of a network are made.

    Attributes:
        train_bn: see `BatchNorm`.
        bn_momentum: of the moving averages.
        precision: "float32", "bfloat16" or "float16": compute type; variables are float32.
        initialization: "reference" (Glorot-uniform) or "he" (he-normal; output layers
            narrow normal), for training from random initialization.
    """

    train_bn: bool | None = False
    bn_momentum: float = 0.99
    precision: str = "float32"
    initialization: str = "reference"

    @classmethod
    def of(cls, config: Config) -> "LayerStyle":
        """The style that a configuration asks for."""
        return cls(config.TRAIN_BN, config.BN_MOMENTUM, config.PRECISION, config.INITIALIZATION)

    @property
    def policy(self) -> str:
        """Keras dtype policy of the learned layers."""
        return "float32" if self.precision == "float32" else f"mixed_{self.precision}"

    def kernel(self, spread: float | None = None) -> Any:
        """Kernel initializer; `spread` is the deviation of an output layer's kernel."""
        if self.initialization == "reference":
            return "glorot_uniform"
        if spread is not None:
            return keras.initializers.RandomNormal(stddev=spread)
        return "he_normal"

    def conv(
        self, filters: int, size: int, name: str, spread: float | None = None, **kwargs: Any
    ) -> Conv:
        """A convolution with bias."""
        kwargs = {"dtype": self.policy, "kernel_initializer": self.kernel(spread), **kwargs}
        return Conv(filters, size, name=name, **kwargs)

    def norm(self, name: str) -> BatchNorm:
        """A batch normalization."""
        return BatchNorm(
            train_bn=self.train_bn, momentum=self.bn_momentum, name=name, dtype=self.policy
        )

    def relu(self, name: str | None = None) -> Rectifier:
        """A rectifier."""
        return Rectifier(name=name, dtype=self.policy)

    def add(self, name: str | None = None) -> keras.layers.Add:
        """A sum."""
        return keras.layers.Add(name=name, dtype=self.policy)


def nested_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model and of the models in it, in order."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from nested_layers(layer)
        else:
            yield layer
