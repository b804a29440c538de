"""Sections of 10,000 x 7,000 px: training reads each once, whatever the number of steps; and
the shipped network finds the same in a large section that is read at reduced scale, or as a
part of a slide."""

import collections

import numpy as np
import pytest
import tifffile
from paths import ROOT
from PIL import Image

from mrcnn.data.dataset import Dataset
from mrcnn.data.resizing import read_for
from mrcnn.imageio.tiles import detect_tiled
from mrcnn.structures.mask_formats import rle_area, rle_iou, to_rles
from sebre.data import dataset as section_dataset
from sebre.data.dataset import SectionDataset
from sebre.experiments import EXPERIMENTS
from sebre.networks.segmenter import best_per_region, load_segmenter, read_image
from sebre.networks.train import train

HEIGHT, WIDTH = 7_000, 10_000
STEPS = 8
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
    counted(section_dataset, "read_mask")
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


SLICEMAP = ROOT / "datasets" / "slicemap"
SIDE = 84 * 20


@pytest.fixture(scope="module")
def shipped():
    return load_segmenter("slicemap")


@pytest.fixture(scope="module")
def large():
    """Two training sections, enlarged, with the texture that a scanner adds."""
    rng = np.random.default_rng(0)
    sections = []
    for number in (6, 30):
        path = SLICEMAP / "mrcnn_train_dataset_images" / f"section_img_{number}.png"
        with Image.open(path) as image:
            section = np.asarray(
                image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            )
        noisy = section + rng.normal(0, 8, (SIDE, SIDE, 1))
        sections.append(noisy.clip(0, 255).astype(np.uint8))
    return sections


def test_the_same_regions_at_reduced_scale(tmp_path, shipped, large):
    ious = []
    for number, section in enumerate(large):
        path = tmp_path / f"{number}.jpg"
        Image.fromarray(section).save(path, quality=90)
        picture = read_for(path, shipped.config)
        assert max(picture.pixels.shape) == SIDE // 4  # of a network of 128 px
        full, reduced = shipped.model.detect([read_image(path), picture])
        assert reduced["masks"].shape == full["masks"].shape == (SIDE, SIDE, len(full["scores"]))
        best, again = best_per_region(full), best_per_region(reduced)
        assert best.keys() == again.keys() and len(best) >= 5
        rles, others = to_rles(full["masks"]), to_rles(reduced["masks"])
        ious += [rle_iou([rles[best[i]]], [others[again[i]]])[0, 0] for i in best]
    assert np.mean(ious) > 0.93 and min(ious) > 0.8


def test_sections_on_one_slide(tmp_path, shipped, large):
    path = tmp_path / "slide.tif"
    slide = np.concatenate(large, axis=1)
    tifffile.imwrite(path, slide, photometric="rgb", tile=(256, 256), compression="zlib")
    found = detect_tiled(shipped.model, path, tile=SIDE, overlap=0)
    alone = shipped.model.detect(large)
    assert len(found["scores"]) == sum(len(result["scores"]) for result in alone)
    assert sorted(found["scores"]) == pytest.approx(
        sorted(np.concatenate([result["scores"] for result in alone])), abs=1e-5
    )
    areas = sorted(rle_area(rle) for rle in found["masks"])
    assert areas == sorted(int(a) for r in alone for a in r["masks"].sum(axis=(0, 1)))
    # The right section's boxes lie in the right half.
    left = sum(box[1] < SIDE for box in found["rois"])
    assert left == len(alone[0]["scores"])
