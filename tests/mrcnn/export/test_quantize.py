"""Eight bits against the formulas of Jacob et al. (2018), written out in NumPy."""

import numpy as np
import onnx
import pytest
from export_cases import picture, tiny

from mrcnn.data.molding import mold_inputs
from mrcnn.export.onnx_graph import write_graph
from mrcnn.export.quantize import FLOAT_LAYERS, measure_ranges, quantize


def activation_scale(low, high):
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255 or 1.0
    return scale, round(-low / scale)


def kernel_scale(kernel, axis):
    greatest = np.abs(kernel).max(axis=tuple(i for i in range(kernel.ndim) if i != axis))
    scale = np.where(greatest > 0, greatest / 127, 1.0).astype("float32")
    shape = [-1 if i == axis else 1 for i in range(kernel.ndim)]
    return scale, np.round(kernel / scale.reshape(shape)).clip(-127, 127)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """A graph, its ranges, and the graph in eight bits."""
    model = tiny(tmp_path_factory.mktemp("tiny"), IMAGES_PER_GPU=1, IMAGE_RESIZE_MODE="fit64")
    pictures = [picture(0), picture(1), picture(2, 60, 128)]  # two molded shapes
    ranges = measure_ranges(model.keras_model, pictures, model.config, model.get_anchors)
    shape = mold_inputs(pictures[:1], model.config)[0].shape[1:]
    graph = write_graph(model.keras_model, shape, 1, model.get_anchors(shape), {"a": "b"})
    return graph, ranges, quantize(graph, ranges)


def test_scales_and_kernels_are_those_of_the_formulas(graphs):
    graph, ranges, low = graphs
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in low.graph.initializer}
    kernels = {t.name: onnx.numpy_helper.to_array(t) for t in graph.graph.initializer}
    makers = {output: node for node in low.graph.node for output in node.output}
    whole = {node.name: node for node in graph.graph.node}
    rounded = [node for node in low.graph.node if node.op_type == "QuantizeLinear"]
    assert {node.input[0] for node in rounded} <= set(ranges)
    for node in rounded:
        scale, zero = activation_scale(*ranges[node.input[0]])
        np.testing.assert_allclose(arrays[node.input[1]], scale, rtol=1e-6)
        assert arrays[node.input[2]] == zero and arrays[node.input[2]].dtype == np.uint8
    count = 0
    for node in low.graph.node:
        if node.op_type in ("Conv", "Gemm", "ConvTranspose") and node.input[1] in makers:
            kernel, scale, _ = makers[node.input[1]].input
            axis = 0 if node.op_type == "Conv" else 1
            wanted = kernel_scale(kernels[whole[node.name].input[1]], axis)
            np.testing.assert_allclose(arrays[scale], wanted[0], rtol=1e-6)
            np.testing.assert_array_equal(arrays[kernel], wanted[1])
            assert makers[node.input[0]].op_type == "DequantizeLinear"
            assert node.input[2] == whole[node.name].input[2]  # biases stay as they are
            count += 1
    assert count > 20


def test_what_decides_on_scores_and_boxes_stays_in_float32(graphs):
    graph, _, low = graphs
    # Pairs of rounding were added, and the learned layers alone read them.
    kept = [node for node in low.graph.node if not node.op_type.endswith("eLinear")]
    assert sorted(n.name for n in kept) == sorted(n.name for n in graph.graph.node)
    wanted = {node.name: list(node.input) for node in graph.graph.node}
    changed = {node.name for node in kept if list(node.input) != wanted[node.name]}
    assert changed and all(name.startswith("learned/") for name in changed)
    for layer in FLOAT_LAYERS:
        assert any(name.startswith(f"learned/{layer}_") for name in wanted)
        assert not any(name.startswith(f"learned/{layer}_") for name in changed)
    assert {p.key: p.value for p in low.metadata_props}["a"] == "b"
