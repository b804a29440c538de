import csv
import json
from dataclasses import replace
from itertools import islice, product

import keras
import numpy as np
import pytest
from PIL import Image

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.model import MaskRCNN
from mrcnn.weights.loading import save_weights
from sebre.networks.any_section import any_section_segmenter, build_network, frame_of, prepared
from sebre.networks.segmenter import load_segmenter
from sebre.networks.train import start_from
from sebre.synthesis import zeroshot
from sebre.synthesis.backbones import BACKBONE, export_backbone, ship_backbone
from sebre.synthesis.cross_entropy import WeightedCrossEntropy, class_weights
from sebre.synthesis.curriculum import EASY
from sebre.synthesis.gallery import colored, synthesize
from sebre.synthesis.learn import TrainSettings, mean_dice, train
from sebre.synthesis.settings_table import SHARES, VIEWS, compare
from sebre.synthesis.settings_table import mean_dice as settings_dice
from sebre.synthesis.stream import sections

TINY = TrainSettings(size=32, widths=(4, 8), batch_size=4, sections=12)


def test_the_network_answers_at_half_the_size():
    model = build_network(32, (4, 8))
    assert model.output_shape == (None, 16, 16, 10)
    with pytest.raises(ValueError, match="cannot be halved"):
        build_network(36, (4, 8, 16))


def test_ignored_pixels_have_no_part_in_the_loss():
    loss = WeightedCrossEntropy([1.0, 2.0])
    labels = np.array([[[0, 1, 255]]], np.uint8)
    logits = np.array([[[[4.0, 0.0], [0.0, 0.0], [0.0, 50.0]]]], np.float32)
    wanted = (np.log1p(np.exp(-4)) + 2 * np.log(2)) / 3
    assert float(loss(labels, logits)) == pytest.approx(wanted, rel=1e-5)
    nothing = np.full((1, 1, 3), 255, np.uint8)
    assert float(loss(nothing, logits)) == 0
    assert WeightedCrossEntropy.from_config(loss.get_config()).class_weights == [1.0, 2.0]


def test_rare_classes_weigh_more():
    labels = np.repeat(np.array([0, 1, 255], np.uint8), (900, 100, 500))
    weights = class_weights(labels)
    assert weights[1] / weights[0] == pytest.approx(3)
    assert weights.mean() == pytest.approx(1)


def test_mean_dice():
    labels = np.array([0, 0, 1, 1, 2, 255])
    assert mean_dice(labels % 255, labels) == 1
    found = np.array([0, 1, 1, 0, 0, 3])
    assert mean_dice(found, labels) == pytest.approx((0.5 + 0) / 2)


def test_a_training_goes_on_where_it_stopped(monkeypatch, volumes, tmp_path):
    monkeypatch.setattr("sebre.synthesis.learn._CHECK_SECTIONS", 8)
    train(volumes, volumes[:1], tmp_path, TINY, stop_s=0)
    assert json.loads((tmp_path / "state.json").read_text()) == {"sections": 4}
    model = train(volumes, volumes[:1], tmp_path, TINY)
    assert json.loads((tmp_path / "state.json").read_text()) == {"sections": 12}
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["sections"] for row in rows] == ["4", "12"]
    assert all(0 <= float(row["dice_hard"]) <= 1 for row in rows)
    saved = keras.models.load_model(tmp_path / "last.keras")
    for one, other in zip(model.weights, saved.weights, strict=True):
        assert np.array_equal(one, other)


def test_a_training_starts_from_weights_and_computes_in_bfloat16(volumes, tmp_path, op_by_op):
    first = train(volumes, [], tmp_path / "first", replace(TINY, sections=4))
    save_weights(first, tmp_path / "first.h5")
    (tmp_path / "config.json").write_text("{}")
    settings = replace(
        TINY,
        size=64,  # the weights fit any size
        sections=4,
        learning_rate=0.0,
        start=str(tmp_path / "first.h5"),
        precision="mixed_bfloat16",
    )
    model = train(volumes, [], tmp_path / "second", settings)
    assert model.get_layer("down1a").compute_dtype == "bfloat16"
    assert model.get_layer("logits").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32", "of other networks"
    for one, other in zip(first.trainable_weights, model.trainable_weights, strict=True):
        assert np.array_equal(one, other)


def test_settings_are_compared_on_synthetic_sections(volumes):
    stream = list(islice(sections(volumes, 5, recipe=EASY, size=64), 4))
    keras.utils.set_random_seed(0)
    rows = compare(build_network(32, (4, 8)), stream)
    assert [(row["views"], row["share"]) for row in rows] == list(product(VIEWS, SHARES))
    assert len({row["dice"] for row in rows}) > 4

    class Knows:
        def labels(self, gray):
            return next(s.labels for s in stream if np.array_equal(255 * s.picture, gray)) % 255

    assert settings_dice(Knows(), stream) == 1


def test_a_backbone_learns_and_starts_a_mask_rcnn(volumes, tmp_path, op_by_op):
    settings = replace(
        TINY, network="resnet18", backbone_width=0.125, size=64, sections=4, start=""
    )
    trained = train(volumes, volumes[:1], tmp_path / "run", settings)
    assert trained.output_shape == (None, 16, 16, 10)
    export_backbone(tmp_path / "run", tmp_path / "resnet18.h5")

    class Tiny(Config):
        NAME = "tiny"
        BACKBONE, BACKBONE_WIDTH = "resnet18", 0.125
        IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
        NUM_CLASSES = 2
        CLASS_NAMES = ("region",)

    model = MaskRCNN("inference", Tiny(), tmp_path)
    model.load_weights(tmp_path / "resnet18.h5", by_name=True)
    kernel = trained.get_layer(BACKBONE).get_layer("res5b_branch2b").kernel
    assert np.array_equal(model.keras_model.get_layer("res5b_branch2b").kernel, kernel)
    (tmp_path / "manifest.json").write_text("{}")
    entry = ship_backbone(tmp_path / "run", "small", tmp_path, {"a": 0.5})
    assert entry["network"] == "backbone" and "--network resnet18" in entry["command"]
    assert "| a | 0.500 |" in (tmp_path / "small.md").read_text()
    start_from(model, str(tmp_path / "small.h5"))
    close = np.abs(model.keras_model.get_layer("res5b_branch2b").kernel - kernel)
    assert np.max(close) <= np.abs(kernel).max() / 250
    with pytest.raises(UserError, match="finds no regions"):
        load_segmenter("small", folder=tmp_path)
    with pytest.raises(ValueError, match="without a backbone"):
        train(volumes, [], tmp_path / "unet", replace(TINY, sections=4))
        export_backbone(tmp_path / "unet", tmp_path / "other.h5")


def test_a_set_to_look_at(volumes, tmp_path):
    path = synthesize(tmp_path, volumes=volumes, count=3, size=48, recipe=EASY)
    with Image.open(path) as sheet:
        assert sheet.size == (4 * 2 * 52, 52)
    with (tmp_path / "sections.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["section"] for row in rows] == ["0", "1", "2"]
    for number, row in enumerate(rows):
        with Image.open(tmp_path / "labels" / f"section_{number:04d}.png") as image:
            labels = np.asarray(image)
        assert (labels == 1).sum() == int(row["isocortex"])
        assert (tmp_path / "images" / f"section_{number:04d}.png").is_file()
    with pytest.raises(ValueError, match="count of at least 1"):
        synthesize(tmp_path, volumes=volumes, count=0)


def test_the_outside_keeps_its_gray():
    gray = np.full((1, 3), 90, np.uint8)
    picture = colored(gray, np.array([[0, 1, 255]], np.uint8))
    assert picture[0, 0].tolist() == [90, 90, 90]
    assert picture[0, 1].tolist() != picture[0, 2].tolist()


class Threshold:
    """Stands for a network: bright pixels are of class 1."""

    input_shape = (None, 64, 64, 1)

    def predict_on_batch(self, pictures):
        bright = pictures.reshape(-1, 32, 2, 32, 2).mean(axis=(2, 4)) > 0.5
        return 20.0 * np.stack([~bright, bright], axis=-1)


def real_section(shape=(40, 60)):
    picture = np.zeros(shape)
    picture[10:30, 20:40] = 7
    mask = picture > 0
    scored = np.ones(shape, bool)
    scored[:, :3] = False
    return zeroshot.RealSection("name", "source", picture, {1: mask, 2: ~mask}, scored)


def test_a_picture_is_made_square():
    picture = real_section().picture
    square = prepared(picture, 32, frame_of(picture, 0))
    assert square.shape == (32, 32)
    assert square[0].max() == 0
    assert square.max() == 1


def test_a_prediction_has_the_size_of_the_picture():
    section = real_section()
    found = any_section_segmenter(Threshold(), 1).labels(section.picture)
    assert found.shape == section.picture.shape
    dices = zeroshot.section_dices(found, section)
    assert dices[1] > 0.85
    assert dices[2] == 0


@pytest.mark.parametrize("turns", [1, 8])
@pytest.mark.parametrize("variant", zeroshot.VARIANTS[:-1])
def test_scores_of_changed_pictures(monkeypatch, tmp_path, variant, turns):
    monkeypatch.setattr(zeroshot, "real_sections", lambda data: iter([real_section()] * 2))
    scores = zeroshot.evaluate(any_section_segmenter(Threshold(), turns).labels, tmp_path, variant)
    assert set(scores) == {"source"}
    assert scores["source"] == pytest.approx(0.45, abs=0.05)
    with pytest.raises(ValueError, match="No variant 'upside down'"):
        zeroshot.evaluate(any_section_segmenter(Threshold()).labels, tmp_path, "upside down")
