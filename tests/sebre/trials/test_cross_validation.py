"""Folds scored together: every section by the network that has not seen it."""

import json

import numpy as np
import pytest
from PIL import Image
from section_cases import Scripted, box_mask, result_of

from mrcnn.errors import UserError
from sebre.data.section_files import part_folder
from sebre.experiments import EXPERIMENTS
from sebre.networks.training_run import CONFIG_FILE, TRAINING_FILE, dataset_facts
from sebre.networks.weights_store import WeightsFile
from sebre.trials.cross_validation import load_folds, main

BOX = (4, 4, 20, 20)
SECTIONS = range(3)


def add(root, part, number):
    """A section that no other is like, with one region."""
    images, masks = (part_folder(root, part, kind) for kind in ("images", "masks"))
    folder = masks / f"section_masks_{number}"
    images.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    picture = np.where(box_mask(*BOX), 200, 10 * number).astype(np.uint8)
    Image.fromarray(picture).save(images / f"section_img_{number}.png")
    Image.fromarray(box_mask(*BOX)).save(folder / f"section_masks_{number}_cortex_m1.png")


@pytest.fixture
def folds(tmp_path, monkeypatch):
    """Two folds of three sections and their runs, and all sections; what each network saw."""
    shown = {}

    def load(name, experiment):
        network = Scripted(result_of((1, 0.9, BOX)))
        network.weights = WeightsFile(tmp_path / name / "w.h5", "0" * 64)
        shown[name] = network.shown
        return network

    for fold, held in (("fold0", {0}), ("fold1", {1, 2})):
        for number in SECTIONS:
            add(tmp_path / fold, "val" if number in held else "train", number)
        run = tmp_path / f"run{fold[-1]}"
        run.mkdir()
        (run / CONFIG_FILE).write_text("{}", encoding="utf-8")
        facts = {"dataset": dataset_facts(tmp_path / fold)}
        (run / TRAINING_FILE).write_text(json.dumps(facts), encoding="utf-8")
    for number in SECTIONS:
        add(tmp_path / "all", "val", number)
    monkeypatch.setattr("sebre.trials.cross_validation.load_segmenter", load)
    monkeypatch.chdir(tmp_path)
    return shown


def given(*folds, out="scores.json", dataset="all"):
    return ["slicemap", "--dataset", dataset, "--out", out, "--folds", *folds]


def test_every_section_is_seen_by_the_network_that_left_it_out(folds, tmp_path):
    assert main(given("fold0=run0", "fold1=run1")) == 0
    grounds = {name: sorted(int(p[0, 0, 0]) for p in shown) for name, shown in folds.items()}
    assert grounds == {"run0": [0], "run1": [10, 20]}
    record = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert record["n_sections"] == 3 and record["dice_mean"] == 1
    assert record["split"]["rule"] == "each section left out once, in 2 folds"
    assert "fold0=run0" in record["command"] and record["weights"] == "w.h5, w.h5"


def test_several_networks_of_a_fold_count_together(folds, tmp_path):
    runs = {tmp_path / "fold0": ["run0", "run0"], tmp_path / "fold1": ["run1"]}
    network = load_folds(EXPERIMENTS["slicemap"], runs)
    assert network.weights.name == "w.h5, w.h5, w.h5"


def test_folds_that_are_not_of_all_sections_are_refused(folds, tmp_path):
    both = "fold0=run0", "fold1=run1"
    with pytest.raises(UserError, match="two folds or more"):
        main(given("fold1=run1"))
    with pytest.raises(UserError, match="learned from another set"):
        main(given("fold0=run1", "fold1=run1"))
    (tmp_path / "run1" / TRAINING_FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="do not say what they learned from"):
        main(given(*both))


@pytest.mark.parametrize(
    ("root", "number", "fault"),
    [
        ("all", 3, "val/3 in the test part of no fold"),
        ("fold1", 3, "lacks 1 section"),
        ("fold1", 0, "val/0: in the test part of two folds"),
    ],
)
def test_a_section_is_left_out_once(folds, tmp_path, root, number, fault):
    add(tmp_path / root, "val", number)
    with pytest.raises(UserError, match=fault):
        main(given("fold0=run0", "fold1=run1"))
    assert not (tmp_path / "scores.json").exists()
