"""Which layers train, and the optimizer and learning-rate schedule that train them."""

import dataclasses
import logging
import math
import re

import keras
from keras import ops

from mrcnn.backend import backend, replica_count
from mrcnn.config import Config
from mrcnn.errors import UserError

logger = logging.getLogger(__name__)

_HEADS = r"(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)"

# Stage 1 (conv1, bn_conv1) and stage 2 train with "all" alone.
LAYER_PRESETS = {
    "heads": _HEADS,
    "3+": r"(res3.*)|(bn3.*)|(res4.*)|(bn4.*)|(res5.*)|(bn5.*)|" + _HEADS,
    "4+": r"(res4.*)|(bn4.*)|(res5.*)|(bn5.*)|" + _HEADS,
    "5+": r"(res5.*)|(bn5.*)|" + _HEADS,
    "all": ".*",
}


def set_trainable(keras_model: keras.Model, layer_regex: str, verbose: int = 1) -> list[str]:
    """Make the layers whose whole name matches trainable, and freeze all others.

    Nested models are walked through, so `rpn_.*` selects the layers inside `rpn_model`. Compile
    the model afterwards. Source: Matterport's `MaskRCNN.set_trainable`.

    Args:
        keras_model: model to change.
        layer_regex: regular expression, or a name of `LAYER_PRESETS`; it must match something.
        verbose: above 0 the selected layers are logged.

    Returns:
        Names of the selected layers, in the model's order.
    """
    layer_regex = LAYER_PRESETS.get(layer_regex, layer_regex)
    try:
        pattern = re.compile(layer_regex)
    except re.error as error:
        raise UserError(f"layers={layer_regex!r} is no regular expression: {error}.") from error
    # A frozen parent hides its layers' weights; keras hands the flag down, so it comes first.
    keras_model.trainable = True
    selected = _select(keras_model, pattern)
    if not selected:
        raise UserError(
            f"layers={layer_regex!r} selects no layer with weights. Use one of "
            f"{', '.join(map(repr, LAYER_PRESETS))} or a regular expression that matches "
            "whole layer names, such as 'mrcnn_.*'."
        )
    if verbose > 0:
        logger.info("Training %d layers: %s", len(selected), " ".join(selected))
    return selected


def _select(model: keras.Model, pattern: re.Pattern) -> list[str]:
    selected = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            selected += _select(layer, pattern)
        elif layer.weights:
            layer.trainable = pattern.fullmatch(layer.name) is not None
            if layer.trainable:
                selected.append(layer.name)
    return selected


@keras.saving.register_keras_serializable(package="mrcnn")
@dataclasses.dataclass(eq=False)
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then a constant rate or half a cosine down to 0 at step `total_steps`.

    Steps are the optimizer's, each of `accumulation_steps` calls, which Keras counts; step 0
    already learns. Source: Loshchilov and Hutter 2017 (SGDR), section 3; Goyal et al. 2017, 2.2.
    """

    learning_rate: float
    total_steps: int
    warmup_steps: int = 0
    cosine: bool = False
    accumulation_steps: int = 1

    def __call__(self, step):
        """Rate of call `step` (0-based) of the optimizer, a float32 scalar tensor."""
        step = ops.cast(step // self.accumulation_steps, "float32")
        rate = ops.convert_to_tensor(self.learning_rate, "float32")
        if self.cosine:
            decay_steps = max(self.total_steps - self.warmup_steps, 1)
            progress = ops.clip((step - self.warmup_steps) / decay_steps, 0.0, 1.0)
            rate = rate * 0.5 * (1.0 + ops.cos(math.pi * progress))
        if self.warmup_steps:
            rate = rate * ops.minimum(1.0, (step + 1.0) / self.warmup_steps)
        return rate

    def get_config(self) -> dict:
        """Arguments of `__init__`."""
        return dataclasses.asdict(self)


def make_optimizer(
    config: Config, learning_rate: float, momentum: float, total_steps: int
) -> keras.optimizers.Optimizer:
    """Optimizer for one call of `train`, which takes `total_steps` optimizer steps.

    Gradients are clipped to GRADIENT_CLIP_NORM by the norm of all of them together (None or 0
    does not clip). SGD has no Nesterov momentum and no decay of its own: the L2 term is part of
    the loss. AdamW has its own momentum and decays by WEIGHT_DECAY, without biases, gamma and
    beta. With ACCUMULATION_STEPS, the mean gradient of so many batches is what is clipped and
    applied, and every other number of steps still counts optimizer steps; TensorFlow
    accumulates on one device only.
    """
    accumulation = int(config.ACCUMULATION_STEPS)
    if accumulation > 1 and replica_count() > 1:
        raise UserError(
            f"ACCUMULATION_STEPS is {accumulation} and GPU_COUNT {config.GPU_COUNT}: TensorFlow "
            "accumulates on one device only. Set ACCUMULATION_STEPS = 1 (IMAGES_PER_GPU may "
            "grow instead), or GPU_COUNT = 1."
        )
    rate = float(learning_rate)
    cosine = config.LEARNING_SCHEDULE == "cosine"
    # Without a schedule the rate stays a variable, which callbacks may set.
    if cosine or config.WARMUP_STEPS:
        rate = WarmupSchedule(rate, total_steps, config.WARMUP_STEPS, cosine, accumulation)
    shared = {
        "global_clipnorm": config.GRADIENT_CLIP_NORM or None,
        "gradient_accumulation_steps": accumulation if accumulation > 1 else None,
    }
    # Fixed names keep the variables' paths the same in a resumed run.
    if config.OPTIMIZER == "adamw":
        optimizer = averaged(keras.optimizers.AdamW)(
            rate, weight_decay=config.WEIGHT_DECAY, name="adamw", **shared
        )
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    else:
        optimizer = averaged(MomentumSGD)(rate, momentum=momentum, name="sgd", **shared)
    if config.PRECISION == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    return optimizer


def compile_model(
    keras_model: keras.Model,
    config: Config,
    learning_rate: float,
    momentum: float,
    total_steps: int,
) -> None:
    """Compile a training model, which brings its own losses, with a new optimizer for the layers
    that are trainable now; see `make_optimizer`."""
    keras_model.compile(
        optimizer=make_optimizer(config, learning_rate, momentum, total_steps),
        # TensorFlow's fast crop-and-resize does not compile under XLA.
        jit_compile=keras.backend.backend() == "jax",
    )


def averaged(optimizer_class: type) -> type:
    """The optimizer class, or one that clips the gradients after their sum over the replicas.

    Keras clips on each replica before the sum, which is another step than on one device.
    """
    if replica_count() == 1:
        return optimizer_class
    import tensorflow as tf

    class Averaged(optimizer_class):
        def __init__(self, *args, global_clipnorm=None, **kwargs):
            super().__init__(*args, **kwargs)
            self.clip_norm = global_clipnorm  # not where Keras would clip by it

        def apply(self, grads, trainable_variables=None):
            context = tf.distribute.get_replica_context()
            grads = list(grads)
            known = [i for i, grad in enumerate(grads) if grad is not None]
            total = context.all_reduce(tf.distribute.ReduceOp.SUM, [grads[i] for i in known])
            if self.clip_norm:
                total, _ = tf.clip_by_global_norm(total, self.clip_norm)
            for i, grad in zip(known, total, strict=True):
                # What follows sums over the replicas once more.
                grads[i] = grad / context.num_replicas_in_sync
            return super().apply(grads, trainable_variables)

    return Averaged


class MomentumSGD(keras.optimizers.SGD):
    """`keras.optimizers.SGD` with the same variables, whose update is one kernel a weight; its
    `global_clipnorm` scales the rate of a step in the place of each gradient."""

    def _own(self) -> bool:
        # Mirrored variables have no single handle.
        one_kernel = backend() == "tensorflow" and replica_count() == 1
        return bool(self.momentum) and not self.nesterov and one_kernel

    def _clip_gradients(self, grads):
        if not (self.global_clipnorm and self._own()):
            return super()._clip_gradients(grads)
        norm = ops.sqrt(sum(ops.sum(ops.square(ops.cast(grad, "float32"))) for grad in grads))
        # As Keras: a norm that is not finite makes the weights NaN.
        self._share = ops.minimum(1.0, self.global_clipnorm / norm) + (norm - norm)
        return grads

    def update_step(self, gradient, variable, learning_rate):
        """Change one variable and its momentum."""
        if not self._own():
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        if self.global_clipnorm:
            learning_rate = learning_rate * self._share
        momentum = self.momentums[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=momentum.value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
            momentum=tf.cast(self.momentum, variable.dtype),
        )
