"""Weight files: reading, matching by name, and writing."""

from mrcnn.weights.loading import (
    IMAGENET_MD5,
    IMAGENET_URL,
    WeightReport,
    get_imagenet_weights,
    load_weights,
    quiet_keras,
    read_classes,
    read_stored_settings,
    reorder_classes,
    save_weights,
)

__all__ = [
    "IMAGENET_MD5",
    "IMAGENET_URL",
    "WeightReport",
    "get_imagenet_weights",
    "load_weights",
    "quiet_keras",
    "read_classes",
    "read_stored_settings",
    "reorder_classes",
    "save_weights",
]
