"""Six regions in small sagittal mouse sections, in any orientation: settings, sections, schedule.

Not an experiment of the paper: its sections are public, and its network is small enough for a CPU.
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
    """Small sections in any orientation, for a CPU.

    Bending and WEIGHT_DECAY were compared on an inner split; its scores were not stored.
    """

    NAME = "slicemap"
    NUM_CLASSES = SLICEMAP.num_classes
    MAX_GT_INSTANCES = len(SLICEMAP)  # one instance per region
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
    plane="sagittal",
)
