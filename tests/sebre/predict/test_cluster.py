"""Sections on a real Dask cluster of two processes, with the shipped network."""

import dataclasses
import logging
import os
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from paths import ROOT
from section_folders import names, tree

from sebre.cli import commands as cli
from sebre.experiments import EXPERIMENTS
from sebre.predict import cluster
from sebre.predict.cluster import connect, run_on_cluster
from sebre.predict.folders import detect_folders
from sebre.predict.job import Job, plan_job
from sebre.predict.pictures import find_sections

SECTIONS = ROOT / "datasets" / "slicemap" / "mrcnn_val_dataset_images"


# What pyproject.toml leaves out for this process, for workers that are started with its options.
NUMPY_ON_TENSORFLOW = (
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning:"
    "keras.src.backend.tensorflow.core"
)


@pytest.fixture(scope="module")
def client():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "warnoptions", [*sys.warnoptions, NUMPY_ON_TENSORFLOW])
        with connect(workers=2) as client:
            yield client


@pytest.fixture
def address(client) -> str:
    return client.scheduler.address


@pytest.fixture
def brains(tmp_path) -> Path:
    for n, path in enumerate(sorted(SECTIONS.iterdir())[:6]):
        brain = tmp_path / "in" / f"brain_{n % 2}"
        brain.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, brain)
    return tmp_path / "in"


def job_for(out: Path) -> Job:
    return plan_job("slicemap", EXPERIMENTS["slicemap"], out)


class Pipe:
    """Takes the place of a picture and holds whoever reads it, until it is put back."""

    def __init__(self, path: Path):
        self.path = path
        self.picture = path.rename(path.with_name("held"))
        os.mkfifo(path)

    def wait_for_reader(self) -> int:
        """File descriptor of its other end."""
        for _ in range(600):
            try:
                return os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                time.sleep(0.1)
        raise TimeoutError(f"nobody reads {self.path}")

    def put_back(self) -> None:
        self.picture.replace(self.path)


def place_of(client, name: str) -> str | None:
    """Address of the worker that has a section."""
    for place, tasks in client.processing().items():
        if any(key.startswith(f"{name} ") for key in tasks):
            return place
    return None


def test_results_are_those_of_one_process_in_the_order_of_the_inputs(address, brains, tmp_path):
    """The first section is held up, fails, and is tried again when the others are done."""
    sections = find_sections([brains])
    detect_folders(job_for(tmp_path / "one"), sections)

    pipe = Pipe(sections[0].path)
    results = run_on_cluster(job_for(tmp_path / "two"), sections, 1, scheduler=address)
    order = [next(results).name]
    writer = pipe.wait_for_reader()
    pipe.put_back()
    os.close(writer)  # an empty file
    order += names(results)
    assert order[0] == sections[1].name
    assert sorted(order) == sorted(names(sections))

    outcomes = detect_folders(job_for(tmp_path / "two"), sections, scheduler=address)
    assert all(outcome.earlier for outcome in outcomes)
    assert names(outcomes) == names(sections)
    assert tree(tmp_path / "two") == tree(tmp_path / "one")
    assert len(tree(tmp_path / "two")) == 2 * len(sections) + 4
    records = [tree(tmp_path / name / ".records") for name in ("one", "two")]
    assert records[0] == records[1]
    assert len([name for name in records[0] if name.endswith(".json")]) == len(sections)


def test_workers_that_die_lose_nothing(client, address, brains, tmp_path, caplog):
    """One section kills the worker that reads it, then the next one, and then is well."""
    caplog.set_level(logging.INFO)
    sections = find_sections([brains])
    job = job_for(tmp_path / "out")
    pipe, name = Pipe(sections[0].path), sections[0].name
    killed = []
    with ThreadPoolExecutor() as pool:
        run = pool.submit(detect_folders, job, sections, scheduler=address, retries=2)
        for _ in range(2):
            while (place := place_of(client, name)) in (None, *killed):
                time.sleep(0.05)
            writer = pipe.wait_for_reader()
            # It may be a process that was started for one that died.
            os.kill(client.run(os.getpid, workers=[place])[place], signal.SIGKILL)
            os.close(writer)
            killed.append(place)
        pipe.put_back()
        outcomes = run.result(timeout=120)
    assert [outcome.error for outcome in outcomes] == [""] * len(sections)
    assert [outcome.name for outcome in outcomes] == names(sections)
    assert len(set(killed)) == 2
    for place in killed:
        assert f"{sections[0].path}: the worker {place} died over it" in caplog.text


def test_a_damaged_file_is_tried_again_then_reported(address, brains, tmp_path, capsys, caplog):
    caplog.set_level(logging.INFO)
    sections = find_sections([brains])
    sections[2].path.write_bytes(b"x")
    arguments = ["detect", "slicemap", brains, "--out", tmp_path / "out", "--retries", "1"]
    code = cli.main([*arguments, "--scheduler", address])
    assert code == cli.SOME_FAILED
    (error,) = (line for line in capsys.readouterr().err.splitlines() if "sebre detect" in line)
    assert f"{sections[2].path}: cannot read" in error
    assert len([r for r in caplog.records if "trying again" in r.message]) == 1
    table = (tmp_path / "out" / "regions.csv").read_text()
    assert sections[2].name not in table
    assert all(section.name in table for section in sections if section is not sections[2])


def test_a_folder_that_workers_do_not_see_is_told(address, brains, tmp_path, monkeypatch):
    monkeypatch.setattr(Job, "begin", lambda job: None)  # as if it were of another machine
    sections = find_sections([brains])[:1]
    job = job_for(tmp_path / "out")
    (outcome,) = run_on_cluster(job, sections, 0, scheduler=address)
    assert f"{tmp_path / 'out'}: not to be seen by the worker tcp://" in outcome.error


def test_workers_of_another_version_stop_the_run(address, brains, tmp_path):
    job = job_for(tmp_path / "out")
    job = dataclasses.replace(job, facts={**job.facts, "version": "0"})
    with pytest.raises(ValueError, match="Not the same as where the run was started: version"):
        list(run_on_cluster(job, find_sections([brains]), 0, scheduler=address))


def test_no_scheduler_or_no_dask_is_a_user_error(brains, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "_PATIENCE", 1.0)
    arguments = ["detect", "slicemap", brains, "--out", tmp_path / "out"]
    assert cli.main([*arguments, "--scheduler", "tcp://127.0.0.1:9"]) == cli.USER_ERROR
    assert "127.0.0.1:9: no Dask scheduler answers there" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main([*arguments, "--workers", "2"]) == cli.USER_ERROR
    assert 'pip install "sebre[cluster]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_local_workers_share_the_cores_unless_told_otherwise(monkeypatch):
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("dask.system.CPU_COUNT", 8)
    assert cluster._shared_cores(3)["TF_NUM_INTRAOP_THREADS"] == "2"
    assert cluster._shared_cores(20)["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "5")
    assert cluster._shared_cores(3)["TF_NUM_INTRAOP_THREADS"] == "5"
