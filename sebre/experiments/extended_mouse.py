"""Eight regions in the mouse brain from P4 to adult: settings, sections, schedule."""

import numpy as np

from sebre.data.dataset import SectionDataset
from sebre.data.regions import MOUSE, RegionSet
from sebre.experiments.base import Experiment, FromScratch, SeBReConfig, Small, Turn, variants


class ExtendedMouseConfig(SeBReConfig):
    """P4, P14 and P56 mouse: the same eight regions."""

    NAME = "extended_mouse"


class ExtendedMouseFromScratch(FromScratch, ExtendedMouseConfig):
    """P4, P14 and P56 mouse without pretrained weights."""


class ExtendedMouseSmall(Small, ExtendedMouseConfig):
    """Mouse volumes on a CPU: sagittal sections of 128 x 80 px and less."""

    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    MEAN_PIXEL = np.array([40.0, 40.0, 40.0])


class ExtendedMouseDataset(SectionDataset):
    """Eight regions in sections of mouse brains of three markers and three ages."""

    def __init__(self, regions: RegionSet = MOUSE):
        super().__init__(regions)


_TURN = Turn(20, flip=True)

EXPERIMENT = Experiment(
    name="extended_mouse",
    summary="eight regions in the mouse brain from P4 to adult",
    regions=MOUSE,
    turn=_TURN,
    variants=variants(
        ExtendedMouseConfig, ExtendedMouseFromScratch, ExtendedMouseSmall, 2000, _TURN
    ),
    weights=("extended_mouse_mri", "extended_mouse_demba", "extended_mouse_384"),
    sources=("mouse_mri", "demba", "ccf", "colour_code", "allen_ish"),
    dataset=ExtendedMouseDataset,
    plane="sagittal",
)
