"""TensorFlow without compilation, for a few steps."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def run_op_by_op() -> Iterator[None]:
    """TensorFlow runs functions operation by operation."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
