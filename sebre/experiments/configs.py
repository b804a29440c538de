"""Settings of the experiments: only what differs from `mrcnn.config.Config`.

Every experiment has the settings of the paper, and two variants of them: `FromScratch`, for
when there are no pretrained weights, and `Small`, a small network that a CPU can train.
Settings may be compared on inner splits of a training part (`sebre train
--inner-validation`), never on a test part.
"""

from typing import Any

import numpy as np

from mrcnn.config import Config
from mrcnn.errors import UserError
from sebre.data.regions import HIPPOCAMPUS, MOUSE, SLICEMAP, SUBCORTICAL


def with_settings(config: Config, **settings: Any) -> Config:
    """The configuration itself, with settings changed and checked."""
    for name, value in settings.items():
        if not hasattr(config, name):
            raise UserError(f"{type(config).__name__} has no setting {name!r}.")
        setattr(config, name, value)
    config.validate()
    return config


class SeBReConfig(Config):
    """The settings of the paper (Iqbal et al. 2019) and of its released code."""

    NAME = "brain"  # released code
    IMAGES_PER_GPU = 1  # paper, Methods: one image on a GTX 970
    NUM_CLASSES = MOUSE.num_classes  # paper: eight regions, and the background
    BACKBONE = "resnet101"  # paper: "first five stages of ResNet101" and FPN
    TRAIN_BN = False  # released code: batch normalization is frozen
    IMAGE_MIN_DIM = 384  # released code, 128 * 3; not in the paper
    IMAGE_MAX_DIM = 384
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)  # released code
    TRAIN_ROIS_PER_IMAGE = 32  # released code
    MAX_GT_INSTANCES = 8  # released code: one instance a region
    DETECTION_MAX_INSTANCES = 8  # paper: the "top 8" boxes
    DETECTION_MIN_CONFIDENCE = 0.9  # paper and released code
    DETECTION_NMS_THRESHOLD = 0.3  # released code
    LEARNING_RATE = 0.001  # paper: 1e-3 for the heads; a tenth of it for all layers
    LEARNING_MOMENTUM = 0.9  # paper
    STEPS_PER_EPOCH = 1000  # paper: 6,000 and 9,000 iterations, so 6 and 9 epochs
    VALIDATION_STEPS = 100  # released code


class P14MouseConfig(SeBReConfig):
    """P14 mouse: the released settings are those of this experiment."""

    NAME = "p14_mouse"


class ExtendedMouseConfig(SeBReConfig):
    """P4, P14 and P56 mouse: the same eight regions."""

    NAME = "extended_mouse"


class HippocampusConfig(SeBReConfig):
    """Hippocampal subfields."""

    NAME = "hippocampus"
    NUM_CLASSES = HIPPOCAMPUS.num_classes  # paper: CA1, CA2, CA3 and DG


class IBSRConfig(SeBReConfig):
    """Human MRI: four structures on either side."""

    NAME = "ibsr"
    NUM_CLASSES = SUBCORTICAL.num_classes  # paper: 8 structures
    # Not in the paper: the released code mirrors images at random, which would exchange left
    # and right here. A mirroring augmentation is refused.
    SIDE_PAIRS = ((1, 2), (3, 4), (5, 6), (7, 8))


class FromScratch:
    """What differs without pretrained weights; put it before a class of settings.

    What the reference does for fine-tuning learns too slowly from random weights. Nothing here
    is from the paper.
    """

    INITIALIZATION = "he"
    TRAIN_BN = None  # train it
    BN_MOMENTUM = 0.98  # statistics of about 200 images, not of the last few
    OPTIMIZER = "adamw"
    WEIGHT_DECAY = 0.05  # of AdamW
    LEARNING_RATE = 0.001  # of AdamW
    LEARNING_SCHEDULE = "cosine"
    WARMUP_STEPS = 120  # `sebre.networks.train` scales it with the steps
    GT_AS_PROPOSALS = True
    MIN_NEGATIVE_RATIO = 0.25
    PADDING_IS_BACKGROUND = False
    MASK_ROIS = "positive"
    IMAGES_PER_GPU = 4
    BEST_PER_CLASS = True  # a section shows each region once


class Small(FromScratch):
    """A small network, which stores in float16 in less than 16 MB."""

    BACKBONE = "resnet18"
    BACKBONE_WIDTH = 0.5
    TOP_DOWN_PYRAMID_SIZE = 128
    RPN_CONV_FILTERS = 128
    FPN_CLASSIF_FC_LAYERS_SIZE = 512
    MASK_CONV_FILTERS = 96
    MINI_MASK_SHAPE = (56, 56)
    PRE_NMS_LIMIT = 1000
    POST_NMS_ROIS_TRAINING = 200
    POST_NMS_ROIS_INFERENCE = 200
    STEPS_PER_EPOCH = 100
    VALIDATION_STEPS = None  # all of it
    DETECTION_MIN_CONFIDENCE = 0.3  # low: one detection a region cannot become many


class P14MouseFromScratch(FromScratch, P14MouseConfig):
    """P14 mouse without pretrained weights."""


class ExtendedMouseFromScratch(FromScratch, ExtendedMouseConfig):
    """P4, P14 and P56 mouse without pretrained weights."""


class HippocampusFromScratch(FromScratch, HippocampusConfig):
    """Hippocampal subfields without pretrained weights."""


class IBSRFromScratch(FromScratch, IBSRConfig):
    """Human MRI without pretrained weights."""


class P14MouseSmall(Small, P14MouseConfig):
    """P14 mouse on a CPU."""

    IMAGE_MIN_DIM = 256
    IMAGE_MAX_DIM = 256
    MEAN_PIXEL = np.array([200.0, 200.0, 200.0])  # stained tissue on a white ground


class ExtendedMouseSmall(Small, ExtendedMouseConfig):
    """Mouse volumes on a CPU: sagittal sections of 128 x 80 px and less."""

    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    MEAN_PIXEL = np.array([40.0, 40.0, 40.0])


class HippocampusSmall(Small, HippocampusConfig):
    """Hippocampal subfields on a CPU: cells bright on a dark ground."""

    MAX_GT_INSTANCES = len(HIPPOCAMPUS)
    DETECTION_MAX_INSTANCES = len(HIPPOCAMPUS)
    IMAGE_MIN_DIM = 320
    IMAGE_MAX_DIM = 320
    MEAN_PIXEL = np.array([38.7, 38.7, 38.7])  # mean of the training images of ara_nissl


class IBSRSmall(Small, IBSRConfig):
    """Human MRI on a CPU: horizontal sections of about 200 x 160 px, a little enlarged."""

    IMAGE_MIN_DIM = 256
    IMAGE_MAX_DIM = 256
    MEAN_PIXEL = np.array([84.1, 84.1, 84.1])  # mean of the training images of malc2012


class SlicemapConfig(Small, SeBReConfig):
    """Small sections in any orientation: a network that a CPU trains in minutes.

    On an inner split (28 / 10 sections, 1,200 steps) bending by 0.03 with WEIGHT_DECAY 0.05
    gave mAP 0.983 as they lie and 0.970 turned, without both 0.983 and 0.966; mean Dice 0.883
    and 0.872, without 0.880 and 0.878. A confidence of 0.05 or 0.3 made no difference.
    """

    NAME = "slicemap"
    NUM_CLASSES = SLICEMAP.num_classes
    MAX_GT_INSTANCES = len(SLICEMAP)  # one instance a region
    DETECTION_MAX_INSTANCES = len(SLICEMAP)
    IMAGE_MIN_DIM = 128  # sections of 84 x 84 px, enlarged; sides must be multiples of 64
    IMAGE_MAX_DIM = 128
    MEAN_PIXEL = np.array([40.7, 40.7, 40.7])  # mean of the training images
