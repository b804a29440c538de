"""Trains on pictures in one HDF5 file, which stays open."""

import h5py
import numpy as np
from programs.depth import ColorConfig

import mrcnn.model as modellib
from mrcnn import utils


class FileConfig(ColorConfig):
    NAME = "file"
    STEPS_PER_EPOCH = 3


class Stacks(utils.Dataset):
    def load_stacks(self, path, subset):
        self.file = h5py.File(path, "r")
        self.subset = subset
        self.add_class("stack", 1, "cell")
        for number in range(len(self.file[f"{subset}/images"])):
            self.add_image("stack", image_id=number, path=path)

    def load_image(self, image_id):
        return np.stack([self.file[f"{self.subset}/images"][image_id]] * 3, axis=-1)

    def load_mask(self, image_id):
        labels = self.file[f"{self.subset}/labels"][image_id]
        ids = np.unique(labels[labels > 0])
        return labels[..., None] == ids, np.ones(len(ids), np.int32)


def main(path, logs):
    config = FileConfig()
    dataset_train, dataset_val = Stacks(), Stacks()
    for dataset, subset in ((dataset_train, "train"), (dataset_val, "val")):
        dataset.load_stacks(path, subset)
        dataset.prepare()
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=logs)
    model.train(
        dataset_train, dataset_val, learning_rate=config.LEARNING_RATE, epochs=1, layers="heads"
    )
    history = model.keras_model.history.history
    for dataset in (dataset_train, dataset_val):
        dataset.file.close()
    return {"history": history, "path": model.find_last()}
