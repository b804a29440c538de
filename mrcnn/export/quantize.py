"""Eight-bit arithmetic for an exported graph: measure ranges, then quantize.

Post-training quantization (Jacob et al. 2018) with one scale per output channel of the kernels,
and one scale and zero point per activation. `onnxruntime.quantization` writes it as pairs of
QuantizeLinear and DequantizeLinear, which ONNX Runtime and OpenVINO both turn into integer
kernels. What decides on scores and coordinates stays in float32, and so does all box arithmetic.
The ranges are measured here: its calibrator takes one molded shape alone, through files.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.data.molding import mold_inputs
from mrcnn.errors import UserError
from mrcnn.export.onnx_graph import write_graph
from mrcnn.export.onnx_layers import LEARNED
from mrcnn.export.onnx_writer import import_onnx
from mrcnn.export.sessions import Run, open_onnxruntime

# Layers that stay in float32: the first, which sees the picture itself, and those whose outputs
# are scores, coordinates and masks.
FLOAT_LAYERS = (
    "conv1",
    "rpn_class_raw",
    "rpn_bbox_pred",
    "mrcnn_class_logits",
    "mrcnn_bbox_fc",
    "mrcnn_mask",
)
_KINDS = ("Conv", "Gemm", "Add", "ConvTranspose")

Ranges = dict[str, tuple[float, float]]


def measure_ranges(
    network: keras.Model,
    images: Sequence[np.ndarray],
    config: Config,
    anchors_of: Callable[[Sequence[int]], np.ndarray],
) -> Ranges:
    """The range of every activation that `quantize` makes eight-bit.

    Args:
        network: an inference graph of `mrcnn.modeling.network.build_inference`, in float32.
        images: [H, W, C] each, typical ones, which may be molded to several shapes; never those
            of a test part.
        config: its settings.
        anchors_of: see `MaskRCNN.get_anchors`.

    Returns:
        Least and greatest value by tensor, for graphs of every shape and batch. Each is the mean
        over the images: single extremes would waste resolution.
    """
    by_shape = defaultdict(list)
    for image in images:
        molded, meta, _ = mold_inputs([image], config)
        by_shape[molded.shape[1:]].append((molded, meta))
    if not by_shape:
        raise UserError("No images were given to measure the ranges on; give at least one.")
    sums: dict[str, Any] = defaultdict(float)
    for shape, batches in by_shape.items():
        names, run = _probe(write_graph(network, shape, 1, anchors_of(shape), {}))
        found = np.array([run(batch) for batch in batches]).reshape(len(batches), len(names), 2)
        for name, bounds in zip(names, found.mean(axis=0), strict=True):
            sums[name] += bounds.astype("float64") * len(batches) / len(images)
    return {name: (float(low), float(high)) for name, (low, high) in sums.items()}


def _probe(model: Any) -> tuple[list[str], Run]:
    """The activations of a graph that become eight-bit, and what gives least and greatest value
    of each."""
    onnx = import_onnx()
    names = sorted({name for node in _chosen(model) for name in _activations(node)})
    del model.graph.output[:]
    for number, name in enumerate(names):
        for kind in ("ReduceMin", "ReduceMax"):
            output = f"{kind}_{number}"
            model.graph.node.append(onnx.helper.make_node(kind, [name], [output], keepdims=0))
            model.graph.output.append(
                onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, [])
            )
    return names, open_onnxruntime(model.SerializeToString())


def quantize(model: Any, ranges: Ranges) -> Any:
    """A copy of a graph of `mrcnn.export.onnx_graph.write_graph` (onnx.ModelProto) whose learned
    layers compute in eight bits."""
    onnx = import_onnx()
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    chosen = [node.name for node in _chosen(model)]
    whole = {node.name: list(node.input) for node in model.graph.node if node.name not in chosen}
    bounds = {name: tuple(np.float32(pair)) for name, pair in ranges.items()}
    quantizer = QDQQuantizer(
        onnx.shape_inference.infer_shapes(model),
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, bounds),
        nodes_to_quantize=chosen,
        nodes_to_exclude=[],
        op_types_to_quantize=_KINDS,
        # Biases and what a layer gives stay in float32: kernels join a rectifier to the layer.
        extra_options={"QuantizeBias": False, "OpTypesToExcludeOutputQuantization": _KINDS},
    )
    result = quantizer.quantize_model()
    for node in result.graph.node:  # which would read rounded activations too
        node.input[:] = whole.get(node.name, list(node.input))
    quantizer.model.topological_sort()
    del result.graph.value_info[:]
    result.producer_name = model.producer_name
    onnx.checker.check_model(result)
    return result


def _chosen(model: Any) -> list[Any]:
    float_layers = tuple(f"{LEARNED}{name}_" for name in FLOAT_LAYERS)
    return [
        node
        for node in model.graph.node
        if node.op_type in _KINDS
        and node.name.startswith(LEARNED)
        and not node.name.startswith(float_layers)
    ]


def _activations(node: Any) -> list[str]:
    return list(node.input if node.op_type == "Add" else node.input[:1])
