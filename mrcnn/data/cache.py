"""Decoded, resized images and their masks: each is made once, then kept."""

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One image of a data set, before augmentation."""

    image: np.ndarray  # [h, w, C], resized and padded
    masks: np.ndarray  # bool [h, w, N]
    class_ids: np.ndarray  # int32 [N]
    original_shape: np.ndarray  # int [H, W, C], before resizing
    window: np.ndarray  # int [4], (y1, x1, y2, x2) px of the picture in `image`
    scale: np.ndarray  # float [], factor of the resizing


class SampleCache:
    """Calls `load` once for every key; safe to use from several threads.

    Masks are kept as bits. What exceeds `memory_mb` (2**20 bytes each) goes to uncompressed files
    in a folder of its own inside `folder` (None: the system's for temporary files), which is
    removed with this object or at the end of the program.
    """

    def __init__(
        self, load: Callable[[int], Sample], memory_mb: float, folder: str | Path | None = None
    ):
        self._load = load
        self._free = int(memory_mb * 2**20)
        self._parent = folder
        self._folder: Path | None = None
        self._kept: dict[int, Sample | Path] = {}
        self._lock = threading.Lock()
        self._locks: dict[int, threading.Lock] = {}

    def get(self, key: int) -> Sample:
        """The sample of a key. Its image must not be written to; its masks are a copy.

        What `load` raises passes through, and the next call tries again.
        """
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            kept = self._kept.get(key)
            if kept is None:
                sample = self._load(key)
                self._kept[key] = self._keep(key, sample)
                return sample
        return _unpack(_read(kept) if isinstance(kept, Path) else kept)

    def _keep(self, key: int, sample: Sample) -> Sample | Path:
        bits = np.packbits(sample.masks, axis=1)
        # A copy: the image may be the data set's own array, or a part of a larger one.
        packed = replace(sample, image=sample.image.copy(), masks=bits)
        packed.image.flags.writeable = False
        size = packed.image.nbytes + bits.nbytes
        with self._lock:
            if size <= self._free:
                self._free -= size
                return packed
            path = self._files() / f"{key}.npz"
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, **{f.name: getattr(packed, f.name) for f in fields(packed)})
        part.replace(path)
        return path

    def _files(self) -> Path:
        if self._folder is None:
            if self._parent is not None:
                Path(self._parent).mkdir(parents=True, exist_ok=True)
            self._folder = Path(
                tempfile.mkdtemp(prefix=f"mrcnn-cache-{os.getpid()}-", dir=self._parent)
            )
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder


def _read(path: Path) -> Sample:
    with np.load(path) as arrays:
        return Sample(**{f.name: arrays[f.name] for f in fields(Sample)})


def _unpack(packed: Sample) -> Sample:
    masks = np.unpackbits(packed.masks, axis=1, count=packed.image.shape[1])
    return replace(packed, masks=masks.view(bool))
