"""Time and memory of `sebre neurites predict` by size of the volume.

    python -m sebre.neurites.scoring.measure_speed fib25_sample2.npz --sides 128 256 512 \
        --out results/neurites/speed.json

Volumes are cubes, made of a real one by reflection. The command runs as a process of its own, from
HDF5 to HDF5; what is measured is that process with all that it starts, as the system counts it.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mrcnn.io.own_files import demand_own, replace_own_text
from sebre.networks.environment import environment
from sebre.neurites.affinity_prediction import NAME
from sebre.neurites.volume_files import open_volume
from sebre.program import run_module

logger = logging.getLogger(__name__)

# Linux counts the memory of the process that starts a command as that of the command, so that a
# small one starts it.
_LAUNCHER = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(process.pid, 0)
facts = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss
process.returncode = facts[0]
with open(sys.argv[1], "w") as file:
    json.dump(facts, file)
"""

_SLAB = 64  # sections that are written at once


def write_reflected(raw: np.ndarray, side: int, path: Path) -> None:
    """A cube made of a volume by reflection, as HDF5.

    Args:
        raw: uint8 [z, y, x].
        side: of the cube, voxels.
        path: file to write, with voxels of 10 nm.
    """
    places = [_reflected(size, side) for size in raw.shape]
    with h5py.File(path, "w") as file:
        made = file.create_dataset("raw", (side,) * 3, np.uint8, chunks=(32, 64, 64))
        made.attrs["resolution"] = (10.0, 10.0, 10.0)
        for first in range(0, side, _SLAB):
            made[first : first + _SLAB] = raw[np.ix_(places[0][first : first + _SLAB], *places[1:])]


def _reflected(size: int, wanted: int) -> np.ndarray:
    there_and_back = np.concatenate([np.arange(size), np.arange(size - 2, 0, -1)])
    return np.resize(there_and_back, wanted)


def timed(command: Sequence[str]) -> dict[str, float]:
    """Run a command to its end; CPU and wall seconds, and the largest resident memory in GB.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "used.json"
        subprocess.run([sys.executable, "-c", _LAUNCHER, str(told), *command], check=True)
        code, cpu_s, kib = json.loads(told.read_text("utf-8"))
    if code:
        raise subprocess.CalledProcessError(code, list(command))
    return {
        "cpu_s": round(cpu_s, 1),
        "wall_s": round(time.monotonic() - begun, 1),
        "memory_gb": round(kib * 1024 / 1e9, 2),  # Linux counts KiB
    }


def measure(raw: np.ndarray, side: int, folder: Path) -> dict[str, Any]:
    """A row of the record: one cube, predicted with the network that ships."""
    volume, out = folder / f"{side}.h5", folder / f"{side}_segments.h5"
    write_reflected(raw, side, volume)
    command = [sys.executable, "-m", "sebre", "neurites", "predict", str(volume), "--out", str(out)]
    facts = timed(command)
    with h5py.File(out) as file:
        segments = int(max(file["labels"][n : n + _SLAB].max() for n in range(0, side, _SLAB)))
    volume.unlink()
    out.unlink()
    return {"voxels": side**3, **facts, "segments": segments}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, measure, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("volume", type=Path, help="volume that the cubes are made of")
    parser.add_argument("--sides", type=int, nargs="+", default=(128, 256, 512))
    parser.add_argument("--scratch", type=Path, help="folder for the cubes (default: a new one)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    demand_own([args.out])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    raw = np.asarray(open_volume(args.volume).raw)
    rows = []
    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        for side in args.sides:
            rows.append(measure(raw, side, Path(folder)))
            logger.info("%s", rows[-1])
    sides = " ".join(map(str, args.sides))
    record = {
        "command": f"python -m sebre.neurites.scoring.measure_speed VOLUME --sides {sides} "
        f"--out {args.out.name}",
        "data": "FIB-25 training sample 2, repeated by reflection, in HDF5",
        "network": NAME,
        "threads": int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or os.cpu_count(),
        "speed": rows,
        "environment": environment(),
    }
    replace_own_text(args.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    run_module(main)
