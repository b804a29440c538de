"""From images to batches: data sets, molding, augmentation, caching."""

from mrcnn.data.batches import Batches, data_generator
from mrcnn.data.samples import UnreadableImageError, load_image_gt

__all__ = ["Batches", "UnreadableImageError", "data_generator", "load_image_gt"]
