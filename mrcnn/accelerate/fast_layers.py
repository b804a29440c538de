"""Layers that compute the same as those of `mrcnn.modeling.layers` in less time.

`MaskRCNN` builds its networks with `fast_style`; everyone else gets the plain layers.
"""

import dataclasses
from typing import Any

import keras
from keras import ops

from mrcnn.accelerate import winograd
from mrcnn.backend import backend
from mrcnn.config import Config
from mrcnn.modeling.layers import BatchNorm, LayerStyle


def fast_style(config: Config) -> LayerStyle:
    """The style that a configuration asks for, made of the layers of this module."""
    return dataclasses.replace(
        LayerStyle.of(config), convolution=FastConv, normalization=FastBatchNorm
    )


@keras.saving.register_keras_serializable(package="mrcnn")
class FastConv(keras.layers.Conv2D):
    """A convolution by Winograd's filtering, where that is faster."""

    def call(self, inputs: Any) -> Any:
        if not winograd.pays(self, inputs):
            return super().call(inputs)
        outputs = winograd.convolve_in_training(inputs, self.kernel)
        outputs = outputs + self.bias if self.use_bias else outputs
        return self.activation(outputs)


@keras.saving.register_keras_serializable(package="mrcnn")
class FastBatchNorm(BatchNorm):
    """A normalization by stored statistics in one kernel, in low precision, which Keras converts
    there and back (a tenth of a training step in bfloat16)."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not self._in_one_kernel(inputs):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        weights = (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        gamma, beta, mean, variance = (ops.convert_to_tensor(w, dtype="float32") for w in weights)
        return tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, beta, mean, variance, epsilon=self.epsilon, is_training=False
        )[0]

    def _in_one_kernel(self, images: Any) -> bool:
        stored = self.train_bn is False and self.scale and self.center and self.axis == -1
        low = keras.backend.standardize_dtype(images.dtype) in ("bfloat16", "float16")
        return stored and low and len(images.shape) == 4 and backend() == "tensorflow"
