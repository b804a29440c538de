"""Eight regions in sagittal sections of the P14 mouse brain: settings, sections, schedule."""

import numpy as np

from sebre.data.dataset import SectionDataset
from sebre.data.regions import MOUSE, RegionSet
from sebre.experiments.base import Experiment, FromScratch, SeBReConfig, Small, Turn, variants


class P14MouseConfig(SeBReConfig):
    """P14 mouse: the released settings are those of this experiment."""

    NAME = "p14_mouse"


class P14MouseFromScratch(FromScratch, P14MouseConfig):
    """P14 mouse without pretrained weights."""


class P14MouseSmall(Small, P14MouseConfig):
    """P14 mouse on a CPU."""

    IMAGE_MIN_DIM = 256
    IMAGE_MAX_DIM = 256
    MEAN_PIXEL = np.array([200.0, 200.0, 200.0])  # stained tissue on a white ground


class P14MouseDataset(SectionDataset):
    """Eight regions in sections of the P14 mouse brain."""

    def __init__(self, regions: RegionSet = MOUSE):
        super().__init__(regions)


_TURN = Turn(20, flip=True)

EXPERIMENT = Experiment(
    name="p14_mouse",
    summary="eight regions in sagittal sections of the P14 mouse brain",
    regions=MOUSE,
    turn=_TURN,
    variants=variants(
        P14MouseConfig,
        P14MouseFromScratch,
        P14MouseSmall,
        1600,
        _TURN,
        bend=0.02,
        brightness=(0.8, 1.1),
        fill="edge",
    ),
    weights=(),
    sources=("sebre_figures", "colour_code", "allen_ish"),
    dataset=P14MouseDataset,
    plane="sagittal",
)
