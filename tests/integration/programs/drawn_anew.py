"""Trains on pictures that are drawn at random whenever one is asked for."""

import numpy as np
from programs.depth import ColorConfig

import mrcnn.model as modellib
from mrcnn import utils


class DrawnConfig(ColorConfig):
    NAME = "drawn"
    STEPS_PER_EPOCH = 2


class Discs(utils.Dataset):
    """What `load_mask` gives belongs to the picture that was drawn last."""

    def __init__(self, count):
        super().__init__()
        self.places, self.pairs = [], []
        self.add_class("drawn", 1, "disc")
        for number in range(count):
            self.add_image("drawn", image_id=number, path=None)
        self.prepare()

    def load_image(self, image_id):
        self.place = tuple(np.random.randint(25, 100, 2))
        self.places.append(self.place)
        self.picture = np.full([128, 128, 3], 30, np.uint8)
        self.picture[self.disc()] = np.random.randint(100, 255, 3)
        return self.picture

    def load_mask(self, image_id):
        self.pairs.append((self.picture[..., 0] > 30, self.disc()))
        return self.disc()[..., None], np.array([1], np.int32)

    def disc(self):
        y, x = np.mgrid[:128, :128]
        return (y - self.place[0]) ** 2 + (x - self.place[1]) ** 2 < 20**2


def main(logs):
    config = DrawnConfig()
    dataset = Discs(2)
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=logs)
    model.train(dataset, None, learning_rate=config.LEARNING_RATE, epochs=2, layers="heads")
    generator = modellib.data_generator(dataset, config)
    pictures = [next(generator)[0][0] for _ in range(6)]
    return {"dataset": dataset, "pictures": pictures}
