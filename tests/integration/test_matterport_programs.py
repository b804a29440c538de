"""Programs written for Matterport's package run to their end and give sensible results."""

import json
import re
import shutil

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
import skimage.draw
import skimage.io
from programs import balloon, coco, nucleus, shapes
from pycocotools import mask as mask_utils

from mrcnn.config import Config
from mrcnn.model import MaskRCNN


@pytest.fixture
def folder(tmp_path):
    """A folder that is emptied at once: checkpoints are large."""
    yield tmp_path
    shutil.rmtree(tmp_path)
    plt.close("all")
    keras.backend.clear_session()


def check_detections(result, image_shape, n_classes):
    n = len(result["rois"])
    assert result["rois"].shape == (n, 4) and result["rois"].dtype == np.int32
    assert result["class_ids"].shape == (n,) and result["class_ids"].dtype == np.int32
    assert result["scores"].shape == (n,) and result["scores"].dtype == np.float32
    assert result["masks"].shape == (*image_shape[:2], n) and result["masks"].dtype == bool
    assert np.all((result["class_ids"] > 0) & (result["class_ids"] < n_classes))
    assert np.all(np.diff(result["scores"]) <= 0)
    assert np.all(result["rois"][:, 2:] > result["rois"][:, :2])
    assert np.all((result["rois"] >= 0) & (result["rois"] <= np.tile(image_shape[:2], 2)))


def draw_disc(shape, y, x, radius):
    mask = np.zeros(shape, bool)
    mask[skimage.draw.disk((y, x), radius, shape=shape)] = True
    return mask


def save_image(path, mask):
    image = np.full((*mask.shape, 3), 40, np.uint8)
    image[mask] = (200, 60, 90)
    path.parent.mkdir(parents=True, exist_ok=True)
    skimage.io.imsave(path, image, check_contrast=False)


@pytest.mark.usefixtures("op_by_op")
def test_shapes_program_trains_detects_and_scores(folder, capsys):
    found = shapes.main(str(folder / "logs"), folder / "picture.png")
    assert re.search(r"shapes\d{8}T\d{4}[/\\]mask_rcnn_shapes_0002\.h5$", found["model_path"])
    for result in found["results"]:
        check_detections(result, (128, 128), n_classes=4)
    assert len(found["APs"]) == 3 and all(0 <= ap <= 1 for ap in found["APs"])
    assert found["n_anchors"] == 4092
    # Deltas of the RPN targets lead from the anchors to the objects.
    assert len(found["refined_iou"]) and found["refined_iou"].min() > 0.999
    inputs, outputs = found["batch"]
    assert [x.shape for x in inputs] == [
        (2, 128, 128, 3),
        (2, 16),
        (2, 4092, 1),
        (2, 256, 4),
        (2, 100),
        (2, 100, 4),
        (2, 56, 56, 100),
        (2, 20, 4),
        (2, 16, 4),
    ]
    assert [x.shape for x in outputs] == [(2, 16, 1), (2, 16, 4, 4), (2, 16, 28, 28, 4)]
    assert skimage.io.imread(folder / "picture.png")[..., :3].std() > 1
    printed = capsys.readouterr().out
    assert re.search(r"^IMAGE_MAX_DIM +128$", printed, re.MULTILINE)
    assert re.search(r"^original_image +shape: \(128, 128, 3\) .*uint8", printed, re.MULTILINE)


class PublishedConfig(balloon.BalloonConfig):
    NAME = "coco"
    NUM_CLASSES = 81


@pytest.fixture
def balloon_folder(folder):
    """Discs as polygons: VIA 1.x in train, 2.x in val; one image has no regions."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    for subset, version in (("train", 1), ("val", 2)):
        annotations = {}
        for i in range(3):
            y, x, radius = 40 + 5 * i, 60 - 3 * i, 20
            name = f"{i}.png"
            save_image(folder / subset / name, draw_disc((90, 120), y, x, radius))
            polygon = {
                "name": "polygon",
                "all_points_y": np.round(y + radius * np.sin(angles)).astype(int).tolist(),
                "all_points_x": np.round(x + radius * np.cos(angles)).astype(int).tolist(),
            }
            regions = [{"shape_attributes": polygon, "region_attributes": {}}] if i < 2 else []
            if version == 1:
                regions = {str(n): region for n, region in enumerate(regions)}
            annotations[name] = {"filename": name, "regions": regions, "size": 1}
        text = json.dumps(annotations)
        (folder / subset / "via_region_data.json").write_text(text)
    return folder


def test_balloon_program_starts_from_81_classes_and_makes_a_splash(balloon_folder):
    weights_path = balloon_folder / "mask_rcnn_coco.h5"
    published = MaskRCNN(mode="inference", config=PublishedConfig(), model_dir=balloon_folder)
    published.save_weights(weights_path)
    splash = balloon_folder / "splash.png"
    found = balloon.main(
        str(balloon_folder), str(weights_path), str(balloon_folder / "logs"), str(splash)
    )
    for dataset in (found["train"], found["val"]):
        assert dataset.num_images == 2
        assert dataset.class_names == ["BG", "balloon"]
        mask, class_ids = dataset.load_mask(1)
        truth = draw_disc((90, 120), 45, 57, 20)
        assert np.sum(mask[..., 0] & truth) / np.sum(mask[..., 0] | truth) > 0.95
        assert class_ids.tolist() == [1]
    check_detections(found["result"], (90, 120), n_classes=2)
    outside = ~found["result"]["masks"].any(axis=-1)
    pixels = skimage.io.imread(splash)[outside].astype(int)
    assert len(pixels) and np.all(np.ptp(pixels, axis=-1) == 0)


@pytest.mark.usefixtures("op_by_op")
def test_nucleus_program_trains_on_crops_and_submits_run_lengths(folder):
    ids = ["aa", "bb", "cc"]
    for n, image_id in enumerate(ids):
        # 70 x 90 px become 140 x 180 by the smallest scale of 2: room for a crop of 128.
        masks = [draw_disc((70, 90), y, x, 8 + n) for y, x in ((20, 20), (45, 50), (25, 70))]
        save_image(folder / image_id / "images" / f"{image_id}.png", np.any(masks, axis=0))
        (folder / image_id / "masks").mkdir()
        for i, mask in enumerate(masks):
            path = folder / image_id / "masks" / f"{i}.png"
            skimage.io.imsave(path, mask.astype(np.uint8) * 255, check_contrast=False)
    results = nucleus.main(str(folder), ids[:2], ids[2:], str(folder / "logs"), str(folder))
    assert len(list((folder / "logs").glob("nucleus*"))) == 1, "both stages share a directory"
    assert len(results) == 1
    image, result = results[0]
    assert image.shape == (70, 90, 3)
    check_detections(result, image.shape, n_classes=2)
    header, *lines = (folder / "submit.csv").read_text().splitlines()
    assert header == "ImageId,EncodedPixels"
    painted = np.zeros(70 * 90, int)
    for line in lines:
        runs = np.array(line.partition(",")[2].split(), int).reshape(-1, 2)
        for start, length in runs:
            painted[start - 1 : start - 1 + length] += 1
    union = result["masks"].any(axis=-1)
    assert np.array_equal(painted.reshape(90, 70).T, union.astype(int))
    assert (folder / "cc.png").stat().st_size > 1000


def write_coco(folder, subset, count):
    images, annotations = [], []
    for i in range(1, count + 1):
        discs = [draw_disc((100, 120), 30, 30 + 4 * i, 18), draw_disc((100, 120), 70, 85, 20)]
        save_image(folder / subset / f"{i}.png", np.any(discs, axis=0))
        images.append({"id": 10 * i, "file_name": f"{i}.png", "width": 120, "height": 100})
        crowd = np.zeros((100, 120), np.uint8)
        crowd[60:100, 0:30] = 1
        square = [[70, 5, 110, 5, 110, 30, 70, 30]]
        for category, mask, segmentation, iscrowd in (
            (7, discs[0], None, 0),
            (3, discs[1], None, 0),
            (3, None, square, 0),
            (7, crowd, "counts", 1),
        ):
            if mask is None:
                rle = mask_utils.merge(mask_utils.frPyObjects(segmentation, 100, 120))
            else:
                rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
                if iscrowd:
                    segmentation = {"size": [100, 120], "counts": run_lengths(mask)}
                else:
                    segmentation = {"size": [100, 120], "counts": rle["counts"].decode()}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": 10 * i,
                    "category_id": category,
                    "segmentation": segmentation,
                    "iscrowd": iscrowd,
                    "area": float(mask_utils.area(rle)),
                    "bbox": mask_utils.toBbox(rle).tolist(),
                }
            )
    content = {
        "info": {},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 7, "name": "disc, round"}, {"id": 3, "name": "patch"}],
    }
    (folder / f"instances_{subset}.json").write_text(json.dumps(content))


def run_lengths(mask):
    """COCO's uncompressed run lengths, column by column, beginning with zeros."""
    flat = np.concatenate([[0], mask.T.ravel().astype(int)])
    changes = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()


@pytest.mark.usefixtures("op_by_op")
def test_coco_program_trains_with_crowds_and_evaluates_with_coco(folder):
    write_coco(folder, "train", 3)
    write_coco(folder, "val", 2)
    found = coco.main(str(folder), str(folder / "logs"))
    dataset = found["dataset"]
    assert dataset.class_names == ["BG", "patch", "disc"]
    masks, class_ids = dataset.load_mask(0)
    assert class_ids.tolist() == [2, 1, 1, -2], "a crowd has a negative class id"
    assert masks[..., 3].sum() == 40 * 30
    assert len(found["detections"]) == 2
    for result in found["detections"]:
        check_detections(result, (100, 120), n_classes=3)
    # The ground truth itself scores 1, crowds set aside.
    assert found["stats"][0] == pytest.approx(1.0)


def test_sample_configurations_keep_the_documented_anchor_counts():
    class Sized(Config):
        NAME = "sized"

    for side, count in ((128, 4092), (384, 36828), (1024, 261888)):
        config = Sized(IMAGE_MIN_DIM=side, IMAGE_MAX_DIM=side)
        cells = shapes.modellib.compute_backbone_shapes(config, config.IMAGE_SHAPE)
        assert 3 * np.prod(cells, axis=1).sum() == count
