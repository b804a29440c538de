"""Six regions in small sagittal mouse sections, in any orientation: settings, sections, schedule.

Not an experiment of the paper: its sections are public, and a CPU trains its network in minutes.
"""

import numpy as np

from sebre.data.dataset import SectionDataset
from sebre.data.regions import SLICEMAP, RegionSet
from sebre.experiments.base import (
    ANY_TURN,
    Experiment,
    SeBReConfig,
    Small,
    Stage,
    Variant,
    online,
)


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


class SlicemapDataset(SectionDataset):
    """Six regions of the mouse brain."""

    def __init__(self, regions: RegionSet = SLICEMAP):
        super().__init__(regions)


EXPERIMENT = Experiment(
    name="slicemap",
    summary="six regions in sagittal mouse sections, in any orientation",
    regions=SLICEMAP,
    turn=ANY_TURN,
    variants={
        "small": Variant(SlicemapConfig, (Stage("all", 2400),), online(ANY_TURN, bend=0.02)),
    },
    weights=("slicemap", "slicemap_384"),
    sources=("slicemap",),
    dataset=SlicemapDataset,
)
