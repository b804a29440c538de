"""Settings: what is refused, what follows what, and what comes back from a file."""

import json

import numpy as np
import pytest

from mrcnn.config import Config, compute_backbone_shapes


class OldStyle(Config):
    """As written for the original package: class attributes, nothing else."""

    NAME = "old"
    GPU_COUNT = 1
    IMAGES_PER_GPU = 3
    NUM_CLASSES = 1 + 4
    IMAGE_MAX_DIM = 256
    IMAGE_MIN_DIM = 128
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    EPOCHS_OF_MY_OWN = 7


def test_a_subclass_of_class_attributes_is_all_that_is_needed():
    config = OldStyle()
    assert (config.NAME, config.NUM_CLASSES, config.EPOCHS_OF_MY_OWN) == ("old", 5, 7)
    assert config.BATCH_SIZE == 3
    assert config.IMAGE_SHAPE.tolist() == [256, 256, 3]
    assert config.IMAGE_META_SIZE == 12 + 5
    assert config.DETECTION_MIN_CONFIDENCE == Config.DETECTION_MIN_CONFIDENCE


def test_defaults_are_those_of_the_original_and_every_addition_is_off():
    config = Config()
    assert config.BACKBONE == "resnet101" and config.BATCH_SIZE == 2
    assert config.IMAGE_SHAPE.tolist() == [1024, 1024, 3] and config.IMAGE_META_SIZE == 13
    assert config.ROI_ALIGN == "legacy" and config.PRECISION == "float32"
    assert (config.TRAIN_BN, config.BEST_PER_CLASS, config.GT_AS_PROPOSALS) == (False,) * 3
    assert (config.OPTIMIZER, config.LEARNING_SCHEDULE, config.WARMUP_STEPS) == (
        "sgd", "constant", 0,
    )  # fmt: skip
    assert config.GRADIENT_CLIP_NORM == 5.0 and config.INITIALIZATION == "reference"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("IMAGE_RESIZE_MODE", "stretch", "'none', 'square', 'pad64', 'fit64', 'crop'"),
        ("ROI_ALIGN", "exact", "'legacy', 'aligned'"),
        ("PRECISION", "float64", "'float32', 'bfloat16', 'float16'"),
        ("OPTIMIZER", "adam", "'sgd', 'adamw'"),
        ("LEARNING_SCHEDULE", "step", "'constant', 'cosine'"),
        ("INITIALIZATION", "zeros", "'reference', 'he'"),
        ("MASK_ROIS", None, "'all', 'positive'"),
        ("ACTIVE_CLASSES", "last", "'first', 'each'"),
        ("ON_SIDE_FLIP", "ignore", "'refuse', 'swap'"),
        ("TRAIN_BN", "yes", "None, True, False"),
        ("GPU_COUNT", 0, "a whole number of at least 1"),
        ("IMAGES_PER_GPU", 1.5, "a whole number of at least 1"),
        ("STEPS_PER_EPOCH", -1, "a number of at least 1"),
        ("STEPS_PER_EPOCH", float("inf"), "a number of at least 1"),
        ("NUM_CLASSES", None, "a whole number of at least 1"),
        ("NUM_CLASSES", "four", "a whole number of at least 1"),
        ("TRAIN_ROIS_PER_IMAGE", 0, "a whole number of at least 1"),
        ("MAX_GT_INSTANCES", 0, "a whole number of at least 1"),
        ("DETECTION_MAX_INSTANCES", float("nan"), "a whole number of at least 1"),
        ("PRE_NMS_LIMIT", 0, "a whole number of at least 1"),
        ("POST_NMS_ROIS_TRAINING", 0, "a whole number of at least 1"),
        ("POST_NMS_ROIS_INFERENCE", float("inf"), "a whole number of at least 1"),
        ("IMAGE_CHANNEL_COUNT", 0, "a whole number of at least 1"),
        ("BACKBONE", "resnet34", "'resnet18', 'resnet50', 'resnet101' or a callable"),
        ("RPN_ANCHOR_SCALES", (32, 64), "one scale for each of the 5 BACKBONE_STRIDES"),
        ("MEAN_PIXEL", np.array([1.0, 2.0]), "one for each of the 3 channels"),
        ("LOSS_WEIGHTS", None, "a dict over .*rpn_class_loss"),
        ("SIDE_PAIRS", ((1, 1),), "pairs of different class ids"),
        ("SIDE_PAIRS", ((1, 2),), "class ids between 1 and 0"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_is_and_must_be(name, value, wanted):
    with pytest.raises(ValueError, match=rf"Config\.{name} is .*; it must be .*{wanted}"):
        Config(**{name: value})
    # The same for a subclass, whose own name is then given.
    with pytest.raises(ValueError, match=rf"^Wrong\.{name} is "):
        type("Wrong", (Config,), {name: value})()


def test_what_training_alone_reads_is_looked_at_for_training_alone(caplog):
    config = OldStyle(MASK_SHAPE=[28, 14], LOSS_WEIGHTS={"mask_loss": 1.0})
    with pytest.raises(ValueError, match=r"OldStyle\.MASK_SHAPE is \[28, 14\].*\[28, 28\]"):
        config.validate_training()
    config.MASK_POOL_SIZE, config.MASK_SHAPE = 28, (56, 56)
    config.validate_training()
    assert "OldStyle.LOSS_WEIGHTS: there is no loss 'mask_loss'" in caplog.text


def test_a_fraction_of_steps_is_rounded_up_as_it_was(caplog):
    assert OldStyle(STEPS_PER_EPOCH=66.0).STEPS_PER_EPOCH == 66 and not caplog.text
    assert OldStyle(STEPS_PER_EPOCH=131 / 2).STEPS_PER_EPOCH == 66
    assert "STEPS_PER_EPOCH is 65.5; it is rounded up to 66" in caplog.text


def test_validate_sees_later_changes():
    config = OldStyle()
    config.validate()
    config.IMAGE_CHANNEL_COUNT = 4
    with pytest.raises(ValueError, match="OldStyle.MEAN_PIXEL .* each of the 4 channels"):
        config.validate()
    config.MEAN_PIXEL = np.array([1.0, 2, 3, 4])
    config.validate()
    config.MEAN_PIXEL = 127.0  # one value serves all channels
    config.validate()


@pytest.mark.parametrize("name", ["NUM_CLASS", "batch", "validate", "__doc__", "_private"])
def test_an_unknown_override_is_refused(name):
    with pytest.raises(ValueError, match=f"OldStyle has no setting '{name}'.*display"):
        OldStyle(**{name: 1})


def test_overrides_stay_with_their_instance():
    config = OldStyle(NUM_CLASSES=9, EPOCHS_OF_MY_OWN=8)
    assert (config.NUM_CLASSES, config.EPOCHS_OF_MY_OWN) == (9, 8)
    assert (OldStyle.NUM_CLASSES, OldStyle().EPOCHS_OF_MY_OWN) == (5, 7)


def test_derived_values_follow_what_they_are_computed_from():
    config = OldStyle()
    config.IMAGES_PER_GPU, config.GPU_COUNT = 2, 4
    assert config.BATCH_SIZE == 8
    config.NUM_CLASSES = 11
    assert config.IMAGE_META_SIZE == 12 + 11
    config.IMAGE_CHANNEL_COUNT, config.IMAGE_MAX_DIM = 1, 320
    assert config.IMAGE_SHAPE.tolist() == [320, 320, 1]
    config.IMAGE_RESIZE_MODE = "crop"
    assert config.IMAGE_SHAPE.tolist() == [128, 128, 1], "a crop is IMAGE_MIN_DIM wide"


def test_a_derived_value_may_be_overwritten_on_an_instance():
    config = OldStyle()
    config.BATCH_SIZE = 1
    config.IMAGE_SHAPE = np.array([64, 128, 3])
    config.IMAGES_PER_GPU = 5
    assert config.BATCH_SIZE == 1 and config.IMAGE_SHAPE.tolist() == [64, 128, 3]
    assert OldStyle().BATCH_SIZE == 3
    assert OldStyle(BATCH_SIZE=2).BATCH_SIZE == 2


def test_a_derived_value_in_a_class_has_no_effect(caplog):
    class Mixed:
        IMAGE_META_SIZE = 93

    class Four(Mixed, OldStyle):
        BATCH_SIZE = 0
        IMAGE_SHAPE = np.array([64, 64, 3])
        IMAGE_CHANNEL_COUNT = 4
        MEAN_PIXEL = np.zeros(4)

    class Child(Four):
        IMAGES_PER_GPU = 5

    assert [r.getMessage().partition(" ")[0] for r in caplog.records] == [
        "Four.BATCH_SIZE",
        "Four.IMAGE_SHAPE",
        "Four.IMAGE_META_SIZE",
    ]
    config = Four()
    assert (config.BATCH_SIZE, config.IMAGE_META_SIZE, Child().BATCH_SIZE) == (3, 12 + 5, 5)
    assert config.IMAGE_SHAPE.tolist() == [256, 256, 4]
    config.BATCH_SIZE = 1
    assert config.BATCH_SIZE == 1


def test_settings_come_back_from_a_file(tmp_path):
    path = tmp_path / "config.json"
    config = OldStyle(
        MEAN_PIXEL=np.array([1.5, 2.5, 3.5]),
        BBOX_STD_DEV=np.array([0.2, 0.2, 0.4, 0.4]),
        LEARNING_RATE=np.float32(0.5),
        NUM_CLASSES=np.int64(5),
        SIDE_PAIRS=((1, 2), (3, 4)),
        LOSS_WEIGHTS={**Config.LOSS_WEIGHTS, "mrcnn_mask_loss": 2.0},
        TRAIN_BN=None,
        EPOCHS_OF_MY_OWN=9,
    )
    config.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"], "no temporary file is left"
    loaded = OldStyle.load(path)
    assert loaded.to_dict() == config.to_dict()
    assert type(loaded) is OldStyle
    for name in ("MEAN_PIXEL", "BBOX_STD_DEV", "RPN_BBOX_STD_DEV"):
        assert isinstance(getattr(loaded, name), np.ndarray)
        np.testing.assert_array_equal(getattr(loaded, name), getattr(config, name))
    assert loaded.LEARNING_RATE == 0.5 and loaded.TRAIN_BN is None
    assert [tuple(pair) for pair in loaded.SIDE_PAIRS] == [(1, 2), (3, 4)]
    # What is derived is computed again, not read.
    loaded.IMAGES_PER_GPU = 1
    assert loaded.BATCH_SIZE == 1


def test_a_dictionary_of_settings_is_plain_json_and_complete():
    def backbone():
        pass

    values = OldStyle(BACKBONE=backbone, COMPUTE_BACKBONE_SHAPE=len).to_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["BACKBONE"] == "backbone" and values["COMPUTE_BACKBONE_SHAPE"] == "len"
    assert values["MEAN_PIXEL"] == [123.7, 116.8, 103.9]
    assert values["IMAGE_SHAPE"] == [256, 256, 3]
    assert set(values) == {n for n in dir(OldStyle) if n.isupper()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json: not a saved configuration"),
        ("[1]", "config.json: not a saved configuration"),
        ('{"COLOR": 1}', "has no setting 'COLOR'"),
        ('{"NUM_CLASSES": 0}', "NUM_CLASSES is 0"),
        ('{"BACKBONE": "my_function"}', "or a callable"),
    ],
)
def test_a_file_of_something_else_is_a_clear_error(tmp_path, text, message):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Config.load(path)
    with pytest.raises(ValueError, match="nowhere.json: not a saved configuration"):
        Config.load(tmp_path / "nowhere.json")


def test_display_prints_every_setting_in_two_columns(capsys):
    config = OldStyle(LEARNING_RATE=0.25)
    config.display()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["", "Configurations:"]
    shown = {line[:30].rstrip(): line[31:] for line in lines[2:] if line}
    assert set(shown) == set(config.to_dict())
    assert shown["LEARNING_RATE"] == "0.25" and shown["BATCH_SIZE"] == "3"
    assert shown["MEAN_PIXEL"] == "[123.7 116.8 103.9]"
    assert shown["EPOCHS_OF_MY_OWN"] == "7"


def test_sizes_of_the_pyramid_levels():
    shapes = compute_backbone_shapes(OldStyle(), (128, 320, 3))
    assert shapes.tolist() == [[32, 80], [16, 40], [8, 20], [4, 10], [2, 5]]
    own = OldStyle(BACKBONE=len, COMPUTE_BACKBONE_SHAPE=lambda shape: [[shape[0], 1]] * 5)
    assert compute_backbone_shapes(own, (7, 9)).tolist() == [[7, 1]] * 5
    with pytest.raises(ValueError, match="COMPUTE_BACKBONE_SHAPE must be a function"):
        compute_backbone_shapes(OldStyle(BACKBONE=len), (64, 64))


@pytest.mark.parametrize("name", ["LEARNING_RATE", "IMAGE_MAX_DIM", "LEARNING_MOMENTUM"])
def test_a_word_is_no_number(name):
    with pytest.raises(ValueError, match=f"OldStyle.{name} is 'many'; it must be a value such as"):
        OldStyle(**{name: "many"})
