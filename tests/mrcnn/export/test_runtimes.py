"""ONNX Runtime and OpenVINO on exported files: threads, shapes, kept graphs, what is refused."""

import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from export_cases import Tiny, assert_same_results, few_sections, mean_dice, picture, tiny

from mrcnn.data.molding import mold_inputs
from mrcnn.export import sessions
from mrcnn.export.exported_model import ExportedConfig, load_exported
from mrcnn.export.formats import export_model
from sebre.networks.segmenter import load_segmenter


@pytest.fixture(scope="module")
def sections():
    return few_sections()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_threads_share_an_exported_network(runtime, tmp_path):
    model = tiny(tmp_path, IMAGES_PER_GPU=1)
    model = load_exported(export_model(model, tmp_path / "net.onnx"), runtime)
    pictures = [picture(0), picture(1), picture(2)]
    alone = model.detect(pictures)
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda p: model.detect([p]), pictures * 2)
        for wanted, (found,) in zip(alone * 2, together, strict=True):
            np.testing.assert_array_equal(wanted["rois"], found["rois"])
            np.testing.assert_array_equal(wanted["masks"], found["masks"])


def test_ranges_serve_sections_of_other_shapes(sections, tmp_path):
    model = load_segmenter("slicemap", IMAGE_RESIZE_MODE="fit64").model
    typical = few_sections("train", 8)
    low = [image[26:-26] for image in typical[:2]]  # molded to 64 x 128 px
    pictures = [*sections, sections[0][26:-26]]
    found = {}
    for image in pictures:
        shape = mold_inputs([image], model.config)[0].shape[1:]
        if shape not in found:
            path = tmp_path / f"{shape[0]}.onnx"
            export_model(model, path, precision="int8", images=[*typical, *low], image_shape=shape)
            found[shape] = load_exported(path, "openvino")
    assert {shape[0] for shape in found} == {64, 128}
    results = [found[mold_inputs([p], model.config)[0].shape[1:]].detect([p])[0] for p in pictures]
    assert 0.95 < mean_dice(model.detect(pictures), results) < 1


def test_openvino_keeps_compiled_graphs(tmp_path, sections):
    model = load_segmenter("slicemap").model
    path, cache = tmp_path / "net.onnx", tmp_path / "kept"
    export_model(model, path)

    def detect():
        network = load_exported(path, "openvino", RUNTIME_CACHE_DIR=str(cache))
        return network.detect(sections[:1])

    first = detect()
    kept = sorted(p.name for p in cache.iterdir())
    assert kept
    assert_same_results(first, detect())
    assert sorted(p.name for p in cache.iterdir()) == kept
    # Other weights never meet a kept graph.
    bias = model.keras_model.get_layer("mrcnn_class_logits").bias
    bias.assign(keras.ops.convert_to_numpy(bias.value) + [50, 0, 0, 0, 0, 0, 0])  # background
    export_model(model, path)
    assert len(detect()[0]["class_ids"]) == 0


@pytest.mark.parametrize(
    ("runtime", "precision", "wanted"),
    [
        ("onnxruntime", "bfloat16", "'float32', 'int8'"),
        ("openvino", "float16", "'float32', 'bfloat16', 'int8'"),
        ("tensorrt", "float32", "'onnxruntime', 'openvino'"),
        ("keras", "float32", "'onnxruntime', 'openvino'"),
    ],
)
def test_what_a_runtime_cannot_do_is_refused(runtime, precision, wanted):
    with pytest.raises(ValueError, match=wanted):
        ExportedConfig(RUNTIME=runtime, PRECISION=precision)


def test_a_network_that_was_not_exported_has_no_runtime():
    class Chosen(Tiny):
        RUNTIME = "onnxruntime"

    for make in (Chosen, lambda: Tiny(RUNTIME="openvino"), lambda: Tiny(PRECISION="int8")):
        with pytest.raises(ValueError, match="Export the network first"):
            make()
    # What earlier versions stored.
    stored = {**Tiny().to_dict(), "RUNTIME": "keras", "RUNTIME_CACHE_DIR": None}
    assert Tiny.from_dict(stored).to_dict() == Tiny().to_dict()


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    model, path = tiny(tmp_path), tmp_path / "net.onnx"
    export_model(model, path)

    def refused(package, call):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(ModuleNotFoundError, match=rf"package {package}, .*pip install"):
                call()

    refused("onnx", lambda: export_model(model, path))
    refused("onnxruntime", lambda: load_exported(path))
    refused("openvino", lambda: load_exported(path, "openvino"))


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert sessions.threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "all")
    assert sessions.threads() >= 1
