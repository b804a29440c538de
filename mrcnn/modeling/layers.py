"""Layers and layer settings shared by backbone, pyramid and heads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from mrcnn.config import Config


@keras.saving.register_keras_serializable(package="mrcnn")
class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalization whose mode is fixed when the network is built.

    Keras overrides a `training=False` given while a functional model is built as soon as
    the model itself is called in training mode, so the choice is kept by the layer.

    Args:
        train_bn: None normalizes as usual (batch statistics in training); False always
            uses the stored statistics and never changes them, while gamma and beta stay
            trainable; True always uses those of the batch. A `training` argument given in a
            symbolic call, as Matterport's graphs do, sets it too.
    """

    def __init__(self, train_bn: bool | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.train_bn = train_bn

    def __call__(self, inputs: Any, training: bool | None = None, **kwargs: Any) -> Any:
        if training is not None and isinstance(inputs, keras.KerasTensor):
            self.train_bn = training
        return super().__call__(inputs, training=training, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if self.train_bn is not None:
            training = self.train_bn
        return super().call(inputs, training=training, mask=mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "train_bn": self.train_bn}


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
        convolution, normalization: classes of the layers.
    """

    train_bn: bool | None = False
    bn_momentum: float = 0.99
    precision: str = "float32"
    initialization: str = "reference"
    convolution: type[keras.layers.Conv2D] = keras.layers.Conv2D
    normalization: type[BatchNorm] = BatchNorm

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
    ) -> keras.layers.Conv2D:
        """A convolution with bias."""
        kwargs = {"dtype": self.policy, "kernel_initializer": self.kernel(spread), **kwargs}
        return self.convolution(filters, size, name=name, **kwargs)

    def norm(self, name: str) -> BatchNorm:
        """A batch normalization."""
        return self.normalization(
            train_bn=self.train_bn, momentum=self.bn_momentum, name=name, dtype=self.policy
        )

    def relu(self, name: str | None = None) -> keras.layers.Activation:
        """A rectifier, max(x, 0)."""
        return keras.layers.Activation("relu", name=name, dtype=self.policy)

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


def graph_nodes(model: keras.Model) -> Iterator[Any]:
    """The calls of layers (`operation`, `input_tensors`, `outputs`) that make up a functional
    model, each after those it needs."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from (node for node in model._nodes_by_depth[depth] if not node.is_input)
