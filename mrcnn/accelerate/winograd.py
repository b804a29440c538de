"""3 x 3 convolutions with a quarter of the multiplications, by Lavin and Gray 2016.

Winograd's minimal filtering F(4 x 4, 3 x 3): tiles of 6 x 6 values overlap by two and give
4 x 4 outputs each, with 36 products where the definition takes 144. In float32 its results
differ from the direct convolution by about 1e-5 of the largest value. The transforms, many
small steps over large arrays, pay only where XLA joins them: for TensorFlow on CPUs.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from mrcnn.backend import backend

_TILE = 4  # outputs of a tile, a side
_SIDE = _TILE + 2

_LEAST_PX = 14 * 14
# Of a direct convolution; below, transforms and compilation cost more than they save.
_LEAST_PRODUCTS = 3e8

_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)


def transform_kernel(kernel: Any) -> Any:
    """A kernel [3, 3, C, K] as `convolve` takes it, [36, C, K]; an array keeps its type."""
    shape = (_SIDE**2, *kernel.shape[2:])
    if isinstance(kernel, np.ndarray):
        return (np.kron(_KERNEL, _KERNEL) @ kernel.reshape(9, -1)).reshape(shape)
    return _both_sides(_KERNEL, kernel, shape)


def convolve(images: Any, kernel: Any, bias: Any) -> Any:
    """Convolution of stride 1 and padding "same": float32 [B, H, W, C], H and W static, with a
    kernel [36, C, K] of `transform_kernel` and a bias [K] -> [B, H, W, K]."""
    height, width = images.shape[1:3]
    filters = kernel.shape[-1]
    down, across = _tile_counts(images)
    products = ops.matmul(_transform_tiles(images), kernel)
    outputs = _both_sides(_OUTPUT, products, (_TILE, _TILE, -1, down, across, filters))
    outputs = ops.transpose(outputs, (2, 3, 0, 4, 1, 5))
    outputs = ops.reshape(outputs, (-1, down * _TILE, across * _TILE, filters))
    return outputs[:, :height, :width] + bias


def _tile_counts(images: Any) -> tuple[int, int]:
    return tuple(-(-side // _TILE) for side in images.shape[1:3])


def _transform_tiles(images: Any) -> Any:
    """The tiles of images [B, H, W, C], as the products take them: [36, tiles, C]."""
    height, width, channels = images.shape[1:]
    down, across = _tile_counts(images)
    spare = ((1, down * _TILE + 1 - height), (1, across * _TILE + 1 - width))
    images = ops.pad(images, ((0, 0), *spare, (0, 0)))
    # Value j of the columns of every tile, then value i of its rows. Sums of whole pictures take
    # half the time of products by a matrix here, and stacked halfway, no sum is computed twice.
    rows, columns = (down - 1) * _TILE + 1, (across - 1) * _TILE + 1
    tiles = _sums([images[:, :, j : j + columns : _TILE] for j in range(_SIDE)])
    tiles = _sums([tiles[:, :, i : i + rows : _TILE] for i in range(_SIDE)])
    return ops.reshape(tiles, (_SIDE**2, -1, channels))


def _sums(parts: list[Any]) -> Any:
    """The input transform of one side: six arrays of a shape -> [6, *shape]."""
    return ops.stack(
        [
            sum(float(factor) * part for factor, part in zip(row, parts, strict=True) if factor)
            for row in _INPUT
        ]
    )


def _both_sides(matrix: np.ndarray, tiles: Any, shape: tuple[int, ...]) -> Any:
    """M X M^T of the tiles X that lie along the first axis; the result has a shape."""
    both = ops.convert_to_tensor(np.kron(matrix, matrix), dtype="float32")
    return ops.reshape(ops.matmul(both, ops.reshape(tiles, (both.shape[1], -1))), shape)


# --- Compiled by XLA ---------------------------------------------------------------


@functools.cache
def available() -> bool:
    """Whether the running framework is TensorFlow, without a GPU."""
    if backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


def pays(layer: Any, images: Any) -> bool:
    """Whether a `Conv2D` of images [B, H, W, C] is of the kind, and large enough; a batch of
    unknown size counts as one image. In low precision direct convolutions are as fast."""
    batch, height, width, channels = images.shape
    if (
        (layer.kernel_size, layer.strides, layer.padding) != ((3, 3), (1, 1), "same")
        or layer.dilation_rate != (1, 1)
        or layer.groups != 1
        or layer.compute_dtype != "float32"
        or not height
        or not width
        or height * width < _LEAST_PX
        or not available()
    ):
        return False
    return 9 * (batch or 1) * height * width * channels * layer.filters >= _LEAST_PRODUCTS


def convolve_folded(images: Any, kernel: Any, bias: Any, relu: bool) -> Any:
    """`convolve` with a constant kernel and, if `relu`, a rectifier."""
    return _folded(tuple(images.shape), kernel.shape[-1], relu)(images, kernel, bias)


@functools.cache
def _folded(shape: tuple, filters: int, relu: bool) -> Callable:
    """One for each shape; equal layers then share what XLA compiled."""
    import tensorflow as tf

    @tf.function(autograph=False, jit_compile=True)
    def compiled(images: Any, kernel: Any, bias: Any) -> Any:
        outputs = convolve(images, kernel, bias)
        return tf.nn.relu(outputs) if relu else outputs

    return compiled


def convolve_in_training(images: Any, kernel: Any) -> Any:
    """Convolution of [B, H, W, C] by [3, 3, C, K], float32, which can be differentiated; only the
    gradient to the kernel is that of a direct one."""
    import tensorflow as tf

    @tf.custom_gradient
    def differentiable(images, kernel):
        def gradient(upstream):
            to_images = _trained(tuple(upstream.shape), kernel.shape[2], True)(upstream, kernel)
            return to_images, tf.raw_ops.Conv2DBackpropFilter(
                input=images,
                filter_sizes=kernel.shape,
                out_backprop=upstream,
                strides=[1, 1, 1, 1],
                padding="SAME",
            )

        return _trained(tuple(images.shape), kernel.shape[3], False)(images, kernel), gradient

    return differentiable(images, tf.identity(kernel))


@functools.cache
def _trained(shape: tuple, filters: int, turned: bool) -> Callable:
    """`turned`: the kernel is that of the convolution whose gradient to the images this is."""
    import tensorflow as tf

    @tf.function(autograph=False, jit_compile=True)
    def compiled(images: Any, kernel: Any) -> Any:
        if turned:
            kernel = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))
        return convolve(images, transform_kernel(kernel), 0.0)

    return compiled
