"""Programs in the manner of SeBRe and of other users of Matterport's package run unchanged: with
loaders that wander, draw or share a file, with four channels, with empty images."""

import csv
import os
import shutil
from pathlib import Path

import h5py
import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
import skimage.io
from programs import depth, drawn_anew, open_file, sebre_features, sebre_training, ships
from programs.brain_sections import BrainConfig

from mrcnn.config import Config
from mrcnn.model import MaskRCNN
from mrcnn.structures.boxes import pairwise_iou

pytestmark = pytest.mark.usefixtures("op_by_op")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is emptied at once; where the programs go does not matter afterwards."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    monkeypatch.undo()
    shutil.rmtree(tmp_path)
    plt.close("all")
    keras.backend.clear_session()


def disc(shape, y, x, radius):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


@pytest.fixture
def sections(folder):
    """Data in the layout of SeBRe: JPEG sections, a 16-bit mask a region, one of them empty."""
    root = folder / "DATASET"
    for subset, count in (("train", 6), ("val", 3)):
        images = root / f"mrcnn_{subset}_dataset_images"
        images.mkdir(parents=True)
        for number in range(count):
            masks = root / f"mrcnn_{subset}_dataset_masks" / f"section_masks_{number}"
            masks.mkdir(parents=True)
            drawn = {
                1: disc((100, 150), 35 + number, 40, 22),
                2: disc((100, 150), 60, 100 - number, 18),
                7: np.zeros((100, 150), bool),
            }
            image = np.full((100, 150, 3), 40, np.uint8)
            for class_id, mask in drawn.items():
                image[mask] = 60 + 25 * class_id
                path = masks / f"section_masks_{number}_region_m{class_id}.png"
                skimage.io.imsave(path, mask * np.uint16(65535), check_contrast=False)
            skimage.io.imsave(images / f"section_img_{number}.jpg", image, check_contrast=False)
    return root


def test_the_training_of_sebre_runs_with_its_wandering_loader(folder, sections):
    assert Config.WORKERS > 0 and "WORKERS" not in vars(BrainConfig)
    (folder / "logs").mkdir()
    found = sebre_training.main(str(sections), str(folder / "logs"))
    checkpoint = Path(found["model_path"])
    assert checkpoint.name == "mask_rcnn_brain_0002.h5"
    assert checkpoint.parent.parent == folder / "logs"
    assert Path(found["weights_path"]).stat().st_size > 1e5
    assert len(found["APs"]) == 3 and all(0 <= ap <= 1 for ap in found["APs"])
    assert found["val"].num_images == 3
    masks, class_ids = found["val"].load_mask(1)
    assert sorted(class_ids) == [1, 2, 7] and masks.any(axis=(0, 1)).sum() == 2


def test_the_stages_of_sebre_are_those_of_inspect(folder, sections, caplog):
    weights = folder / "SeBRe_FINAL_WEIGHTS.h5"
    start = MaskRCNN("inference", BrainConfig(INITIALIZATION="he"), folder / "logs")
    # Numbers of the size of those of a trained network, which is normalized.
    kernel = start.keras_model.get_layer("conv1").kernel
    kernel.assign(kernel / 100)
    start.save_weights(weights)
    paths = (str(path) for path in (sections, weights, folder / "logs", folder))
    found = sebre_features.main(*paths)
    assert pairwise_iou(found["refined"], found["gt_bbox"]).max(axis=1).min() > 0.999
    model, rpn, mrcnn = (found[name] for name in ("model", "rpn", "mrcnn"))
    stages = model.inspect(found["image"])
    pairs = [
        (rpn["rpn_class"], stages.rpn_class),
        (rpn["pre_nms_anchors"], stages.pre_nms_anchors),
        (rpn["refined_anchors"], stages.refined_anchors),
        (rpn["refined_anchors_clipped"], stages.refined_anchors_clipped),
        (rpn["proposals"], stages.proposals),
        (mrcnn["proposals"], stages.proposals),
        (mrcnn["probs"], stages.mrcnn_class),
        (mrcnn["deltas"], stages.mrcnn_bbox),
        (mrcnn["masks"], stages.mrcnn_mask),
        (mrcnn["detections"], stages.detections),
    ]
    for ours, wanted in pairs:
        assert ours.shape == (1, *wanted.shape)
        np.testing.assert_allclose(ours[0], wanted, atol=2e-5)
    np.testing.assert_array_equal(rpn["post_nms_anchor_ix"], stages.post_nms_indices)
    count = np.count_nonzero(stages.detections[:, 4])
    assert count and found["det_masks"].shape == (8, 28, 28)
    for letter in ("a", "b", "cd", "e", "f", "g", "h", "i"):
        assert skimage.io.imread(folder / f"{letter}.png").std() > 1
    # Its own network gave px where this one gives normalized boxes.
    assert "taken for normalized" in caplog.text


def test_a_program_adds_a_fourth_channel_to_weights_for_three(folder):
    weights = folder / "color.h5"
    color = MaskRCNN("inference", depth.ColorConfig(), folder / "logs")
    color.save_weights(weights)
    found = depth.main(str(weights), str(folder / "logs"))
    config, model, result = found["config"], found["model"], found["result"]
    assert (config.BATCH_SIZE, config.IMAGE_SHAPE.tolist()) == (1, [64, 64, 4])
    assert config.STEPS_PER_EPOCH == 2
    assert found["trained"] and model.keras_model.get_layer("conv1").kernel.shape[2] == 4
    assert result["masks"].shape == (96, 128, len(result["scores"])) and len(result["scores"])
    # What was not trained is as it was loaded.
    frozen = (m.keras_model.get_layer("res2a_branch2a").kernel for m in (color, model))
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, frozen))


def test_pictures_drawn_at_random_differ_every_time_and_keep_their_masks(folder):
    found = drawn_anew.main(str(folder / "logs"))
    dataset = found["dataset"]
    assert len(dataset.places) == len(dataset.pairs) >= 2 * 2 + 6
    # The first batch is read once more to learn its shape, and is the same then.
    assert len(set(dataset.places)) >= len(dataset.places) - 2
    assert all(np.array_equal(*pair) for pair in dataset.pairs)
    assert len({picture.tobytes() for picture in found["pictures"]}) == 6


def test_pictures_in_one_open_file_are_read_by_threads(folder):
    path = folder / "cells.h5"
    with h5py.File(path, "w") as file:
        for subset, count in (("train", 6), ("val", 2)):
            labels = np.zeros((count, 96, 96), np.uint8)
            for number, plane in enumerate(labels):
                plane[disc((96, 96), 30, 30 + number, 15)] = 1
                plane[disc((96, 96), 65, 60, 18)] = 2
            options = {"chunks": (1, 96, 96), "compression": "gzip"}
            file.create_dataset(f"{subset}/labels", data=labels, **options)
            file.create_dataset(f"{subset}/images", data=labels * 90 + 20, **options)
    found = open_file.main(str(path), str(folder / "logs"))
    assert os.path.basename(found["path"]) == "mask_rcnn_file_0001.h5"
    assert all(np.isfinite(found["history"][name]).all() for name in ("loss", "val_loss"))


def test_tiles_of_sea_without_a_ship_are_left_out(folder):
    rows = []
    for number in range(8):
        name, runs = f"{number}.jpg", []
        image = np.full((96, 96, 3), 60, np.uint8)
        if number % 4 == 1:
            image[30:60, 20:50] = 220
            runs = [f"{column * 96 + 31} 30" for column in range(20, 50)]
        skimage.io.imsave(folder / name, image, check_contrast=False)
        rows.append({"ImageId": name, "EncodedPixels": " ".join(runs)})
    with open(folder / "ships.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["ImageId", "EncodedPixels"])
        writer.writeheader()
        writer.writerows(rows)
    found = ships.main(str(folder), str(folder / "ships.csv"), str(folder / "logs"))
    assert found["dataset"].load_mask(1)[0].sum() == 30 * 30
    assert found["dataset"].load_mask(2)[0].shape == (96, 96, 0)
    # Keras gives the mean of an epoch so far. Without an object there is no box to learn.
    totals = np.array(found["losses"]) * np.arange(1, 4)
    assert np.diff(totals, prepend=0).min() > 1e-3
