"""Train on two logical CPU devices and write what happened: tests/helpers/two_devices.py OUT."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
# For so few steps, TensorFlow's rewriting of graphs takes longer than it saves.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

from phantoms import PhantomConfig, Phantoms  # noqa: E402

from mrcnn.backend import distribution_scope, scale_loss  # noqa: E402
from mrcnn.model import MaskRCNN  # noqa: E402
from mrcnn.parallel_model import ParallelModel  # noqa: E402
from mrcnn.training.loop import _ReplicaBatches  # noqa: E402
from mrcnn.training.optimizers import compile_model  # noqa: E402


class PlainConfig(PhantomConfig):
    """No chance and no state: all ROIs are used, and one step is minus the gradient."""

    OPTIMIZER = "sgd"
    LEARNING_SCHEDULE = "constant"
    WARMUP_STEPS = 0
    IMAGES_PER_GPU = 1
    POST_NMS_ROIS_TRAINING = 12
    TRAIN_ROIS_PER_IMAGE = 60
    MIN_NEGATIVE_RATIO = 0.5


class OneBatch(keras.utils.PyDataset):
    def __init__(self, inputs):
        super().__init__()
        self.inputs = tuple(inputs)

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return (self.inputs,)


def flat_weights(model):
    return np.concatenate([np.ravel(np.asarray(v)) for v in model.trainable_variables])


def steps(config, model, batches):
    """For each batch: change of all weights by one step with learning rate 1, as one vector,
    and the loss. All steps start from the weights that the model has."""
    start = model.get_weights()
    with distribution_scope(config.GPU_COUNT):
        compile_model(model, config, learning_rate=1.0, momentum=0.0, total_steps=1)
        for inputs in batches:
            model.set_weights(start)
            before = flat_weights(model)
            history = model.fit(OneBatch(inputs), shuffle=False, verbose=0)
            yield flat_weights(model) - before, history.history["loss"][0]
    model.set_weights(start)


class SquaredOutput(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return scale_loss(keras.ops.mean(keras.ops.square(y_pred)))


def clipped_step():
    """Step of a small model whose mean gradient is longer than the norm allowed, while the
    gradients of the two devices point in different directions."""
    config = PlainConfig(GPU_COUNT=2, GRADIENT_CLIP_NORM=0.01)
    with distribution_scope(config.GPU_COUNT):
        image = keras.Input((2,))
        dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
        model = SquaredOutput(image, dense(image))
    ((step, _),) = steps(config, model, [[np.array([[1.0, 0.0], [0.0, 3.0]], "float32")]])
    return step.tolist()


def replicas_agree(model):
    return all(
        len(v.value.values) == 2
        and np.array_equal(*(part.numpy() for part in v.value.values))
        and np.isfinite(np.asarray(v)).all()
        for v in model.trainable_variables
    )


def parallel_copy_predicts_the_same():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    copy = ParallelModel(model, 2)
    x = np.arange(12, dtype="float32").reshape(4, 3)
    return [
        copy.layers[0].name == "dense",
        len(copy.weights[0].value.values) == 2,
        bool(np.allclose(copy.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)),
    ]


def resumed(config, folder):
    """Whether a new model takes up the run of `folder` and trains it on, on both devices."""
    model = MaskRCNN("training", config, folder)
    model.load_weights(model.find_last())
    before = model.keras_model.get_weights()
    model.train(Phantoms(3), None, 1e-4, epochs=2, layers="heads", resume=True, verbose=0)
    after = model.keras_model.get_weights()
    moved = any((a != b).any() for a, b in zip(after, before, strict=True))
    return bool(moved and model.epoch == 2 and replicas_agree(model.keras_model))


def main(out: Path) -> None:
    single = PlainConfig(GRADIENT_CLIP_NORM=None)
    double = PlainConfig(GPU_COUNT=2, GRADIENT_CLIP_NORM=None, STEPS_PER_EPOCH=2)
    (inputs,) = _ReplicaBatches(Phantoms(2), double, shuffle=False, steps=1)[0]
    one = MaskRCNN("training", single, out.parent)
    two = MaskRCNN("training", double, out.parent)
    for model in (one, two):
        model.set_trainable("heads")
    two.keras_model.set_weights(one.keras_model.get_weights())
    images = [[a[i : i + 1] for a in inputs] for i in (0, 1)]
    (first, loss_1), (second, loss_2) = steps(single, one.keras_model, images)
    mean = (first + second) / 2
    ((both, loss),) = steps(double, two.keras_model, [inputs])

    initial = flat_weights(two.keras_model)
    two.train(Phantoms(3), None, 1e-4, epochs=1, layers="heads", verbose=0)

    try:
        with distribution_scope(3):
            message = ""
    except ValueError as error:
        message = str(error)
    out.write_text(
        json.dumps(
            {
                "losses": [loss_1, loss_2, loss],
                "difference": float(np.abs(both - mean).max()),
                "between_images": float(np.abs(first - second).max()),
                "largest": float(np.abs(mean).max()),
                "clipped": clipped_step(),
                "replicas_agree": replicas_agree(two.keras_model),
                "trained": bool((flat_weights(two.keras_model) != initial).any()),
                "epoch": two.epoch,
                "parallel_model": parallel_copy_predicts_the_same(),
                "message": message,
                "resumed": resumed(double, out.parent),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
