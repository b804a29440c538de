"""The masks of the regions of one section, as every score takes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

_COUNTED_PX = 2048**2  # at a time, as 64-bit numbers


def masks_of_labels(labels: np.ndarray, min_px: int = 1) -> dict[int, np.ndarray]:
    """Masks bool [H, W] by class id, in order, of class ids [H, W]; none under `min_px` px."""
    found = zip(*np.unique(labels, return_counts=True), strict=True)
    return {int(i): labels == i for i, count in found if i != 0 and count >= min_px}


def count_labels(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixels of each class id in a label map or label volume, int [num_classes]."""
    areas = np.zeros(num_classes, int)
    for strip in np.array_split(labels, max(1, labels.size // _COUNTED_PX)):  # counted as int64
        areas += np.bincount(strip.ravel(), minlength=num_classes)
    return areas


@dataclass(frozen=True)
class RegionMasks:
    """Masks of regions on one section."""

    stack: np.ndarray  # bool [H, W, N]
    class_ids: np.ndarray  # of the masks, int [N], each once

    @classmethod
    def of(cls, by_class: Mapping[int, np.ndarray], shape: Sequence[int]) -> Self:
        """From masks [H, W] by class id, on a section of the shape (H, W, ...)."""
        stack = np.zeros((*shape[:2], 0), bool)
        if by_class:
            stack = np.stack([*by_class.values()], axis=-1)
        return cls(stack, np.array([*by_class], np.int32))

    @cached_property
    def by_class(self) -> dict[int, np.ndarray]:
        """Masks [H, W], views of the stack, by class id."""
        return {int(c): self.stack[..., i] for i, c in enumerate(self.class_ids)}

    def shown(self) -> Self:
        """Those that have a pixel."""
        some = self.stack.any(axis=(0, 1))
        return type(self)(self.stack[..., some], self.class_ids[some])
