"""Sections that are far apart, made from a volume with even voxels: every fourth, badly aligned.

    python -m sebre.neurites.scoring.far_sections fib25_sample2.npz --out DIR

writes four volumes of 10 x 10 x 40 nm, one from each first section, for a training.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.ndimage

from mrcnn.io.own_files import demand_own, replace_own
from sebre.neurites.volume_files import EmVolume, open_volume
from sebre.program import run_module

EVERY = 4  # sections
_JITTER_PX = 1


def thinned(volume: EmVolume, first: int = 0, seed: int = 0) -> EmVolume:
    """Every fourth section, each moved by up to 1 px along y and x, with its labels.

    Args:
        volume: with labels.
        first: section.
        seed: of the moves.
    """
    rng = np.random.default_rng(seed)
    parts = volume.raw[first::EVERY], volume.labels[first::EVERY]
    moves = rng.integers(-_JITTER_PX, _JITTER_PX + 1, (len(parts[0]), 2))
    raw, labels = (
        np.stack([np.roll(s, m, (0, 1)) for s, m in zip(part, moves, strict=True)])
        for part in parts
    )
    nm = volume.voxel_nm
    voxel_nm = None if nm is None else (nm[0] * EVERY, *nm[1:])
    return replace(volume, raw=raw, labels=labels, voxel_nm=voxel_nm)


def filled_between(thin: EmVolume) -> EmVolume:
    """The sections in between made up again by interpolation, without labels."""
    depth = (len(thin.raw) - 1) * EVERY + 1
    zoom = (depth / len(thin.raw), 1, 1)
    between = scipy.ndimage.zoom(thin.raw.astype(np.float32), zoom, order=1)
    nm = thin.voxel_nm
    return replace(
        thin,
        raw=np.clip(np.rint(between), 0, 255).astype(np.uint8),
        labels=None,
        voxel_nm=None if nm is None else (nm[0] / EVERY, *nm[1:]),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line and write the volumes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("volume", type=Path, help="npz file of even voxels, with labels")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    files = [args.out / f"every_{EVERY}th_{first}.npz" for first in range(EVERY)]
    demand_own(files)
    args.out.mkdir(parents=True, exist_ok=True)
    volume = open_volume(args.volume)
    for first, path in enumerate(files):
        thin = thinned(volume, first, seed=first)
        arrays = {"raw": thin.raw, "labels": thin.labels, "voxel_nm": np.array(thin.voxel_nm)}
        replace_own(path, lambda part, a=arrays: np.savez_compressed(part, **a), suffix=".npz")


if __name__ == "__main__":
    run_module(main)
