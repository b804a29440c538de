"""Boxes, anchors, molding and metrics against the stored numbers of the reference."""

import hashlib
import json
import random

import numpy as np
import pytest
from golden_cases import case as golden_case
from numpy.testing import assert_allclose, assert_array_equal

from mrcnn import utils
from mrcnn.config import Config
from mrcnn.data import molding, resizing
from mrcnn.imageio.reduced import resize
from mrcnn.modeling import anchors
from mrcnn.structures import boxes
from mrcnn.structures import matching as metrics
from mrcnn.structures.masks import expand_mask, extract_bboxes, minimize_mask, unmold_mask

F64, F32 = 1e-9, 1e-6


def load(golden, name):
    with np.load(golden / name) as file:
        return dict(file)


def unpack(data, key, shape=None):
    shape = data[f"{key}_shape"] if shape is None else shape
    return np.unpackbits(data[f"{key}_packed"])[: np.prod(shape)].reshape(shape).astype(bool)


def assert_close_uint8(actual, wanted):
    """At most one gray level off, in at most 3 % of the values."""
    assert actual.dtype == np.uint8
    difference = np.abs(actual.astype(int) - wanted.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.03


def assert_equal_masks(actual, wanted, ambiguous):
    assert actual.dtype == bool
    assert_array_equal(actual & ~ambiguous, wanted & ~ambiguous)


# --- resize.npz -------------------------------------------------------------------


@pytest.fixture(scope="module")
def resizes(golden):
    return load(golden, "utils/resize.npz")


@pytest.mark.parametrize("case", [f"r{i:02d}" for i in range(15)])
def test_resize_image_and_mask_equal_the_reference(resizes, case):
    settings = next(c for c in json.loads(str(resizes["cases_json"])) if c["id"] == case)
    image = resizes[f"{case}_image"]
    assert image.dtype == settings["dtype"] and list(image.shape) == settings["shape"]
    out, window, scale, padding, crop = resizing.resize_image(
        image, settings["min_dim"], settings["max_dim"], settings["min_scale"], settings["mode"]
    )
    assert crop is None
    assert out.dtype == image.dtype
    assert list(out.shape) == settings["out_shape"] == resizes[f"{case}_out_shape"].tolist()
    assert_array_equal(window, resizes[f"{case}_window"])
    assert_array_equal(padding, resizes[f"{case}_padding"])
    assert scale == pytest.approx(float(resizes[f"{case}_scale"]), abs=F64)

    y1, x1, y2, x2 = window
    if f"{case}_out" in resizes:
        wanted = resizes[f"{case}_out"]
        if image.dtype == np.uint8:
            assert_close_uint8(out, wanted)
        else:
            assert_allclose(out, wanted, rtol=F32, atol=F32)
    else:
        assert_close_uint8(out[y1:y2, x1:x2][::4, ::4], resizes[f"{case}_out_window_every4"])
        sums, wanted = out.sum(axis=(0, 1)), resizes[f"{case}_out_sum"]
        assert np.abs(sums - wanted).max() <= 0.03 * (y2 - y1) * (x2 - x1)
    if f"{case}_float_window" in resizes:
        content = resize(image, (y2 - y1, x2 - x1), preserve_range=True)
        assert_allclose(content, resizes[f"{case}_float_window"], rtol=F32, atol=1e-4)
    if f"{case}_mask_packed" in resizes:
        mask = resizing.resize_mask(unpack(resizes, f"{case}_mask"), scale, padding)
        assert mask.dtype == bool
        assert_array_equal(mask, unpack(resizes, f"{case}_mask_out"))


def test_crop_mode_equals_the_reference(resizes, monkeypatch):
    image, crop = resizes["crop_image"], tuple(resizes["crop_crop"].tolist())
    corner = iter(crop[:2])
    bounds = []
    monkeypatch.setattr(random, "randint", lambda a, b: bounds.append((a, b)) or next(corner))
    out, window, scale, padding, drawn = resizing.resize_image(image, 64, 128, mode="crop")
    assert bounds == [(0, 90 - 64), (0, 120 - 64)]
    assert drawn == crop
    assert_array_equal(window, resizes["crop_window"])
    assert scale == resizes["crop_scale"]
    assert_array_equal(out, resizes["crop_out"])
    assert_array_equal(resizing.resize_mask(image, scale, padding, drawn), resizes["crop_out"])


@pytest.mark.parametrize("number", range(8))
def test_bilinear_resize_equals_the_reference(resizes, number):
    wanted = resizes[f"bilinear{number}_out"]
    out = resize(resizes[f"bilinear{number}_in"], wanted.shape)
    assert_allclose(out, wanted, rtol=0, atol=F64)


# --- boxes_masks.npz --------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(golden):
    return load(golden, "utils/boxes_masks.npz")


@pytest.mark.parametrize(("name", "tolerance"), [("iou", F64), ("iouf", F32)])
def test_box_overlaps_equal_the_reference(stored, name, tolerance):
    boxes1, boxes2 = stored[f"{name}_boxes1"], stored[f"{name}_boxes2"]
    wanted = stored[f"{name}_out"]
    assert_allclose(utils.compute_overlaps(boxes1, boxes2), wanted, rtol=0, atol=tolerance)
    assert_allclose(boxes.pairwise_iou(boxes1, boxes2), wanted, rtol=0, atol=tolerance)


def test_iou_of_one_box_equals_the_reference(stored):
    box, many = stored["iou_boxes2"][0], stored["iou_boxes1"]
    iou = utils.compute_iou(box, many, boxes.box_area(box), boxes.box_area(many))
    assert_allclose(iou, stored["iou_vector_box0"], rtol=0, atol=F64)


def test_mask_overlaps_equal_the_reference(stored):
    masks1, masks2 = stored["masks1"], stored["masks2"]
    overlaps = metrics.compute_overlaps_masks(masks1, masks2)
    assert overlaps.dtype == np.float32
    assert_allclose(overlaps, stored["masks_iou"], rtol=0, atol=F32)
    empty = metrics.compute_overlaps_masks(masks1[..., :0], masks2)
    assert_array_equal(empty.shape, stored["masks_iou_empty_shape"])


@pytest.mark.parametrize("name", ["nms0", "nms1", "nms2", "nmsint"])
def test_non_max_suppression_equals_the_reference(stored, name):
    # The threshold of the integer case is not in the file.
    threshold = float(stored.get(f"{name}_threshold", 0.4))
    keep = utils.non_max_suppression(stored[f"{name}_boxes"], stored[f"{name}_scores"], threshold)
    assert keep.dtype == np.int32
    assert_array_equal(keep, stored[f"{name}_keep"])


def test_box_deltas_equal_the_reference(stored):
    box, gt = stored["delta_boxes"], stored["delta_gt"]
    for function in (utils.box_refinement, utils.box_refinement_graph):
        deltas = function(box, gt)
        assert deltas.dtype == np.float32
        assert_allclose(deltas, stored["delta_out"], rtol=F32, atol=F32)
    applied = utils.apply_box_deltas(box.astype(np.float32), stored["delta_out"])
    assert applied.dtype == np.float32
    assert_allclose(applied, stored["delta_applied"], rtol=F32, atol=1e-4)
    assert_allclose(
        utils.apply_box_deltas(box.astype(np.float32), stored["delta_random"]),
        stored["delta_random_applied"],
        rtol=2 * F32,
        atol=1e-4,
    )
    example = utils.box_refinement(np.array([[0, 0, 10, 10]]), np.array([[1, 2, 21, 12]]))
    assert_allclose(example, stored["delta_example"], rtol=0, atol=F32)


@pytest.mark.parametrize("number", range(3))
def test_normalized_boxes_equal_the_reference(stored, number):
    shape = stored[f"norm{number}_shape"]
    normalized = utils.norm_boxes(stored["delta_boxes"], shape)
    assert normalized.dtype == np.float32
    assert_allclose(normalized, stored[f"norm{number}_out"], rtol=0, atol=F32)
    back = utils.denorm_boxes(stored[f"norm{number}_out"], shape)
    assert back.dtype == np.int32
    assert_array_equal(back, stored[f"norm{number}_back"])
    assert_array_equal(
        utils.denorm_boxes(stored[f"denorm{number}_in"], shape), stored[f"denorm{number}_out"]
    )


def test_trim_zeros_equals_the_reference(stored):
    assert_array_equal(utils.trim_zeros(stored["trim_in"]), stored["trim_out"])


def test_boxes_of_masks_equal_the_reference(stored):
    found = extract_bboxes(unpack(stored, "bbox_masks"))
    assert found.dtype == np.int32
    assert_array_equal(found, stored["bbox_out"])


@pytest.mark.parametrize("name", ["mini56", "mini28x40"])
def test_mini_masks_equal_the_reference(stored, name):
    masks, box = unpack(stored, f"{name}_masks"), stored[f"{name}_boxes"]
    wanted = unpack(stored, f"{name}_out")
    mini = minimize_mask(box, masks, wanted.shape[:2])
    assert_equal_masks(mini, wanted, unpack(stored, f"{name}_ambiguous", wanted.shape))
    expanded = expand_mask(box, wanted, masks.shape)
    assert_equal_masks(
        expanded,
        unpack(stored, f"{name}_expanded", masks.shape),
        unpack(stored, f"{name}_expanded_ambiguous", masks.shape),
    )


@pytest.mark.parametrize("number", range(8))
def test_unmolded_masks_equal_the_reference(stored, number):
    name = f"unmold{number}"
    shape = stored[f"{name}_image_shape"]
    full = unmold_mask(stored[f"{name}_mask"], stored[f"{name}_box"], shape)
    wanted = unpack(stored, f"{name}_out", shape[:2])
    assert_equal_masks(full, wanted, unpack(stored, f"{name}_ambiguous", shape[:2]))


# --- anchors.npz ------------------------------------------------------------------


@pytest.fixture(scope="module")
def anchor_cases(golden):
    return load(golden, "utils/anchors.npz")


@pytest.mark.parametrize("case", ["a0", "a1", "a2", "a3"])
def test_pyramid_anchors_equal_the_reference(anchor_cases, case):
    data = {k.removeprefix(f"{case}_"): v for k, v in anchor_cases.items() if k.startswith(case)}

    class AnchorConfig(Config):
        NAME = "anchors"
        RPN_ANCHOR_SCALES = tuple(data["scales"].tolist())
        RPN_ANCHOR_RATIOS = data["ratios"].tolist()
        RPN_ANCHOR_STRIDE = int(data["anchor_stride"])

    config = AnchorConfig()
    found = anchors.config_anchors(config, data["image_shape"])
    assert found.dtype == np.float64
    assert_array_equal(found.shape, data["shape"])
    assert_allclose(found[data["idx"]], data["boxes"], rtol=0, atol=F64)
    assert_allclose(found.sum(axis=0), data["sum"], rtol=F64)
    assert_allclose(np.abs(found).sum(axis=0), data["abs_sum"], rtol=F64)
    assert_allclose(found.min(axis=0), data["min"], rtol=0, atol=F64)
    assert_allclose(found.max(axis=0), data["max"], rtol=0, atol=F64)

    normalized = anchors.normalized_anchors(config, data["image_shape"])
    assert normalized.dtype == np.float32
    assert_allclose(normalized[data["idx"]], data["norm"], rtol=0, atol=F32)
    sums = normalized.sum(axis=0, dtype=np.float64)
    assert_allclose(sums, data["norm_sum"], rtol=F32)

    direct = utils.generate_pyramid_anchors(
        data["scales"],
        data["ratios"],
        data["feature_shapes"],
        [4, 8, 16, 32, 64],
        int(data["anchor_stride"]),
    )
    assert_array_equal(direct, found)


def test_anchors_of_one_level_equal_the_reference(anchor_cases):
    single = utils.generate_anchors(16, [0.5, 1, 2], (3, 4), 8, 1)
    assert_allclose(single, anchor_cases["single_out"], rtol=0, atol=F64)


# --- ap.npz -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def ap_cases(golden):
    return load(golden, "utils/ap.npz")


@pytest.mark.parametrize("case", [f"c{i:02d}" for i in range(30)])
def test_average_precision_equals_the_reference(ap_cases, case, capsys):
    data = {k.removeprefix(f"{case}_"): v for k, v in ap_cases.items() if k.startswith(case)}
    image = (
        data["gt_boxes"],
        data["gt_class_ids"],
        unpack(data, "gt_masks"),
        data["pred_boxes"],
        data["pred_class_ids"],
        data["pred_scores"],
        unpack(data, "pred_masks"),
    )
    for percent in (50, 75):
        wanted = {k.removeprefix(f"{percent}_"): v for k, v in data.items()}
        gt_match, pred_match, overlaps = metrics.compute_matches(*image, percent / 100)
        assert_array_equal(gt_match, wanted["gt_match"])
        assert_array_equal(pred_match, wanted["pred_match"])
        assert_allclose(overlaps, data["overlaps"], rtol=0, atol=F32)
        ap, precisions, recalls, overlaps = metrics.compute_ap(*image, percent / 100)
        assert ap == pytest.approx(float(wanted["ap"]), abs=F64)
        assert_allclose(precisions, wanted["precisions"], rtol=0, atol=F64)
        assert_allclose(recalls, wanted["recalls"], rtol=0, atol=F64)
        assert_allclose(overlaps, data["overlaps"], rtol=0, atol=F32)
    ap_range = metrics.compute_ap_range(*image, verbose=0)
    assert ap_range == pytest.approx(float(data["ap_range"]), abs=F64)
    assert capsys.readouterr().out == ""

    if not len(data["pred_boxes"]):  # the reference's recall needs a prediction
        return
    gt_boxes = utils.trim_zeros(data["gt_boxes"])
    for percent in (50, 70):
        recall, rows = metrics.compute_recall(data["pred_boxes"], gt_boxes, percent / 100)
        assert recall == pytest.approx(float(data[f"recall{percent}"]), abs=F64)
        assert_array_equal(rows, data[f"recall{percent}_ids"])


# --- meta.npz ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def meta(golden):
    return load(golden, "utils/meta.npz")


PARTS = {
    "image_id": np.int32,
    "original_image_shape": np.int32,
    "image_shape": np.int32,
    "window": np.int32,
    "scale": np.float32,
    "active_class_ids": np.int32,
}


def test_image_meta_equals_the_reference(meta):
    parsed = molding.parse_image_meta(meta["meta"])
    assert set(parsed) == set(PARTS)
    for name, dtype in PARTS.items():
        assert parsed[name].dtype == dtype == meta[f"parsed_{name}"].dtype
        assert_array_equal(parsed[name], meta[f"parsed_{name}"])

    scales = meta["meta"][:, 11]
    for row, wanted in enumerate(meta["meta"]):
        parts = [parsed[name][row] for name in PARTS]
        parts[4] = scales[row]
        composed = molding.compose_image_meta(*parts)
        assert composed.dtype == np.float64
        assert_array_equal(composed, wanted)


def test_parsing_a_meta_tensor_gives_tensors_of_the_same_values(meta):
    from keras import ops

    tensors = molding.parse_image_meta_graph(ops.convert_to_tensor(meta["meta"], "float32"))
    for name in PARTS:
        assert ops.is_tensor(tensors[name])
        values = ops.convert_to_numpy(tensors[name])
        assert_allclose(values, meta[f"parsed_{name}"], rtol=F32)


def test_mold_image_equals_the_reference(meta):
    config = Config()
    molded = molding.mold_image(meta["mold_image"], config)
    assert str(molded.dtype) == str(meta["mold_out_dtype"]) == "float64"
    assert_array_equal(molded, meta["mold_out"])
    back = molding.unmold_image(meta["mold_out"], config)
    assert back.dtype == np.uint8
    assert_array_equal(back, meta["unmold_out"])


# --- whole way in and out: inference/, layers/detection.npz -------------------------


@pytest.mark.parametrize(
    "case",
    [
        "inf_r101_384_a",
        "inf_r101_384_b",
        "inf_r50_batch2",
        "inf_r50_none",
        "inf_r50_pad64",
        "inf_r50_sq128",
    ],
)
def test_molded_inputs_equal_the_reference(golden, case):
    manifest = golden_case(golden, case)
    wanted = load(golden, manifest["file"])
    names = [k for k in manifest["config"] if k.startswith("IMAGE_") or k == "NUM_CLASSES"]
    names = [k for k in names if k not in ("IMAGE_SHAPE", "IMAGE_META_SIZE", "IMAGES_PER_GPU")]
    config = Config(**{k: manifest["config"][k] for k in names})
    images = [wanted[f"image_{i}"] for i in range(len(manifest["image_shapes"]))]

    molded, metas, windows = molding.mold_inputs(images, config)
    assert molded.dtype == np.float32 and list(molded.shape) == manifest["molded_shape"]
    assert metas.dtype == np.float64
    assert windows.dtype == np.int32
    assert_allclose(metas, wanted["image_meta"], rtol=F32)
    assert_array_equal(windows, np.reshape(wanted["window"], (-1, 4)))

    resized = wanted["resized_uint8"].reshape(molded.shape)
    assert_close_uint8(np.around(molded + config.MEAN_PIXEL).astype(np.uint8), resized)
    from_stored = molding.mold_image(resized, config).astype(np.float32)
    digest = hashlib.sha256(np.ascontiguousarray(from_stored).tobytes()).hexdigest()
    assert digest == manifest["molded_float32_sha256"]


@pytest.mark.parametrize("name", ["u0", "u1"])
def test_unmolded_detections_equal_the_reference(golden, name):
    data = load(golden, "layers/detection.npz")
    boxes_, class_ids, scores, masks = molding.unmold_detections(
        data[f"{name}_detections"],
        data["unmold_mrcnn_mask"],
        data[f"{name}_original_shape"],
        data[f"{name}_image_shape"],
        data[f"{name}_window"],
    )
    assert (boxes_.dtype, class_ids.dtype) == (np.int32, np.int32)
    assert (scores.dtype, masks.dtype) == (np.float32, bool)
    assert_array_equal(boxes_, data[f"{name}_rois"])
    assert_array_equal(class_ids, data[f"{name}_class_ids"])
    assert_allclose(scores, data[f"{name}_scores"], rtol=0, atol=F32)
    wanted = unpack(data, f"{name}_masks")
    assert masks.shape == wanted.shape
    intersection = (masks & wanted).sum(axis=(0, 1))
    assert (intersection >= 0.99 * (masks | wanted).sum(axis=(0, 1))).all()


def test_unmolding_no_detections_equals_the_reference(golden):
    data = load(golden, "layers/detection.npz")
    found = molding.unmold_detections(
        np.zeros((8, 6), np.float32),
        data["unmold_mrcnn_mask"],
        (50, 60, 3),
        (128, 128, 3),
        (0, 0, 107, 128),
    )
    assert_array_equal(found[0].shape, data["u_empty_rois_shape"])
    assert found[1].shape == found[2].shape == (0,)
    assert_array_equal(found[3].shape, data["u_empty_masks_shape"])
    assert found[3].dtype == bool
