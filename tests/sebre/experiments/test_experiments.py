"""Settings of the experiments against the paper, the data and the space there is."""

import keras
import numpy as np
import pytest
from paths import ROOT

from mrcnn.model import MaskRCNN
from mrcnn.modeling.anchors import config_anchors
from sebre.data.dataset import SectionDataset
from sebre.data.regions import SLICEMAP
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import SeBReConfig
from sebre.experiments.slicemap import SlicemapConfig

DATASET = ROOT / "datasets" / "slicemap"


def test_settings_of_the_paper():
    config = SeBReConfig()
    assert config.BATCH_SIZE == 1
    assert config.IMAGE_SHAPE.tolist() == [384, 384, 3]
    assert config.NUM_CLASSES == 9
    assert len(config_anchors(config, config.IMAGE_SHAPE)) == 36_828
    assert config.DETECTION_MAX_INSTANCES == 8
    assert config.DETECTION_MIN_CONFIDENCE == 0.9


VARIANTS = [(name, variant) for name, e in EXPERIMENTS.items() for variant in e.variants]


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_experiments_agree_with_their_region_sets(name, variant):
    experiment = EXPERIMENTS[name]
    chosen = experiment.variant(variant)
    config = chosen.config()
    assert experiment.name == name == config.NAME
    assert config.NUM_CLASSES == experiment.regions.num_classes
    assert config.MAX_GT_INSTANCES >= len(experiment.regions)
    assert config.DETECTION_MAX_INSTANCES >= len(experiment.regions)
    assert config.WARMUP_STEPS < 0.1 * sum(stage.steps for stage in chosen.schedule)
    config.validate()


@pytest.mark.parametrize("name", [name for name, e in EXPERIMENTS.items() if "paper" in e.variants])
def test_the_variant_of_the_paper(name):
    experiment = EXPERIMENTS[name]
    assert experiment.default is experiment.variant("paper")
    assert [(s.layers, s.steps, s.rate) for s in experiment.default.schedule] == [
        ("heads", 6000, 1.0),
        ("all", 9000, 0.1),
    ]
    config = experiment.default.config()
    differing = {key for key, value in vars(type(config)).items() if key.isupper()}
    assert differing <= {"NAME", "NUM_CLASSES", "SIDE_PAIRS"}
    paper = {
        "IMAGE_MAX_DIM": 384,
        "RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128),
        "DETECTION_MAX_INSTANCES": 8,
        "DETECTION_MIN_CONFIDENCE": 0.9,
        "BATCH_SIZE": 1,
        "LEARNING_RATE": 0.001,
        "LEARNING_MOMENTUM": 0.9,
        "TRAIN_BN": False,
        "BACKBONE": "resnet101",
        "OPTIMIZER": "sgd",
    }
    assert {key: getattr(config, key) for key in paper} == paper


def test_no_augmentation_mirrors_where_sides_have_names():
    experiment = EXPERIMENTS["ibsr"]
    assert not experiment.turn.flip
    left, right = zip(*experiment.default.config().SIDE_PAIRS, strict=True)
    names = experiment.regions
    assert [names[i].name.replace("left", "right") for i in left] == [names[i].name for i in right]
    for variant in experiment.variants.values():
        augmentation = variant.augmentation()
        assert augmentation is None or not augmentation.flip
    mirrored = EXPERIMENTS["hippocampus"].default.augmentation()
    assert (mirrored.flip, mirrored.max_angle) == (True, 0)


def test_unknown_variant_is_named():
    with pytest.raises(ValueError, match="no variant 'paper'; it has small"):
        EXPERIMENTS["slicemap"].variant("paper")


def test_mean_pixel_is_that_of_the_training_images():
    dataset = SectionDataset(SLICEMAP).load(DATASET, "train")
    dataset.prepare()
    mean = np.mean([dataset.load_image(i) for i in dataset.image_ids])
    np.testing.assert_allclose(SlicemapConfig.MEAN_PIXEL, mean, atol=0.1)


def test_saved_settings_come_back(tmp_path):
    SlicemapConfig(DETECTION_MIN_CONFIDENCE=0.5).save(tmp_path / "config.json")
    config = SlicemapConfig.load(tmp_path / "config.json")
    assert config.DETECTION_MIN_CONFIDENCE == 0.5
    assert config.to_dict() == SlicemapConfig(DETECTION_MIN_CONFIDENCE=0.5).to_dict()


def test_small_network_fits_in_the_repository_in_float16():
    model = MaskRCNN("inference", SlicemapConfig(), model_dir=".")
    assert model.keras_model.count_params() * 2 < 15.5e6
    keras.backend.clear_session()
