"""Settings of the experiments; see `sebre.experiments`."""

from sebre.experiments.base import FromScratch, SeBReConfig, Small, with_settings
from sebre.experiments.extended_mouse import (
    ExtendedMouseConfig,
    ExtendedMouseFromScratch,
    ExtendedMouseSmall,
)
from sebre.experiments.hippocampus import (
    HippocampusConfig,
    HippocampusFromScratch,
    HippocampusSmall,
)
from sebre.experiments.ibsr import IBSRConfig, IBSRFromScratch, IBSRSmall
from sebre.experiments.p14_mouse import P14MouseConfig, P14MouseFromScratch, P14MouseSmall
from sebre.experiments.slicemap import SlicemapConfig

__all__ = [
    "ExtendedMouseConfig",
    "ExtendedMouseFromScratch",
    "ExtendedMouseSmall",
    "FromScratch",
    "HippocampusConfig",
    "HippocampusFromScratch",
    "HippocampusSmall",
    "IBSRConfig",
    "IBSRFromScratch",
    "IBSRSmall",
    "P14MouseConfig",
    "P14MouseFromScratch",
    "P14MouseSmall",
    "SeBReConfig",
    "SlicemapConfig",
    "Small",
    "with_settings",
]
