"""Augmentation of images with their masks; see `mrcnn.data.augment`."""

from mrcnn.data.augment import (
    RandomRotateFlip,
    SideFlipError,
    as_generator,
    augment_image_and_masks,
    exchange_sides,
    flip_left_right,
)

__all__ = [
    "RandomRotateFlip",
    "SideFlipError",
    "as_generator",
    "augment_image_and_masks",
    "exchange_sides",
    "flip_left_right",
]
