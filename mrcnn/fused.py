"""Parts of a training step that TensorFlow has as one kernel.

They are the same arithmetic as the steps of `keras.ops`, with fewer passes over the weights.
"""

from typing import Any

import keras
from keras import ops

from mrcnn.devices import replica_count
from mrcnn.ops import backend


def _one_kernel() -> bool:
    # Mirrored variables have no single handle.
    return backend() == "tensorflow" and replica_count() == 1


def square_sum(values: Any) -> Any:
    """Sum of the squares of a float32 tensor or variable, a scalar."""
    values = ops.convert_to_tensor(values, dtype="float32")
    if _one_kernel():
        import tensorflow as tf

        return 2.0 * tf.nn.l2_loss(values)
    return ops.sum(ops.square(values))


class MomentumSGD(keras.optimizers.SGD):
    """`keras.optimizers.SGD` with the same variables, whose update is one kernel a weight."""

    def update_step(self, gradient, variable, learning_rate):
        """Change one variable and its momentum."""
        if not self.momentum or self.nesterov or not _one_kernel():
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        momentum = self.momentums[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=momentum.value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
            momentum=tf.cast(self.momentum, variable.dtype),
        )
