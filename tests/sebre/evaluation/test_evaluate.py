"""Scores of sections and data sets on hand cases, and the record of an evaluation."""

import json
import weakref
from pathlib import Path

import numpy as np
import pytest
from section_cases import (
    HALF,
    SIDE,
    WHOLE,
    Box,
    Scripted,
    box_mask,
    drawn_of,
    prepared,
    result_of,
    section_of,
)

import sebre.evaluation.evaluate
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import read_facts
from sebre.data.regions import SLICEMAP
from sebre.evaluation.evaluate import evaluate, iterate_sections, save_json
from sebre.evaluation.mask_metrics import dice
from sebre.evaluation.summary import summarize
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import Turn
from sebre.experiments.slicemap import SlicemapConfig


def test_one_section():
    section = section_of(
        {1: WHOLE, 2: WHOLE, 3: (20, 20, 24, 24)},
        (1, 0.8, HALF), (1, 0.7, WHOLE), (2, 0.9, WHOLE), (5, 0.6, (0, 0, 4, 8)),
        pixel_mm=(0.5, 0.25),
    )  # fmt: skip
    assert section.dices == pytest.approx({1: 2 / 3, 2: 1, 3: 0})
    assert drawn_of(section, "hausdorff_px") == {1: 4, 2: 0}
    assert drawn_of(section, "hausdorff95_px") == {1: 4, 2: 0}
    for field in ("hausdorff_mm", "hausdorff95_mm"):
        assert drawn_of(section, field) == {1: 1, 2: 0}  # sideways, where a pixel has 0.25 mm
    # The half has 20 contour pixels, 6 of them inside the whole: 1, 2, 3, 3, 2, 1 px off. The
    # whole has 28: 4 px off in its right column, 1 to 4 px off above and below the missing half.
    assert drawn_of(section, "cmd_px") == pytest.approx(
        {1: (12 / 20 + (6 * 4 + 2 * 10) / 28) / 2, 2: 0}
    )
    one = section.scores[1]
    assert 0.25 * one.cmd_px < one.cmd_mm < 0.5 * one.cmd_px
    assert section.extra == [5]
    assert section.n_found == 2
    errors = {i: score.error for i, score in section.scores.items()}
    assert errors == pytest.approx({1: 32 / 1024, 2: 0, 3: 16 / 1024, 5: 32 / 1024})


def test_a_detection_without_pixels_finds_nothing():
    section = section_of({1: WHOLE}, (1, 0.9, (4, 4, 4, 4)), (2, 0.9, (4, 4, 4, 4)))
    assert section.dices == {1: 0}
    assert drawn_of(section, "score") == {1: 0}
    assert drawn_of(section, "hausdorff_px") == {}
    assert section.extra == []


def test_means_counts_and_missed_regions():
    sections = [
        section_of({1: WHOLE, 2: WHOLE}, (1, 0.9, WHOLE), (3, 0.5, HALF)),
        section_of({1: WHOLE, 2: WHOLE}, (1, 0.9, HALF)),
        section_of({1: WHOLE}),
        section_of({}, (1, 0.9, WHOLE)),
    ]
    summary = summarize(iter(sections), SLICEMAP).to_json()
    assert summary["n_sections"] == 4
    assert summary["n_regions_drawn"] == 5
    assert list(summary["n_per_region"].values()) == [3, 2, 0, 0, 0, 0]
    assert list(summary["missed_per_region"].values()) == [1, 2, 0, 0, 0, 0]
    assert list(summary["extra_per_region"].values()) == [1, 0, 1, 0, 0, 0]
    assert summary["dice_per_region"]["cortex"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert summary["dice_found_per_region"]["cortex"] == pytest.approx((1 + 2 / 3) / 2)
    assert summary["hausdorff_px_per_region"]["cortex"] == 2
    assert summary["dice_per_region"]["hippocampus"] == 0
    assert summary["dice_found_per_region"]["hippocampus"] is None
    assert summary["cmd_px_per_region"]["hippocampus"] is None
    assert summary["dice_per_region"]["thalamus"] is None
    assert summary["ap50_per_region"]["thalamus"] is None
    wrong_px = [64 + 32, 32 + 64, 64, 64]
    assert summary["mse"] == pytest.approx(np.mean(wrong_px) / SIDE**2 / 6)
    wrong_px = [(0 + 32 + 64 + 64) / 4, (64 + 64) / 4, 32 / 4, 0, 0, 0]
    by_region = list(summary["mse_per_region"].values())
    assert by_region == pytest.approx(np.divide(wrong_px, SIDE**2))
    assert summary["hausdorff95_px_per_region"]["cortex"] == 2
    for key in ("hausdorff_mm_per_region", "dice_per_region_volume", "n_subjects", "intervals"):
        assert key not in summary
    for key, by_name in summary.items():
        if key.endswith("_per_region"):
            assert list(by_name) == SLICEMAP.names


def volumetric(root: Path, **facts) -> SectionDataset:
    """Two subjects of two slices; one more slice is a turned copy."""
    subjects = ["a", "a", "b", "b", "a"]
    cells = [
        {"subject": s, "slice": k, "angle": 10 * (k == 4), "flipped": 0}
        for k, s in enumerate(subjects)
    ]
    drawn = [{1: WHOLE}, {1: HALF, 2: WHOLE}, {1: WHOLE}, {}, {1: WHOLE}]
    facts = {"plane": "horizontal", "volumetric": True, "pixel_size_um": 100, **facts}
    return prepared(root, drawn, facts, cells)


FOUND = [
    result_of((1, 0.9, HALF)),
    result_of((1, 0.9, HALF)),
    result_of((1, 0.9, WHOLE)),
    result_of((1, 0.9, HALF), (2, 0.9, HALF)),  # nothing is drawn here
    result_of(),
]


def test_volumes(tmp_path):
    dataset = volumetric(tmp_path / "set")
    record = evaluate(Scripted(*FOUND), dataset, "slicemap", tmp_path / "set").to_json()
    assert record["n_subjects"] == 2

    def stacked(*boxes: Box | None) -> np.ndarray:
        return np.stack([box_mask(*box) if box else box_mask(0, 0, 0, 0) for box in boxes])

    expected = [
        dice(stacked(WHOLE, HALF), stacked(HALF, HALF)),
        dice(stacked(WHOLE, None), stacked(WHOLE, HALF)),
    ]
    volume = record["dice_per_region_volume"]
    assert volume["cortex"] == pytest.approx(np.mean(expected))
    assert volume["hippocampus"] == 0  # drawn in "a", never found there; found in "b" only
    assert volume["thalamus"] is None
    assert "dice_per_region_volume" not in record["turned"]
    # Turned sections, and the turned copy, belong to their subjects.
    for scores in (record, record["turned"]):
        assert (scores["interval_unit"], scores["n_interval_units"]) == ("subject", 2)


def test_distances_in_mm(tmp_path):
    dataset = volumetric(tmp_path / "set")
    record = evaluate(Scripted(*FOUND), dataset, "slicemap", tmp_path / "set").to_json()
    px, mm = record["hausdorff_px_per_region"], record["hausdorff_mm_per_region"]
    assert px["cortex"] == pytest.approx(4 / 3)
    assert mm["cortex"] == pytest.approx(0.4 / 3)
    assert record["cmd_mm_per_region"]["cortex"] == pytest.approx(
        record["cmd_px_per_region"]["cortex"] * 0.1
    )


def test_record(tmp_path, monkeypatch):
    monkeypatch.setattr(sebre.evaluation.evaluate, "TURN_DRAWS", 2)
    split = {"rule": "section:2", "seed": 4}
    dataset = prepared(tmp_path / "set", [{1: WHOLE}, {1: WHOLE}], {"split": split})
    options = {"turn": Turn(20, False), "seed": 7, "facts": {"command": "sebre evaluate"}}
    records = [
        evaluate(
            Scripted(result_of((1, 0.9, HALF))), dataset, "mine", tmp_path / "set", **options
        ).to_json()
        for _ in range(2)
    ]
    seconds = [record.pop("seconds") for record in records]
    assert min(seconds) >= 0
    times = [record.pop("seconds_per_section") for record in records]
    assert all(0 <= time["median"] <= time["max"] for time in times)
    assert records[0] == records[1]
    record = records[0]
    wanted = {
        "experiment": "mine", "dataset": "set", "subset": "val", "weights": "w.h5",
        "weights_sha256": "0" * 64, "split": split, "seed": 7, "command": "sebre evaluate",
        "n_sections": 2, "n_regions_drawn": 2, "map_paper": 1.0, "pixel_size_um": None,
    }  # fmt: skip
    assert {key: record[key] for key in wanted} == wanted
    for key in ("ap50", "dice", "hausdorff_px", "cmd_px", "iou"):
        assert set(record[f"{key}_per_region"]) == set(SLICEMAP.names)
    assert record["intervals"]["map_paper"] == [1, 1]
    assert record["intervals"]["dice_per_region"]["cortex"] == pytest.approx([2 / 3, 2 / 3])
    assert (record["interval_unit"], record["n_interval_units"]) == ("section", 2)
    assert record["turned"]["n_interval_units"] == 2  # a section with all its orientations
    for key in ("detection_min_confidence", "image_px", "best_per_class"):
        assert record[key] is None  # no Mask R-CNN
    assert record["turned"]["n_sections"] == 4
    assert record["turned"]["max_angle"] == 20
    assert record["turned"]["flip"] is False
    assert {"python", "keras", "backend", "processor", "cpu_count"} <= set(record["environment"])
    assert [s["section"] for s in record["sections"]] == ["val/0", "val/1"]
    scores = record["sections"][0]["regions"]["cortex"]
    assert scores["hausdorff_px"] == 4
    assert set(scores) == {"score", "iou", "dice", "hausdorff_px", "hausdorff95_px", "cmd_px"}
    save_json(record, tmp_path / "out" / "r.json")
    text = (tmp_path / "out" / "r.json").read_text()
    assert json.loads(text) == record
    assert "NaN" not in text and "Infinity" not in text


def test_settings_of_the_network_are_recorded(tmp_path):
    dataset = prepared(tmp_path / "set", [{1: WHOLE}])
    segmenter = Scripted(result_of())
    segmenter.config = SlicemapConfig()
    wanted = {"image_px": 128, "detection_min_confidence": 0.3, "best_per_class": True}
    for network, detects in (("Mask R-CNN", True), ("U-Net", False)):
        segmenter.network = network
        record = evaluate(segmenter, dataset, "slicemap", tmp_path / "set", draws=0).to_json()
        found = {key: record[key] for key in wanted}
        nothing = dict.fromkeys(wanted)
        assert found == (wanted if detects else {**nothing, "image_px": 128})
        assert record["network"] == network
        assert record["turned"] is record["angles"] is None


def test_orientations_are_those_of_the_experiment(tmp_path, monkeypatch):
    monkeypatch.setattr(sebre.evaluation.evaluate, "TURN_DRAWS", 1)
    dataset = prepared(tmp_path / "set", [{1: WHOLE}])
    for name, experiment in EXPERIMENTS.items():
        record = evaluate(Scripted(result_of()), dataset, name, tmp_path / "set").to_json()
        turned = record["turned"]
        assert (turned["max_angle"], turned["flip"]) == (
            experiment.turn.max_angle,
            experiment.turn.flip,
        )
    with pytest.raises(ValueError, match="'mine' is not one of"):
        evaluate(Scripted(result_of()), dataset, "mine", tmp_path / "set")


def test_turned_sections_keep_their_background_and_their_sides(tmp_path, monkeypatch):
    monkeypatch.setattr(sebre.evaluation.evaluate, "TURN_DRAWS", 30)
    dataset = prepared(tmp_path / "set", [{1: (10, 2, 22, 8)}], ground=240)
    segmenter = Scripted(result_of())
    angles = []
    for section in iterate_sections(segmenter, dataset, Turn(20, flip=False), seed=1):
        image, mask = section.image[..., 0], section.drawn.stack[..., 0]
        assert image.dtype == np.uint8
        corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert (corners == 240).all()
        assert image.min() >= 200 and image.max() <= 240
        assert ((image < 220) == mask).mean() > 0.97
        assert np.argwhere(mask)[:, 1].mean() < SIDE / 2  # never mirrored
        angles.append(np.argwhere(mask)[:, 0].mean())
    assert np.ptp(angles) > 3  # px up and down, 10 px beside the middle
    mirrored = [
        np.argwhere(s.drawn.stack[..., 0])[:, 1].mean() > SIDE / 2
        for s in iterate_sections(segmenter, dataset, Turn(0, flip=True), seed=1)
    ]
    assert 5 < sum(mirrored) < 25


def test_sections_are_read_and_forgotten_one_by_one(tmp_path):
    dataset = prepared(tmp_path / "set", [{1: WHOLE}] * 6)
    segmenter = Scripted(result_of((1, 0.9, WHOLE)))
    segmenter.shown = CountOnly()
    alive = []

    def watched():
        known = []
        for section in iterate_sections(segmenter, dataset, Turn(20, False)):
            known.append(weakref.ref(section))
            alive.append(sum(ref() is not None for ref in known))
            assert len(segmenter.shown) == len(known)
            yield section

    summarize(watched(), SLICEMAP)
    assert len(alive) == 30
    assert max(alive) <= 2


class CountOnly:
    """Counts what is added and keeps none of it."""

    def __init__(self):
        self.count = 0

    def __iadd__(self, more):
        self.count += len(more)
        return self

    def __len__(self):
        return self.count


def test_facts_of_sets_without_and_with_tables(tmp_path):
    prepared(tmp_path / "old", [{1: WHOLE}])
    facts = read_facts(tmp_path / "old")
    assert facts.record == facts.subjects == {}
    assert facts.pixel_mm is None
    volumetric(tmp_path / "new", pixel_size_um=[100, 250])
    facts = read_facts(tmp_path / "new")
    assert facts.pixel_mm == (0.1, 0.25)
    assert facts.subjects == {"val/0": "a", "val/1": "a", "val/2": "b", "val/3": "b"}
    volumetric(tmp_path / "flat", volumetric=False)
    assert read_facts(tmp_path / "flat").subjects == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("dataset.json", "{", r"dataset\.json: not JSON"),
        ("dataset.json", "[]", r"dataset\.json: wanted a JSON object"),
        ("dataset.json", '{"pixel_size_um": [1, 2, 3]}', r"pixel_size_um is \[1, 2, 3\]"),
        ("dataset.json", '{"pixel_size_um": 0}', "wanted one number above 0"),
        ("sections.csv", None, r"sections\.csv: cannot read this table"),
        ("sections.csv", "section,subset,subject\n0,val,a\n", "need section, subset, subject"),
        ("sections.csv", "section,subset,slice\n0,val,3\n", "need section, subset, subject"),
    ],
)
def test_damaged_tables(tmp_path, name, text, message):
    volumetric(tmp_path / "set")
    path = tmp_path / "set" / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_facts(tmp_path / "set")
