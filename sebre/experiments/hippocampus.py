"""CA1, CA2, CA3 and dentate gyrus in coronal sections: settings, sections, schedule."""

import numpy as np

from sebre.data.dataset import SectionDataset
from sebre.data.regions import HIPPOCAMPUS, RegionSet
from sebre.experiments.base import Experiment, FromScratch, SeBReConfig, Small, Turn, variants


class HippocampusConfig(SeBReConfig):
    """Hippocampal subfields."""

    NAME = "hippocampus"
    NUM_CLASSES = HIPPOCAMPUS.num_classes  # paper: CA1, CA2, CA3 and DG


class HippocampusFromScratch(FromScratch, HippocampusConfig):
    """Hippocampal subfields without pretrained weights."""


class HippocampusSmall(Small, HippocampusConfig):
    """Hippocampal subfields on a CPU: cells bright on a dark ground."""

    MAX_GT_INSTANCES = len(HIPPOCAMPUS)
    DETECTION_MAX_INSTANCES = len(HIPPOCAMPUS)
    IMAGE_MIN_DIM = 320
    IMAGE_MAX_DIM = 320
    MEAN_PIXEL = np.array([38.7, 38.7, 38.7])  # mean of the training images of ara_nissl


class HippocampusDataset(SectionDataset):
    """Four subregions of the mouse hippocampus."""

    def __init__(self, regions: RegionSet = HIPPOCAMPUS):
        super().__init__(regions)


_TURN = Turn(20, flip=True)

EXPERIMENT = Experiment(
    name="hippocampus",
    summary="CA1, CA2, CA3 and dentate gyrus in coronal sections",
    regions=HIPPOCAMPUS,
    turn=_TURN,
    variants=variants(
        HippocampusConfig,
        HippocampusFromScratch,
        HippocampusSmall,
        1600,
        _TURN,
        scale=(0.75, 1.3),
        bend=0.03,
    ),
    weights=("hippocampus",),
    sources=("ara_nissl", "colour_code"),
    dataset=HippocampusDataset,
    plane="coronal",
)
