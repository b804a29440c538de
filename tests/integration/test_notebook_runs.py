"""Notebooks run; those of the four experiments end at the paper's numbers of boxes."""

import pytest
from notebook_runs import EXPERIMENTS, names, run

from sebre.prepare.build import build
from sebre.prepare.sources import read_source

# Printed by the released notebook.
NUMBERS = {
    "image_side": 384,
    "anchors": 36828,
    "rpn_samples": 256,
    "before_nms": 6000,
    "proposals": 1000,
}


@pytest.mark.parametrize("name", names(EXPERIMENTS))
def test_notebook_of_an_experiment(name):
    facts = run(name, "walk.facts()")
    assert 1 <= facts.pop("detections") <= 8
    assert facts == NUMBERS


def test_data_of_ones_own_by_changing_one_path(data_dir, tmp_path):
    build(read_source("ara-nissl", data_dir / "ara_nissl_hippocampus", {}), tmp_path / "mine")
    asked = "[walk.facts(), walk.note, stage_figures.score(walk).dices]"
    changed = f"DATASET = {str(tmp_path / 'mine')!r}"
    facts, note, dices = run("hippocampus", asked, "DATASET = None", changed)
    assert facts == {**NUMBERS, "detections": 4}
    assert "of mine; network hippocampus, which looks for CA1, CA2, CA3, DG." in note
    assert sorted(dices) == ["1", "2", "3", "4"] and min(dices.values()) > 0.5


@pytest.mark.parametrize("name", [name for name in names() if name != "own_data"])
def test_notebook_of_no_experiment(name):
    run(name)


def test_own_data_finds_the_regions_that_were_painted():
    scores = run("own_data", "scores")
    assert scores["n_sections"] >= 10
    assert scores["map_paper"] > 0.6
    assert set(scores["dice_per_region"]) == {"cortex", "hippocampus", "cerebellum"}
    assert min(scores["dice_per_region"].values()) > 0.4
