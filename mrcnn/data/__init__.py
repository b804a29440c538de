"""From images to batches; names are imported when asked for, as `Batches` brings Keras with it."""

import importlib
from typing import Any

_HOMES = {
    "Batches": "mrcnn.data.batches",
    "UnreadableImageError": "mrcnn.data.samples",
    "data_generator": "mrcnn.data.generator",
    "load_image_gt": "mrcnn.data.samples",
}

__all__ = ["Batches", "UnreadableImageError", "data_generator", "load_image_gt"]  # noqa: F822


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
