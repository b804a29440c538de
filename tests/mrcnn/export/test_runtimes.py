import copy
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from export_cases import Tiny, assert_same_results, few_sections, mean_dice, picture, tiny

from mrcnn.accelerate.watching import watch_assignments
from mrcnn.data.molding import mold_inputs
from mrcnn.export import sessions as onnx_sessions
from mrcnn.model import MaskRCNN
from sebre.networks.segmenter import load_segmenter
from sebre.networks.weights_store import store_dir

WEIGHTS = store_dir() / "slicemap.h5"


@pytest.fixture(scope="module")
def shipped():
    return load_segmenter("slicemap").model


@pytest.fixture(scope="module")
def sections():
    return few_sections()


def with_runtime(runtime, **settings):
    return load_segmenter("slicemap", RUNTIME=runtime, **settings).model


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_runtime_detects_like_keras(runtime, shipped, sections):
    model = with_runtime(runtime)
    assert_same_results(shipped.detect(sections), model.detect(sections))


def test_weights_that_change_are_noticed(shipped, sections):
    model = with_runtime("onnxruntime")
    model.detect(sections[:1])
    bias = model.keras_model.get_layer("mrcnn_class_logits").bias
    bias.assign(keras.ops.convert_to_numpy(bias.value) + [50, 0, 0, 0, 0, 0, 0])  # background
    assert len(model.detect(sections[:1])[0]["class_ids"]) == 0
    model.load_weights(WEIGHTS)
    assert_same_results(shipped.detect(sections[:1]), model.detect(sections[:1]))


def test_each_shape_is_compiled_once_and_threads_share_it(tmp_path, monkeypatch):
    from mrcnn.export import runtimes

    opened = []
    real = runtimes.open_onnxruntime
    monkeypatch.setattr(
        runtimes, "open_onnxruntime", lambda graph: opened.append(graph) or real(graph)
    )
    model = tiny(
        tmp_path,
        RUNTIME="onnxruntime",
        IMAGE_RESIZE_MODE="pad64",
        IMAGES_PER_GPU=1,
        IMAGE_MIN_DIM=64,
    )
    pictures = [picture(0, 120, 120), picture(1, 180, 128), picture(2, 120, 120)]
    alone = model.detect(pictures)
    assert len(opened) == 2
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda p: model.detect([p]), pictures * 2)
        for wanted, (found,) in zip(alone * 2, together, strict=True):
            np.testing.assert_array_equal(wanted["rois"], found["rois"])
            np.testing.assert_array_equal(wanted["masks"], found["masks"])
    assert len(opened) == 2


def test_int8_is_calibrated_and_close(shipped, sections, tmp_path):
    config = copy.copy(shipped.config)
    config.RUNTIME, config.PRECISION = "openvino", "int8"
    model = MaskRCNN("inference", config, tmp_path)
    model.load_weights(WEIGHTS)
    with pytest.raises(ValueError, match=r"call calibrate\(images\)"):
        model.detect(sections[:1])
    with pytest.raises(ValueError, match="give at least one"):
        model.calibrate([])
    model.calibrate(few_sections("train", 8))
    found = model.detect(sections)
    assert 0.95 < mean_dice(shipped.detect(sections), found) < 1


def test_ranges_serve_sections_of_other_shapes(sections):
    settings = {"IMAGE_RESIZE_MODE": "fit64"}
    typical = few_sections("train", 8)
    low = [image[26:-26] for image in typical[:2]]  # molded to 64 x 128 px
    low_precision = {"RUNTIME": "openvino", "PRECISION": "int8", **settings}
    found = load_segmenter("slicemap", typical=[*typical, *low], **low_precision)
    pictures = [*sections, sections[0][26:-26]]
    assert {mold_inputs([p], found.config)[0].shape[1] for p in pictures} == {64, 128}
    wanted = load_segmenter("slicemap", **settings).detect(pictures)
    assert 0.95 < mean_dice(wanted, found.detect(pictures)) < 1


def test_openvino_keeps_compiled_graphs(tmp_path, sections):
    model = with_runtime("openvino", RUNTIME_CACHE_DIR=str(tmp_path))
    first = model.detect(sections[:1])
    kept = sorted(p.name for p in tmp_path.iterdir())
    assert kept
    again = with_runtime("openvino", RUNTIME_CACHE_DIR=str(tmp_path))
    assert_same_results(first, again.detect(sections[:1]))
    assert sorted(p.name for p in tmp_path.iterdir()) == kept
    # Other weights never meet a kept graph.
    bias = again.keras_model.get_layer("mrcnn_class_logits").bias
    bias.assign(keras.ops.convert_to_numpy(bias.value) + [50, 0, 0, 0, 0, 0, 0])
    assert len(again.detect(sections[:1])[0]["class_ids"]) == 0


@pytest.mark.parametrize(
    ("runtime", "precision", "wanted"),
    [
        ("keras", "int8", "'float32', 'bfloat16', 'float16' with RUNTIME 'keras'"),
        ("onnxruntime", "bfloat16", "'float32', 'int8' with RUNTIME 'onnxruntime'"),
        ("openvino", "float16", "'float32', 'bfloat16', 'int8' with RUNTIME 'openvino'"),
        ("tensorrt", "float32", "'keras', 'onnxruntime', 'openvino'"),
    ],
)
def test_what_a_runtime_cannot_do_is_refused(runtime, precision, wanted):
    with pytest.raises(ValueError, match=wanted):
        Tiny(RUNTIME=runtime, PRECISION=precision)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "openvino"])
def test_a_missing_package_is_named(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    model = tiny(tmp_path, RUNTIME="openvino" if package == "openvino" else "onnxruntime")
    with pytest.raises(ModuleNotFoundError, match=rf"package {package}, .*pip install"):
        model.detect([picture(0)])


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert onnx_sessions.threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "all")
    assert onnx_sessions.threads() >= 1


def test_assignments_are_watched():
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    seen = []
    watch_assignments(model, lambda: seen.append(1))
    model.set_weights([np.ones((2, 1)), np.zeros(1)])
    assert len(seen) == 2
