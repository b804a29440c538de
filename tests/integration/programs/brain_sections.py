"""Data sets and settings of brain sections as programs for SeBRe have them: masks are found by
going into their folder."""

import glob
import os

import numpy as np
import skimage.io

from mrcnn import utils
from mrcnn.config import Config

# Set by the programs; the originals have the folder of their authors here.
DATASET_DIR = ""
REGIONS = (
    *("cortex:", "hippocampus:", "basal ganglia:", "thalamus:"),
    *("prethalamus:", "midbrain:", "hindbrain:", "telencephalic vesicle:"),
)


class BrainConfig(Config):
    NAME = "brain"
    GPU_COUNT = 1
    IMAGES_PER_GPU = 1
    NUM_CLASSES = 1 + 8
    # Sizes for a test.
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
    STEPS_PER_EPOCH = 2
    VALIDATION_STEPS = 1
    MAX_GT_INSTANCES = 8
    DETECTION_MAX_INSTANCES = 8
    DETECTION_MIN_CONFIDENCE = 0.9
    DETECTION_NMS_THRESHOLD = 0.3


class BrainDataset_Train(utils.Dataset):
    subset = "train"

    def load_brain(self):
        for number, name in enumerate(REGIONS, start=1):
            self.add_class("brain", str(number), name)
        os.chdir(os.path.join(DATASET_DIR, f"mrcnn_{self.subset}_dataset_images"))
        for number in range(len(glob.glob("*.jpg"))):
            (name,) = glob.glob(f"*_{number}.jpg")
            height, width = skimage.io.imread(name).shape[:2]
            path = os.path.join(os.getcwd(), name)
            self.add_image("brain", image_id=number, path=path, height=height, width=width)

    def load_mask(self, image_id):
        os.chdir(os.path.join(DATASET_DIR, f"mrcnn_{self.subset}_dataset_masks"))
        os.chdir(glob.glob(f"*_{image_id}")[0])
        info = self.image_info[image_id]
        files = glob.glob("*.png")
        masks = np.zeros([info["height"], info["width"], len(files)], np.uint8)
        class_ids = np.zeros(len(files))
        for place, name in enumerate(files):
            masks[:, :, place] = skimage.io.imread(name, as_gray=True).astype(np.uint8)
            class_ids[place] = int(name[-5])
        return masks, class_ids.astype(np.int32)


class BrainDataset_Val(BrainDataset_Train):
    subset = "val"
