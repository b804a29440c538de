"""What the process does: predicting, training on corrections, and looking at what was trained."""

import dataclasses
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from paths import ROOT

from mrcnn.errors import UserError
from sebre.data.regions import SLICEMAP
from sebre.evaluation.learning_curve import part_of_set
from sebre.predict.prediction import predict_picture
from sebre.viewer.background import Loss, Picture, Progress, Training
from sebre.viewer.label_layers import area_rows, facts_of
from sebre.viewer.layer_files import drawn_sample
from sebre.viewer.network_choices import (
    NetworkChoice,
    shipped_choices,
    start_of,
    usual_steps,
)
from sebre.viewer.tasks import TASKS, Predictor, _said_of_regions, look_at_run, train

SMALL = {"IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "IMAGES_PER_GPU": 2, "WORKERS": 0}
UNET = "slicemap_unet"


def choice(name: str) -> NetworkChoice:
    return next(one for one in shipped_choices() if one.name == name)


def never() -> threading.Event:
    return threading.Event()


# --- Choices -----------------------------------------------------------------------------


def test_networks_that_find_regions_can_be_chosen():
    choices = shipped_choices()
    names = [one.name for one in choices]
    assert names[0] == "any_section" and {"slicemap", UNET, "p14_mouse_unet"} <= set(names)
    assert not {"neurites", "resnet50_sections"} & set(names)
    said = dict(choice("slicemap").lines)
    assert (said["plane"], said["stain"]) == ("sagittal", "fluorescence")
    assert said["regions"] == ", ".join(SLICEMAP.names) and "0.872" in said["score"]
    assert all(one.thumbnail.is_file() for one in choices)


def test_what_a_training_starts_from():
    kinds = {name: start_of(choice(name)).name for name in ("any_section", "slicemap", UNET)}
    assert kinds == {"any_section": "any_section", "slicemap": "slicemap", UNET: "any_section"}
    assert usual_steps(choice("p14_mouse_unet")) == 150 and usual_steps(choice("slicemap")) == 1600


# --- Predict -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def section() -> np.ndarray:
    return drawn_sample()[0][0]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """Keeps its network from test to test."""
    return Predictor()


def test_a_layer_is_what_predict_finds(section, predictor):
    events = []
    picture = Picture("s", section, (50.0, 72.0), "folder/s.png")
    (layer,) = predictor.predict(choice(UNET), [picture], events.append, never())
    assert [(e.done, e.total) for e in events] == [(0, 2), (1, 2)]
    assert all(isinstance(e, Progress) for e in events)
    labels, attributes, kind = layer
    segmenter = predictor.load(choice(UNET))
    wanted = predict_picture(segmenter, section, "s", pixel_um=60.0)
    np.testing.assert_array_equal(labels, wanted.label_map)
    assert kind == "labels" and attributes["name"] == f"s, {UNET}"
    assert attributes["scale"] == (50, 72), "what the picture has"
    facts = facts_of(attributes["metadata"], "s")
    assert facts["network"] == UNET and len(facts["weights_sha256"]) == 64
    for cells, row in zip(area_rows(labels, facts, (50.0, 72.0)), wanted.rows, strict=True):
        assert (cells["region"], cells["area_px"]) == (row["region"], row["area_px"])
        assert cells["area_mm2"] == pytest.approx(row.get("area_mm2", 0))
        assert cells.get("score") == row.get("score")
        assert cells["doubts"] == (row.get("flags", "") or row.get("reason", ""))


def test_doubts_are_said(predictor):
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)
    (layer,) = predictor.predict(choice(UNET), [Picture("n", noise)], lambda _: None, never())
    facts = facts_of(layer[1]["metadata"], "n")
    assert facts["doubted"] and any(text.startswith("Doubt: ") for text in facts["remarks"])
    assert "scale" not in layer[1], "nobody knows the size of its pixels"


def test_prediction_ends_between_two_pictures(section, predictor):
    stop = threading.Event()

    def report(event):
        if event.done == 1:
            stop.set()

    pictures = [Picture("a", section), Picture("b", section)]
    layers = predictor.predict(choice(UNET), pictures, report, stop)
    assert [attributes["name"] for _, attributes, _ in layers] == [f"a, {UNET}"]


def test_a_stack_is_refused(section, predictor):
    stack = Picture("stack", np.zeros((5, 20, 30)))
    with pytest.raises(UserError, match=r"stack: an array of the shape \(5, 20, 30\); wanted one"):
        predictor.predict(choice(UNET), [Picture("a", section), stack], print, never())


# --- Train -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Three annotated sections."""
    folder = tmp_path_factory.mktemp("sets") / "few"
    return part_of_set(ROOT / "datasets" / "slicemap", [0, 1, 2], folder)


@pytest.mark.usefixtures("op_by_op")
def test_a_training_is_stopped_and_goes_on(few, tmp_path):
    stop, events = threading.Event(), []

    def report(event):
        events.append(event)
        stop.set()

    training = Training(few, tmp_path / "runs", choice("any_section"), 2, settings=SMALL)
    run = train(training, report, stop)
    assert not run.finished and [e.step for e in events] == [1]
    assert run.network.kind == "any_section"
    events.clear()
    again = train(dataclasses.replace(training, resume=True), events.append, never())
    assert again.finished and again.network.weights == run.network.weights
    assert [(e.step, e.steps) for e in events] == [(2, 2)]
    assert all(isinstance(e, Loss) and np.isfinite(e.loss) for e in events)
    (folder,) = (tmp_path / "runs").iterdir()
    assert look_at_run(folder, print, never()) == again.network
    assert dict(again.network.lines)["regions"] == ", ".join(SLICEMAP.names)


def test_a_mask_rcnn_is_asked_for_as_the_command_does(few, tmp_path, monkeypatch):
    """Its training is tested with the command; here is what it is begun with."""
    asked = []

    def run(experiment, options):
        asked.append((experiment, options))
        raise KeyboardInterrupt

    monkeypatch.setattr("sebre.viewer.tasks.run_training", run)
    training = Training(few, tmp_path, choice("slicemap"), 40, settings={"WORKERS": 0})
    for resume in (False, True):
        run_of = train(dataclasses.replace(training, resume=resume), print, never())
        assert run_of.network is None and not run_of.finished
    assert [experiment.regions.names for experiment, _ in asked] == [SLICEMAP.names] * 2
    begun, resumed = (options for _, options in asked)
    assert (begun.weights, begun.variant, begun.resume) == ("slicemap", "small", False)
    assert (resumed.weights, resumed.variant, resumed.resume) == ("last", None, True)
    assert begun.steps == [40] and begun.settings == {"WORKERS": 0}
    variant = asked[0][0].variant("small")
    model = SimpleNamespace(config=begun.configure(variant))
    assert begun.reports(model, variant, None)[-1] is begun.callbacks[0], "it hears of every step"


def test_what_cannot_be_trained(few, tmp_path):
    one = part_of_set(few, [0], tmp_path / "one")
    training = Training(one, tmp_path / "runs", choice("any_section"), 1)
    with pytest.raises(UserError, match=r"one: has 1 section\(s\) to learn from; wanted 2 or more"):
        train(training, print, never())
    missing = dataclasses.replace(training, dataset=tmp_path / "none")
    with pytest.raises(UserError, match="none/mrcnn_train_dataset_images: no such folder"):
        train(missing, print, never())
    nothing = dataclasses.replace(training, dataset=few, resume=True)
    with pytest.raises(UserError, match="no run to resume"):
        train(nothing, print, never())
    with pytest.raises(UserError, match="is not the folder of a training run"):
        look_at_run(few, print, never())
    assert set(TASKS) == {"predict", "train", "look"}


def test_both_sides_of_a_cut_section_are_told():
    row = {"region_id": 1, "found": "yes", "score": 0.9, "expected_dice": 0.8, "flags": ""}
    left = {**row, "hemisphere": "left", "score": 0.4, "flags": "smaller"}
    right = {**row, "hemisphere": "right", "found": "no", "reason": "not found"}
    other = {**row, "region_id": 2, "hemisphere": ""}
    said = _said_of_regions([left, {**right}, other])
    assert said[1] == {
        "score": 0.4, "expected_dice": 0.8, "doubts": "left: smaller; right: not found",
    }  # fmt: skip
    assert said[2]["score"] == 0.9 and said[2]["doubts"] == ""
