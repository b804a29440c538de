"""The training of a network of two layers, as `MaskRCNN.train` does it."""

import csv
from pathlib import Path

import keras
from phantoms import PhantomConfig, Phantoms

from mrcnn.data.batches import Batches
from mrcnn.training import checkpoints
from mrcnn.training.loop import train
from mrcnn.weights.loading import load_weights


class Noise(keras.layers.Layer):
    def __init__(self):
        super().__init__(name="noise")
        self.seed_generator = keras.random.SeedGenerator(3)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seed_generator)


class SquaredError(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(y_pred[0] - 1.0))


class SmallRun:
    """What `train` needs of a MaskRCNN, with a network of two layers and a random one."""

    mode = "training"

    def __init__(self, log_dir, epoch=0, step=0, **settings):
        keras.utils.set_random_seed(1)
        self.config = PhantomConfig(STEPS_PER_EPOCH=3, **settings)
        self.log_dir, self.epoch, self.step = str(log_dir), epoch, step
        (batch,) = Batches(Phantoms(2), self.config)[0]
        inputs = [keras.Input(a.shape[1:], dtype=a.dtype.name) for a in batch]
        x = Noise()(keras.layers.GlobalAveragePooling2D()(inputs[0]) / 255)
        x = keras.layers.Dense(4, name="conv1")(x)
        x = keras.layers.Dense(1, name="mrcnn_class")(x)
        self.keras_model = SquaredError(inputs, [x, *inputs[1:]])
        if epoch or step:
            path = checkpoints.checkpoint_path_for(log_dir, "phantom").format(epoch=epoch)
            load_weights(self.keras_model, checkpoints.with_step(path, step))

    def two_stages(self, resume=False, callbacks=()):
        for epochs, rate, layers in ((2, 0.1, "heads"), (4, 0.05, "all")):
            train(
                self,
                Phantoms(5),
                Phantoms(2, seed=1),
                rate,
                epochs,
                layers,
                custom_callbacks=list(callbacks),
                resume=resume,
                verbose=0,
            )


def epochs_of(log_dir):
    """Rows of the log of a run, less the seconds, which no two runs share."""
    with (Path(log_dir) / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(float(row.pop("seconds")) >= 0 for row in rows)
    return [{k: float(v) for k, v in row.items()} for row in rows]
