"""The commands with a U-Net: trained, scored, used and shipped like Mask R-CNN."""

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

import sebre
from mrcnn.weights import read_stored_settings
from mrcnn.weights.hdf5 import OF_THE_MACHINE
from sebre.cli import commands as cli
from sebre.experiments import EXPERIMENTS
from sebre.inspect.examples import open_walk
from sebre.networks.segmenter import load_segmenter, read_image
from sebre.networks.train import train
from sebre.networks.weights_store import find_weights, network_of, read_manifest
from sebre.report.records import shipped_results

DATASET = ROOT / "datasets" / "slicemap"
IMAGE = DATASET / "mrcnn_val_dataset_images" / "section_img_0.png"


def run(*arguments: object, experiment: str | None = None) -> int:
    return cli.main([str(a) for a in arguments], experiment=experiment)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """What `samples/slicemap.py train --network unet` says that it wrote, after two steps."""
    settings = {"UNET_WIDTH": 4, "UNET_LEVELS": 3, "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64}
    options = [f"--set={name}={value}" for name, value in {**settings, "WORKERS": 0}.items()]
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = run(
            "train", "--network", "unet", "--dataset", DATASET, "--steps", 2, "--seed", 3,
            "--logs", tmp_path_factory.mktemp("logs"), "--inner-validation", 0.2, *options,
            experiment="slicemap",
        )  # fmt: skip
    assert code == cli.DONE
    return Path(text.getvalue().splitlines()[-1].removeprefix("Weights: "))


def test_a_run_has_its_settings_and_log(weights):
    assert weights.name == "unet_slicemap.h5"
    config = json.loads((weights.parent / "config.json").read_text())
    assert (config["SEED"], config["STEPS_PER_EPOCH"], config["UNET_WIDTH"]) == (3, 2, 4)
    header, row = (weights.parent / "log.csv").read_text().splitlines()
    assert header == "epoch,loss,val_loss,val_dice,seconds"
    assert row.startswith("1,")
    assert network_of(find_weights(weights)) == "unet"
    for path in weights.parent.glob("*.h5"):
        own = {name: value for name, value in config.items() if name not in OF_THE_MACHINE}
        assert read_stored_settings(path) == own


def test_evaluate(weights, tmp_path, capsys):
    code = run(
        "evaluate", "slicemap", "--dataset", DATASET, "--weights", weights, "--draws", 0,
        "--out", tmp_path / "r.json", "--inner-validation", 0.2, "--seed", 3,
    )  # fmt: skip
    assert code == cli.DONE
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["network"] == "U-Net"
    assert record["weights_sha256"] == find_weights(weights).sha256
    assert record["n_sections"] == 8  # of 38 training sections
    assert record["detection_min_confidence"] is record["best_per_class"] is None
    assert "mAP" in capsys.readouterr().out


def test_detect(weights, tmp_path):
    assert run("detect", "slicemap", IMAGE, "--weights", weights, "--out", tmp_path) == cli.DONE
    assert np.asarray(Image.open(tmp_path / "section_img_0_labels.png")).shape == (84, 84)
    assert (tmp_path / "section_img_0_overlay.png").is_file()
    assert (
        (tmp_path / "regions.csv")
        .read_text()
        .startswith("image,region_id,region,found,reason,score")
    )


def test_there_are_no_stages_to_show(weights, tmp_path, capsys):
    out = tmp_path / "out"
    code = run("inspect", "slicemap", IMAGE, "--weights", weights, "--out", out)
    assert code == cli.USER_ERROR
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("sebre inspect: ")
    assert "unet_slicemap.h5: the weights of a U-Net, which has none of the stages" in line
    assert not out.exists()
    with pytest.raises(ValueError, match=r"weights of a U-Net.* Give those of a Mask R-CNN"):
        open_walk("slicemap", DATASET, weights)


def test_a_mask_rcnn_cannot_start_from_it(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sebre.networks.train.MaskRCNN", lambda mode, config, logs: SimpleNamespace(config=config)
    )
    with pytest.raises(ValueError, match=r"unet_slicemap\.h5: .* another kind of network \(unet"):
        train(EXPERIMENTS["slicemap"], DATASET, str(weights), tmp_path, steps=[20])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "coco"], "--weights coco: U-Net starts from random weights"),
        (["--weights", "last"], "--weights last: U-Net starts from random weights"),
        (["--steps", "1,1"], "--steps has 2 numbers"),
        (["--steps", "0"], "steps is 0; at least 1 is needed"),
        (["--set", "UNET_LEVELS=9"], "multiples of 2 ** (levels - 1)"),
        (["--set", "UNET_DEPTH=3"], "has no setting 'UNET_DEPTH'"),
        (["--resume"], "logs: no run to resume"),
        (["--resume", "--weights", "last"], "logs: no run to resume"),
    ],
)
def test_user_errors_give_one_line_and_code_2(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    command = ["train", "slicemap", "--network", "unet", "--dataset", DATASET, "--logs", "logs"]
    assert run(*command, *options) == cli.USER_ERROR
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("sebre train: ")
    assert message in line
    assert not list(tmp_path.iterdir())


def test_it_ships(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sebre.evaluation.evaluate.TURN_DRAWS", 1)
    store = tmp_path / "store"
    monkeypatch.setenv("SEBRE_WEIGHTS", str(store))
    code = run(
        "publish", "slicemap", "--weights", weights, "--dataset", DATASET,
        "--command", "sebre train slicemap --network unet", "--note", "A small one.",
    )  # fmt: skip
    assert code == cli.DONE
    name = "slicemap_unet"  # Mask R-CNN keeps the name of the experiment
    assert list(read_manifest()) == [name]
    entry = read_manifest()[name]
    assert (entry["network"], entry["experiment"]) == ("unet", "slicemap")
    endings = (".config.json", ".h5", ".log.csv", ".md", ".png", ".training.json")
    files = [f"{name}{ending}" for ending in endings]
    assert sorted(path.name for path in store.glob("[!.]*")) == ["manifest.json", *files]
    log = weights.with_name("log.csv").read_text()
    assert (store / f"{name}.log.csv").read_text() == log
    record = json.loads((tmp_path / "results" / f"{name}.json").read_text())
    assert (record["weights"], record["network"]) == (name, "U-Net")
    assert record["weights_sha256"] == entry["sha256"]
    assert entry["scores"]["dice_mean"] == record["dice_mean"]
    assert entry["scores"]["dice_interval"] == record["intervals"]["dice_mean"]
    assert (entry["plane"], entry["stain"], entry["age"]) == ("sagittal", "fluorescence", None)
    assert entry["thumbnail"] == f"{name}.png"
    assert 0 < (store / entry["thumbnail"]).stat().st_size <= 20_000
    assert record["command"] == shipped_results()[name] + f" --out results/{name}.json"

    card = " ".join((store / f"{name}.md").read_text().split())
    segmenter = sebre.load(name)
    count = segmenter.keras_model.count_params()
    assert f"U-Net, 3 levels, 4 filters at the first, 64 px, 7 classes, {count:,} param" in card
    assert entry["sha256"] in card
    assert "`sebre train slicemap --network unet`" in card
    assert "cannot overlap, but drawn ones do: even without errors it would reach a mean " in card
    assert "A small one. Not for diagnosis." in card
    assert "torn off" not in card

    image = read_image(IMAGE)
    trained = load_segmenter(weights, EXPERIMENTS["slicemap"])
    found = [network.detect([image])[0]["masks"] for network in (trained, segmenter)]
    np.testing.assert_array_equal(*found)
    out = tmp_path / "out"
    assert run("detect", "slicemap", IMAGE, "--weights", name, "--out", out) == cli.DONE
    assert run("inspect", "slicemap", IMAGE, "--weights", name, "--out", out) == cli.USER_ERROR
