"""Sections of 10,000 x 7,000 px: training reads each once, whatever the number of steps."""

import collections

import numpy as np
from PIL import Image

from mrcnn.utils import Dataset
from sebre import section_files
from sebre.dataset import SectionDataset
from sebre.experiments import EXPERIMENTS
from sebre.train import train

HEIGHT, WIDTH = 7_000, 10_000
STEPS = 20
TINY = {
    "IMAGE_MIN_DIM": 64,
    "IMAGE_MAX_DIM": 64,
    "IMAGES_PER_GPU": 1,
    "BACKBONE_WIDTH": 0.25,
    "TOP_DOWN_PYRAMID_SIZE": 16,
    "RPN_CONV_FILTERS": 16,
    "FPN_CLASSIF_FC_LAYERS_SIZE": 32,
    "MASK_CONV_FILTERS": 16,
    "PRE_NMS_LIMIT": 100,
    "POST_NMS_ROIS_TRAINING": 20,
    "TRAIN_ROIS_PER_IMAGE": 8,
}


def test_no_step_reads_a_section_again(tmp_path, monkeypatch):
    masks = tmp_path / "mrcnn_train_dataset_masks" / "section_masks_0"
    images = tmp_path / "mrcnn_train_dataset_images"
    masks.mkdir(parents=True)
    images.mkdir()
    section = np.full((HEIGHT, WIDTH), 230, np.uint8)
    section[1000:6000, 1500:8500] = 120
    Image.fromarray(section).save(images / "section_img_0.png", compress_level=1)
    for class_id, columns in ((1, slice(1500, 5000)), (2, slice(5000, 8500))):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[1000:6000, columns] = 255
        Image.fromarray(mask).save(masks / f"section_masks_0_m{class_id}.png", compress_level=1)

    reads = collections.Counter()

    def counted(owner, name):
        original = getattr(owner, name)

        def read(*arguments, **options):
            reads[name] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, read)

    counted(Dataset, "load_image")
    counted(SectionDataset, "load_mask")
    counted(section_files, "read_mask")
    model = train(
        EXPERIMENTS["p14_mouse"],
        tmp_path,
        "none",
        tmp_path / "logs",
        variant="small",
        steps=[STEPS],
        settings=TINY,
        verbose=0,
    )
    assert model.epoch == 1
    assert int(model.keras_model.optimizer.iterations) == STEPS
    assert reads["load_image"] == reads["load_mask"] == 1
