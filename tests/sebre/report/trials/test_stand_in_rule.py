"""The rule of the verdicts on stand-in data, and what excuses a test set."""

import json

import pytest
from result_samples import made_up, newer, result_of

from sebre.data.regions import HIPPOCAMPUS, MOUSE
from sebre.report.trials.stand_in_rule import (
    CONSISTENT,
    COPIED,
    FEW,
    LEAKS,
    NOT,
    OPEN,
    above_copied,
    combined,
    excuse,
    judged,
    kept,
    leaking_atlases,
    rule,
)

NAMES = HIPPOCAMPUS.names


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((0.86, 0.95), CONSISTENT),  # 95 % of 0.9 is 0.855
        ((0.855, 0.856), CONSISTENT),
        ((0.80, 0.854), NOT),
        ((0.80, 0.90), OPEN),
        (None, OPEN),
    ],
)
def test_a_score_is_judged_by_its_whole_interval(interval, verdict):
    assert judged(0.85, interval, 0.9) == verdict


def test_what_must_not_lower_a_score():
    assert kept(0.95, 1.0) == CONSISTENT and kept(0.949, 1.0) == NOT


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        ([], OPEN),
        ([OPEN, OPEN], OPEN),
        ([OPEN, CONSISTENT], CONSISTENT),
        ([NOT, CONSISTENT, OPEN], NOT),
    ],
)
def test_one_verdict_of_several(verdicts, verdict):
    assert combined(verdicts) == verdict


def test_the_rule_in_words_has_its_numbers():
    words = " ".join(rule())
    for part in ("5 %", "0.9", "fewer than 5", "0.10", CONSISTENT, OPEN, "fixed before"):
        assert part in words


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    monkeypatch.setenv("SEBRE_WEIGHTS", str(tmp_path))
    entries = {"young": {"file": "young.h5", "dataset": "demba"}}
    (tmp_path / "manifest.json").write_text(json.dumps(entries))


def scored(dataset, weights="small", n_units=7, dice=0.5, units=("a", "b")):
    record = newer(made_up("extended_mouse", dataset, 0.5, MOUSE.names, weights), n_units=n_units)
    for section, unit in zip(record["sections"], units, strict=True):
        section["unit"] = unit
        for region in section["regions"].values():
            region["dice"] = dice
    return result_of("mine", record)


def test_a_network_that_learned_the_atlas_of_the_test_set_leaks(manifest):
    assert leaking_atlases(scored("ccf", "young")) == ["Allen CCFv3"]
    # Of weights that are not shipped: the part of the same set that is for training.
    assert leaking_atlases(scored("demba", "run.h5")) == ["Allen CCFv3"]
    assert leaking_atlases(scored("mouse_mri", "young")) == []
    assert leaking_atlases(scored("mouse_mri", "run.h5")) == []


def test_what_a_network_is_above_copied_labels():
    copied = {"plates": scored("plates", dice=0.45)}
    value, interval, n = above_copied(scored("plates", dice=0.6), copied)
    assert value == pytest.approx(0.15) and n == 2
    assert interval is None  # of two units
    assert above_copied(scored("others"), copied) is None
    # Some of the sections only.
    fewer = copied["plates"]
    del fewer.record.sections[0]
    assert above_copied(scored("plates", dice=0.6), copied)[2] == 1


def test_excuses(manifest):
    close = {name: scored(name, dice=0.45) for name in ("ccf", "plates")}
    assert excuse(scored("ccf", "young", dice=0.9), close) == LEAKS
    assert excuse(scored("plates", n_units=4, dice=0.9), close) == FEW
    assert excuse(scored("plates", dice=0.54), close) == COPIED
    assert excuse(scored("plates", dice=0.9), close) == ""
    assert excuse(scored("plates", dice=0.54), {}) == ""
