"""Prepared data sets for training and scoring; see `sebre.data.dataset`."""

from sebre.data.dataset import (
    SOURCE,
    ExtendedMouseDataset,
    HippocampusDataset,
    IBSRDataset,
    P14MouseDataset,
    SectionDataset,
)

__all__ = [
    "ExtendedMouseDataset",
    "HippocampusDataset",
    "IBSRDataset",
    "P14MouseDataset",
    "SOURCE",
    "SectionDataset",
]
