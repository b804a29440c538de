"""nnU-Net by its own package: what needs the package runs under `make test-nnunet`."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

from sebre.cli import main
from sebre.experiments import EXPERIMENTS
from sebre.networks.rivals import nnunet
from sebre.networks.rivals.nnunet import NNUNET
from sebre.networks.rivals.nnunet_train import train_nnunet
from sebre.networks.segmenter import count_parameters, load_segmenter, read_image
from sebre.networks.weights_store import find_weights, network_of

DATASET = ROOT / "datasets/slicemap"
PICTURE = DATASET / "mrcnn_val_dataset_images/section_img_0.png"
INSTALLED = importlib.util.find_spec("nnunetv2") is not None
# `make test-nnunet` says that it must be there.
needs_package = pytest.mark.skipif(
    not INSTALLED and not os.environ.get("SEBRE_REQUIRE_NNUNET"),
    reason="nnunetv2 is not installed; `make test-nnunet` installs it and runs this",
)


def options(logs: Path, *more: str) -> list[str]:
    asked = ["train", "slicemap", "--network", "nnunet", "--dataset", str(DATASET)]
    return [*asked, "--logs", str(logs), *more]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    logs = tmp_path_factory.mktemp("nnunet")
    steps = ["--steps", "4", "--set", "STEPS_PER_EPOCH=2", "--set", "NNUNET_BATCH=2"]
    assert main(options(logs, *steps, "--seed", "1", "--inner-validation", "0.3")) == 0
    (folder,) = logs.iterdir()
    return folder


@needs_package
def test_a_run_has_its_files(run):
    assert run.name.startswith("nnunet_slicemap")
    rows = (run / "log.csv").read_text().splitlines()
    assert rows[0] == "epoch,loss,seconds"
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2"]
    assert network_of(find_weights(run / "nnunet_slicemap.pth")) == "nnunet"
    job = json.loads((run / "nnunet/job.json").read_text())
    assert job["mirrors"] and job["held_out"] and not set(job["held_out"]) & set(job["train"])
    assert 50 < job["usual_side"] < 100


@needs_package
def test_its_weights_serve_where_a_network_is_named(run, tmp_path):
    out = tmp_path / "scores.json"
    asked = ["--weights", str(run), "--dataset", str(DATASET), "--out", str(out), "--draws", "0"]
    assert main(["evaluate", "slicemap", *asked]) == 0
    record = json.loads(out.read_text())
    assert record["network"] == "nnU-Net" and record["n_sections"] == 12
    assert record["parameters"] == count_parameters(load_segmenter(run)) > 1_000_000
    assert record["training_seconds"] > 0
    assert record["seconds_per_section"]["seconds_of"] == "wall"


@needs_package
def test_regions_in_another_order_and_pictures_of_another_size(run):
    segmenter = load_segmenter(run / "nnunet_slicemap.pth")
    picture = read_image(PICTURE)
    probabilities = segmenter._probabilities(picture)
    assert probabilities.shape == (*picture.shape[:2], 7)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-3)
    order = [0, 2, 1, 3, 4, 5, 6]
    found = find_weights(run / "nnunet_slicemap.pth")
    other = NNUNET.load(found, segmenter.config, segmenter.regions, order)
    np.testing.assert_allclose(other._probabilities(picture), probabilities[..., order])
    large = np.repeat(np.repeat(picture, 5, axis=0), 5, axis=1)
    assert segmenter._seen(picture) is picture
    assert max(segmenter._seen(large).shape) < 100
    (result,) = segmenter.detect([large])
    assert result["masks"].shape[:2] == large.shape[:2]


@needs_package
def test_a_training_that_was_killed_goes_on(tmp_path):
    steps = ["--steps", "400", "--set", "STEPS_PER_EPOCH=2", "--set", "NNUNET_BATCH=2"]
    words = [sys.executable, "-m", "sebre", *options(tmp_path, *steps)]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 200
    while not [*tmp_path.glob("*/nnunet/results/**/checkpoint_latest.pth")]:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.2)
    time.sleep(1)  # the line of the epoch
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and b"has its last whole epoch. Go on with:" in said
    (folder,) = tmp_path.iterdir()
    done = len((folder / "log.csv").read_text().splitlines()) - 1
    assert 1 <= done < 200
    # Nearly done: the rest of 200 epochs would take minutes.
    config = json.loads((folder / "config.json").read_text())
    training = json.loads((folder / "training.json").read_text())
    training["schedule"][0]["steps"] = 2 * (done + 2)
    (folder / "training.json").write_text(json.dumps(training))
    assert config["STEPS_PER_EPOCH"] == 2
    again = ["--steps", str(2 * (done + 2)), *steps[2:], "--resume"]
    assert main(options(tmp_path, *again)) == 0
    rows = (folder / "log.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == [*range(1, done + 3)]
    shutil.rmtree(folder / "nnunet")
    assert main(options(tmp_path, *again[:-1], "--set", "NNUNET_BATCH=3", "--resume")) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--weights", "slicemap"], "nnU-Net starts from random weights"),
        (["--set", "LEARNING_RATE=0.1"], "LEARNING_RATE would change nothing"),
        (["--steps", "0"], "steps is 0"),
        (["--set", "NNUNET_BATCH=-1"], "NNUNET_BATCH is -1"),
    ],
)
def test_what_cannot_be_is_refused(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sebre.networks.rivals.nnunet_train.demand_package", lambda: None)
    assert main(options(tmp_path, *words)) == 2
    assert said in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_without_the_package_it_is_said_how_to_install_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "nnunetv2", None)
    assert main(options(tmp_path)) == 2
    assert "pip install 'sebre[rivals]'" in capsys.readouterr().err


def test_left_and_right_are_not_mirrored(monkeypatch, tmp_path):
    """What nnU-Net is told of human MRI, whose sides are regions of their own."""
    jobs = []

    def stop(folder, sets, job):
        jobs.append(job)
        raise KeyboardInterrupt

    module = "sebre.networks.rivals.nnunet_train"
    monkeypatch.setattr(f"{module}.demand_package", lambda: None)
    monkeypatch.setattr(f"{module}._run", stop)
    monkeypatch.setattr(f"{module}.training_sets", lambda *args: (_Sections(), None))
    monkeypatch.setattr(f"{module}.training_facts", lambda *args: {})
    monkeypatch.setattr(f"{module}.recorded_contrast", lambda root: "bits")
    for name in ("ibsr", "slicemap"):
        with pytest.raises(KeyboardInterrupt):
            train_nnunet(EXPERIMENTS[name], "nowhere", tmp_path / name, steps=100)
    assert [job["mirrors"] for job in jobs] == [False, True]
    assert nnunet.USED  # what may be set


class _Sections:
    image_info = ({"path": PICTURE},)
