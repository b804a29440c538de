"""Subcortical structures in human MRI: settings, sections, schedule."""

import numpy as np

from sebre.data.dataset import SectionDataset
from sebre.data.regions import SUBCORTICAL, RegionSet
from sebre.experiments.base import Experiment, FromScratch, SeBReConfig, Small, Turn, variants


class IBSRConfig(SeBReConfig):
    """Human MRI: four structures on either side."""

    NAME = "ibsr"
    NUM_CLASSES = SUBCORTICAL.num_classes  # paper: 8 structures
    # Not in the paper: the released code mirrors images at random, which would exchange left
    # and right here. A mirroring augmentation is refused.
    SIDE_PAIRS = ((1, 2), (3, 4), (5, 6), (7, 8))


class IBSRFromScratch(FromScratch, IBSRConfig):
    """Human MRI without pretrained weights."""


class IBSRSmall(Small, IBSRConfig):
    """Human MRI on a CPU: horizontal sections of about 200 x 160 px, a little enlarged."""

    IMAGE_MIN_DIM = 256
    IMAGE_MAX_DIM = 256
    MEAN_PIXEL = np.array([84.1, 84.1, 84.1])  # mean of the training images of malc2012


class IBSRDataset(SectionDataset):
    """Eight subcortical structures in sections of human MRI."""

    def __init__(self, regions: RegionSet = SUBCORTICAL):
        super().__init__(regions)


_TURN = Turn(20, flip=False)

EXPERIMENT = Experiment(
    name="ibsr",
    summary="caudate, putamen, pallidum and thalamus, left and right, in human MRI",
    regions=SUBCORTICAL,
    turn=_TURN,
    variants=variants(IBSRConfig, IBSRFromScratch, IBSRSmall, 2000, _TURN),
    weights=("ibsr",),
    sources=("malc2012", "ibsr"),
    dataset=IBSRDataset,
    plane="horizontal",
)
