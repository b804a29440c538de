"""Prepared data sets for training and scoring; see `sebre.data.dataset` and
`sebre.experiments`."""

from sebre.data.dataset import SOURCE, SectionDataset
from sebre.experiments.extended_mouse import ExtendedMouseDataset
from sebre.experiments.hippocampus import HippocampusDataset
from sebre.experiments.ibsr import IBSRDataset
from sebre.experiments.p14_mouse import P14MouseDataset

__all__ = [
    "ExtendedMouseDataset",
    "HippocampusDataset",
    "IBSRDataset",
    "P14MouseDataset",
    "SOURCE",
    "SectionDataset",
]
