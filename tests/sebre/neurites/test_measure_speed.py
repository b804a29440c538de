"""What time and memory are measured with."""

import subprocess
import sys

import numpy as np
import pytest

from sebre.neurites.scoring.measure_speed import timed, write_reflected
from sebre.neurites.volume_files import open_volume


def test_a_cube_is_the_volume_and_its_mirror_images(volume, tmp_path):
    write_reflected(volume.raw, 80, tmp_path / "cube.h5")
    cube = open_volume(tmp_path / "cube.h5")
    assert cube.raw.shape == (80, 80, 80) and cube.voxel_nm == (10.0, 10.0, 10.0)
    wide = [(0, 80 - size) for size in volume.raw.shape]
    wanted = np.pad(volume.raw, wide, mode="reflect")[:80, :80, :80]
    np.testing.assert_array_equal(cube.raw[:], wanted)


def test_a_process_is_timed_with_its_own_memory():
    large = np.ones(100_000_000)  # of this process, which does not count
    found = timed([sys.executable, "-c", "a = bytearray(300_000_000)"])
    assert 0.3 <= found["memory_gb"] < large.nbytes / 1e9
    assert 0 <= found["cpu_s"] < 60 and found["wall_s"] >= 0
    with pytest.raises(subprocess.CalledProcessError):
        timed([sys.executable, "-c", "raise SystemExit(3)"])
