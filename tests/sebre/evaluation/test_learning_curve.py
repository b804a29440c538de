"""Scores against the number of sections that a network was trained on."""

import json

import pytest
from paths import ROOT

from mrcnn.errors import UserError
from sebre.data.section_files import list_subset
from sebre.evaluation import learning_curve
from sebre.evaluation.learning_curve import Start, measure, part_of_set, parts_of
from sebre.experiments.custom import experiment_of_dataset

DATASET = ROOT / "datasets" / "slicemap"


def test_a_part_of_a_set_is_a_set(tmp_path):
    part = part_of_set(DATASET, [3, 7], tmp_path / "part")
    whole, _ = list_subset(DATASET, "train")
    listed, refused = list_subset(part, "train")
    assert sorted(listed) == [3, 7] and not refused
    assert listed[7].image.read_bytes() == whole[7].image.read_bytes()
    assert {i: p.name for i, p in listed[3].masks.items()} == {
        i: p.name for i, p in whole[3].masks.items()
    }


def test_inner_parts_are_of_the_training_part_alone():
    experiment = experiment_of_dataset(DATASET)
    usual, inner = (parts_of(DATASET, experiment, inside) for inside in (False, True))
    assert len(usual.drawn_from) == 38 and usual.scored.num_images == 12
    assert usual.scored.image_reference(0).startswith("val/")
    names = {inner.scored.image_reference(i) for i in range(inner.scored.num_images)}
    assert all(name.startswith("train/") for name in names)
    assert not names & {f"train/{number}" for number in inner.drawn_from}
    assert len(names) + len(inner.drawn_from) == 38 and len(names) == pytest.approx(11, abs=1)


def test_a_call_that_was_stopped_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(learning_curve, "SCORED", 2)
    out = tmp_path / "curve.json"
    starts = {"none": Start("none", 1, 0.001)}
    record = measure(DATASET, out, starts, [2], [0], False, "command")
    (run,) = record["runs"]
    assert json.loads(out.read_text())["runs"] == [run]
    assert (run["start"], run["sections"], run["seed"]) == ("none", 2, 0)
    assert len(run["drawn"]) == 2 and 0 <= run["dice_mean"] < 0.3, "one step learns nothing"
    assert set(run["dice_per_region"]) <= set(record["regions"])
    assert record["n_scored"] == 2 and record["dataset"] == "slicemap"
    monkeypatch.setattr(learning_curve, "run_one", None)  # nothing is left to run
    assert measure(DATASET, out, starts, [2], [0], False, "command")["runs"] == [run]
    with pytest.raises(UserError, match="38 sections can be drawn from; wanted 99"):
        measure(DATASET, out, starts, [99], [0], False, "command")
    # Runs of other settings would be taken for these.
    other = {"none": Start("none", 2, 0.001)}
    with pytest.raises(UserError, match=r"runs of other settings \(none\)"):
        measure(DATASET, out, other, [2], [0], False, "command")
    with pytest.raises(UserError, match=r"runs of other settings \(subset\)"):
        measure(DATASET, out, starts, [2], [0], True, "command")
    more = {"second": Start("none", 2, 0.001)}
    monkeypatch.setattr(learning_curve, "run_one", lambda *_: {**run})
    assert set(measure(DATASET, out, more, [2], [0], False, "c")["starts"]) == {"none", "second"}
