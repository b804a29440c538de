"""Scores of a network on changed sections, beside the same sections as they lie."""

import json

import numpy as np
import pytest
from section_cases import Scripted, box_mask, prepared, result_of

from mrcnn.errors import UserError
from sebre.trials import changed_sections
from sebre.trials.changed_sections import DRAWS, score_changed
from sebre.trials.section_changes import KINDS
from sebre.trials.trial_files import demand_trial_path, save_trial

BOX = (4, 4, 20, 20)


@pytest.fixture
def root(tmp_path):
    prepared(tmp_path / "set", [{1: BOX}, {1: BOX, 2: (22, 22, 30, 30)}])
    return tmp_path / "set"


def test_a_network_that_always_finds_the_same(root):
    record = score_changed(Scripted(result_of((1, 0.9, BOX))), "slicemap", root)
    kinds = record["kinds"]
    assert [*kinds] == ["as they lie", *KINDS]
    plain = kinds["as they lie"]
    assert plain["n_sections"] == plain["n_versions"] == 2 and "less" not in plain
    # Region 1 is found on both, region 2 on none.
    assert plain["dice_per_region"]["cortex"] == 1 and plain["dice_mean"] == 0.5
    assert plain["map_paper"] == pytest.approx(0.75)
    # It does not look, so contrast changes nothing; on a smaller section its mask is too large.
    assert kinds["inverted"]["less"]["dice"]["value"] == 0
    assert kinds["scale 0.7"]["less"]["dice"]["value"] < -0.1
    assert kinds["scale 0.7"]["group"] == "scale"
    # Few sections are damaged several times, and these count as one unit.
    assert kinds["holes"]["n_versions"] <= 2 * DRAWS == 6
    assert kinds["holes"]["less"]["dice"]["n_units"] <= 2
    assert record["weights_sha256"] == "0" * 64 and record["split"] is None


def test_regions_that_damage_left_too_small_do_not_count(root):
    (root / "dataset.json").write_text(json.dumps({"processing": {"min_mask_px": 200}}))
    record = score_changed(Scripted(result_of((1, 0.9, BOX))), "slicemap", root)
    # Of 256 px, 70 % squared leaves 125: no version has a region.
    assert record["kinds"]["scale 0.7"]["n_versions"] == 0
    assert record["kinds"]["scale 0.7"]["map_paper"] is None
    assert record["kinds"]["scale 0.7"]["less"] == {"ap": None, "dice": None}
    assert box_mask(*BOX).sum() == 256


def test_damage_is_that_of_the_seed(root):
    found = [
        score_changed(Scripted(result_of((1, 0.9, BOX))), "slicemap", root, seed=seed)["kinds"]
        for seed in (0, 0, 1)
    ]
    assert found[0] == found[1]
    assert found[0]["fold"]["dice_mean"] != found[2]["fold"]["dice_mean"] or (
        found[0]["tear"] != found[2]["tear"]
    )


def test_the_command_writes_a_record(root, tmp_path, monkeypatch):
    network = Scripted(result_of((1, 0.9, BOX)))
    monkeypatch.setattr(changed_sections, "load_segmenter", lambda weights, experiment: network)
    out = tmp_path / "changed.json"
    options = ["--dataset", str(root), "--weights", "mine", "--most", "1", "--out", str(out)]
    changed_sections.main(["slicemap", *options])
    record = json.loads(out.read_text())
    assert record["trial"] == "changed sections" and "--weights mine" in record["command"]
    assert record["kinds"]["as they lie"]["n_sections"] == 1
    assert "NaN" not in out.read_text()


def test_only_records_of_trials_are_replaced(tmp_path):
    path = tmp_path / "notes.json"
    path.write_text(json.dumps({"mine": 1}))
    with pytest.raises(UserError, match="there already"):
        demand_trial_path(path)
    save_trial({"trial": "x", "value": np.pi}, tmp_path / "x.json")
    demand_trial_path(tmp_path / "x.json")
