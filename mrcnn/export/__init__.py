"""Whole networks for other runtimes: ONNX, SavedModel, eight bits.

Nothing in the core imports it. Its names are found when they are asked for.
"""

import importlib
from typing import Any

__all__ = ["FORMATS", "FORMAT_VERSION", "METADATA", "export_model"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("mrcnn.export.formats"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
