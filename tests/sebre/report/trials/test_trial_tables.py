"""Trials read back, and what the page says of them."""

import json
import shutil

import pytest
from result_samples import made_up, newer, result_of, stored

from sebre.data.regions import MOUSE, SLICEMAP, SUBCORTICAL
from sebre.evaluation.scores import COPIED_LABELS
from sebre.report.claims import ledger
from sebre.report.records import Result
from sebre.report.trials.stand_in_rule import CONSISTENT, COPIED, NOT, OPEN
from sebre.report.trials.trial_figures import changed_figure
from sebre.report.trials.trial_records import Trials, read_trials
from sebre.report.trials.trial_statements import medial
from sebre.report.trials.trial_tables import (
    all_masks_table,
    changed_short_table,
    changed_table,
    copied_table,
    pictures_text,
    scans_table,
    sources_table,
    unlabeled_table,
)
from sebre.report.trials.unseen_tables import ages_table, modalities_table

NAMES = SLICEMAP.names


def kind(group, value, less=None):
    made = {"group": group, "n_sections": 12, "n_versions": 12, "map_paper": value}
    made |= {"dice_mean": value, "dice_per_region": {}, "intervals": {"map_paper": [0.1, 0.9]}}
    if less is not None:
        made["less"] = {
            "ap": {"value": less, "interval": [less - 0.01, less + 0.01]},
            "dice": None,
        }
    return made


def changed(weights="small", holes=0.79, tear=0.78, smaller=0.5, inverted=0.0):
    """As of a network with mAP 0.8 as the sections lie."""
    return {
        "trial": "changed sections",
        "experiment": "slicemap",
        "dataset": "sections",
        "split": {"rule": "section:1/4"},
        "network": "Mask R-CNN",
        "weights": weights,
        "weights_sha256": "0123456789abcdef",
        "command": "python -m sebre.trials.changed_sections",
        "draws": 3,
        "kinds": {
            "as they lie": kind("", 0.8),
            "tear": kind("broken", tear, -0.02),
            "holes": kind("broken", holes, -0.01),
            "scale 0.7": kind("scale", smaller, -0.3),
            "inverted": kind("contrast", inverted, -0.8),
        },
    }


def network(dice=0.8, n_units=7):
    record = newer(made_up("slicemap", "sections", 0.8, NAMES), n_units=n_units)
    for section in record["sections"]:
        for region in section["regions"].values():
            region["dice"] = dice
    return result_of("mine", record)


def stated(trials, results):
    """Verdict and its reasons of each statement that trials test, by its first words."""
    from sebre.report.published import read_published

    claims = ledger(results, read_published(), trials=trials)
    return {claim.what.partition(",")[0][:40]: claim for claim in claims}


@pytest.mark.parametrize(
    ("record", "broken", "scale", "fish"),
    [
        (changed(), CONSISTENT, NOT, OPEN),
        (changed(holes=0.7, smaller=0.77, inverted=0.79), NOT, CONSISTENT, CONSISTENT),
    ],
)
def test_statements_that_changed_sections_test(record, broken, scale, fish):
    found = stated(Trials(changed=[record]), [network()])
    claims = {
        "sections are segmented where their tissu": broken,
        "regions are found at any scale": scale,
        # A harder test than another stain: failing it says nothing.
        "sections with fluorescent markers (FISH)": fish,
    }
    assert {what: found[what].stand_in for what in claims} == claims
    assert "lowest" in found["regions are found at any scale"].on_stand_in
    assert found["a network trained on P14 segments other "].stand_in == OPEN
    assert "P14 alone" in found["a network trained on P14 segments other "].stand_in_says


def test_a_set_that_copied_labels_nearly_solve_decides_nothing():
    copied = {"sections": network(0.75)}
    found = stated(Trials(copied=copied, changed=[changed()]), [network(0.8)])
    claim = found["regions are found at any scale"]
    assert claim.stand_in == OPEN and COPIED in claim.stand_in_says


def test_tables_of_changed_sections():
    trials = Trials(changed=[changed(), changed("other", tear=0.6)])
    (first, second) = changed_short_table(trials).rows
    assert first[1:] == ("0.800", "0.780 (tear)", "0.500 (scale 0.7)", "0.000 (inverted)")
    assert second[2] == "0.600 (tear)"
    table = changed_table(trials)
    assert len(table.rows) == 5 and len(table.header) == 5
    assert table.rows[1][1] == "0.780 (-0.020 [-0.030, -0.010])"
    assert "small: 12 sections, 3 times" in table.notes[0]
    assert len(changed_figure(trials).axes) >= 2
    assert sources_table(trials).rows[0][:3] == ("sections", "section:1/4", "12")


def test_the_table_of_copied_labels():
    result, strict = network(0.8), network(0.6)
    rows = copied_table([result], [strict], Trials(copied={"sections": network(0.65)})).rows
    assert rows[0][0] == "sections, weights small" and rows[0][4:] == ("2", "too few", "no")
    assert rows[0][2].startswith("+0.150") and rows[0][3].startswith("-0.050")
    rows = copied_table([result], [], Trials(copied={"sections": network(0.75)})).rows
    assert rows[0][3] == "-" and rows[0][5] == "no"
    # Of enough sections it can be told.
    many, copies = (result_of("many", _many(dice)) for dice in (0.8, 0.65))
    rows = copied_table([many], [], Trials(copied={"sections": copies})).rows
    assert rows[0][2] == "+0.150 [+0.150, +0.150]" and rows[0][4:6] == ("6", "yes")
    assert copied_table([result], [], Trials()).rows == ()


def test_scores_with_small_masks_stand_beside_those_without():
    usual, strict, whole = (made_up("ibsr", "scans", x, SUBCORTICAL.names) for x in (0.5, 0.4, 0.3))
    for record, cut_off in ((usual, 0.3), (strict, 0.9), (whole, 0.9)):
        record["detection_min_confidence"] = cut_off
    results, confident = [result_of("a", usual)], [result_of("b", strict)]
    (row,) = all_masks_table(results, confident, Trials(all_masks=[result_of("c", whole)])).rows
    assert row[0] == "scans, weights small, 0.9"
    assert row[2:4] == (f"{strict['map_paper']:.3f}", f"{strict['dice_mean']:.3f}")
    assert row[5:] == (f"{whole['map_paper']:.3f}", f"{whole['dice_mean']:.3f}")
    assert row[1] == str(sum(strict["n_per_region"].values()))


def _many(dice):
    record = stored(network(dice))
    (first, _) = record["sections"]
    record["sections"] = [{**first, "section": f"val/{i}"} for i in range(6)]
    return record


def test_tables_of_scans():
    record = made_up("ibsr", "eve", 0.5, SUBCORTICAL.names, volumes=True)
    record["detection_min_confidence"] = 0.3
    volumes = record["dice_per_region_volume"]
    row = scans_table(Trials(scans=[result_of("eve", record)])).rows[0]
    assert row[0] == "eve, 0.3"
    mean = (volumes["left_caudate"] + volumes["right_caudate"]) / 2
    assert float(row[4]) == pytest.approx(mean, abs=1e-3)
    ml = dict.fromkeys(SUBCORTICAL.names, 3.25)
    scans = {
        "IBSR_01": {"ml": ml, "gray": {"left_caudate": 0.7, "right_caudate": 0.9}},
        "IBSR_02": {"ml": ml},
    }
    scans["IBSR_01"]["gray_of_brain"] = 0.5
    first, second = unlabeled_table(Trials(unlabeled=[{"scans": scans}])).rows
    assert first[:5] == ("IBSR_01", "0.800", "-", "0.500", "3.2, 3.2")
    assert second[1:4] == ("-", "-", "-")


def unseen(weights, dataset, value, cut_off, rule="test", network="Mask R-CNN", copies=0.0):
    """Of six brains with two sections each; the sections of the last are the worst."""
    record = newer(made_up("extended_mouse", dataset, value, MOUSE.names), n_units=6)
    record |= {"weights": weights, "weights_sha256": weights, "network": network}
    record |= {"detection_min_confidence": cut_off}
    record |= {"split": {"rule": rule}, "map_paper": value}
    scores = {"score": 0.9, "iou": 0.5, "dice": 0.7 - copies}
    record["sections"] = [
        {
            "section": f"val/{i}",
            "ap": value - 0.1 * (i // 2 == 5),
            "regions": {"cortex": scores},
            "unit": f"P{i // 2}",
        }
        for i in range(12)
    ]
    return result_of(f"{dataset}_{weights}_{cut_off}", record)


def test_ages_that_a_network_has_not_seen():
    of_one_age = [unseen("one_age", "demba", 0.6, cut_off, "age=P4,P7") for cut_off in (0.3, 0.9)]
    copied = unseen("labels", "demba", 0.5, 0.3, "age=P4,P7", COPIED_LABELS, copies=0.3)
    known = unseen("extended_mouse_demba", "demba", 0.9, 0.3, "source")
    trials = Trials(unseen=[*of_one_age, copied])
    rows = ages_table(trials).rows
    assert [row[0] for row in rows] == [f"demba: P{i}" for i in range(6)]
    assert rows[0][1:] == ("2", "0.600", "0.600", "0.700", "0.400")
    assert rows[5][2:4] == ("0.500", "0.500")
    assert modalities_table([known], trials).rows == ()
    claim = stated(trials, [known])["a network trained on P14 segments other "]
    # The ages have one atlas, so that nothing is decided.
    assert claim.stand_in == OPEN and "leak" in claim.stand_in_says
    assert "demba, weights one_age 0.500 (P5, the lowest), known kinds 0.900" in claim.on_stand_in


def test_modalities_that_a_network_has_not_seen():
    own = unseen("extended_mouse_mri", "mouse_mri", 0.9, 0.3, "source")
    trials = Trials(unseen=[unseen("extended_mouse_mri", "civm", 0.89, 0.3)])
    (row,) = modalities_table([own], trials).rows
    assert row[:3] == ("mouse_mri, weights extended_mouse_mri", "civm", "20")
    assert row[3:] == ("-", "0.890", row[5], "0.900")
    assert ages_table(trials).rows == ()
    what = "sections with fluorescent markers (FISH)"
    claims = stated(trials, [own])
    assert claims[what].stand_in == CONSISTENT
    # Of other statements it says nothing.
    assert "civm" not in claims["regions are found at any scale"].on_stand_in
    trials = Trials(unseen=[unseen("extended_mouse_mri", "civm", 0.2, 0.3)])
    claim = stated(trials, [own])[what]
    # A harder test than another stain: failing it says nothing.
    assert claim.stand_in == OPEN and "civm, weights extended_mouse_mri 0.200" in claim.on_stand_in
    assert sources_table(trials).rows[0][0] == "civm"


def test_trials_are_read_and_what_is_wrong_is_said(tmp_path):
    assert read_trials(tmp_path) == (Trials(), ())
    for name in ("copied", "changed", "cross_dataset", "pictures", "unseen"):
        (tmp_path / name).mkdir()
    whole = newer(made_up("slicemap", "sections", 0.5, NAMES))
    (tmp_path / "copied" / "sections.json").write_text(json.dumps(whole))
    (tmp_path / "changed" / "a.json").write_text(json.dumps(changed()))
    (tmp_path / "cross_dataset" / "eve.json").write_text(json.dumps(whole))
    (tmp_path / "unseen" / "civm.json").write_text(json.dumps(whole))
    scans = {"trial": "unlabeled scans", "experiment": "ibsr", "dataset": "x", "weights": "w"}
    scans |= {"command": "c", "scans": {}}
    (tmp_path / "cross_dataset" / "x.json").write_text(json.dumps(scans))
    captions = {"a.png": "Fig. 3: mice (MIT)", "lost.png": "B"}
    (tmp_path / "pictures" / "captions.json").write_text(json.dumps(captions))
    (tmp_path / "pictures" / "a.png").write_bytes(b"")
    trials, problems = read_trials(tmp_path)
    assert problems == ()
    assert isinstance(trials.copied["sections"], Result) and len(trials.changed) == 1
    assert len(trials.scans) == len(trials.unlabeled) == len(trials.unseen) == 1
    shown = "![Fig. 3](results/pictures/a.png)\n\nFig. 3: mice (MIT).\n"
    assert pictures_text(trials, "results/pictures") == shown
    (tmp_path / "changed" / "a.json").write_text(json.dumps({"trial": "changed sections"}))
    (tmp_path / "copied" / "sections.json").write_text(json.dumps(whole)[:900])
    (tmp_path / "cross_dataset" / "eve.json").write_text("{}")
    _, problems = read_trials(tmp_path)
    assert [problem.split("Make it again")[1] for problem in problems] == [
        ": python -m sebre.trials.copied_labels",
        ": python -m sebre.trials.changed_sections",
        ": python -m sebre.trials.labeled_scans",
    ]
    shutil.rmtree(tmp_path / "copied")


def test_medial_sections_are_the_middle_half_of_each_animal():
    record = made_up("extended_mouse", "mice", 0.5, NAMES)
    section = record["sections"][0]
    record["sections"] = [
        {**section, "section": f"val/{i}", "unit": animal}
        for i, animal in enumerate("aaaaaaaabbbb")
    ] + [{**section, "section": "val/12"}]
    sections = result_of("mice", record).record.sections
    assert [s.section for s in medial(sections)] == [
        *(f"val/{i}" for i in (2, 3, 4, 5, 9, 10)),
    ]
