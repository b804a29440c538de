"""Single layers on synthetic inputs, against the reference's numbers."""

import keras
import numpy as np
import pytest
from golden_cases import canonical, unpack
from keras import ops

from mrcnn.config import Config
from mrcnn.data.molding import unmold_detections
from mrcnn.modeling import losses
from mrcnn.modeling.detection import DetectionLayer
from mrcnn.modeling.proposals import ProposalLayer
from mrcnn.modeling.roi_align import PyramidROIAlign, roi_levels
from mrcnn.modeling.roi_targets import DetectionTargetLayer


@pytest.fixture(scope="module")
def load(golden):
    def load(name):
        with np.load(golden / "layers" / f"{name}.npz") as archive:
            return dict(archive)

    return load


def tensors(*arrays):
    return [ops.convert_to_tensor(a) for a in arrays]


def numpy(value):
    return ops.convert_to_numpy(value)


# --- ROIAlign -----------------------------------------------------------------------


@pytest.mark.parametrize("side", [7, 14])
def test_roi_align(load, side):
    z = load("roi_align")
    area = z["image_meta"][0, 4] * z["image_meta"][0, 5]
    np.testing.assert_array_equal(numpy(roi_levels(tensors(z["boxes"])[0], area)), z["level"])
    maps = tensors(*(z[f"P{level}"] for level in range(2, 6)))
    crops = PyramidROIAlign([side, side])([*tensors(z["boxes"], z["image_meta"]), *maps])
    np.testing.assert_allclose(numpy(crops), z[f"out{side}"], rtol=0, atol=1e-5)


def test_roi_align_gradients(load):
    import tensorflow as tf

    z = load("roi_align")
    layer = PyramidROIAlign([7, 7])
    maps = [tf.Variable(z[f"P{level}"]) for level in range(2, 6)]
    boxes, meta = tf.Variable(z["boxes"]), tf.constant(z["image_meta"])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer([boxes, meta, *maps]) * z["grad_weight7"])
    gradients = tape.gradient(total, [*maps, boxes])
    assert gradients.pop() is None
    for level, gradient in zip(range(2, 6), gradients, strict=True):
        gradient = tf.convert_to_tensor(gradient).numpy()
        sample = z[f"grad_P{level}_sample"]
        step = gradient.shape[1] // sample.shape[1]
        sums = gradient.sum((1, 2), dtype=float), np.abs(gradient).sum((1, 2), dtype=float)
        np.testing.assert_allclose(sums[0], z[f"grad_P{level}_sum"], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(sums[1], z[f"grad_P{level}_abs_sum"], rtol=1e-4, atol=1e-3)
        candidates = [
            gradient[:, ::step, ::step],
            gradient[:, : sample.shape[1], : sample.shape[2]],
        ]
        assert min(np.abs(c - sample).max() for c in candidates) < 1e-4


# --- Proposals and detections --------------------------------------------------------


@pytest.mark.parametrize("case", ["p0", "p1", "p2", "p3"])
def test_proposals(load, case):
    z = load("proposal")
    layer = ProposalLayer(
        int(z[f"{case}_proposal_count"]),
        float(z[f"{case}_nms_threshold"]),
        pre_nms_limit=int(z[f"{case}_pre_nms_limit"]),
    )
    found = layer(tensors(z["rpn_class"], z["rpn_bbox"], z["anchors"]))
    np.testing.assert_allclose(numpy(found), z[f"{case}_out"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", ["d0", "d1", "d2", "d3", "d4"])
def test_detections(load, case):
    z = load("detection")
    config = Config(
        NUM_CLASSES=5,
        DETECTION_MAX_INSTANCES=int(z[f"{case}_max_instances"]),
        DETECTION_MIN_CONFIDENCE=float(z[f"{case}_min_confidence"]),
        DETECTION_NMS_THRESHOLD=float(z[f"{case}_nms_threshold"]),
    )
    inputs = tensors(z["rois"], z["mrcnn_class"], z["mrcnn_bbox"], z["image_meta"])
    found = numpy(DetectionLayer(config)(inputs))
    np.testing.assert_allclose(found, z[f"{case}_out"], rtol=0, atol=1e-6)


def test_best_per_class_keeps_one_detection_of_each_class(load):
    z = load("detection")
    config = Config(NUM_CLASSES=5, DETECTION_MIN_CONFIDENCE=0, BEST_PER_CLASS=True)
    inputs = tensors(z["rois"], z["mrcnn_class"], z["mrcnn_bbox"], z["image_meta"])
    best = numpy(DetectionLayer(config)(inputs))
    config = Config(NUM_CLASSES=5, DETECTION_MIN_CONFIDENCE=0)
    every = numpy(DetectionLayer(config)(inputs))
    for few, many in zip(best, every, strict=True):
        many = many[many[:, 4] > 0]
        first = [np.flatnonzero(many[:, 4] == c)[0] for c in np.unique(many[:, 4])]
        np.testing.assert_array_equal(few[few[:, 4] > 0], many[np.sort(first)])


@pytest.mark.parametrize("case", ["u0", "u1"])
def test_unmold_detections(load, case):
    z = load("detection")
    boxes, class_ids, scores, masks = unmold_detections(
        z[f"{case}_detections"],
        z["unmold_mrcnn_mask"],
        z[f"{case}_original_shape"],
        z[f"{case}_image_shape"],
        z[f"{case}_window"],
    )
    np.testing.assert_array_equal(boxes, z[f"{case}_rois"])
    np.testing.assert_array_equal(class_ids, z[f"{case}_class_ids"])
    np.testing.assert_array_equal(scores, z[f"{case}_scores"])
    wanted = unpack(z, f"{case}_masks")
    assert masks.shape == wanted.shape
    assert (masks != wanted).sum(axis=(0, 1)).max() <= 2


def test_unmold_no_detections(load):
    z = load("detection")
    shape = z["u_empty_masks_shape"]
    boxes, class_ids, scores, masks = unmold_detections(
        np.zeros_like(z["u0_detections"]),
        z["unmold_mrcnn_mask"],
        [*shape[:2], 3],
        z["u0_image_shape"],
        z["u0_window"],
    )
    assert boxes.shape == tuple(z["u_empty_rois_shape"])
    assert masks.shape == tuple(shape)
    assert len(class_ids) == len(scores) == 0


@pytest.mark.parametrize("case", ["full", "mini", "crowd", "nopos"])
def test_detection_targets(load, case):
    z = load("detection_targets")
    masks = unpack(z, f"{case}_gt_masks")
    config = Config(
        TRAIN_ROIS_PER_IMAGE=int(z[f"{case}_train_rois_per_image"]),
        USE_MINI_MASK=bool(z[f"{case}_use_mini_mask"]),
        MAX_GT_INSTANCES=masks.shape[-1],
    )
    found = DetectionTargetLayer(config)(
        tensors(z[f"{case}_proposals"], z[f"{case}_gt_class_ids"], z[f"{case}_gt_boxes"], masks)
    )
    found = canonical(*(numpy(f)[0] for f in found))
    wanted = canonical(
        *(z[f"{case}_{n}"] for n in ("rois", "target_class_ids", "target_bbox")),
        unpack(z, f"{case}_target_mask"),
    )
    np.testing.assert_allclose(found[0], wanted[0], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_allclose(found[2], wanted[2], rtol=0, atol=1e-3)
    assert (found[3] != wanted[3]).sum(axis=(1, 2)).max() <= 2


# --- Losses -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["normal", "nopos", "inactive", "saturated"])
def test_losses(load, case):
    z = {k.removeprefix(f"{case}_"): v for k, v in load("losses").items()}
    found = {
        "rpn_class_loss": losses.rpn_class_loss_graph(
            *tensors(z["rpn_match"], z["rpn_class_logits"])
        ),
        "rpn_bbox_loss": losses.rpn_bbox_loss_graph(
            None, *tensors(z["target_rpn_bbox"], z["rpn_match"], z["rpn_bbox"])
        ),
        "mrcnn_class_loss": losses.mrcnn_class_loss_graph(
            *tensors(z["target_class_ids"], z["pred_class_logits"], z["active_class_ids"][:1])
        ),
        "mrcnn_bbox_loss": losses.mrcnn_bbox_loss_graph(
            *tensors(z["target_bbox"], z["target_class_ids"], z["pred_bbox"])
        ),
        "mrcnn_mask_loss": losses.mrcnn_mask_loss_graph(
            *tensors(z["target_mask"], z["target_class_ids"], z["pred_mask"])
        ),
    }
    wanted = {name: float(z[name]) for name in found}
    if case == "saturated":
        # The reference's backend adds 1e-7 inside the logarithms, which shows here alone.
        wanted["mrcnn_mask_loss"] = float(z["mrcnn_mask_loss_clip_only_float64"])
    for name, value in wanted.items():
        rtol = 1e-3 if name == "mrcnn_mask_loss" and case == "saturated" else 1e-4
        np.testing.assert_allclose(float(numpy(found[name])), value, rtol=rtol, atol=1e-7)


def test_smooth_l1(load):
    z = load("losses")
    difference = z["smooth_l1_diff"]
    found = losses.smooth_l1_loss(*tensors(np.zeros_like(difference), difference))
    np.testing.assert_allclose(numpy(found), z["smooth_l1_out"], rtol=1e-6)


# --- Non-maximum suppression in plain operations ------------------------------------------


def test_tiled_nms_equals_the_fast_path():
    from mrcnn.modeling.kernels import nms, tiled_nms

    rng = np.random.default_rng(0)
    centers = rng.uniform(0.1, 0.9, (2, 700, 2)).round(1) + rng.normal(0, 0.02, (2, 700, 2))
    sides = rng.uniform(0.02, 0.2, (2, 700, 2))
    boxes = np.concatenate([centers - sides, centers + sides], -1).clip(0, 1).astype("float32")
    valid = rng.random((2, 700)) > 0.1
    for count in (20, 400):
        fast = nms(*tensors(boxes, valid), count, 0.5)
        plain = tiled_nms(*tensors(boxes, valid), count, 0.5, ops.zeros((2, 700), "int32"))
        np.testing.assert_array_equal(numpy(fast[1]), numpy(plain[1]))
        np.testing.assert_array_equal(np.where(numpy(fast[1]), numpy(fast[0]), 0), numpy(plain[0]))
    assert keras.backend.backend() == "tensorflow"
