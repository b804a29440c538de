"""What computed a result: versions and machine."""

import importlib
import os
import platform
from pathlib import Path
from typing import Any

import keras
import numpy as np


def environment() -> dict[str, Any]:
    """Versions of Python and of what computes, and the machine, for the record of a result."""
    return {
        "python": platform.python_version(),
        **packages(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_count": os.cpu_count(),
        "devices": _devices(),
    }


def packages() -> dict[str, str]:
    """Versions of what computes, and which backend does."""
    backend = keras.backend.backend()
    return {
        "keras": keras.__version__,
        "backend": backend,
        backend: importlib.import_module(backend).__version__,
        "numpy": np.__version__,
    }


def _devices() -> list[str] | None:
    try:
        return keras.distribution.list_devices()
    except AttributeError:  # Keras cannot tell with every backend.
        return None


def _processor() -> str:
    # On Linux `platform.processor` gives the architecture, or nothing.
    table = Path("/proc/cpuinfo")
    lines = table.read_text(encoding="utf-8").splitlines() if table.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
