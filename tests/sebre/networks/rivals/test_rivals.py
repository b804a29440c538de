"""Every rival: trained by one command on real sections, loaded again, evaluated, published."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

from sebre.cli import main
from sebre.networks.network_facts import KINDS
from sebre.networks.rivals import PIXEL_KINDS
from sebre.networks.segmenter import load_segmenter, read_image
from sebre.networks.weights_store import NETWORKS, find_weights, network_of

DATASET = ROOT / "datasets/slicemap"
TINY = {
    "fcnn": ["FCNN_WIDTH=2"],
    "brainsegnet": ["BRAINSEGNET_WIDTH=2"],
    "quicknat": ["QUICKNAT_FILTERS=4"],
}


def test_all_kinds_can_be_trained_and_have_a_name():
    assert set(PIXEL_KINDS) < set(NETWORKS) <= set(KINDS)
    assert [kind.name for kind in PIXEL_KINDS.values()] == list(PIXEL_KINDS)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """A data set of the first two sections of each part of the embedded one."""
    root = tmp_path_factory.mktemp("sections") / "slicemap"
    for part in ("train", "val"):
        for number in (0, 1):
            image = f"mrcnn_{part}_dataset_images/section_img_{number}.png"
            masks = f"mrcnn_{part}_dataset_masks/section_masks_{number}"
            (root / image).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(DATASET / image, root / image)
            shutil.copytree(DATASET / masks, root / masks)
    return root


@pytest.mark.parametrize("name", TINY)
@pytest.mark.usefixtures("op_by_op")
def test_from_training_to_scores(name, two, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["IMAGE_MIN_DIM=64", "IMAGE_MAX_DIM=64", "IMAGES_PER_GPU=2", "WORKERS=0"]
    words = [w for setting in [*settings, *TINY[name]] for w in ("--set", setting)]
    options = ["--dataset", str(two), "--logs", "logs", "--steps", "2", "--seed", "1"]
    assert main(["train", "slicemap", "--network", name, *options, *words]) == 0
    (run,) = (tmp_path / "logs").iterdir()
    assert run.name.startswith(f"{name}_slicemap")
    weights = run / f"{name}_slicemap.h5"
    assert network_of(find_weights(weights)) == name
    segmenter = load_segmenter(weights)
    assert segmenter.network == KINDS[name]
    (result,) = segmenter.detect([read_image(two / "mrcnn_val_dataset_images/section_img_0.png")])
    assert result["masks"].shape[-1] == len(result["class_ids"])
    assert not (result["masks"].sum(-1) > 1).any()
    out = tmp_path / "scores.json"
    asked = ["--weights", str(weights), "--dataset", str(two), "--out", str(out)]
    assert main(["evaluate", "slicemap", *asked]) == 0
    record = json.loads(out.read_text())
    assert record["network"] == KINDS[name] and record["n_sections"] == 2
    assert np.isfinite(record["dice_mean"])


@pytest.mark.parametrize("name", TINY)
def test_weights_to_start_from_are_refused(name, tmp_path, capsys):
    asked = ["train", "slicemap", "--network", name, "--dataset", str(DATASET)]
    assert main([*asked, "--logs", str(tmp_path), "--weights", "slicemap"]) == 2
    assert f"{KINDS[name]} starts from random weights" in capsys.readouterr().err
