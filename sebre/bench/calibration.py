"""What everything is measured against: a fixed network, and the matrix rate of the machine."""

from collections.abc import Callable

MATRIX = 2048  # rows and columns of the product
SIDE = 384  # px of the reference network's input


def reference_network(side: int = SIDE) -> Callable[[], object]:
    """R: forward pass of `keras.applications` ResNet101 without its top, float32, one image.

    Compiled with `tf.function`, random weights; it has run once when this returns.

    Args:
        side: px of the square input, 384 in every published number.

    Returns:
        Runs it once, and waits for the result.
    """
    import keras
    import tensorflow as tf

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        network = keras.applications.ResNet101(
            include_top=False, weights=None, input_shape=(side, side, 3)
        )
    finally:
        keras.config.set_dtype_policy(policy)
    image = tf.random.stateless_normal((1, side, side, 3), seed=(0, 0))
    forward = tf.function(lambda x: network(x, training=False))

    def run() -> object:
        return forward(image).numpy()

    run()
    return run


def matrix_product(size: int = MATRIX) -> tuple[Callable[[], object], float]:
    """A float32 matrix product on all cores; it has run once when this returns.

    Returns:
        Runs it once; and its work in GFLOP.
    """
    import tensorflow as tf

    matrix = tf.random.stateless_normal((size, size), seed=(0, 1))
    product = tf.function(tf.linalg.matmul)

    def run() -> object:
        return product(matrix, matrix).numpy()

    run()
    return run, 2 * size**3 / 1e9
