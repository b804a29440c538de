"""The numbers of the paper, as a table."""

from collections import Counter

import pytest
from lacking import without_data

from sebre.data.regions import MOUSE, SUBCORTICAL
from sebre.experiments import EXPERIMENTS
from sebre.report.published import (
    FACTS_FILE,
    PAPER_NAMES,
    SCORES_FILE,
    find_scores,
    read_published,
)

STRUCTURES = ("Caudate", "Pallidum", "Putamen", "Thalamus")


@pytest.fixture(scope="module")
def scores():
    return read_published()


def test_the_file_is_the_reference(golden):
    reference = golden.parent / "reference" / "published_scores.csv"
    if not reference.is_file():
        without_data(f"{reference}; it lies beside the folder of SEBRE_GOLDEN.")
    assert SCORES_FILE.read_bytes() == reference.read_bytes()


def test_every_row_is_read(scores):
    lines, facts = (
        path.read_text(encoding="utf-8").splitlines() for path in (SCORES_FILE, FACTS_FILE)
    )
    assert len(scores) == len(lines) - 1 + len(facts) - 1 == 132 + 5
    assert scores == (*read_published(SCORES_FILE), *read_published(FACTS_FILE))
    assert all(score.experiment and score.where and score.metric for score in scores)


def test_table_1_has_64_values(scores):
    table = find_scores(scores, where="Table 1")
    assert len(table) == 64 and all(score.value is not None for score in table)
    sides = [f"{name} ({side})" for side in ("left", "right") for name in STRUCTURES]
    assert list(dict.fromkeys(score.region for score in table)) == sides
    assert Counter((score.method, score.metric) for score in table) == {
        ("SeBRe", "hausdorff_distance_mean"): 8,
        ("F-CNN", "hausdorff_distance_mean"): 8,
        ("SeBRe", "contour_mean_distance_mean"): 8,
        ("F-CNN", "contour_mean_distance_mean"): 8,
        ("SeBRe", "dice_mean"): 8,
        ("F-CNN", "dice_mean"): 8,
        ("QuickNAT", "dice_mean"): 8,
        ("BrainSegNet", "dice_mean"): 8,
    }


@pytest.mark.parametrize(
    ("method", "region", "metric", "value"),
    [
        ("SeBRe", "Caudate (left)", "hausdorff_distance_mean", 1.874),
        ("SeBRe", "Thalamus (left)", "hausdorff_distance_mean", 2.44),
        ("F-CNN", "Putamen (right)", "hausdorff_distance_mean", 7.0),
        ("SeBRe", "Pallidum (left)", "contour_mean_distance_mean", 0.477),
        ("F-CNN", "Pallidum (right)", "contour_mean_distance_mean", 0.8),
        ("SeBRe", "Thalamus (right)", "dice_mean", 0.891),
        ("F-CNN", "Caudate (left)", "dice_mean", 0.785),
        ("QuickNAT", "Thalamus (right)", "dice_mean", 0.878),
        ("BrainSegNet", "Putamen (left)", "dice_mean", 0.91),
    ],
)
def test_values_of_table_1(scores, method, region, metric, value):
    (found,) = find_scores(scores, where="Table 1", method=method, region=region, metric=metric)
    assert found.value == value


@pytest.mark.parametrize(
    ("experiment", "value"),
    [("p14_mouse", 0.84), ("extended_mouse", 0.87), ("hippocampus", 0.9), ("ibsr", 0.95)],
)
def test_map_by_the_names_of_the_experiments(scores, experiment, value):
    assert experiment in EXPERIMENTS
    (found,) = find_scores(scores, experiment, metric="mAP")
    assert found.value == value and found.experiment == PAPER_NAMES[experiment]
    assert find_scores(scores, found.experiment, metric="mAP") == (found,)


def test_sebre_is_best_in_as_many_structures_as_the_paper_says(scores):
    (stated,) = find_scores(scores, metric="table1_dice_wins")
    wins = 0
    for side in ("left", "right"):
        for name in STRUCTURES:
            dices = find_scores(scores, region=f"{name} ({side})", metric="dice_mean")
            wins += max(dices, key=lambda score: score.value).method == "SeBRe"
    assert wins == stated.value == 5


def test_what_the_paper_only_plots_has_no_value(scores):
    plotted = [score for score in scores if score.value is None]
    assert [score.method for score in plotted] == ["SeBRe", "elastix", "ndreg"]
    assert {score.metric for score in plotted} == {"MSE_mean"}


def test_regions_by_our_names(scores):
    table = find_scores(scores, where="Table 1")
    assert {score.region_name for score in table} == set(SUBCORTICAL.names)
    demo = find_scores(scores, metric="detection_score")
    assert {score.region_name for score in demo} == set(MOUSE.names)
    by_ours = find_scores(scores, region="left_caudate")
    assert by_ours == find_scores(scores, region="Caudate (left)") and len(by_ours) == 8


def test_find_scores_with_nothing_and_with_what_is_not_there(scores):
    assert find_scores(scores) == scores
    assert find_scores(scores, "slicemap") == ()
    assert find_scores(scores, method="F-CNN", metric="mAP") == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",value,", ",worth,", "column value is missing"),
        (",1.874,", ",many,", r"line 2: the value is 'many'; wanted a number"),
        ("IBSR human MRI,Table 1,SeBRe,Caudate (left)", "IBSR", "line 2: the row is not whole"),
    ],
)
def test_a_damaged_file(tmp_path, old, new, message):
    path = tmp_path / "scores.csv"
    path.write_text(SCORES_FILE.read_text(encoding="utf-8").replace(old, new, 1), "utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        read_published(path)
    assert str(path) in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_published(tmp_path / "scores.csv")
