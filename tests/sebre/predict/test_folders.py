"""Pictures among folders, and runs that stop, go on and report what failed."""

import csv
import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from fixed_segmenter import RESULT, SIDE, Fixed
from paths import ROOT
from PIL import Image
from section_folders import names, save_picture, tree

from sebre.data.regions import SLICEMAP
from sebre.experiments import EXPERIMENTS
from sebre.networks.segmenter import best_labels
from sebre.predict.folders import detect_files, detect_folders
from sebre.predict.job import Job, plan_job
from sebre.predict.measures import TABLE_COLUMNS
from sebre.predict.pictures import find_sections


def test_a_broken_file_does_not_stop_the_others(tmp_path):
    files = [tmp_path / "a" / "s.png", tmp_path / "broken.png", tmp_path / "b" / "s.png"]
    for path in files:
        save_picture(path)
    files[1].write_bytes(b"x")
    rows, failed = detect_files(Fixed(RESULT), files, tmp_path / "out")
    assert len(failed) == 1
    assert "broken.png" in failed[0]
    assert sorted(tree(tmp_path / "out")) == [
        "regions.csv",
        "report.html",
        "s-2_labels.png",
        "s-2_overlay.png",
        "s_labels.png",
        "s_overlay.png",
        "summary.json",
    ]
    labels = np.asarray(Image.open(tmp_path / "out" / "s_labels.png"))
    np.testing.assert_array_equal(labels, best_labels(RESULT, (SIDE, SIDE)))
    with (tmp_path / "out" / "regions.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 2 * len(SLICEMAP)  # found or not
    assert [row["region"] for row in table[:6] if row["found"] == "yes"] == ["cortex", "thalamus"]
    assert list(table[0]) == list(TABLE_COLUMNS)
    found = [row for row in table if row["found"] == "yes"]
    assert [row["image"] for row in found] == ["s", "s", "s-2", "s-2"]
    assert len(rows) == 4


class Faulty(Fixed):
    """Raises what it was given, one error at each picture of that gray value."""

    def __init__(self, errors: dict[int, list[BaseException]]):
        super().__init__(RESULT)
        self.errors = errors

    def detect(self, images, **options):
        errors = self.errors.get(int(images[0].max()))
        found = super().detect(images)
        if errors:
            raise errors.pop(0)
        return found


@pytest.fixture
def network(monkeypatch) -> Faulty:
    """Stands for the network of every job; it tells what it was shown."""
    network = Faulty({})
    monkeypatch.setattr(Job, "load", lambda job: network)
    return network


@pytest.fixture
def sections(tmp_path):
    for gray in range(4):
        save_picture(tmp_path / "in" / f"brain_{gray // 2}" / f"s_{gray}.png", gray)
    return find_sections([tmp_path / "in"])


def job_for(out: Path, **settings) -> Job:
    return plan_job("slicemap", EXPERIMENTS["slicemap"], out, settings)


def computed(network: Faulty, *arguments, **options) -> list[int]:
    """Gray values of the pictures that a run segments."""
    network.shown.clear()
    detect_folders(*arguments, **options)
    return [int(image.max()) for image in network.shown]


def test_a_second_run_does_what_is_missing_or_changed(network, sections, tmp_path, monkeypatch):
    job = job_for(tmp_path / "out")
    assert computed(network, job, sections) == [0, 1, 2, 3]
    first = tree(tmp_path / "out")
    assert "brain_1/s_2_labels.png" in first
    table = first["regions.csv"].decode().splitlines()
    assert [line.split(",")[0] for line in table[1 :: len(SLICEMAP)]] == names(sections)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "load", lambda job: pytest.fail("the network was loaded"))
        assert computed(network, job, sections) == []
    assert tree(tmp_path / "out") == first
    assert computed(network, job, sections, restart=True) == [0, 1, 2, 3]
    assert tree(tmp_path / "out") == first

    (tmp_path / "out" / "brain_0" / "s_1_overlay.png").unlink()
    (tmp_path / "out" / ".records" / "brain_1" / "s_3.json").write_text("{")
    assert computed(network, job, sections) == [1, 3]
    assert tree(tmp_path / "out") == first
    save_picture(sections[2].path, gray=9)
    assert computed(network, job, sections) == [9]
    facts = sections[0].path.stat()  # a copy of another picture of the same size
    os.utime(sections[0].path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert computed(network, job, sections) == [0]
    # A new section among others, and the same sections without it.
    save_picture(tmp_path / "in" / "brain_0" / "s_00.png", gray=7)
    assert computed(network, job, find_sections([tmp_path / "in"])) == [7]
    assert computed(network, job, sections) == []


def test_other_settings_weights_or_options_do_all_again(network, sections, tmp_path):
    out, experiment = tmp_path / "out", EXPERIMENTS["slicemap"]
    jobs = [
        job_for(out),
        job_for(out, DETECTION_MIN_CONFIDENCE=0.5),
        plan_job("slicemap_384", experiment, out),
        plan_job("slicemap", experiment, out, overlay_px=600),
    ]
    assert len({job.fingerprint for job in jobs}) == len(jobs)
    for job in jobs:
        assert computed(network, job, sections) == [0, 1, 2, 3]
        assert computed(network, job, sections) == []
        assert json.loads((out / "run.json").read_text())["fingerprint"] == job.fingerprint


def test_the_same_weights_by_name_and_by_path_are_the_same_job(tmp_path, monkeypatch):
    shipped = ROOT / "weights"
    shutil.copy(shipped / "slicemap.h5", tmp_path / "w.h5")
    shutil.copy(shipped / "slicemap.config.json", tmp_path / "config.json")
    monkeypatch.chdir(tmp_path)
    job = plan_job("w.h5", EXPERIMENTS["slicemap"], "out")
    assert job.fingerprint == job_for(tmp_path).fingerprint
    assert job.weights == str(tmp_path / "w.h5")  # found from any folder, and by any process
    assert job.out == tmp_path / "out"


def test_an_interrupted_run_goes_on(network, sections, tmp_path):
    detect_folders(job_for(tmp_path / "whole"), sections)
    job = job_for(tmp_path / "out")
    network.errors[2] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        detect_folders(job, sections)
    assert not (tmp_path / "out" / "regions.csv").exists()
    assert computed(network, job, sections) == [2, 3]
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_what_failed_is_tried_again_then_reported(network, sections, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    network.errors = {
        1: [RuntimeError("no memory left")] * 2,  # fails twice, then not
        2: [ValueError("odd")] * 3,  # fails as often as it is tried
    }
    job = job_for(tmp_path / "out")
    network.shown.clear()
    outcomes = detect_folders(job, sections, retries=2)
    assert [int(image.max()) for image in network.shown] == [0, 1, 1, 1, 2, 2, 2, 3]
    assert [bool(o.error) for o in outcomes] == [False, False, True, False]
    assert outcomes[2].error == f"{sections[2].path}: odd"
    assert names(outcomes) == names(sections)
    lines = [r.message for r in caplog.records if " of 4 " in r.message]
    assert [line.split("  ")[2] for line in lines] == [
        "2 regions",
        "2 regions",
        "failed",
        "2 regions",
    ]
    table = (tmp_path / "out" / "regions.csv").read_text()
    assert "s_2" not in table and "s_3" in table

    network.errors = {}
    assert computed(network, job, sections) == [2]  # what failed, and nothing else
    network.errors = {0: [RuntimeError("no memory left")]}
    (outcome, *_) = detect_folders(job, sections, restart=True, retries=0)
    assert outcome.error == f"{sections[0].path}: RuntimeError: no memory left"
    # Its outputs of earlier runs do not count any more.
    assert computed(network, job, sections) == [0]


def test_a_job_is_checked_before_anything_is_written(tmp_path):
    for arguments, message in [
        (("nix", EXPERIMENTS["slicemap"], tmp_path / "out"), "nix: neither a file nor a name"),
        (("slicemap", EXPERIMENTS["slicemap"], tmp_path / "out", {"NIX": 1}), "setting 'NIX'"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            plan_job(*arguments)
    assert not list(tmp_path.iterdir())


def test_a_job_is_known_by_what_changes_its_results(tmp_path, monkeypatch):
    job = job_for(tmp_path)
    assert set(job.facts) == {
        *("weights", "settings", "regions", "options"),
        *("trust", "place", "packages", "version", "results"),
    }
    changes = (("RESULTS", 0), ("__version__", "0.0.1"), ("placer_sha256", lambda: "0" * 64))
    for name, value in changes:
        with monkeypatch.context() as patch:
            patch.setattr(f"sebre.predict.job.{name}", value)
            assert job_for(tmp_path).fingerprint != job.fingerprint
    assert job_for(tmp_path).fingerprint == job.fingerprint


def test_another_machine_must_have_the_same_weights_settings_and_version(tmp_path):
    job = job_for(tmp_path)
    other = {**job.facts, "version": "0", "packages": {**job.facts["packages"], "keras": "2"}}
    with pytest.raises(ValueError, match="Not the same .* packages, version"):
        Job(job.weights, job.experiment, {}, job.out, job.options, other).load()
