"""The inference graph and `detect` against the reference's numbers, stage by stage."""

import keras
import numpy as np
import pytest
from golden_cases import case, config, share_matched, within

from mrcnn.accelerate.forward import compile_forward
from mrcnn.model import MaskRCNN
from mrcnn.structures.boxes import pairwise_iou

CASES = (
    "inf_r50_sq128",
    "inf_r50_batch2",
    "inf_r50_pad64",
    "inf_r50_none",
    "inf_r101_384_a",
    "inf_r101_384_b",
)
# `detect` compiles its graph in all cases, the graph of all tensors in these; in the others
# that would take longer than to run it once as it is.
COMPILED = ("inf_r50_batch2", "inf_r101_384_a")


def forward(graph):
    """A function inputs -> outputs (NumPy) as `compile_forward` gives, not compiled."""

    def run(inputs):
        tensors = [keras.ops.convert_to_tensor(i, dtype="float32") for i in inputs]
        outputs = graph(tensors, training=False)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)

    return run


@pytest.fixture(scope="module", params=CASES)
def run(request, golden, golden_weight_file, tmp_path_factory):
    """A model with a case's weights, the case's numbers, and every tensor of our graph."""
    record = case(golden, request.param)
    folder = tmp_path_factory.mktemp(request.param)
    model = MaskRCNN("inference", config(record), folder)
    report = model.load_weights(golden_weight_file(record))
    assert not report.missing and not report.unused
    with np.load(golden / record["file"]) as archive:
        numbers = dict(archive)
    molded = numbers["resized_uint8"].astype(np.float32) - model.config.MEAN_PIXEL
    anchors = model.get_anchors(molded.shape[1:])
    inputs = [molded, numbers["image_meta"], np.stack([anchors] * len(molded))]
    graph = keras.Model(model.keras_model.inputs, model.tensors)
    tensors = (compile_forward(graph) if request.param in COMPILED else forward(graph))(inputs)
    yield model, numbers, tensors, inputs
    keras.backend.clear_session()


def test_anchors(run):
    model, numbers, _, inputs = run
    anchors = inputs[2][0]
    assert len(anchors) == numbers["anchors_count"]
    np.testing.assert_allclose(anchors[:100], numbers["anchors_first"], atol=1e-6)
    np.testing.assert_allclose(anchors[-100:], numbers["anchors_last"], atol=1e-6)
    np.testing.assert_allclose(
        anchors.sum(0, dtype=float), numbers["anchors_sum"], rtol=1e-6, atol=1e-2
    )


def test_molding(run):
    model, numbers, _, _ = run
    images = [numbers[f"image_{i}"] for i in range(len(numbers["window"]))]
    molded, metas, windows = model.mold_inputs(images)
    np.testing.assert_array_equal(windows, numbers["window"])
    metas[:, 0] = numbers["image_meta"][:, 0]
    np.testing.assert_allclose(metas, numbers["image_meta"])
    levels = np.abs(molded + model.config.MEAN_PIXEL - numbers["resized_uint8"])
    assert levels.max() <= 1 + 1e-4
    assert np.mean(levels > 0.5) <= 0.03


@pytest.mark.parametrize("name", ["C2", "C3", "C4", "C5", "P2", "P3", "P4", "P5", "P6"])
def test_feature_maps(run, name):
    _, numbers, tensors, _ = run
    assert tensors[name].shape == tuple(numbers[f"{name}_shape"])
    found = tensors[name].reshape(-1)[numbers[f"{name}_idx"]]
    limit = 1e-4 * numbers[f"{name}_stats"][2]
    within(name, found, numbers[f"{name}_val"], limit)


def test_rpn(run):
    _, numbers, tensors, _ = run
    within("rpn_class", tensors["rpn_class"], numbers["rpn_class"], 1e-4)
    within("rpn_bbox", tensors["rpn_bbox"], numbers["rpn_bbox"], 1e-3)


def test_proposals_match_as_sets(run):
    _, numbers, tensors, _ = run
    for wanted, found in zip(numbers["proposals"], tensors["proposals"], strict=True):
        assert share_matched(wanted, found) >= 0.99
        assert share_matched(found, wanted) >= 0.99
        counts = [np.count_nonzero(np.abs(b).sum(1)) for b in (wanted, found)]
        assert abs(counts[0] - counts[1]) <= 0.01 * counts[0]


def test_proposal_layer_on_the_references_rpn_output(run):
    model, numbers, _, inputs = run
    stages = model.proposal_layer.stages(
        [keras.ops.convert_to_tensor(a) for a in (numbers["rpn_class"], numbers["rpn_bbox"])]
        + [keras.ops.convert_to_tensor(inputs[2])]
    )
    stages = {k: keras.ops.convert_to_numpy(v) for k, v in stages.items()}
    np.testing.assert_array_equal(stages["pre_nms_indices"], numbers["pre_nms_indices"])
    for name in ("refined_anchors_clipped", "proposals"):
        within(name, stages[name], numbers[name], 1e-5)
    for i, kept in enumerate(stages["post_nms_kept"]):
        np.testing.assert_array_equal(
            stages["post_nms_indices"][i][kept], numbers[f"nms_indices_{i}"]
        )


def test_heads_and_detections_on_the_references_proposals(run):
    model, numbers, tensors, inputs = run
    outputs = {n: model.tensors[n] for n in ("mrcnn_class", "mrcnn_bbox", "detections")}
    outputs["mrcnn_mask"] = model.tensors["mrcnn_mask"]
    for name in ("roi_align_classifier", "roi_align_mask"):
        outputs[name] = model.keras_model.get_layer(name).output
    # From the pyramid on, which `test_feature_maps` compares.
    levels = ("P2", "P3", "P4", "P5")
    _, meta, _ = model.keras_model.inputs
    starts = [model.tensors["proposals"], meta, *(model.tensors[n] for n in levels)]
    heads = forward(keras.Model(starts, outputs))
    found = heads([numbers["proposals"], inputs[1], *(tensors[n] for n in levels)])
    within("mrcnn_class", found["mrcnn_class"], numbers["mrcnn_class"], 1e-4)
    within("mrcnn_bbox", found["mrcnn_bbox"], numbers["mrcnn_bbox"], 1e-3)
    within("detections", found["detections"], numbers["mrcnn_detection"], 1e-4)
    within("mrcnn_mask", found["mrcnn_mask"], numbers["mrcnn_mask"], 5e-4)
    for name in ("roi_align_classifier", "roi_align_mask"):
        assert found[name].shape == tuple(numbers[f"{name}_shape"])
        sample = found[name].reshape(-1)[numbers[f"{name}_idx"]]
        limit = 1e-4 * numbers[f"{name}_stats"][2]
        within(name, sample, numbers[f"{name}_val"], limit)


def test_detect(run):
    model, numbers, _, _ = run
    images = [numbers[f"image_{i}"] for i in range(len(numbers["window"]))]
    for i, result in enumerate(model.detect(images)):
        assert result["rois"].dtype == np.int32 and result["class_ids"].dtype == np.int32
        assert result["scores"].dtype == np.float32 and result["masks"].dtype == bool
        assert result["masks"].shape[:2] == images[i].shape[:2]
        _assert_same_detections(_wanted(numbers, i), result)


def _wanted(numbers, i):
    shape = numbers[f"detect_masks_shape_{i}"]
    masks = np.unpackbits(numbers[f"detect_masks_packed_{i}"])[: np.prod(shape)]
    return {
        "masks": masks.reshape(shape).astype(bool),
        **{k: numbers[f"detect_{k}_{i}"] for k in ("rois", "class_ids", "scores")},
    }


def _assert_same_detections(wanted, found):
    count = len(wanted["class_ids"])
    assert len(found["class_ids"]) == count
    overlaps = pairwise_iou(wanted["rois"], found["rois"])
    overlaps[wanted["class_ids"][:, None] != found["class_ids"][None]] = -1
    partners = overlaps.argmax(axis=1)
    assert len(set(partners)) == count
    for i, j in enumerate(partners):
        assert np.abs(wanted["rois"][i] - found["rois"][j]).max() <= 1
        assert wanted["class_ids"][i] == found["class_ids"][j]
        assert abs(wanted["scores"][i] - found["scores"][j]) < 1e-3
        a, b = wanted["masks"][..., i], found["masks"][..., j]
        iou = (a & b).sum() / max((a | b).sum(), 1)
        assert iou >= (0.99 if a.sum() >= 100 else 0.9) or not (a | b).any()
