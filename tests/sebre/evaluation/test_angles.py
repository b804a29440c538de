"""Scores by angle, with segmenters whose scores are known."""

from pathlib import Path

import numpy as np
import pytest
from section_cases import SIDE, Scripted, prepared, result_of

from sebre.data.metadata import SetFacts, read_facts
from sebre.evaluation.angles import default_angles, score_angles
from sebre.evaluation.evaluate import evaluate
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import Turn

BAR = (14, 4, 18, 28)  # 4 x 24 px about the middle of the picture


class UprightBar(Scripted):
    """Finds the bar in the middle of every picture, as it lies upright."""

    def detect(self, images):
        out = super().detect(images)
        for image, result in zip(images, out, strict=True):
            height, width = image.shape[:2]
            y, x = (height - SIDE) // 2, (width - SIDE) // 2
            mask = np.zeros((height, width, 1), bool)
            mask[y + BAR[0] : y + BAR[2], x + BAR[1] : x + BAR[3]] = True
            result["masks"] = mask
        return out


class Bright(Scripted):
    """Finds what is bright."""

    def detect(self, images):
        out = super().detect(images)
        for image, result in zip(images, out, strict=True):
            result["masks"] = image[..., :1] > 100
        return out


def found_at(segmenter: type, root: Path, angles, **options) -> dict[float, dict]:
    dataset = prepared(root, [{1: BAR}] * options.pop("count", 1))
    record = score_angles(segmenter(result_of((1, 0.9, BAR))), dataset, angles, **options).to_json()
    return {point["angle"]: point for point in record["curve"]}


def test_a_network_that_knows_one_orientation(tmp_path):
    curve = found_at(UprightBar, tmp_path / "set", (0, 30, 90, 180))
    assert curve[0]["dice_mean"] == curve[180]["dice_mean"] == 1
    assert curve[90]["dice_mean"] == pytest.approx(2 * 16 / (96 + 96))  # a cross
    assert curve[90]["dice_mean"] < curve[30]["dice_mean"] < 0.6
    assert [curve[a]["map_paper"] for a in (0, 30, 90)] == [1, 0, 0]
    assert curve[0]["dice_per_region"]["cortex"] == 1
    assert curve[0]["dice_per_region"]["thalamus"] is None


def test_a_network_that_knows_all_orientations(tmp_path):
    curve = found_at(Bright, tmp_path / "set", default_angles(Turn(180, True)), count=2)
    assert len(curve) == 12
    for point in curve.values():
        assert point["map_paper"] == 1
        assert 0.8 < point["dice_mean"] <= 1
        assert point["intervals"]["dice_mean"] == [pytest.approx(point["dice_mean"])] * 2


def test_canvas(tmp_path):
    dataset = prepared(tmp_path / "set", [{1: BAR}])
    for enlarge, side in ((False, SIDE), (True, 44)):  # 32 * (sin 30 + cos 30)
        segmenter = Scripted(result_of())
        record = score_angles(segmenter, dataset, (30,), enlarge=enlarge).to_json()
        assert record["enlarged"] is enlarge
        assert segmenter.shown[0].shape == (side, side, 3)


def test_sections_are_chosen_evenly(tmp_path):
    dataset = prepared(tmp_path / "set", [{1: (y, 4, y + 4, 12)} for y in range(9)])
    segmenter = Scripted(result_of())
    record = score_angles(segmenter, dataset, (0,), most=3).to_json()
    assert record["n_sections"] == 3
    tops = [int(np.argwhere(image[..., 0] > 100)[0, 0]) for image in segmenter.shown]
    assert tops == [0, 4, 8]
    assert score_angles(segmenter, dataset, (0, 10), most=99).n_sections == 9
    assert score_angles(segmenter, dataset, (0, 0)).curve[0].intervals.map_paper == (0, 0)


def test_intervals_are_over_subjects(tmp_path):
    dataset = prepared(tmp_path / "set", [{1: BAR}] * 4)
    facts = SetFacts(units={f"val/{k}": "a" for k in range(4)})
    record = score_angles(Scripted(result_of()), dataset, (0,), facts).to_json()
    assert record["n_interval_units"] == 1
    assert record["curve"][0]["intervals"] == {"map_paper": None, "dice_mean": None}


def test_angles_of_the_experiments():
    assert default_angles(EXPERIMENTS["p14_mouse"].turn) == (-20, -15, -10, -5, 0, 5, 10, 15, 20)
    assert default_angles(Turn(12, False)) == (-10, -5, 0, 5, 10)
    assert default_angles(Turn(0, False)) == (0,)
    around = default_angles(EXPERIMENTS["slicemap"].turn)
    assert around[0] == -150 and around[-1] == 180 and set(np.diff(around)) == {30}


def test_the_record_of_an_evaluation(tmp_path):
    root = tmp_path / "set"
    dataset = prepared(root, [{1: BAR}] * 2)
    segmenter = UprightBar(result_of((1, 0.9, BAR)))
    options = {"draws": 0, "angles": (-90, 0), "angle_sections": 1}
    records = [
        evaluate(segmenter, dataset, "slicemap", root, **options).to_json() for _ in range(2)
    ]
    assert records[0]["angles"] == records[1]["angles"]
    assert (
        records[0]["angles"]
        == score_angles(segmenter, dataset, (-90, 0), read_facts(root), most=1).to_json()
    )
    assert [p["angle"] for p in records[0]["angles"]["curve"]] == [-90, 0]
    assert evaluate(segmenter, dataset, "slicemap", root, draws=0).angles is None
