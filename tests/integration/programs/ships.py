"""Trains on tiles of sea, most of them without a ship, listed as run lengths in a table."""

import csv
import os

import keras
import numpy as np
from programs.depth import ColorConfig

import mrcnn.model as modellib
from mrcnn import utils


class ShipConfig(ColorConfig):
    NAME = "ship"
    STEPS_PER_EPOCH = 3


class ShipDataset(utils.Dataset):
    def load_ships(self, folder, table):
        self.add_class("ship", 1, "ship")
        runs = {}
        with open(table, newline="") as file:
            for row in csv.DictReader(file):
                runs.setdefault(row["ImageId"], []).append(row["EncodedPixels"])
        for name, ships in runs.items():
            path = os.path.join(folder, name)
            self.add_image("ship", image_id=name, path=path, ships=[s for s in ships if s])

    def load_mask(self, image_id):
        ships = self.image_info[image_id]["ships"]
        mask = np.zeros([96 * 96, len(ships)], dtype=bool)
        for place, text in enumerate(ships):
            numbers = np.array(text.split(), int).reshape(-1, 2)
            for start, length in numbers:
                mask[start - 1 : start - 1 + length, place] = True
        mask = mask.reshape(96, 96, -1, order="F") if ships else np.zeros((96, 96, 0), bool)
        return mask, np.ones(len(ships), dtype=np.int32)


class Losses(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.rpn_bbox_losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.rpn_bbox_losses.append(logs["rpn_bbox_loss"])


def main(folder, table, logs):
    dataset = ShipDataset()
    dataset.load_ships(folder, table)
    dataset.prepare()
    config = ShipConfig()
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=logs)
    losses = Losses()
    model.train(
        dataset,
        dataset,
        learning_rate=config.LEARNING_RATE,
        epochs=1,
        layers="heads",
        custom_callbacks=[losses],
    )
    return {"dataset": dataset, "losses": losses.rpn_bbox_losses}
