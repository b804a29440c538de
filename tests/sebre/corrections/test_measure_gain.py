"""The measurement of corrections: what is drawn, scored and stored, with networks that are made up;
real ones are in results/corrections."""

import json
from dataclasses import replace

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

from mrcnn.errors import UserError
from sebre.corrections import measure_gain
from sebre.corrections.candidates import Candidate, FoundPart
from sebre.corrections.measure_gain import choices, mean_dice, read_stage, wrong_px
from sebre.data.regions import ANY_SECTION, SLICEMAP
from sebre.evaluation.learning_curve import STARTS
from sebre.predict.outputs import label_paths

ROOT_SET = ROOT / "datasets" / "slicemap"


class Perfect:
    """Finds what is drawn on the sections that are scored, and one region less where it is told."""

    class config:
        CONTRAST = "bits"

    def __init__(self, sections, lacks=()):
        self.sections, self.lacks, self.row = sections, lacks, 0
        rows = np.linspace(0, sections.num_images - 1, min(3, sections.num_images))
        self.rows = [int(row) for row in rows.round()]

    def detect(self, images):
        masks, ids = self.sections.load_mask(self.rows[self.row])
        self.row += 1
        kept = [k for k, i in enumerate(ids) if i not in self.lacks]
        scores = np.ones(len(kept))
        return [{"masks": masks[..., kept], "class_ids": ids[kept], "scores": scores}]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(measure_gain, "SCORED", 3)
    monkeypatch.setattr(measure_gain, "CANDIDATES", 6)
    monkeypatch.setattr(measure_gain, "CORRECTED", 2)


def test_classes_become_regions():
    stage = read_stage(ROOT_SET, inner=False)
    names = {ANY_SECTION[i].name: i for i in range(1, ANY_SECTION.num_classes)}
    known = {name: int(stage.known[i]) for name, i in names.items()}
    ids = {region.name: region.id for region in SLICEMAP}
    assert known["isocortex"] == ids["cortex"] and known["hindbrain"] == ids["brainstem"]
    assert known["hypothalamus"] == 0 and measure_gain.known_regions(stage) == SLICEMAP.names


def test_inner_sections_are_not_those_that_are_drawn_from():
    stage = read_stage(ROOT_SET, inner=True)
    scored = {stage.scored.image_reference(i) for i in stage.scored.image_ids}
    assert not scored & {f"train/{n}" for n in stage.drawn_from}
    assert len(scored) + len(stage.drawn_from) == 38


def test_wrong_pixels_are_counted(tmp_path):
    stage = read_stage(ROOT_SET, inner=False)
    number = stage.drawn_from[0]
    folder = ROOT_SET / "mrcnn_train_dataset_masks" / f"section_masks_{number}"
    labels = np.zeros((84, 84), np.uint8)
    as_class = {int(region): k for k, region in enumerate(stage.known) if region}
    drawn = {}
    for path in sorted(folder.glob("*.png")):
        drawn[int(path.stem.rpartition("_m")[2])] = np.asarray(Image.open(path)) > 0
    overlap = sum(mask.astype(int) for mask in drawn.values()) > 1
    for region, mask in drawn.items():
        labels[mask] = as_class[region]
    path = label_paths(tmp_path, str(number))[0]
    Image.fromarray(labels).save(path)
    assert wrong_px(stage, number, tmp_path) == int(overlap.sum())
    labels[labels == as_class[1]] = 0
    Image.fromarray(labels).save(path)
    missed = (drawn[1] & ~overlap).sum()
    assert wrong_px(stage, number, tmp_path) >= missed + int(overlap.sum())


def test_runs_are_stored_and_not_done_twice(small, tmp_path, monkeypatch):
    stage = read_stage(ROOT_SET, inner=False)
    trainings = []

    def trained_on(root, numbers, start, seed):
        trainings.append((sorted(numbers), seed))
        return Perfect(stage.scored, lacks=() if seed else (1,))

    def predicted(root, numbers, out):
        parts = {"cortex": FoundPart(10, 0.5)}
        return tuple(
            Candidate(str(n), f"{n}.png", 0.5, parts, np.array([float(k)]))
            for k, n in enumerate(numbers)
        )

    monkeypatch.setattr(measure_gain, "trained_on", trained_on)
    monkeypatch.setattr(measure_gain, "predicted", predicted)
    monkeypatch.setattr(measure_gain, "wrong_px", lambda stage, number, out: number)
    monkeypatch.setattr(
        measure_gain, "load_segmenter", lambda weights: Perfect(stage.scored, lacks=(1, 2, 3))
    )
    monkeypatch.setattr(type(stage), "known", np.arange(10, dtype=np.uint8))
    out = tmp_path / "gain.json"
    asked = (ROOT_SET, out, STARTS["any_section"], measure_gain.RULES, [0, 1], False, "command")
    record = measure_gain.measure(*asked)
    assert record == json.loads(out.read_text())
    assert len(record["before"]) == 3 and 0 < mean_dice(record["before"]) < 1
    runs = {(run["rule"], run["seed"]): run for run in record["runs"]}
    assert len(runs) == 6 and all(len(run["corrected"]) == 2 for run in runs.values())
    for seed in (0, 1):
        drawn = stage.candidates(seed)
        assert runs["random", seed]["corrected"] == drawn[:2]
        assert runs["worst", seed]["corrected"] == sorted(drawn, reverse=True)[:2]
        assert set(runs["next", seed]["corrected"]) <= set(drawn)
    assert runs["next", 0]["dice_mean"] < 0.9 < runs["next", 1]["dice_mean"]
    sets = {(tuple(sorted(run["corrected"])), run["seed"]) for run in record["runs"]}
    assert len(trainings) == len(sets)  # the same sections are not trained on twice
    measure_gain.measure(*asked)
    assert len(trainings) == len(sets)
    longer = replace(STARTS["any_section"], steps=7)
    with pytest.raises(UserError, match=r"has runs of other settings \(start\)"):
        measure_gain.measure(*asked[:2], longer, *asked[3:])
    assert json.loads(out.read_text()) == record


def test_a_file_of_another_kind_is_left_alone(small, tmp_path):
    out = tmp_path / "mine.json"
    asked = (ROOT_SET, out, STARTS["any_section"], ["random"], [0], False, "command")
    for text in ('{"dataset": "slicemap", "subset": "val"}', "no JSON", "[1]"):
        out.write_text(text)
        with pytest.raises(UserError, match="no file of such runs"):
            measure_gain.measure(*asked)
        assert out.read_text() == text


def test_chance_needs_no_prediction(small, monkeypatch):
    stage = read_stage(ROOT_SET, inner=False)
    monkeypatch.setattr(measure_gain, "predicted", None)
    assert choices(stage, 3, ["random"]) == {"random": stage.candidates(3)[:2]}


def test_too_few_sections_are_refused(monkeypatch):
    monkeypatch.setattr(measure_gain, "CANDIDATES", 50)
    with pytest.raises(UserError, match="38 sections can be drawn from; wanted 50"):
        read_stage(ROOT_SET, inner=False)
