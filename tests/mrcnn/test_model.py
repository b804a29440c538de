"""`MaskRCNN` learns, detects and inspects; what Matterport's interface offers around it."""

import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from phantoms import PhantomConfig, Phantoms, moving_averages

import mrcnn.model as modellib
from mrcnn.data.molding import mold_inputs, unmold_detections
from mrcnn.data.samples import load_image_gt
from mrcnn.model import MaskRCNN
from mrcnn.structures.boxes import norm_boxes, pairwise_iou
from mrcnn.structures.resampling import resize
from mrcnn.structures.stages import Stages
from mrcnn.utils import compute_ap

KEYS = ("rois", "class_ids", "scores", "masks")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that was trained to find phantoms, and its moving averages from before."""
    keras.utils.set_random_seed(0)
    config = PhantomConfig(STEPS_PER_EPOCH=120, TRAIN_BN=None, BN_MOMENTUM=0.9)
    model = MaskRCNN("training", config, tmp_path_factory.mktemp("trained"))
    before = moving_averages(model)
    model.train(Phantoms(2), None, 2e-3, epochs=1, layers="all", verbose=0)
    return model, before


@pytest.fixture(scope="module")
def weights(trained):
    """A weight file of a network that finds phantoms, written by Keras's own call."""
    path = Path(trained[0].model_dir) / "phantom.h5"
    trained[0].keras_model.save_weights(path)
    return path


@pytest.fixture(scope="module")
def build(weights):
    """Builds an inference model with those weights and other settings."""

    def build(**settings):
        config = PhantomConfig(**{"DETECTION_MIN_CONFIDENCE": 0.3, **settings})
        model = MaskRCNN("inference", config, weights.parent)
        model.load_weights(weights)
        return model

    return build


@pytest.fixture(scope="module")
def model(build):
    return build()


@pytest.fixture(scope="module")
def images():
    """Pictures of four sizes; the first is as large as the molded ones."""
    first, second = (Phantoms(2).load_image(i) for i in range(2))
    return [
        first,
        *(
            resize(image, shape, preserve_range=True).astype(np.uint8)
            for image, shape in ((first, (72, 80)), (second, (80, 70)), (second, (60, 62)))
        ),
    ]


def assert_same(result, other, atol=0.0):
    """Equal up to float32 rounding, which depends on the size of the batch on some processors."""
    for key in KEYS:
        assert result[key].dtype == other[key].dtype and result[key].shape == other[key].shape
        np.testing.assert_allclose(
            result[key].astype(float), other[key].astype(float), 1e-6, atol, err_msg=key
        )


def assert_finds_the_same(result, other, iou=0.8, score=0.5):
    """Each confident detection of one has a counterpart in the other, both ways."""
    for a, b in ((result, other), (other, result)):
        confident = a["scores"] >= score
        overlaps = pairwise_iou(a["rois"][confident], b["rois"])
        overlaps[a["class_ids"][confident][:, None] != b["class_ids"][None]] = 0
        assert (overlaps.max(axis=1, initial=0) > iou).all(), (a, b)


# --- train ---------------------------------------------------------------------------


@pytest.mark.usefixtures("op_by_op")
def test_two_images_are_learnt_by_heart(trained):
    model, before = trained
    assert all((value != before[path]).any() for path, value in moving_averages(model).items())
    images, config = Phantoms(2), model.config
    detector = MaskRCNN("inference", config, model.model_dir)
    detector.load_weights(detector.find_last())
    for image_id in images.image_ids:
        image, _, class_ids, boxes, masks = load_image_gt(images, config, image_id)
        found = detector.detect([image])[0]
        parts = (found[key] for key in KEYS)
        ap, *_ = compute_ap(boxes, class_ids, masks, *parts, iou_threshold=0.5)
        assert ap == 1.0


# --- detect --------------------------------------------------------------------------


def test_detect_finds_the_three_phantoms(model, images):
    (found,) = model.detect([images[0]])
    assert list(found) == list(KEYS)
    assert [found[k].dtype for k in KEYS] == [np.int32, np.int32, np.float32, bool]
    count = len(found["scores"])
    assert found["rois"].shape == (count, 4) and found["masks"].shape == (64, 64, count)
    assert (np.diff(found["scores"]) <= 0).all(), "best first"
    best = {c: i for i, c in reversed(list(enumerate(found["class_ids"].tolist())))}
    masks, class_ids = Phantoms(2).load_mask(0)
    for class_id, mask in zip(class_ids, np.moveaxis(masks, -1, 0), strict=True):
        ours = found["masks"][..., best[class_id]]
        assert np.sum(ours & mask) / np.sum(ours | mask) > 0.5, class_id


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_any_number_of_images_of_any_sizes_equals_one_by_one(model, images, count):
    assert model.config.BATCH_SIZE == 2
    chosen = images[-count:] if count else []
    results = model.detect(chosen)
    assert len(results) == count
    for image, result in zip(chosen, results, strict=True):
        assert len(result["scores"]) > 0
        assert result["masks"].shape[:2] == image.shape[:2]
        assert_same(result, model.detect([image])[0])


def test_a_batch_equals_single_images(model, build, images):
    single = build(BATCH_SIZE=1)
    for one, other in zip(single.detect(images), model.detect(images), strict=True):
        assert_same(one, other, atol=1e-5)


def test_verbose_prints_and_changes_nothing(model, images, capsys):
    quiet = model.detect(images[:1])[0]
    assert capsys.readouterr().out == ""
    assert_same(model.detect(images[:1], verbose=1)[0], quiet)
    out = capsys.readouterr().out
    assert "1 images" in out and "shape: (64, 64, 3)" in out


def test_four_threads_at_once_get_what_one_gets(build, images):
    fresh = build()  # the threads share the first, compiling call
    results, barrier = {}, threading.Barrier(4)

    def work(number):
        barrier.wait()
        results[number] = [fresh.detect([images[(number + i) % 4]])[0] for i in range(4)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = fresh.detect(images)
    for number in range(4):
        for i in range(4):
            assert_same(results[number][i], alone[(number + i) % 4])


@pytest.mark.parametrize("mode, wider", [("none", 64), ("pad64", 40), ("fit64", 0)])
def test_modes_without_a_fixed_size(model, build, images, mode, wider):
    own = build(IMAGE_RESIZE_MODE=mode)
    # A picture of the network's size is the same in each mode.
    assert_same(own.detect(images[:1])[0], model.detect(images[:1])[0])
    # Enlarged phantoms, which only `fit64` makes small again, the network does not know.
    other = np.pad(images[0], ((0, 0), (wider, 0), (0, 0))) if wider else images[1]
    results = own.detect([images[0], other])  # of two molded shapes
    assert_same(results[0], own.detect(images[:1])[0])
    assert_same(results[1], own.detect([other])[0])
    assert results[1]["masks"].shape[:2] == other.shape[:2] and len(results[1]["scores"]) > 0


def test_without_padding_to_a_square_the_same_is_found(build):
    wide = np.concatenate([Phantoms(2).load_image(i) for i in range(2)], axis=1)
    whole, fitted = (build(IMAGE_MAX_DIM=128, IMAGE_RESIZE_MODE=m) for m in ("square", "fit64"))
    assert [m.mold_inputs([wide])[0].shape[1:3] for m in (whole, fitted)] == [(128, 128), (64, 128)]
    wanted, found = whole.detect([wide])[0], fitted.detect([wide])[0]
    sure = wanted["scores"] > 0.5
    assert sure.sum() >= 2
    # Borders lie elsewhere, so scores and boxes differ a little.
    iou = np.asarray(pairwise_iou(wanted["rois"][sure], found["rois"])).max(axis=1)
    assert np.median(iou) > 0.7


def test_a_picture_that_does_not_fit_the_pyramid_is_named(build, images):
    own = build(IMAGE_RESIZE_MODE="none")
    with pytest.raises(ValueError, match="60 x 62.*multiples of 64"):
        own.detect([images[3]])
    with pytest.raises(ValueError, match="60 x 62.*multiples of 64"):
        own.inspect(images[3])


def test_detect_molded_equals_detect_on_a_molded_image(model, images):
    molded, metas, _ = model.mold_inputs(images)
    for ours, theirs in zip((molded, metas), mold_inputs(images, model.config), strict=False):
        np.testing.assert_array_equal(ours, theirs)
    whole = model.detect_molded(molded, metas)
    assert len(whole) == 4
    assert_same(whole[0], model.detect(images[:1])[0])
    # Of a padded image the same detections, in px of the molded one.
    assert whole[1]["masks"].shape[:2] == (64, 64)
    scores = model.detect(images[1:2])[0]["scores"]
    np.testing.assert_allclose(whole[1]["scores"], scores, rtol=1e-6)


def test_unmold_detections_is_that_of_molding(model, images):
    stages = model.inspect(images[1])
    arguments = (
        stages.detections, stages.mrcnn_mask, images[1].shape, stages.molded_image.shape,
        stages.window,
    )  # fmt: skip
    for ours, theirs in zip(
        model.unmold_detections(*arguments), unmold_detections(*arguments), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_anchors_are_computed_once_for_each_shape(build, monkeypatch):
    model, computed = build(), []
    at_first = model.anchors
    original = modellib.config_anchors
    monkeypatch.setattr(
        modellib, "config_anchors", lambda *a: computed.append(tuple(a[1])) or original(*a)
    )
    first = model.get_anchors((64, 64, 3))
    assert first.shape == (1023, 4) and first.dtype == np.float32
    pixels = model.anchors
    np.testing.assert_array_equal(norm_boxes(pixels, (64, 64)), first)
    assert pixels is at_first, "those of IMAGE_SHAPE are there from the beginning"
    assert model.get_anchors((64, 128, 3)).shape == (2046, 4) and len(model.anchors) == 2046
    assert model.get_anchors(np.array([64, 64, 3])) is first
    assert model.anchors is pixels, "the attribute follows the last shape asked for"
    assert computed == [(64, 128, 3)]


# --- inspect -------------------------------------------------------------------------


def test_inspect_gives_every_stage_in_its_shape(model, images):
    config, image = model.config, images[1]
    stages = model.inspect(image)
    anchors, kept = 1023, len(stages.post_nms_indices)
    limit, rois = config.PRE_NMS_LIMIT, config.POST_NMS_ROIS_INFERENCE
    classes, found = config.NUM_CLASSES, config.DETECTION_MAX_INSTANCES
    wanted = {
        "image": (72, 80, 3),
        "molded_image": (64, 64, 3),
        "window": (4,),
        "anchors": (anchors, 4),
        "rpn_class": (anchors, 2),
        "rpn_bbox": (anchors, 4),
        "pre_nms_scores": (limit,),
        "pre_nms_anchors": (limit, 4),
        "refined_anchors": (limit, 4),
        "refined_anchors_clipped": (limit, 4),
        "post_nms_indices": (kept,),
        "proposals": (rois, 4),
        "mrcnn_class": (rois, classes),
        "mrcnn_bbox": (rois, classes, 4),
        "refined_proposals": (rois, 4),
        "detections": (found, 6),
        "mrcnn_mask": (found, 28, 28, classes),
    }
    assert {name: getattr(stages, name).shape for name in wanted} == wanted
    assert stages.feature_maps == {}
    assert set(vars(stages)) == {*wanted, "feature_maps"}
    assert stages.image is image

    assert stages.window.tolist() == [3, 0, 61, 64]
    order = np.argsort(-stages.rpn_class[:, 1], kind="stable")[:limit]
    np.testing.assert_allclose(stages.pre_nms_scores, stages.rpn_class[order, 1], rtol=1e-6)
    clipped = stages.refined_anchors_clipped
    np.testing.assert_allclose(clipped, np.clip(stages.refined_anchors, 0, 1), atol=1e-6)
    assert 0 < kept <= rois and (np.diff(stages.post_nms_indices) > 0).all()
    np.testing.assert_allclose(stages.proposals[:kept], clipped[stages.post_nms_indices], atol=1e-6)
    assert not stages.proposals[kept:].any()
    y1, x1, y2, x2 = norm_boxes(stages.window, (64, 64))
    assert (stages.refined_proposals >= [y1, x1, y1, x1]).all()
    assert (stages.refined_proposals <= [y2, x2, y2, x2]).all()


def test_detections_of_inspect_are_those_of_detect(model, images):
    for image in images:
        stages = model.inspect(image)
        rois, class_ids, scores, masks = model.unmold_detections(
            stages.detections, stages.mrcnn_mask, image.shape, stages.molded_image.shape,
            stages.window,
        )  # fmt: skip
        found = {"rois": rois, "class_ids": class_ids, "scores": scores, "masks": masks}
        assert len(scores) > 0
        assert_same(found, model.detect([image])[0], atol=1e-5)
        # Each is one of the refined proposals.
        real = stages.detections[stages.detections[:, 4] > 0, None, :4]
        assert np.abs(real - stages.refined_proposals).max(axis=-1).min(axis=-1).max() < 1e-5


def test_fewer_anchors_than_the_limit_all_enter(build, images):
    stages = build(PRE_NMS_LIMIT=6000).inspect(images[0])
    assert stages.pre_nms_scores.shape == (1023,) and stages.pre_nms_anchors.shape == (1023, 4)


def test_feature_maps_are_given_on_demand_and_stages_come_back_from_a_file(model, images, tmp_path):
    stages = model.inspect(images[0], features=True)
    c_and_p = {n: v.shape for n, v in stages.feature_maps.items()}
    sides = {"2": 16, "3": 8, "4": 4, "5": 2, "6": 1}
    filters = {"C2": 16, "C3": 32, "C4": 64, "C5": 128}
    assert c_and_p == {
        n: (sides[n[1]], sides[n[1]], filters.get(n, 32))
        for n in ("C2", "C3", "C4", "C5", "P2", "P3", "P4", "P5", "P6")
    }
    np.testing.assert_allclose(stages.detections, model.inspect(images[0]).detections, atol=1e-5)

    path = tmp_path / "stages.npz"
    stages.save(path)
    assert list(tmp_path.iterdir()) == [path], "no temporary file is left"
    loaded = Stages.load(path)
    assert list(loaded.feature_maps) == list(stages.feature_maps)
    for ours, theirs in [
        *((stages.feature_maps[n], loaded.feature_maps[n]) for n in c_and_p),
        *((getattr(stages, n), getattr(loaded, n)) for n in vars(stages) if n != "feature_maps"),
    ]:
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)

    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", image=np.zeros(3))
    for name, content in {
        "cut.npz": whole[: len(whole) // 2],
        "empty.npz": b"",
        "text.npz": b"not an archive",
        "flipped.npz": whole[:5000] + bytes(b ^ 255 for b in whole[5000:6000]) + whole[6000:],
        "other.npz": None,
    }.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: not a stages file"):
            Stages.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        Stages.load(tmp_path / "nowhere.npz")


# --- Options -------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_finds_the_same_regions(model, build, images, precision):
    half = build(PRECISION=precision)
    assert half.keras_model.get_layer("conv1").compute_dtype == precision
    assert {w.dtype for w in half.keras_model.weights} == {"float32"}
    for one, other in zip(half.detect(images[:1]), model.detect(images[:1]), strict=True):
        assert (other["scores"] >= 0.5).sum() >= 3
        assert one["scores"].dtype == np.float32
        assert_finds_the_same(one, other)


def test_best_per_class_keeps_the_best_of_each(build, images):
    best = build(DETECTION_MIN_CONFIDENCE=0, BEST_PER_CLASS=True)
    stages = best.inspect(images[0])
    class_ids, scores = stages.detections[:, 4], stages.detections[:, 5]
    of_rois = stages.mrcnn_class.argmax(axis=-1)
    classes = set(of_rois) - {0}
    assert len(classes) == 3 and (of_rois > 0).sum() > 3
    assert sorted(class_ids[class_ids > 0]) == sorted(classes)
    for class_id in classes:
        highest = stages.mrcnn_class[of_rois == class_id].max()
        assert scores[class_ids == class_id] == pytest.approx([highest], rel=1e-5)


def test_the_aligned_network_builds_and_detects(model, build, images):
    aligned = build(ROI_ALIGN="aligned")
    assert aligned.keras_model.get_layer("roi_align_mask").mode == "aligned"
    ours, legacy = aligned.detect(images[1:2])[0], model.detect(images[1:2])[0]
    assert len(ours["scores"]) > 0 and ours["masks"].shape[:2] == images[1].shape[:2]
    assert set(ours["scores"]) != set(legacy["scores"]), "the option reaches the heads"


# --- Matterport's interface --------------------------------------------------------------


def test_wrong_pictures_are_refused(model, images):
    for wrong in (images[0][..., 0], images[0][..., :1], np.zeros((64, 64, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"must be \[height, width, 3\]"):
            model.detect([wrong])


def test_weights_of_the_keras_model_go_to_an_old_file_and_back(model, images, tmp_path):
    path = tmp_path / "own.h5"
    model.keras_model.save_weights(path)
    other = MaskRCNN("inference", model.config, tmp_path)
    kernel = other.keras_model.get_layer("mrcnn_mask").kernel
    assert (np.asarray(kernel) != model.keras_model.get_layer("mrcnn_mask").kernel).any()
    other.keras_model.load_weights(path, by_name=True)
    assert_same(other.detect(images[:1])[0], model.detect(images[:1])[0])
