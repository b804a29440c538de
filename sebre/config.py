"""Settings of the experiments: only what differs from `mrcnn.config.Config`."""

import numpy as np

from mrcnn.config import Config
from sebre.regions import MOUSE, SLICEMAP


class SeBReConfig(Config):
    """The settings of the paper (Iqbal et al. 2019) and of its released code."""

    NAME = "brain"  # released code
    IMAGES_PER_GPU = 1  # paper, Methods: one image on a GTX 970
    NUM_CLASSES = MOUSE.num_classes  # paper: eight regions, and the background
    BACKBONE = "resnet101"  # paper: "first five stages of ResNet101" and FPN
    IMAGE_MIN_DIM = 384  # released code, 128 * 3; not in the paper
    IMAGE_MAX_DIM = 384
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)  # released code
    TRAIN_ROIS_PER_IMAGE = 32  # released code
    MAX_GT_INSTANCES = 8  # released code: one instance a region
    DETECTION_MAX_INSTANCES = 8  # paper: the "top 8" boxes
    DETECTION_MIN_CONFIDENCE = 0.9  # paper and released code
    DETECTION_NMS_THRESHOLD = 0.3  # released code
    STEPS_PER_EPOCH = 1000  # paper: 6,000 and 9,000 iterations, so 6 and 9 epochs
    VALIDATION_STEPS = 100  # released code


class SlicemapConfig(SeBReConfig):
    """A small network for small sections, trained from random weights in minutes on a CPU.

    Nothing here is from the paper but what it inherits. Settings may be compared on inner
    splits of the training sections (`sebre train --inner-validation`), never on the test part.
    On such a split (28 / 10 sections, 1,200 steps) bending by 0.03 with WEIGHT_DECAY 0.05 gave
    mAP 0.983 as they lie and 0.970 turned, without both 0.983 and 0.966; mean Dice 0.883 and
    0.872, without 0.880 and 0.878. A confidence of 0.05 or 0.3 made no difference.
    """

    NAME = "slicemap"
    NUM_CLASSES = SLICEMAP.num_classes
    MAX_GT_INSTANCES = len(SLICEMAP)  # one instance a region
    DETECTION_MAX_INSTANCES = len(SLICEMAP)
    BEST_PER_CLASS = True  # a section shows each region once

    # Input: sections of 84 x 84 px, enlarged; both sides must be multiples of 64.
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    MEAN_PIXEL = np.array([40.7, 40.7, 40.7])  # mean of the training images
    MINI_MASK_SHAPE = (56, 56)

    # Network: sized to store in float16 in less than 16 MB.
    BACKBONE = "resnet18"
    BACKBONE_WIDTH = 0.5
    TOP_DOWN_PYRAMID_SIZE = 128
    RPN_CONV_FILTERS = 128
    FPN_CLASSIF_FC_LAYERS_SIZE = 512
    MASK_CONV_FILTERS = 96
    PRE_NMS_LIMIT = 1000  # of 4,092 anchors
    POST_NMS_ROIS_TRAINING = 200
    POST_NMS_ROIS_INFERENCE = 200

    # Training from random weights: what the reference does for fine-tuning learns too slowly.
    IMAGES_PER_GPU = 4
    INITIALIZATION = "he"
    TRAIN_BN = None
    BN_MOMENTUM = 0.98  # statistics of about 200 images, not of the last few
    OPTIMIZER = "adamw"
    WEIGHT_DECAY = 0.05  # of AdamW
    LEARNING_RATE = 0.001  # of AdamW
    LEARNING_SCHEDULE = "cosine"
    WARMUP_STEPS = 120  # 5 % of 2,400 steps; `sebre.train` scales it with the steps
    GT_AS_PROPOSALS = True
    MIN_NEGATIVE_RATIO = 0.25
    PADDING_IS_BACKGROUND = False
    MASK_ROIS = "positive"
    STEPS_PER_EPOCH = 100
    VALIDATION_STEPS = None  # all of it

    DETECTION_MIN_CONFIDENCE = 0.3  # low: one detection a region cannot become many
