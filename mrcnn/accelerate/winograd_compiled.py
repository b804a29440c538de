"""`winograd.convolve` compiled by XLA, for TensorFlow on CPUs, and its gradient.

TensorFlow's own kernels compute 3 x 3 convolutions directly there; on GPUs they do not need this.
"""

import functools
from collections.abc import Callable
from typing import Any

from mrcnn.accelerate import winograd
from mrcnn.backend import backend

_LEAST_PX = 14 * 14
# Of a direct convolution; below, transforms and compilation cost more than they save.
_LEAST_PRODUCTS = 3e8
_LEAST_PRODUCTS_LOW_PRECISION = 2e9  # direct convolutions are twice as fast there


@functools.cache
def available() -> bool:
    """Whether the running framework is TensorFlow, without a GPU."""
    if backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


def pays(layer: Any, images: Any) -> bool:
    """Whether a convolution of images [B, H, W, C] is of the kind, and large enough.

    Args:
        layer: keras.layers.Conv2D.
        images: its input; a batch of unknown size counts as one image.
    """
    batch, height, width, channels = images.shape
    if (
        (layer.kernel_size, layer.strides, layer.padding) != ((3, 3), (1, 1), "same")
        or layer.dilation_rate != (1, 1)
        or layer.groups != 1
        or not height
        or not width
        or height * width < _LEAST_PX
        or not available()
    ):
        return False
    low = layer.compute_dtype != "float32"
    least = _LEAST_PRODUCTS_LOW_PRECISION if low else _LEAST_PRODUCTS
    return 9 * (batch or 1) * height * width * channels * layer.filters >= least


def convolve(images: Any, kernel: Any, bias: Any, relu: bool) -> Any:
    """Convolution with a constant kernel.

    Args:
        images: [B, H, W, C]; its type stays.
        kernel: float32 [36, C, K], see `winograd.transform_kernel`.
        bias: float32 [K].
        relu: rectify the result.
    """
    return _folded(tuple(images.shape), kernel.shape[-1], relu)(images, kernel, bias)


@functools.cache
def _folded(shape: tuple, filters: int, relu: bool) -> Callable:
    """One for each shape; equal layers then share what XLA compiled."""
    import tensorflow as tf

    @tf.function(autograph=False, jit_compile=True)
    def compiled(images: Any, kernel: Any, bias: Any) -> Any:
        outputs = winograd.convolve(tf.cast(images, tf.float32), kernel, bias)
        return tf.cast(tf.nn.relu(outputs) if relu else outputs, images.dtype)

    return compiled


def convolve_in_training(images: Any, kernel: Any) -> Any:
    """Convolution that can be differentiated.

    Args:
        images: [B, H, W, C]; its type stays.
        kernel: [3, 3, C, K], of the same type.

    Returns:
        [B, H, W, K].
    """
    import tensorflow as tf

    filters = kernel.shape[3]

    @tf.custom_gradient
    def differentiable(images, kernel):
        def gradient(upstream):
            to_images = _trained(tuple(upstream.shape), kernel.shape[2], True)(upstream, kernel)
            return to_images, _kernel_gradient(tuple(images.shape), filters)(images, upstream)

        return _trained(tuple(images.shape), filters, False)(images, kernel), gradient

    return differentiable(images, tf.identity(kernel))


@functools.cache
def _trained(shape: tuple, filters: int, turned: bool) -> Callable:
    """`turned`: the kernel is that of the convolution whose gradient to the images this is."""
    import tensorflow as tf

    @tf.function(autograph=False, jit_compile=True)
    def compiled(images: Any, kernel: Any) -> Any:
        if turned:
            kernel = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))
        transformed = winograd.transform_kernel(tf.cast(kernel, tf.float32))
        return tf.cast(
            winograd.convolve(tf.cast(images, tf.float32), transformed, 0.0), images.dtype
        )

    return compiled


@functools.cache
def _kernel_gradient(shape: tuple, filters: int) -> Callable:
    import tensorflow as tf

    @tf.function(autograph=False, jit_compile=True)
    def compiled(images: Any, upstream: Any) -> Any:
        found = winograd.kernel_gradient(tf.cast(images, tf.float32), tf.cast(upstream, tf.float32))
        return tf.cast(found, images.dtype)

    return compiled
