"""Weights find what they were trained for, under whatever ids it is asked for, or are refused."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from named_sets import TinyConfig, region_set, tiny_experiment
from paths import ROOT

from mrcnn.export import formats
from mrcnn.export.formats import export_model
from mrcnn.model import MaskRCNN
from mrcnn.modeling.backbone import _ARCHITECTURES
from mrcnn.weights.loading import read_classes, save_weights
from sebre.data.regions import ANY_SECTION, SLICEMAP
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import with_settings
from sebre.networks import region_match
from sebre.networks.segmenter import find_network, load_segmenter, read_image
from sebre.networks.train import start_from
from sebre.networks.unet import build_unet, unet_config
from sebre.networks.weights_store import find_weights, read_manifest

IMAGE = ROOT / "datasets/slicemap/mrcnn_val_dataset_images/section_img_0.png"
NAMES = SLICEMAP.names
# The same regions in another order, and sets that are not the same.
PERMUTED = [NAMES[i] for i in (3, 0, 5, 1, 4, 2)]
OTHERS = {
    "one fewer": NAMES[:5],
    "one more": [*NAMES, "septum"],
    "another side": ["left_cortex", *NAMES[1:]],
    "all others": ["a", "b", "c", "d", "e", "f"],
}


@pytest.fixture(autouse=True)
def said_before():
    region_match.warn_once.cache_clear()


def looks_for(names, name="mine"):
    return tiny_experiment(name=name, regions=region_set(*names))


def tiny_network(names=NAMES, mode="inference", logs="."):
    count = {"NUM_CLASSES": len(names) + 1, "DETECTION_MAX_INSTANCES": 20}
    return MaskRCNN(mode, TinyConfig(CLASS_NAMES=names, **count), logs)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Random weights whose classes differ, as a run leaves them."""
    folder = tmp_path_factory.mktemp("run")
    model = tiny_network()
    rng = np.random.default_rng(0)
    for name in ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask"):
        layer = model.keras_model.get_layer(name)
        layer.set_weights([rng.normal(0, 0.05, w.shape) for w in layer.get_weights()])
    model.save_weights(folder / "net.h5")
    model.config.save(folder / "config.json")
    return folder / "net.h5"


def same_under_other_ids(result, other, names, other_names):
    assert len({*result["class_ids"].tolist()}) > 2
    np.testing.assert_allclose(other["rois"], result["rois"], atol=1)
    np.testing.assert_allclose(other["scores"], result["scores"], atol=1e-4)
    assert [other_names[i - 1] for i in other["class_ids"]] == [
        names[i - 1] for i in result["class_ids"]
    ]
    assert (other["masks"] != result["masks"]).mean() < 0.01


def test_a_weights_file_names_its_regions(weights):
    assert read_classes(weights) == (NAMES, 6)
    assert json.loads(weights.with_name("config.json").read_text())["CLASS_NAMES"] == NAMES


def test_another_order_changes_the_ids_and_not_what_is_found(weights, tmp_path, caplog):
    caplog.set_level(logging.INFO, "sebre")
    image = read_image(IMAGE)
    result = load_segmenter(weights, looks_for(NAMES)).detect([image])[0]
    assert "another order" not in caplog.text
    segmenter = load_segmenter(weights, looks_for(PERMUTED))
    assert "finds the regions in another order (1 cortex, 2 hippocampus" in caplog.text
    assert segmenter.config.CLASS_NAMES == segmenter.regions.names == PERMUTED
    found = segmenter.detect([image])[0]
    same_under_other_ids(result, found, NAMES, PERMUTED)
    # What is written of it has the new order, inside as well.
    segmenter.model.save_weights(tmp_path / "again.h5")
    assert read_classes(tmp_path / "again.h5") == (PERMUTED, 6)


def test_weights_alone_bring_their_settings(weights, tmp_path, caplog):
    alone = tmp_path / "net.h5"
    alone.write_bytes(weights.read_bytes())
    plans = [find_network(path, looks_for(NAMES))[2] for path in (alone, weights)]
    assert plans[0].to_dict() == plans[1].to_dict()
    assert plans[0].IMAGE_MAX_DIM == TinyConfig.IMAGE_MAX_DIM
    assert find_network(alone)[1].regions.names == NAMES
    assert caplog.records == []
    # Settings of another run beside them are said.
    other = json.loads(weights.with_name("config.json").read_text()) | {"RPN_NMS_THRESHOLD": 0.61}
    (tmp_path / "config.json").write_text(json.dumps(other | {"WORKERS": 7}))
    assert find_network(alone, looks_for(NAMES))[2].RPN_NMS_THRESHOLD == 0.61
    assert "config.json: has other settings" in caplog.text
    assert "(RPN_NMS_THRESHOLD 0.61, in the weights 0.7)" in caplog.text


def test_settings_that_nothing_says_are_assumed_aloud(weights, tmp_path, caplog):
    alone = copied(weights, tmp_path, NAMES)
    config = find_network(alone, EXPERIMENTS["slicemap"])[2]
    assert f"{alone}: says nothing of its settings" in caplog.text
    assert f"Those of slicemap are assumed (BACKBONE {config.BACKBONE}, " in caplog.text
    assert f"IMAGE_MAX_DIM {config.IMAGE_MAX_DIM}, " in caplog.text


@pytest.mark.parametrize("case", OTHERS)
def test_other_regions_are_refused_with_both_lists(weights, case):
    with pytest.raises(ValueError, match="these weights find the regions 1 cortex, 2 hip") as error:
        load_segmenter(weights, looks_for(OTHERS[case]))
    assert f"mine looks for {len(OTHERS[case])}: 1 {OTHERS[case][0]}, 2 " in str(error.value)
    assert "the experiment that these were trained for (slicemap)" in str(error.value)
    with pytest.raises(ValueError, match="these weights find"):
        find_network(weights, looks_for(OTHERS[case]))


@pytest.mark.parametrize(
    ("weights", "experiment"),
    [("ibsr", "p14_mouse"), ("slicemap_unet", "hippocampus"), ("extended_mouse_mri", "ibsr")],
)
def test_shipped_weights_know_their_regions(weights, experiment, caplog):
    with pytest.raises(ValueError, match=f"{weights}.h5: these weights find the regions 1 "):
        find_network(weights, EXPERIMENTS[experiment])
    path = find_weights(weights).path
    with pytest.raises(ValueError, match=f"{weights}.h5: these weights find the regions 1 "):
        find_network(path, EXPERIMENTS[experiment])  # the manifest knows it by its checksum
    assert find_network(path)[1].name == read_manifest()[weights]["experiment"]
    assert find_network("extended_mouse_mri", EXPERIMENTS["p14_mouse"])[1].name == "p14_mouse"
    assert caplog.records == []


def test_the_manifest_names_the_regions_of_every_network():
    for entry in read_manifest().values():
        if entry.get("network") in ("neurites", "backbone"):
            assert entry["regions"] == []  # it segments what has no names
            continue
        experiment = EXPERIMENTS.get(entry["experiment"])
        regions = ANY_SECTION if experiment is None else experiment.regions
        assert entry["regions"] == regions.names


def copied(weights: Path, folder: Path, names, settings=None) -> Path:
    """The weights as a file of an earlier version, with or without names inside."""
    model = tiny_network()
    model.load_weights(weights)
    with_settings(model.config, CLASS_NAMES=names)
    save_weights(model.keras_model, folder / "net.h5", class_names=names)
    if settings is not None:
        (folder / "config.json").write_text(json.dumps({**model.config.to_dict(), **settings}))
    return folder / "net.h5"


@pytest.mark.parametrize(
    ("settings", "regions", "said"),
    [
        (None, NAMES, "taken to be those of mine: 1 cortex, 2 hippocampus"),
        ({"NAME": "unknown"}, OTHERS["all others"], "taken to be those of mine: 1 a, 2 b"),
        ({}, PERMUTED, "taken to be those of slicemap, which it was trained for: 1 cortex"),
    ],
)
def test_old_files_say_what_is_assumed(weights, tmp_path, caplog, settings, regions, said):
    path = copied(weights, tmp_path, None, settings)
    for _ in range(2):
        found, experiment, config = find_network(path, looks_for(regions))
    assert config.CLASS_NAMES == regions
    warned = [r for r in caplog.records if r.levelno == logging.WARNING]
    (record,) = (r for r in warned if "nothing of its settings" not in r.getMessage())
    assert len(warned) == 1 + (settings is None)
    assert said in record.getMessage() and str(path) in record.getMessage()


def test_old_files_for_another_number_of_regions_are_refused(weights, tmp_path):
    path = copied(weights, tmp_path, None)
    with pytest.raises(ValueError, match="these weights find 6 regions; mine looks for 5: 1 cort"):
        find_network(path, looks_for(OTHERS["one fewer"]))
    with pytest.raises(ValueError, match="these weights find the regions 1 cortex"):
        find_network(copied(weights, tmp_path, None, {}), EXPERIMENTS["hippocampus"])


def test_settings_of_other_weights_are_found_out(weights, tmp_path):
    path = copied(weights, tmp_path, NAMES, {"CLASS_NAMES": PERMUTED})
    with pytest.raises(
        ValueError, match=r"net.h5: the regions are 1 cortex.* by the file itself, b"
    ):
        find_network(path, looks_for(NAMES))


def test_weights_find_their_experiment_by_themselves(weights):
    assert find_network(weights)[1] is EXPERIMENTS["slicemap"]


# --- Exports ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(weights, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    return export_model(load_segmenter(weights, looks_for(NAMES)).model, path)


def test_an_onnx_file_names_its_regions_and_takes_another_order(weights, exported):
    image = read_image(IMAGE)
    result = load_segmenter(weights, looks_for(NAMES)).detect([image])[0]
    for names in (NAMES, PERMUTED):
        segmenter = load_segmenter(exported, looks_for(names))
        assert segmenter.model.labels == ["background", *names]
        same_under_other_ids(result, segmenter.detect([image])[0], NAMES, names)
    for names in OTHERS.values():
        with pytest.raises(ValueError, match="net.onnx: these weights find the regions 1 cortex, "):
            find_network(exported, looks_for(names))
    assert find_network(exported)[1].name == "slicemap"


def test_a_saved_model_names_its_regions(weights, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(formats, "_write_saved_model", lambda *what: written.append(what))
    export_model(load_segmenter(weights, looks_for(PERMUTED)).model, tmp_path, "saved_model")
    ((_, _, facts),) = written
    assert facts["labels"] == ["background", *PERMUTED]
    assert facts["config"]["CLASS_NAMES"] == PERMUTED


# --- U-Net ------------------------------------------------------------------------------------


def test_a_unet_takes_another_order(tmp_path):
    experiment = looks_for(NAMES)
    small = {"UNET_WIDTH": 4, "UNET_LEVELS": 2, "UNET_SPECK": 0}
    config = unet_config(experiment)(CLASS_NAMES=NAMES, **small)
    model = build_unet(config)
    model.get_layer("logits").bias.assign(np.linspace(-0.1, 0.1, 7))
    save_weights(model, tmp_path / "net.h5", class_names=NAMES)
    config.save(tmp_path / "config.json")
    image = read_image(IMAGE)
    result = load_segmenter(tmp_path / "net.h5", experiment).detect([image])[0]
    found = load_segmenter(tmp_path / "net.h5", looks_for(PERMUTED)).detect([image])[0]
    by_name = {NAMES[i - 1]: row for row, i in enumerate(result["class_ids"])}
    assert len(by_name) > 1
    for row, class_id in enumerate(found["class_ids"]):
        wanted = result["masks"][..., by_name.pop(PERMUTED[class_id - 1])]
        np.testing.assert_array_equal(found["masks"][..., row], wanted)
    assert by_name == {}
    for names in OTHERS.values():
        with pytest.raises(ValueError, match="net.h5: these weights find the regions 1 cortex, "):
            load_segmenter(tmp_path / "net.h5", looks_for(names))


# --- What a training starts from ----------------------------------------------------------------

HEADS = ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask")


def heads(model):
    return [model.keras_model.get_layer(name).get_weights()[0] for name in HEADS]


@pytest.mark.parametrize("names", [NAMES, PERMUTED])
def test_a_training_takes_the_heads_of_the_same_regions(weights, names, tmp_path, caplog):
    before = tiny_network()
    before.load_weights(weights)
    model = tiny_network(names, "training", tmp_path)
    start_from(model, str(weights))
    places = [0, *(NAMES.index(name) + 1 for name in names)]
    for old, new in zip(heads(before), heads(model), strict=True):
        old, new = (w.reshape(*w.shape[:-1], 7, -1) for w in (old, new))
        np.testing.assert_array_equal(new, old[..., places, :])
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("case", ["one fewer", "all others"])
def test_a_training_leaves_out_the_heads_of_other_regions_and_says_so(
    weights, case, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "sebre")
    before = tiny_network()
    before.load_weights(weights)
    model = tiny_network(OTHERS[case], "training", tmp_path)
    start_from(model, str(weights))
    for old, new in zip(heads(before), heads(model), strict=True):
        assert old.shape != new.shape or not np.array_equal(old, new)
    stem = [m.keras_model.get_layer("conv1").get_weights()[0] for m in (before, model)]
    np.testing.assert_array_equal(*stem)
    (record,) = (r for r in caplog.records if r.name == "sebre.networks.train")
    assert "finds 1 cortex, 2 hippocampus" in record.getMessage()
    assert f"this training is for 1 {OTHERS[case][0]}, " in record.getMessage()
    assert "mrcnn_class_logits" in record.getMessage()


def test_a_training_may_start_from_old_files(weights, tmp_path, caplog):
    caplog.set_level(logging.INFO, "sebre")
    path = copied(weights, tmp_path, None)
    model = tiny_network(PERMUTED, "training", tmp_path)
    start_from(model, str(path))
    assert "taken to be the same: 1 midbrain, 2 cortex" in caplog.text
    model = tiny_network(OTHERS["one more"], "training", tmp_path)
    start_from(model, str(path))
    assert "finds other classes, and this training is for 1 cortex" in caplog.text


def test_a_deeper_network_says_which_blocks_begin_as_the_identity(
    weights, tmp_path, caplog, monkeypatch
):
    caplog.set_level(logging.INFO, "sebre")
    monkeypatch.setitem(_ARCHITECTURES, "resnet18", ((2, 2, 4, 2), False))
    model = tiny_network(NAMES, "training", tmp_path)
    start_from(model, str(weights))
    assert f"{weights}: has none of the residual blocks 4c, 4d; they begin as" in caplog.text
    assert not np.any(model.keras_model.get_layer("bn4d_branch2b").gamma)
