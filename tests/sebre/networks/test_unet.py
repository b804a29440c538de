"""The U-Net: its shape, its loss, what it learns from, and the results it gives."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from paths import ROOT
from section_cases import HALF, WHOLE, prepared
from small_run import epochs_of

from mrcnn.config import Config
from mrcnn.data.batches import Batches
from mrcnn.structures.mask_formats import rle_iou, to_rles
from mrcnn.training import checkpoints
from sebre.data.dataset import SectionDataset
from sebre.data.region_masks import RegionMasks
from sebre.data.regions import SLICEMAP, Region, RegionSet
from sebre.drawing.overlay import label_map
from sebre.evaluation.evaluate import evaluate, save_json
from sebre.evaluation.section import score_section
from sebre.experiments import EXPERIMENTS
from sebre.networks import unet_train
from sebre.networks.segmenter import load_segmenter
from sebre.networks.unet import (
    SPECKS,
    DiceCrossEntropy,
    UNetSegmenter,
    build_unet,
    labeled_shape,
    unet_config,
)
from sebre.networks.unet_train import LabelBatches, train_unet
from sebre.predict.measures import region_rows
from sebre.report.records import read_results

SMALL = {"UNET_WIDTH": 4, "UNET_LEVELS": 4, "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "WORKERS": 0}
EXPERIMENT = EXPERIMENTS["slicemap"]


def small_config(**settings) -> Config:
    return unet_config(EXPERIMENT)(**{**SMALL, "USE_MINI_MASK": False, **settings})


@pytest.fixture(scope="module")
def two_sections(tmp_path_factory) -> Path:
    """A data set of two real sections, which are in both of its parts."""
    root, source = tmp_path_factory.mktemp("sections") / "two", ROOT / "datasets/slicemap"
    found = SectionDataset(SLICEMAP).load(source, "train", numbers=(0, 1)).image_info
    for subset in ("train", "val"):
        images = root / f"mrcnn_{subset}_dataset_images"
        images.mkdir(parents=True)
        for number, info in enumerate(found):
            shutil.copy(info["path"], images / f"section_img_{number}.png")
            masks = root / f"mrcnn_{subset}_dataset_masks" / f"section_masks_{number}"
            masks.mkdir(parents=True)
            for path in info["masks"].values():
                shutil.copy(path, masks / path.name)
    return root


@pytest.fixture(scope="module")
def trained(two_sections, tmp_path_factory) -> UNetSegmenter:
    still = replace(EXPERIMENT.variant("small"), augmentation=lambda: None)
    experiment = replace(EXPERIMENT, variants={"small": still})
    own = {"UNET_WIDTH": 8, "UNET_LEVELS": 3, "LEARNING_RATE": 0.02, "BN_MOMENTUM": 0.8}
    own["STEPS_PER_EPOCH"] = 10
    logs = tmp_path_factory.mktemp("logs")
    return train_unet(experiment, two_sections, logs, 30, settings={**SMALL, **own}, verbose=0)


def test_shape_of_the_network():
    config = small_config()
    model = build_unet(config)
    assert model.output_shape == (None, 64, 64, 7)
    pooled = [layer for layer in model.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    assert [layer.output.shape[1:] for layer in pooled] == [(32, 32, 4), (16, 16, 8), (8, 8, 16)]
    bottom = model.get_layer("down3b").output
    assert bottom.shape[1:] == (8, 8, 32)
    assert model.get_layer("skip0").output.shape[1:] == (64, 64, 8)
    wide = build_unet(small_config(UNET_WIDTH=8))
    assert wide.count_params() > 3.5 * model.count_params()
    # He: variance 2 / fan-in, here 9 * 32 inputs.
    deviation = np.std(model.get_layer("down3b").get_weights()[0])
    assert deviation == pytest.approx(np.sqrt(2 / 288), rel=0.1)
    convolutions = [n for n in (layer.name for layer in model.layers) if n[-1] in "ab"]
    assert len(convolutions) == 14
    assert all(model.get_layer(f"{name}_bn").train_bn is None for name in convolutions)


@pytest.mark.parametrize(
    "settings", [{"UNET_LEVELS": 8}, {"UNET_LEVELS": 0}, {"UNET_WIDTH": 0}, {"UNET_LEVELS": -1}]
)
def test_a_network_that_cannot_be(settings):
    with pytest.raises(ValueError, match="U-Net of .* multiples of 2"):
        build_unet(small_config(**settings))


def test_settings_are_those_of_the_small_variant():
    for name, experiment in EXPERIMENTS.items():
        config, small = unet_config(experiment)(), experiment.variant("small").config()
        assert config.NAME == small.NAME == name
        assert config.to_dict().items() > small.to_dict().items()
        assert config.UNET_WIDTH == 16


def test_loss_by_hand():
    truth = np.array([[[0, 0], [1, 3]]])
    logits = np.random.default_rng(0).normal(0, 2, (1, 2, 2, 4)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    t = np.eye(4)[truth]
    entropy = -np.log((p * t).sum(-1)).mean()
    # Class 2 has no pixels and class 0 is the background: neither counts.
    dices = [1 - (2 * (p * t)[..., i].sum() + 1) / (p + t)[..., i].sum(initial=1) for i in (1, 3)]
    for weight in (0, 1, 0.5):
        loss = float(DiceCrossEntropy(weight)(truth, logits))
        assert loss == pytest.approx(entropy + weight * np.mean(dices), rel=1e-5)
    perfect = np.where(t > 0, 100, -100).astype(np.float32)
    assert float(DiceCrossEntropy()(truth, perfect)) == pytest.approx(0, abs=1e-5)
    assert 100 < float(DiceCrossEntropy()(truth, -perfect)) < np.inf


def test_loss_of_a_section_without_regions():
    logits = np.zeros((1, 4, 4, 3), np.float32)
    loss = float(DiceCrossEntropy()(np.zeros((1, 4, 4)), logits))
    assert loss == pytest.approx(np.log(3), rel=1e-5)


def test_pictures_are_those_of_mask_rcnn(two_sections):
    dataset = SectionDataset(SLICEMAP).load(two_sections, "train")
    dataset.prepare()
    config, augmentation = small_config(), EXPERIMENT.variant("small").augmentation()
    options = {"augmentation": augmentation, "steps": 2}
    (theirs,) = Batches(dataset, config, **options)[1]
    images, labels = LabelBatches(dataset, config, **options)[1]
    assert np.array_equal(images, theirs[0])
    assert labels.shape == (4, 64, 64)
    for row in range(4):
        drawn = theirs[4][row] > 0
        ids, masks = theirs[4][row][drawn], theirs[6][row][..., drawn]
        assert len(ids) >= 4
        assert np.array_equal(labels[row], label_map(ids, np.zeros(len(ids)), masks, (64, 64)))


def test_overlaps_and_sections_without_regions(tmp_path):
    dataset = prepared(tmp_path / "set", [{2: HALF, 4: WHOLE}, {}])
    images, labels = LabelBatches(dataset, small_config(), shuffle=False)[0]
    assert images.shape == (4, 64, 64, 3)
    # 8 x 8 px, enlarged twice; the left half is the smaller mask and wins.
    assert list(np.unique(labels[0])) == [0, 2, 4]
    counts = np.bincount(labels[0].ravel())
    assert counts[2] == pytest.approx(16 * 8, abs=24)
    assert counts[2] + counts[4] == pytest.approx(16 * 16, abs=33)
    assert np.argwhere(labels[0] == 2)[:, 1].max() < np.argwhere(labels[0] == 4)[:, 1].min()
    assert not labels[1].any()


def test_it_learns_two_sections(trained, two_sections):
    folder = trained.weights.path.parent
    with (folder / "log.csv").open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 3
    assert losses[2] < 0.75 * losses[0]
    dataset = SectionDataset(SLICEMAP).load(two_sections, "val")
    dataset.prepare()
    for image_id in dataset.image_ids:
        image, (masks, ids) = dataset.load_image(image_id), dataset.load_mask(image_id)
        result = trained.detect([image])[0]
        assert result["masks"].shape[:2] == image.shape[:2] == (84, 84)
        assert result["masks"].sum(-1).max() == 1
        section = score_section("train/0", image, RegionMasks(masks, ids), result)
        assert np.mean(list(section.dices.values())) > 0.1
        assert 0 < max(score.score for score in section.drawn_scores.values()) <= 1


def test_it_is_evaluated_like_mask_rcnn(trained, two_sections, tmp_path):
    dataset = SectionDataset(SLICEMAP).load(two_sections, "val")
    dataset.prepare()
    record = evaluate(trained, dataset, "slicemap", two_sections, draws=1)
    assert record.weights == "unet_slicemap.h5"
    assert record.weights_sha256 == trained.weights.sha256
    assert record.at(False).n_sections == record.at(True).n_sections == 2
    assert record.scores.dice_mean > 0.1
    save_json(record, tmp_path / "unet.json")
    results, problems = read_results(tmp_path, expected={})
    assert [result.name for result in results] == ["unet"]
    assert problems == ()


def test_stored_weights_give_the_same(trained, two_sections):
    again = load_segmenter(trained.weights.path, EXPERIMENT)
    assert isinstance(again, UNetSegmenter)
    assert again.weights.sha256 == trained.weights.sha256
    assert again.config.to_dict() == trained.config.to_dict()
    dataset = SectionDataset(SLICEMAP).load(two_sections, "val")
    dataset.prepare()
    image = dataset.load_image(0)
    for old, new in zip(
        trained.detect([image])[0].values(), again.detect([image])[0].values(), strict=True
    ):
        assert np.array_equal(old, new)


def test_weights_that_do_not_fit(trained, tmp_path):
    message = "find the regions 1 cortex, .*; hippocampus looks for 4: 1 CA1"
    with pytest.raises(ValueError, match=message):
        load_segmenter(trained.weights.path, EXPERIMENTS["hippocampus"])
    alone = tmp_path / "alone.h5"
    shutil.copy(trained.weights.path, alone)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: not a saved configuration"):
        load_segmenter(alone, EXPERIMENT)
    small_config().save(tmp_path / "config.json")
    with pytest.raises(ValueError, match=r"alone\.h5"):
        load_segmenter(alone, EXPERIMENT)


TINY = {**SMALL, "UNET_LEVELS": 2, "IMAGES_PER_GPU": 1, "STEPS_PER_EPOCH": 1}


def test_a_resumed_run_ends_as_if_nothing_had_happened(
    op_by_op, two_sections, tmp_path, monkeypatch
):
    options = {"inner_validation": 0.5, "settings": TINY, "verbose": 0}
    whole = train_unet(EXPERIMENT, two_sections, tmp_path / "whole", 3, **options)

    def stopped(path, *args):
        if path.name == "training_state_0003.npz":
            raise KeyboardInterrupt
        save_state(path, *args)

    save_state, logs = checkpoints.save_state, tmp_path / "stopped"
    monkeypatch.setattr(checkpoints, "save_state", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_unet(EXPERIMENT, two_sections, logs, 3, **options)
    (folder,) = logs.iterdir()
    rows = epochs_of(folder)
    left = ["best_unet_slicemap.h5", "config.json", "log.csv", "training.json"]
    left += ["training_state_0002.npz", "unet_slicemap_0002.h5"]
    assert sorted(path.name for path in folder.iterdir()) == left
    monkeypatch.undo()

    for other, message in (
        ({**options, "inner_validation": 0.0}, "inner_validation 0.5, now 0.0"),
        ({**options, "seed": 1}, "SEED 0, now 1"),
        ({**options, "steps": 4}, r"now 4\)\. Resume it with the same"),
    ):
        with pytest.raises(ValueError, match=message):
            train_unet(EXPERIMENT, two_sections, logs, **{"steps": 3, **other}, resume=True)
    resumed = train_unet(EXPERIMENT, two_sections, logs, 3, **options, resume=True)
    assert resumed.weights.path.parent == folder
    assert resumed.weights.sha256 == whole.weights.sha256
    assert epochs_of(folder) == epochs_of(whole.weights.path.parent) == rows
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert len({row["loss"] for row in rows} | {row["val_loss"] for row in rows}) == 6
    done = train_unet(EXPERIMENT, two_sections, logs, 3, **options, resume=True)
    assert done.weights.sha256 == whole.weights.sha256

    with pytest.raises(FileNotFoundError, match="no run to resume; wanted a folder unet_slicemap<"):
        train_unet(EXPERIMENT, two_sections, tmp_path / "none", 3, **options, resume=True)
    (tmp_path / "none" / "unet_slicemap20260102T030405").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="stopped before its first checkpoint"):
        train_unet(EXPERIMENT, two_sections, tmp_path / "none", 3, **options, resume=True)


def test_the_seed_decides_the_first_weights(two_sections, tmp_path, monkeypatch):
    monkeypatch.setattr(unet_train, "fit", lambda *_, **__: None)
    sums = [
        train_unet(EXPERIMENT, two_sections, tmp_path / str(k), 1, seed, settings=TINY).weights
        for k, seed in enumerate((0, 0, 1))
    ]
    assert sums[0].sha256 == sums[1].sha256
    assert sums[1].sha256 != sums[2].sha256


def test_errors_of_training(two_sections, tmp_path):
    with pytest.raises(ValueError, match="steps is 0"):
        train_unet(EXPERIMENT, two_sections, tmp_path, 0)
    with pytest.raises(ValueError, match="251 steps cannot be divided .* Take round numbers"):
        train_unet(EXPERIMENT, two_sections, tmp_path, 251)
    with pytest.raises(
        ValueError, match="steps is 30; it must be a multiple of STEPS_PER_EPOCH, 4"
    ):
        train_unet(EXPERIMENT, two_sections, tmp_path, 30, settings={"STEPS_PER_EPOCH": 4})
    with pytest.raises(ValueError, match="has no setting 'UNET_DEPTH'"):
        train_unet(EXPERIMENT, two_sections, tmp_path, 1, settings={"UNET_DEPTH": 3})
    with pytest.raises(ValueError, match="no such folder"):
        train_unet(EXPERIMENT, tmp_path / "none", tmp_path, 1)
    assert not list(tmp_path.iterdir())
    settings = {**SMALL, "UNET_LEVELS": 1, "LEARNING_RATE": 1e30, "WARMUP_STEPS": 0}
    with pytest.raises(FloatingPointError, match="The loss is (nan|inf)"):
        train_unet(EXPERIMENT, two_sections, tmp_path, 4, settings=settings, verbose=0)
    assert not list(tmp_path.glob("*/*.h5"))


def scripted(labels: np.ndarray, margin: float = 4.0, **settings) -> UNetSegmenter:
    """A segmenter whose network gives these labels [64, 64] to every picture."""
    logits = (margin * np.eye(7)[labels]).astype(np.float32)
    model = SimpleNamespace(predict_on_batch=lambda molded: logits[None].repeat(len(molded), 0))
    return UNetSegmenter(model, small_config(**settings), SLICEMAP, None)


@pytest.mark.parametrize("shape", [(37, 53), (53, 37), (64, 64), (131, 200), (9, 200)])
def test_results_have_the_size_of_the_section(shape):
    height, width = shape
    scale = 64 / max(shape)
    tall, broad = round(height * scale), round(width * scale)
    top, left = (64 - tall) // 2, (64 - broad) // 2
    labels = np.full((64, 64), 6)  # the padding, which must not be seen
    labels[top : top + tall, left : left + broad] = 0
    labels[top : top + tall, left : left + broad // 2] = 3
    result = scripted(labels).detect([np.zeros((*shape, 3), np.uint8)])[0]
    assert result["masks"].shape == (*shape, 1)
    assert result["masks"].dtype == bool
    assert result["class_ids"].tolist() == [3]
    edge = width * (broad // 2) / broad
    assert result["rois"].tolist() == [[0, 0, height, pytest.approx(edge, abs=width / 64)]]
    assert result["rois"].dtype == result["class_ids"].dtype == np.int32


def test_parts_specks_and_scores():
    labels = np.zeros((64, 64), int)
    labels[4:24, 4:24] = labels[40:60, 40:60] = 1  # two parts of one region
    labels[40:60, 4:24] = 2
    labels[30, 30:33] = 2  # 3 px: below 0.001 of 4,096
    labels[30, 50:52] = 5
    result = scripted(labels).detect([np.zeros((64, 64, 3), np.uint8)])[0]
    assert result["class_ids"].tolist() == [1, 2]
    assert result["masks"].sum(axis=(0, 1)).tolist() == [800, 400]
    assert result["rois"].tolist() == [[4, 4, 60, 60], [40, 4, 60, 24]]
    assert result["scores"] == pytest.approx([np.exp(4) / (np.exp(4) + 6)] * 2)
    assert result["scores"].dtype == np.float32
    assert result[SPECKS] == [5]  # of which nothing is left
    regions = RegionSet("six", tuple(Region(i, f"r{i}", f"r{i}", (i, 0, 0)) for i in range(1, 7)))
    reasons = [row.get("reason") for row in region_rows("s", result, regions)]
    assert reasons[4].startswith("left out: smaller than") and reasons[2] == "not found"
    every = scripted(labels, UNET_SPECK=0).detect([np.zeros((64, 64, 3), np.uint8)])[0]
    assert every["class_ids"].tolist() == [1, 2, 5] and SPECKS not in every
    assert every["masks"].sum(axis=(0, 1)).tolist() == [800, 403, 2]


@pytest.mark.parametrize("form", ["full", "rle", "contours"])
def test_a_slide_is_labeled_at_a_smaller_size(monkeypatch, form):
    labels = np.zeros((64, 64), int)
    labels[4:24, 4:24] = labels[40:60, 40:60] = 1
    labels[40:60, 4:24] = 2
    image = np.zeros((600, 400, 3), np.uint8)
    whole = scripted(labels).detect([image], masks=form)[0]
    monkeypatch.setattr("sebre.networks.unet._LABELED_PX", 150 * 100)
    assert labeled_shape(image.shape) == (150, 100)
    small = scripted(labels).detect([image], masks=form)[0]
    assert small["class_ids"].tolist() == whole["class_ids"].tolist() == [1, 2]
    assert np.abs(small["rois"] - whole["rois"]).max() <= 4
    assert small["rois"].dtype == whole["rois"].dtype == np.int32
    assert small["scores"] == pytest.approx(whole["scores"], abs=0.02)
    overlap = rle_iou(to_rles(small["masks"]), to_rles(whole["masks"])).diagonal()
    assert (overlap > 0.95).all()


def test_a_section_where_nothing_is_found():
    image = np.zeros((50, 64, 3), np.uint8)
    results = scripted(np.zeros((64, 64), int)).detect([image, image[:33]])
    assert [r["masks"].shape for r in results] == [(50, 64, 0), (33, 64, 0)]
    assert results[0]["rois"].shape == (0, 4)
    drawn = np.zeros((50, 64, 1), bool)
    drawn[5:9, 5:9] = True
    section = score_section("val/0", image, RegionMasks(drawn, np.array([2])), results[0])
    assert section.dices == {2: 0}
    assert section.ap == 0
    nothing = RegionMasks(drawn[..., :0], np.array([], int))
    section = score_section("val/0", image, nothing, results[0])
    assert section.ap is None
    assert section.extra == []
