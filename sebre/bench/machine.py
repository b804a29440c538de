"""What a measurement ran on: processor, memory, versions, threads, revision."""

import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mrcnn.backend import usable_cores

_PACKAGES = ("tensorflow", "keras", "numpy", "onnx", "onnxruntime", "openvino")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_ROOT = Path(__file__).resolve().parents[2]


def facts() -> dict[str, Any]:
    """The machine and the software, as plain JSON types; None for what is not known."""
    return {
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": usable_cores(),
        "flags": _flags(),
        "memory_gib": _kib("/proc/meminfo", "MemTotal", 2**20),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "threads": {name: os.environ.get(name) for name in _THREADS},
        "revision": _revision(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def peak_mib() -> float | None:
    """Largest resident memory of this process so far, MiB."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def resident_mib() -> float | None:
    """Resident memory of this process now, MiB."""
    return _kib("/proc/self/status", "VmRSS", 2**10)


def _flags() -> list[str] | None:
    flags = _first("/proc/cpuinfo", "flags")
    return None if flags is None else [flag for flag in _FLAGS if flag in flags.split()]


def _kib(table: str, name: str, unit: int) -> float | None:
    value = _first(table, name)
    return None if value is None else round(int(value.split()[0]) / unit, 1)


def _first(table: str, name: str) -> str | None:
    """A value of a table of Linux; None on other systems."""
    path = Path(table)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = re.search(rf"^{name}[ \t]*:(.*)$", text, re.MULTILINE)
    return found and found[1].strip()


def _version(package: str) -> str | None:
    for name in (package, f"{package}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _revision() -> str | None:
    """Commit of this checkout, with "+" where files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(_ROOT), *arguments],
            capture_output=True, text=True, check=True, timeout=30,
        ).stdout.strip()  # fmt: skip

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        return commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
