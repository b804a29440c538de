"""Neurites on a cluster: the segments do not depend on blocks, workers, or their deaths."""

import os
import signal

import numpy as np
import pytest
from distributed import Client, LocalCluster

from sebre.cli import main
from sebre.neurites.affinity_prediction import load_network
from sebre.neurites.bad_runs import find_bad_sections
from sebre.neurites.blockwise import segment_file
from sebre.neurites.learning.neurite_training import TrainSettings, train
from sebre.neurites.volume_files import EmVolume
from sebre.neurites.whole_volumes import Decoding

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a network that has learned next to nothing."""
    rng = np.random.default_rng(0)
    labels = (np.indices((24, 32, 32)).sum(axis=0) // 16 + 1).astype(np.uint16)
    raw = (60 + 30 * (labels % 4) + rng.integers(0, 20, labels.shape)).astype(np.uint8)
    settings = TrainSettings(
        (10.0, 10.0, 10.0), (16, 24, 24), (4, 6), steps=15, long_range=0, learning_rate=0.01
    )
    out = tmp_path_factory.mktemp("run")
    train([EmVolume("a", raw, (10.0, 10.0, 10.0), labels)], [], out, settings)
    return out


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A volume of 2 x 2 x 2 cells, one of whose sections is missing."""
    raw = np.random.default_rng(1).integers(0, 255, (20, 25, 25), np.uint8)
    raw = raw.repeat(4, 0).repeat(4, 1).repeat(4, 2)
    raw[30] = 0
    path = tmp_path_factory.mktemp("volume") / "volume.npz"
    np.savez(path, raw=raw, voxel_nm=(10.0, 10.0, 10.0))
    return path


@pytest.fixture(scope="module")
def alone(file, run, tmp_path_factory):
    """Segments of one process, cell by cell."""
    out = tmp_path_factory.mktemp("alone") / "s.npz"
    assert find_bad_sections(np.load(file)["raw"]) == [30]
    segment_file(file, out, load_network(run), str(run), Decoding("watershed", 0.5))
    return np.load(out)["labels"]


@pytest.fixture(scope="module")
def cluster():
    """Two workers, each a process of its own, which load what they need once for all tests."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0
    ) as made:
        yield made


def test_two_workers_and_larger_blocks_give_the_same(file, run, alone, cluster, tmp_path):
    out, address = tmp_path / "s.npz", cluster.scheduler_address
    given = ["neurites", "predict", file, "--out", out, "--weights", run, "--threshold", "0.5"]
    assert main([*given, "--scheduler", address, "--block", "64", "192", "96"]) == 0
    np.testing.assert_array_equal(np.load(out)["labels"], alone)
    assert alone.max() > 5


def test_a_worker_that_dies_loses_nothing(file, run, alone, cluster, tmp_path):
    out, address = tmp_path / "s.npz", cluster.scheduler_address
    with Client(cluster) as client:
        killed = _kill_once_begun(client, tmp_path / "s.npz.unfinished")
        decoding, small = Decoding("watershed", 0.5), (1, 1, 1)
        segment_file(
            *(file, out, load_network(run), str(run), decoding), block=small, scheduler=address
        )
        assert killed.result() > 0
    np.testing.assert_array_equal(np.load(out)["labels"], alone)


def _kill_once_begun(client, folder):
    """Kill one of the workers with SIGKILL when the first cell is there; its process id."""
    import threading
    import time
    from concurrent.futures import Future

    done: Future = Future()
    victim = min(client.run(os.getpid).values())

    def watch():
        for _ in range(6000):
            if any(folder.glob("affinities_*.npy")):
                os.kill(victim, signal.SIGKILL)
                done.set_result(victim)
                return
            time.sleep(0.1)
        done.set_result(0)

    threading.Thread(target=watch, daemon=True).start()
    return done
