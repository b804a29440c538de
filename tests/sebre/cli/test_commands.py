"""Commands: exit codes, messages, and one small run through all of them."""

import csv
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from named_sets import tiny_experiment
from paths import ROOT
from PIL import Image

import sebre
from mrcnn.data.augment import RandomRotateFlip
from mrcnn.errors import MissingFileError, UserError
from mrcnn.weights import read_stored_settings
from mrcnn.weights.hdf5 import OF_THE_MACHINE
from sebre.cli import commands as cli
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import Stage
from sebre.networks.train import train, training_sets
from sebre.program import STOPPED

DATASET = ROOT / "datasets" / "slicemap"


@pytest.fixture
def tiny(monkeypatch):
    """The experiment with the smallest network and a schedule of two steps in two parts."""
    experiment = tiny_experiment(Stage("all", 1), Stage("heads", 1, rate=0.1))
    monkeypatch.setitem(EXPERIMENTS, "slicemap", experiment)
    return experiment


def run(*arguments: str | Path, experiment: str | None = None) -> int:
    return cli.main([str(a) for a in arguments], experiment=experiment)


@pytest.mark.usefixtures("trains_op_by_op")
def test_prepare_train_evaluate_detect_publish(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sebre.evaluation.evaluate.TURN_DRAWS", 1)
    logs, out = tmp_path / "logs", tmp_path / "out"
    code = run(
        "train", "slicemap", "--dataset", DATASET, "--logs", logs, "--weights", "none",
        "--steps", "1,1", "--seed", "3", "--inner-validation", "0.2",
    )  # fmt: skip
    assert code == cli.DONE
    weights = Path(capsys.readouterr().out.splitlines()[-1].removeprefix("Weights: "))
    assert weights.is_file()
    assert weights.name == "mask_rcnn_slicemap_0002.h5"
    config = json.loads((weights.parent / "config.json").read_text())
    assert (config["SEED"], config["STEPS_PER_EPOCH"], config["BACKBONE_WIDTH"]) == (3, 1, 0.25)
    for path in weights.parent.glob("*.h5"):
        own = {name: value for name, value in config.items() if name not in OF_THE_MACHINE}
        assert read_stored_settings(path) == own
    assert "val_loss" in (weights.parent / "log.csv").read_text()

    code = run(
        "evaluate", "slicemap", "--dataset", DATASET, "--weights", weights, "--out",
        out / "r.json", "--inner-validation", "0.2", "--seed", "3",
    )  # fmt: skip
    assert code == cli.DONE
    record = json.loads((out / "r.json").read_text())
    assert record["n_sections"] == 8  # of 38 training sections
    assert record["turned"]["n_sections"] == 8
    assert set(record["dice_per_region"]) == set(tiny.regions.names)
    assert 0 <= record["map_paper"] <= 1
    assert all(s["section"].startswith("train/") for s in record["sections"])
    assert "mAP" in capsys.readouterr().out

    (tmp_path / "bad.png").write_bytes(b"x")
    image = DATASET / "mrcnn_val_dataset_images" / "section_img_0.png"
    code = run(
        "predict", image, tmp_path / "bad.png", "--weights", weights, "--out", out,
        "--masks", "rle", "--set", "DETECTION_MAX_INSTANCES=4",
    )  # fmt: skip
    assert code == cli.SOME_FAILED
    captured = capsys.readouterr()
    assert "bad.png: cannot read" in captured.err
    assert "Traceback" not in captured.err
    labels = np.asarray(Image.open(out / "section_img_0_labels.png"))
    assert labels.shape == (84, 84)
    assert (out / "section_img_0_overlay.png").is_file()
    with (out / "regions.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(tiny.regions)
    shapes = json.loads((out / "section_img_0_regions.json").read_text())
    assert len(shapes) == [row["found"] for row in table].count("yes") <= 4
    assert json.loads((out / "run.json").read_text())["settings"]["DETECTION_MAX_INSTANCES"] == 4

    assert run("export", "slicemap", "--weights", weights, "--out", out / "n.onnx") == cli.DONE
    code = run(
        "detect", "slicemap", image, "--weights", out / "n.onnx", "--runtime", "openvino",
        "--out", tmp_path / "exported",
    )  # fmt: skip
    assert code == cli.DONE
    again = np.asarray(Image.open(tmp_path / "exported" / "section_img_0_labels.png"))
    assert again.shape == (84, 84)
    facts = json.loads((tmp_path / "exported" / "run.json").read_text())
    assert facts["settings"]["RUNTIME"] == "openvino"
    Image.fromarray(np.asarray(Image.open(image))[26:-26]).save(tmp_path / "low.png")
    code = run(
        "export", "slicemap", "--weights", weights, "--out", out / "low.onnx", "--precision",
        "int8", "--calibrate", DATASET, "--shape", "64", "128", "--set", "IMAGE_RESIZE_MODE=fit64",
        "--set", "IMAGE_MIN_DIM=128", "--set", "IMAGE_MAX_DIM=128",
    )  # fmt: skip
    assert code == cli.DONE
    for picture, wanted in ((image, cli.SOME_FAILED), (tmp_path / "low.png", cli.DONE)):
        code = run(
            "detect", "slicemap", picture, "--weights", out / "low.onnx", "--runtime", "openvino",
            "--out", tmp_path / "low",
        )  # fmt: skip
        assert code == wanted
    assert "`sebre export --shape`" in capsys.readouterr().err

    code = run("inspect", "slicemap", image, "--weights", out / "n.onnx", "--out", out)
    assert code == cli.USER_ERROR
    assert "n.onnx: an exported network" in capsys.readouterr().err

    monkeypatch.setenv("SEBRE_WEIGHTS", str(tmp_path / "store"))
    code = run(
        "publish", "slicemap", "--weights", weights, "--dataset", DATASET,
        "--command", "sebre train slicemap",
    )  # fmt: skip
    assert code == cli.DONE
    entry = json.loads((tmp_path / "store" / "manifest.json").read_text())["slicemap"]
    assert entry["experiment"] == "slicemap"
    assert entry["scores"]["n_sections"] == 12
    assert entry["sha256"] in (tmp_path / "store" / "slicemap.md").read_text()
    assert entry["licence"] == "MIT for the code; trained on data under Apache-2.0"
    assert entry["bytes"] < 0.55 * weights.stat().st_size
    training = json.loads((tmp_path / "store" / "slicemap.training.json").read_text())
    assert [(part["layers"], part["steps"]) for part in training["schedule"]] == [
        ("all", 1),
        ("heads", 1),
    ]
    assert training["augmentation"] == {
        "class": "RandomRotateFlip", "max_angle": 180, "flip": True, "scale": [0.85, 1.15],
        "shift": 0.05, "bend": 0.02, "gamma": [0.65, 1.5], "brightness": [0.8, 1.25],
        "fill": "zero",
    }  # fmt: skip
    assert (training["start"], training["settings"]["SEED"]) == ("none", 3)


def test_prepare_and_its_user_errors(data_dir, tmp_path, capsys):
    raw, out = data_dir / "sagittal59", tmp_path / "out"
    assert run("prepare", "slicemap", "--raw", raw, "--out", out) == cli.DONE
    assert (out / "dataset.json").is_file()
    assert run("prepare", "--raw", raw, "--out", out, experiment="slicemap") == cli.USER_ERROR
    assert "not an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "slicemap", "--raw", "none", "--out", "x"], "none: no such folder of raw"),
        (["train", "slicemap", "--dataset", "none", "--logs", "logs"], "no such folder"),
        (
            ["train", "slicemap", "--dataset", DATASET, "--logs", "x", "--steps", "1,2"],
            "the schedule of slicemap needs 1 number",
        ),
        (
            ["train", "slicemap", "--dataset", DATASET, "--logs", "x", "--steps", "251"],
            "Take round numbers",
        ),
        (["train", "slicemap", "--dataset", DATASET, "--logs", "x", "--resume"], "--weights last"),
        (
            ["train", "slicemap", "--dataset", DATASET, "--logs", "x", "--inner-validation", "2"],
            "above 0 and below 1",
        ),
        (
            ["evaluate", "slicemap", "--dataset", DATASET, "--weights", "nix", "--out", "o.json"],
            "nix: neither a file nor a name",
        ),
        (["detect", "slicemap", "none.png", "--out", "x"], "none.png: no such file"),
        (
            ["detect", "slicemap", ROOT / "tests", "--weights", "nix", "--out", "x"],
            "no image in it",
        ),
        (["detect", "slicemap", DATASET, "--out", "x", "--overlap", "9"], "--tile)"),
        (["detect", "slicemap", DATASET, "--out", "x", "--tile", "9", "--overlap", "9"], "9 px"),
        (
            [
                "detect",
                "slicemap",
                DATASET,
                "--out",
                "x",
                "--set",
                "PRECISION=int8",
                "--runtime",
                "openvino",
            ],
            "sebre export --precision int8",
        ),
        (
            [
                "detect",
                "slicemap",
                DATASET,
                "--out",
                "x",
                "--runtime",
                "onnxruntime",
                "--precision",
                "bfloat16",
            ],
            "RUNTIME 'onnxruntime' is for exported networks alone",
        ),
        (["export", "slicemap", "--out", "x", "--precision", "int8"], "--calibrate"),
        (
            ["detect", "slicemap", DATASET, "--out", "x", "--set", "IMAGE_MAX_DIM=wide"],
            "IMAGE_MAX_DIM is 'wide'; it must be a value such as 128",
        ),
        (["export", "slicemap", "--out", "x", "--weights", "slicemap_unet"], "of a U-Net"),
        (["train", "slicemap", "--dataset", DATASET, "--logs", "x", "--devices", "3"], "3 devices"),
        (
            [
                "train",
                "slicemap",
                "--dataset",
                DATASET,
                "--logs",
                "x",
                "--network",
                "unet",
                "--devices",
                "2",
            ],
            "one device",
        ),
    ],
)
def test_user_errors_give_one_line_and_code_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == cli.USER_ERROR
    err = capsys.readouterr().err.strip()
    assert message in err
    assert err.startswith(f"sebre {arguments[0]}: ")
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["train", "nix"],
        ["train", "slicemap"],
        ["prepare", "ccf", "--seed", "-1"],
        ["detect", "slicemap", DATASET, "--out", "x", "--workers", "0"],
        ["detect", "slicemap", DATASET, "--out", "x", "--workers", "2", "--scheduler", "tcp://a"],
        ["detect", "slicemap", DATASET, "--out", "x", "--resume", "--restart"],
        ["train", "slicemap", "--dataset", DATASET, "--logs", "x", "--devices", "many"],
    ],
)
def test_wrong_arguments_end_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == cli.USER_ERROR
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("a wrong\n  value"), "a wrong value"),
        (MissingFileError("x.png: no such file."), "x.png: no such file."),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "out: Permission denied"),
    ],
)
def test_what_the_user_can_mend_is_one_line(error, line, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr("sebre.data.check.check", fail)
    assert run("check", DATASET) == cli.USER_ERROR
    assert capsys.readouterr().err == f"sebre check: {line}\n"
    for arguments in (["--debug", "check", DATASET], ["check", DATASET, "--debug"]):
        assert run(*arguments) == cli.USER_ERROR
        err = capsys.readouterr().err
        assert "Traceback" in err and err.endswith(f"sebre check: {line}\n")


@pytest.mark.parametrize("error", [ValueError("operands"), KeyError("x"), OSError("by hand")])
def test_anything_else_is_a_bug_with_its_traceback(error, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr("sebre.data.check.check", fail)
    with pytest.raises(type(error)):
        run("check", DATASET)


def test_a_stop_by_the_keyboard_has_a_code_of_its_own(monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sebre.data.check.check", stop)
    assert run("check", DATASET) == STOPPED
    assert capsys.readouterr().err == "sebre check: stopped.\n"


def test_version_and_the_benchmark(capsys):
    with pytest.raises(SystemExit) as end:
        run("--version")
    assert end.value.code == cli.DONE
    assert capsys.readouterr().out == f"sebre {sebre.__version__}\n"
    assert run("bench", "--list", "--quick") == cli.DONE
    assert "detect/float32" in capsys.readouterr().out


def test_weights_of_another_network_are_a_user_error(tmp_path, capsys):
    (tmp_path / "w.h5").write_bytes(b"no weights")
    image = DATASET / "mrcnn_val_dataset_images" / "section_img_0.png"
    code = run(
        "detect", "slicemap", image, "--weights", tmp_path / "w.h5", "--out", tmp_path / "out"
    )
    assert code == cli.USER_ERROR
    assert "w.h5" in capsys.readouterr().err


def test_inner_split_is_fixed_and_leaves_the_test_part_alone():
    experiment = EXPERIMENTS["slicemap"]
    kept, held_out = training_sets(experiment, DATASET, 0.25, seed=0)
    names = [[info["id"] for info in part.image_info] for part in (kept, held_out)]
    assert sorted(map(len, names)) == [10, 28]
    assert not set(names[0]) & set(names[1])
    assert all(name.startswith("train/") for part in names for name in part)
    again = training_sets(experiment, DATASET, 0.25, seed=0)
    assert names == [[info["id"] for info in part.image_info] for part in again]
    whole, none = training_sets(experiment, DATASET)
    assert whole.num_images == 38
    assert none is None


@pytest.fixture
def calls(tmp_path, monkeypatch) -> list[tuple]:
    """What `MaskRCNN.train` would be called with: data, options, settings."""
    calls = []

    class Recorder:
        def __init__(self, mode, config, model_dir):
            self.config, self.epoch, self.model_dir = config, 0, str(tmp_path / "runs")
            self.log_dir, self.checkpoint_path = str(tmp_path / "run"), "{epoch}"

        def train(self, train_set, val_set, **options):
            calls.append((train_set, val_set, options, self.config))
            self.epoch = options["epochs"]

    monkeypatch.setattr("sebre.networks.train.MaskRCNN", Recorder)
    return calls


def test_devices_multiply_the_batch(tiny, calls, tmp_path, monkeypatch):
    monkeypatch.setattr("mrcnn.backend.available_devices", lambda: ["GPU:0", "GPU:1", "GPU:2"])
    arguments = ["train", "slicemap", "--dataset", DATASET, "--logs", tmp_path, "--steps", "20,20"]
    for given, count in ([], 1), (["--devices", "2"], 2), (["--devices", "all"], 3):
        run(*arguments, *given, "--set", "IMAGES_PER_GPU=4")
        config = calls[-1][-1]
        assert (config.GPU_COUNT, config.BATCH_SIZE) == (count, 4 * count)


def test_training_never_opens_the_test_part(tiny, calls, tmp_path):
    """The schedule is given to the network in steps, on training sections alone."""
    train(tiny, DATASET, "none", tmp_path, steps=[200, 300])
    assert [c[2]["epochs"] for c in calls] == [2, 5]
    assert [c[2]["layers"] for c in calls] == ["all", "heads"]
    assert [c[2]["learning_rate"] for c in calls] == pytest.approx([0.001, 0.0001])
    for train_set, val_set, options, config in calls:
        assert val_set is None
        assert {info["subset"] for info in train_set.image_info} == {"train"}
        assert isinstance(options["augmentation"], RandomRotateFlip)
        assert config.STEPS_PER_EPOCH == 100


@pytest.mark.parametrize("command", [["-m", "sebre"], ["samples/slicemap.py"]])
def test_help_starts_without_the_network(command):
    """As a program of its own; a second at most, so nothing heavy may be imported."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "importtime", *command, "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    for verb in ("prepare", "train", "evaluate", "predict"):
        assert verb in done.stdout
    assert "tensorflow" not in done.stderr
