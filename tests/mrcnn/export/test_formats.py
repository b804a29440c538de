import json

import keras
import numpy as np
import onnx
import pytest
from export_cases import Tiny, assert_same_results, few_sections, mean_dice, picture, tiny
from golden_cases import case, config

from mrcnn.data.molding import mold_inputs
from mrcnn.errors import UserError
from mrcnn.export.exported_model import load_exported
from mrcnn.export.formats import METADATA, demand_export_path, export_model
from mrcnn.export.onnx_graph import write_graph
from mrcnn.export.sessions import open_onnxruntime
from mrcnn.model import MaskRCNN
from mrcnn.modeling.detection import DetectionLayer
from sebre.networks.segmenter import load_segmenter


@pytest.fixture(scope="module")
def shipped():
    return load_segmenter("slicemap").model


@pytest.fixture(scope="module")
def sections():
    return few_sections()


def onnx_outputs(model, images, metas):
    anchors = model.get_anchors(images.shape[1:])
    graph = write_graph(model.keras_model, images.shape[1:], len(images), anchors, {})
    return open_onnxruntime(graph.SerializeToString())([images, metas])


def keras_outputs(model, images, metas):
    anchors = np.stack([model.get_anchors(images.shape[1:])] * len(images))
    inputs = [keras.ops.convert_to_tensor(a, dtype="float32") for a in (images, metas, anchors)]
    outputs = model.keras_model(inputs, training=False)
    return [keras.ops.convert_to_numpy(outputs[i]) for i in (0, 3)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ROI_ALIGN": "aligned", "BEST_PER_CLASS": True, "DETECTION_MIN_CONFIDENCE": 0.3},
        # More proposals wanted than there are anchors kept.
        {"PRE_NMS_LIMIT": 40, "IMAGES_PER_GPU": 1},
    ],
)
def test_onnx_equals_keras(tmp_path, settings):
    model = tiny(tmp_path, **settings)
    batch = [picture(i) for i in range(model.config.BATCH_SIZE)]
    images, metas, _ = mold_inputs(batch, model.config)
    wanted = keras_outputs(model, images, metas)
    found = onnx_outputs(model, images, metas)
    used = wanted[0][..., 4] > 0
    assert used.any(axis=1).all()
    np.testing.assert_allclose(found[0], wanted[0], rtol=0, atol=1e-4)
    # Logits of random masks are large, and so is what rounding does to them.
    np.testing.assert_allclose(found[1][used], wanted[1][used], rtol=0, atol=1e-2)


def test_onnx_equals_the_reference_with_1000_proposals(golden, golden_weight_file, tmp_path):
    record = case(golden, "inf_r101_384_a")
    model = MaskRCNN("inference", config(record), tmp_path)
    model.load_weights(golden_weight_file(record))
    with np.load(golden / record["file"]) as archive:
        numbers = {n: archive[n] for n in ("resized_uint8", "image_meta")}
        detections, rois = archive["mrcnn_detection"], archive["proposals"]
    assert np.count_nonzero(np.abs(rois[0]).sum(1)) == 1000
    images = numbers["resized_uint8"].astype(np.float32) - model.config.MEAN_PIXEL
    found = onnx_outputs(model, images, numbers["image_meta"])
    np.testing.assert_allclose(found[0][..., :4], detections[..., :4], rtol=0, atol=1e-3)
    np.testing.assert_array_equal(found[0][..., 4], detections[..., 4])
    keras.backend.clear_session()


def test_an_onnx_file_detects_like_the_network(shipped, sections, tmp_path):
    labels = ["background", "cortex", "hippocampus", "thalamus", "midbrain", "brainstem", "c"]
    path = export_model(shipped, tmp_path / "net.onnx", labels=labels)
    assert [p.name for p in tmp_path.glob("[!.]*")] == ["net.onnx"]
    model = load_exported(path)
    assert model.labels == labels
    assert model.config.DETECTION_MAX_INSTANCES == shipped.config.DETECTION_MAX_INSTANCES
    wanted = shipped.detect(sections)
    assert_same_results(wanted, model.detect(sections))
    assert_same_results(wanted, load_exported(path, runtime="openvino").detect(sections))
    # What is part of the graph cannot be set any more; what is done around it can.
    with pytest.raises(
        UserError, match=r"was exported with DETECTION_MIN_CONFIDENCE 0\.\d+ \(asked"
    ):
        load_exported(path, DETECTION_MIN_CONFIDENCE=0.95)
    with pytest.raises(NotImplementedError, match="no intermediate stages"):
        model.inspect(sections[0])
    with pytest.raises(NotImplementedError, match="weights inside"):
        model.load_weights("x.h5")


def test_a_saved_model_detects_like_the_network(shipped, sections, tmp_path):
    folder, what = tmp_path / "net", {"format": "saved_model", "labels": ["a", "b"]}
    folder.mkdir()
    (folder / "notes.txt").touch()
    with pytest.raises(UserError, match="notes.txt: there already, and not written by an earlier"):
        export_model(shipped, folder, **what)
    (folder / "notes.txt").unlink()
    path = export_model(shipped, folder, **what)
    assert [p.name for p in tmp_path.iterdir()] == ["net"]
    demand_export_path(folder, "saved_model")  # it may be written again, until it is changed
    (path / "variables" / "mine").touch()
    with pytest.raises(UserError, match="mine: there already"):
        demand_export_path(folder, "saved_model")
    assert json.loads((path / METADATA).read_text())["labels"] == ["a", "b"]
    model = load_exported(path)
    assert_same_results(shipped.detect(sections), model.detect(sections))


def test_an_int8_file_is_small_and_close(shipped, sections, tmp_path):
    whole = export_model(shipped, tmp_path / "whole.onnx")
    typical = few_sections("train", 8)
    path = export_model(shipped, tmp_path / "int8.onnx", precision="int8", images=typical)
    assert path.stat().st_size < 0.35 * whole.stat().st_size
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("QuantizeLinear") > 20
    assert 0.95 < mean_dice(shipped.detect(sections), load_exported(path).detect(sections)) < 1


def test_wrong_arguments_are_refused(shipped, sections, tmp_path):
    target = tmp_path / "x.onnx"
    with pytest.raises(ValueError, match="'coreml' is unknown; use one of onnx, saved_model"):
        export_model(shipped, target, format="coreml")
    with pytest.raises(ValueError, match="'int8' needs images"):
        export_model(shipped, target, precision="int8")
    with pytest.raises(ValueError, match="'bfloat16' cannot be exported as onnx"):
        export_model(shipped, target, precision="bfloat16")
    with pytest.raises(ValueError, match="multiples of 64"):
        export_model(shipped, target, image_shape=(100, 128, 3))
    target.write_bytes(b"the user's own")
    with pytest.raises(UserError, match="x.onnx: there already, and not written by an earlier"):
        export_model(shipped, target)
    with pytest.raises(UserError, match="x.onnx: is not a folder"):
        export_model(shipped, target / "y.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]
    assert target.read_bytes() == b"the user's own"


def test_layers_that_cannot_be_exported_are_named(tmp_path):
    def backbone(image, stage5, train_bn):
        x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="odd")(image)
        x = keras.layers.GaussianNoise(0.1, name="strange")(x)
        stages = [x := keras.layers.Conv2D(4, 3, strides=2, padding="same")(x)]
        for stride in (1, 2, 2, 2):
            stages.append(x := keras.layers.Conv2D(4, 3, strides=stride, padding="same")(x))
        return stages

    def shapes(shape):
        return [[-(-side // s) for side in shape[:2]] for s in (4, 8, 16, 32, 64)]

    model = tiny(tmp_path, BACKBONE=backbone, COMPUTE_BACKBONE_SHAPE=shapes)
    with pytest.raises(ValueError, match="'strange' is a GaussianNoise"):
        export_model(model, tmp_path / "x.onnx")
    model = tiny(tmp_path, TRAIN_BN=True)
    with pytest.raises(ValueError, match="TRAIN_BN"):
        export_model(model, tmp_path / "x.onnx")


def test_damaged_and_foreign_files_are_refused(shipped, sections, tmp_path):
    path = export_model(shipped, tmp_path / "net.onnx")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="net.onnx: not a network exported by this program"):
        load_exported(path)
    model = onnx.load_from_string(content)
    facts = json.loads(model.metadata_props[0].value)
    onnx.helper.set_model_props(model, {"mask_rcnn": json.dumps({**facts, "format_version": 99})})
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="version 99"):
        load_exported(path)
    onnx.helper.set_model_props(model, {"other": "1"})
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="not a network exported by this program"):
        load_exported(path)
    with pytest.raises(FileNotFoundError):
        load_exported(tmp_path / "none.onnx")


def test_another_shape_is_refused(shipped, sections, tmp_path):
    path = export_model(shipped, tmp_path / "net.onnx")
    other = load_exported(path, IMAGE_MIN_DIM=192, IMAGE_MAX_DIM=192)
    with pytest.raises(ValueError, match=r"made for molded images of \(128, 128, 3\)"):
        other.detect(sections[:1])


def test_the_order_of_detections_is_that_of_the_layer():
    """Ties and classes: the graph's suppression against the layer's."""
    from mrcnn.export.onnx_stages import StageWriter
    from mrcnn.export.onnx_writer import GraphWriter

    rng = np.random.default_rng(1)
    number, classes = 50, 3
    settings = Tiny(NUM_CLASSES=classes, DETECTION_MAX_INSTANCES=10)
    low = rng.uniform(0, 0.6, (2, number, 2))
    rois = np.concatenate([low, low + rng.uniform(0.1, 0.4, low.shape)], -1).astype("float32")
    scores = rng.integers(1, 4, (2, number, classes)).astype("float32") / 4  # many ties
    deltas = rng.normal(0, 0.2, (2, number, classes, 4)).astype("float32")
    meta = np.zeros((2, settings.IMAGE_META_SIZE), "float32")
    meta[:, 4:7], meta[:, 7:11] = (128, 128, 3), (10, 0, 110, 128)
    layer = DetectionLayer(settings)
    wanted = keras.ops.convert_to_numpy(layer([rois, scores, deltas, meta]))
    graph = GraphWriter()
    stages = StageWriter(graph, 2, 128, 128, [], np.zeros((1, 4)))
    out = stages.detections(layer, "rois", "scores", "deltas", "meta", number, classes)
    inputs = {"rois": rois, "scores": scores, "deltas": deltas, "meta": meta}
    model = graph.finish(
        {name: array.shape for name, array in inputs.items()}, {"out": (out.name, [2, 10, 6])}, {}
    )
    (found,) = open_onnxruntime(model.SerializeToString())(list(inputs.values()))
    assert np.count_nonzero(wanted[..., 4]) > 6
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
