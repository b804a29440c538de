"""Scores of sections that are left out one after the other."""

import json

import numpy as np
import pytest
from paths import ROOT

from mrcnn.errors import UserError
from sebre.evaluation import leave_one_out
from sebre.evaluation.learning_curve import Start, part_of_set
from sebre.evaluation.leave_one_out import mean_scores, measure

DATASET = ROOT / "datasets" / "slicemap"


@pytest.mark.usefixtures("trains_op_by_op")
def test_each_section_is_left_out_once_and_a_call_goes_on(tmp_path, monkeypatch):
    root = part_of_set(DATASET, [1, 4, 9], tmp_path / "three")
    monkeypatch.setattr(leave_one_out, "STARTS", {"none": Start("none", 1, 0.001)})
    out = tmp_path / "loo.json"
    record = measure(root, out, ["none"], [0], "command")
    assert [run["section"] for run in record["runs"]] == [1, 4, 9]
    for run in record["runs"]:
        assert 0 <= run["ap"] < 0.5 and run["dice"], "one step learns nothing"
    assert json.loads(out.read_text())["means"]["none"]["n_runs"] == 3
    monkeypatch.setattr(leave_one_out, "score_left_out", None)  # nothing is left to run
    assert measure(root, out, ["none"], [0], "command")["runs"] == record["runs"]
    mask = next((root / "mrcnn_train_dataset_masks").rglob("*.png"))
    mask.unlink()
    with pytest.raises(UserError, match=r"has runs of other settings \(sha256\)"):
        measure(root, out, ["none"], [0], "command")


def test_what_is_left_out_is_not_trained_on(tmp_path, monkeypatch):
    root = part_of_set(DATASET, [1, 4, 9], tmp_path / "three")
    trained = []

    def remember(experiment, dataset, *args, **options):
        trained.append(sorted(p.stem for p in dataset.rglob("section_img_*.png")))
        raise InterruptedError

    monkeypatch.setattr("sebre.evaluation.learning_curve.train_section", remember)
    start = Start("none", 1, 0.001)
    with pytest.raises(InterruptedError):
        leave_one_out.score_left_out(
            root, leave_one_out.experiment_of_dataset(root), 4, start, seed=0
        )
    assert trained == [["section_img_1", "section_img_9"]]


def test_means_leave_out_what_has_no_score():
    runs = [{"ap": 0.5, "dice": {"a": 0.2, "b": 0.6}}, {"ap": None, "dice": {}}]
    runs.append({"ap": 1.0, "dice": {"a": 0.8}})
    means = mean_scores(runs)
    assert means == {"ap": 0.75, "dice": pytest.approx(np.mean([0.4, 0.8])), "n_runs": 3}


def test_too_few_sections(tmp_path):
    root = part_of_set(DATASET, [1, 4], tmp_path / "two")
    with pytest.raises(UserError, match="2 section.*--split train"):
        measure(root, tmp_path / "loo.json", ["none"], [0], "command")


def test_every_run_is_kept_when_a_call_is_stopped(tmp_path, monkeypatch):
    root = part_of_set(DATASET, [1, 4, 9], tmp_path / "three")
    monkeypatch.setattr(leave_one_out, "STARTS", {"none": Start("none", 1, 0.001)})
    scored = iter([1, 4])

    def score(root, experiment, left_out, start, seed):
        if next(scored, None) is None:
            raise InterruptedError
        return {"section": left_out, "seed": seed, "ap": 0.5, "dice": {"cortex": 0.5}}

    monkeypatch.setattr(leave_one_out, "score_left_out", score)
    with pytest.raises(InterruptedError):
        measure(root, tmp_path / "loo.json", ["none"], [0], "command")
    kept = json.loads((tmp_path / "loo.json").read_text())
    assert [run["section"] for run in kept["runs"]] == [1, 4]
    assert kept["means"]["none"]["n_runs"] == 2


def test_versions_of_a_section_are_refused_and_animals_are_said(tmp_path, caplog, monkeypatch):
    root = part_of_set(DATASET, [1, 4, 9], tmp_path / "three")
    table = "subset,section,subject,source_row\n"
    (root / "sections.csv").write_text(table + "train,1,,1\ntrain,4,,1\ntrain,9,,2\n")
    with pytest.raises(UserError, match="turned versions of its sections"):
        measure(root, tmp_path / "loo.json", ["none"], [0], "command")
    (root / "sections.csv").write_text(table + "train,1,a,1\ntrain,4,a,2\ntrain,9,b,3\n")
    measure(root, tmp_path / "loo.json", [], [0], "command")
    assert "several sections of an animal" in caplog.text
