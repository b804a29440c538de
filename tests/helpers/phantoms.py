"""Synthetic sections and the smallest network, and a command that trains it.

python tests/helpers/phantoms.py LOGS OUT.json [--kill-marker FILE] [--resume]
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.data.dataset import Dataset
from mrcnn.model import MaskRCNN


class PhantomConfig(Config):
    NAME = "Phantom"
    IMAGES_PER_GPU = 2
    STEPS_PER_EPOCH = 6
    VALIDATION_STEPS = 1
    NUM_CLASSES = 4
    BACKBONE = "resnet18"
    BACKBONE_WIDTH = 0.25
    TOP_DOWN_PYRAMID_SIZE = 32
    RPN_CONV_FILTERS = 32
    FPN_CLASSIF_FC_LAYERS_SIZE = 64
    MASK_CONV_FILTERS = 32
    RPN_ANCHOR_SCALES = (8, 16, 32, 48, 64)
    RPN_TRAIN_ANCHORS_PER_IMAGE = 64
    PRE_NMS_LIMIT = 200
    POST_NMS_ROIS_TRAINING = 50
    POST_NMS_ROIS_INFERENCE = 50
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    TRAIN_ROIS_PER_IMAGE = 16
    MAX_GT_INSTANCES = 4
    MINI_MASK_SHAPE = (28, 28)
    OPTIMIZER = "adamw"
    LEARNING_SCHEDULE = "cosine"
    WARMUP_STEPS = 5
    INITIALIZATION = "he"
    GT_AS_PROPOSALS = True
    MIN_NEGATIVE_RATIO = 0.25
    PADDING_IS_BACKGROUND = False
    MASK_ROIS = "positive"
    DETECTION_MAX_INSTANCES = 8


class Phantoms(Dataset):
    """Ellipses, bars and triangles of different brightness, one of each an image."""

    thread_safe = cacheable = True

    def __init__(self, count: int, size: int = 64, seed: int = 0):
        super().__init__()
        for class_id, name in enumerate(("ellipse", "bar", "triangle"), start=1):
            self.add_class("phantom", class_id, name)
        for index in range(count):
            self.add_image("phantom", index, path=f"phantom {index}")
        self.size = size
        self.seed = seed
        self.prepare()

    def load_mask(self, image_id):
        rng = np.random.default_rng([self.seed, int(image_id)])
        s = self.size
        y, x = np.mgrid[:s, :s] / s
        dy, dx = rng.uniform(-0.05, 0.05, (2, 3))
        ellipse = ((y - 0.25 - dy[0]) / 0.17) ** 2 + ((x - 0.3 - dx[0]) / 0.22) ** 2 < 1
        bar = (abs(y - 0.3 - dy[1]) < 0.22) & (abs(x - 0.78 - dx[1]) < 0.11)
        y, x = y - 0.75 - dy[2], x - 0.45 - dx[2]
        triangle = (y < 0.16) & (y > 2 * abs(x) - 0.2)
        return np.stack([ellipse, bar, triangle], -1), np.array([1, 2, 3], np.int32)

    def load_image(self, image_id):
        masks, _ = self.load_mask(image_id)
        rng = np.random.default_rng([self.seed, int(image_id), 1])
        image = rng.normal(40, 8, (self.size, self.size, 3))
        image += masks @ np.array([[150, 60, 60], [60, 150, 60], [60, 60, 150]])
        return np.clip(image, 0, 255).astype(np.uint8)


def moving_averages(model: MaskRCNN) -> dict[str, np.ndarray]:
    """Moving averages of all batch normalizations by path."""
    return {v.path: np.asarray(v) for v in model.keras_model.weights if "moving_" in v.path}


class Losses(keras.callbacks.Callback):
    """The running mean of the loss after each step."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(float(logs["loss"]))


class WaitToBeKilled(keras.callbacks.Callback):
    """In the middle of the second epoch, write the losses so far and wait."""

    def __init__(self, marker: Path, losses: Losses):
        super().__init__()
        self.marker = marker
        self.losses = losses
        self.second = False

    def on_epoch_begin(self, epoch, logs=None):
        self.second = epoch == 1

    def on_train_batch_end(self, batch, logs=None):
        if self.second and batch == 3:
            part = self.marker.with_suffix(".part")
            part.write_text(json.dumps(self.losses.values))
            part.replace(self.marker)
            time.sleep(600)


def main() -> None:
    import tensorflow as tf

    parser = argparse.ArgumentParser()
    parser.add_argument("logs")
    parser.add_argument("out", type=Path)
    parser.add_argument("--kill-marker", type=Path)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    # For so few steps, TensorFlow's rewriting of graphs takes longer than it saves.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    model = MaskRCNN("training", PhantomConfig(), args.logs)
    if args.resume:
        model.load_weights(model.find_last())
    losses = Losses()
    callbacks = [losses]
    if args.kill_marker:
        callbacks.append(WaitToBeKilled(args.kill_marker, losses))
    model.train(
        Phantoms(5),
        Phantoms(2, seed=1),
        learning_rate=1e-3,
        epochs=3,
        layers="heads",  # compiles in half the time of "all"
        custom_callbacks=callbacks,
        resume=args.resume,
        verbose=2,
    )
    args.out.write_text(json.dumps({"losses": losses.values, "log_dir": model.log_dir}))


if __name__ == "__main__":
    main()
