"""Settings of the experiments against the paper, the data and the space there is."""

from pathlib import Path

import keras
import numpy as np
import pytest

from mrcnn.anchors import config_anchors
from mrcnn.model import MaskRCNN
from sebre.config import SeBReConfig, SlicemapConfig
from sebre.dataset import SectionDataset
from sebre.experiments import EXPERIMENTS
from sebre.regions import SLICEMAP

DATASET = Path(__file__).parents[1] / "datasets" / "slicemap"


def test_settings_of_the_paper():
    config = SeBReConfig()
    assert config.BATCH_SIZE == 1
    assert config.IMAGE_SHAPE.tolist() == [384, 384, 3]
    assert config.NUM_CLASSES == 9
    assert len(config_anchors(config, config.IMAGE_SHAPE)) == 36_828
    assert config.DETECTION_MAX_INSTANCES == 8
    assert config.DETECTION_MIN_CONFIDENCE == 0.9


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_agree_with_their_region_sets(name):
    experiment = EXPERIMENTS[name]
    config = experiment.config()
    assert experiment.name == name == config.NAME
    assert config.NUM_CLASSES == experiment.regions.num_classes
    assert config.MAX_GT_INSTANCES >= len(experiment.regions)
    assert config.WARMUP_STEPS < 0.1 * sum(stage.steps for stage in experiment.schedule)


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
