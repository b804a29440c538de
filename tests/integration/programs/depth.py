"""Trains on color and depth, four channels, from weights for color."""

import numpy as np

import mrcnn.model as modellib
from mrcnn import utils
from mrcnn.config import Config


class ColorConfig(Config):
    NAME = "color"
    GPU_COUNT = 1
    IMAGES_PER_GPU = 1
    NUM_CLASSES = 1 + 1
    BACKBONE = "resnet18"
    BACKBONE_WIDTH = 0.25
    TOP_DOWN_PYRAMID_SIZE = 32
    RPN_CONV_FILTERS = 32
    FPN_CLASSIF_FC_LAYERS_SIZE = 64
    MASK_CONV_FILTERS = 32
    PRE_NMS_LIMIT = 300
    POST_NMS_ROIS_TRAINING = 60
    POST_NMS_ROIS_INFERENCE = 50
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    RPN_ANCHOR_SCALES = (4, 8, 16, 32, 64)
    TRAIN_ROIS_PER_IMAGE = 16
    STEPS_PER_EPOCH = 3 / 2
    VALIDATION_STEPS = 1
    MAX_GT_INSTANCES = 4
    DETECTION_MIN_CONFIDENCE = 0


class DepthConfig(ColorConfig):
    NAME = "depth"
    BATCH_SIZE = 0
    IMAGE_CHANNEL_COUNT = 4
    MEAN_PIXEL = np.array([127.0, 127.0, 127.0, 60.0])


class Boxes(utils.Dataset):
    def load_boxes(self, count):
        self.add_class("room", 1, "box")
        for number in range(count):
            self.add_image("room", image_id=number, path=None, top=10 + 9 * number)

    def load_image(self, image_id):
        mask = self.load_mask(image_id)[0][..., 0]
        depth = np.where(mask, 30, 120)
        return np.dstack([np.where(mask, 200, 90)] * 3 + [depth]).astype(np.uint8)

    def load_mask(self, image_id):
        top = self.image_info[image_id]["top"]
        mask = np.zeros([96, 128, 1], dtype=bool)
        mask[top : top + 40, 30:90, 0] = True
        return mask, np.array([1], dtype=np.int32)


def main(weights_path, logs):
    dataset_train, dataset_val = Boxes(), Boxes()
    for dataset, count in ((dataset_train, 4), (dataset_val, 2)):
        dataset.load_boxes(count)
        dataset.prepare()
    config = DepthConfig()
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=logs)
    model.load_weights(weights_path, by_name=True, exclude=["conv1"])
    model.train(
        dataset_train,
        dataset_val,
        learning_rate=config.LEARNING_RATE,
        epochs=1,
        layers=r"(conv1)|(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)",
    )
    trained = model.keras_model.get_layer("conv1").trainable
    model = modellib.MaskRCNN(mode="inference", config=config, model_dir=logs)
    model.load_weights(model.find_last(), by_name=True)
    result = model.detect([dataset_val.load_image(0)])[0]
    return {"config": config, "trained": trained, "result": result, "model": model}
