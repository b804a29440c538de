"""Eight-bit arithmetic for an exported graph: measure ranges, then quantize.

Post-training quantization with one scale an output channel of the kernels and one scale and
zero point an activation (Jacob et al. 2018), written as QuantizeLinear/DequantizeLinear pairs
that ONNX Runtime and OpenVINO both turn into integer kernels. What decides on scores and
coordinates stays in float32, and so does all box arithmetic.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.data.molding import mold_inputs
from mrcnn.errors import UserError
from mrcnn.export.onnx_graph import write_graph
from mrcnn.export.onnx_layers import LEARNED
from mrcnn.export.onnx_writer import import_onnx
from mrcnn.export.sessions import open_onnxruntime

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
_KERNEL_AXIS = {"Conv": 0, "Gemm": 1, "ConvTranspose": 1}  # of the output channels

Ranges = dict[str, tuple[float, float]]


def measure_ranges(
    network: keras.Model,
    images: Sequence[np.ndarray],
    config: Config,
    anchors_of: Callable[[Sequence[int]], np.ndarray],
) -> Ranges:
    """`calibrate` a network on pictures, which may be molded to several shapes.

    The ranges hold for graphs of every shape and batch.

    Args:
        network: an inference graph of `mrcnn.modeling.network.build_inference`, in float32.
        images: [H, W, C] each, typical ones; never those of a test part.
        config: its settings.
        anchors_of: see `MaskRCNN.get_anchors`.

    Raises:
        ValueError: no images.
    """
    by_shape = defaultdict(list)
    for image in images:
        molded, meta, _ = mold_inputs([image], config)
        by_shape[molded.shape[1:]].append((molded, meta))
    if not by_shape:
        raise UserError("No images were given to measure the ranges on; give at least one.")
    sums: dict[str, Any] = defaultdict(float)
    for shape, batches in by_shape.items():
        probe = write_graph(network, shape, 1, anchors_of(shape), {})
        for name, bounds in calibrate(probe, batches).items():
            sums[name] += np.array(bounds) * len(batches) / len(images)
    return {name: (float(low), float(high)) for name, (low, high) in sums.items()}


def calibrate(model: Any, batches: Iterable[Sequence[np.ndarray]]) -> Ranges:
    """Measure the range of every activation that `quantize` makes eight-bit.

    Args:
        model: onnx.ModelProto of `mrcnn.export.onnx_graph.write_graph`.
        batches: inputs of the graph, one at least.

    Returns:
        Least and greatest value by tensor, each the mean over the batches: single extremes
        would waste resolution.
    """
    onnx = import_onnx()
    watched = sorted({name for node in _chosen(model) for name in _activations(node)})
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    for number, name in enumerate(watched):
        for kind in ("ReduceMin", "ReduceMax"):
            output = f"{kind}_{number}"
            probe.graph.node.append(onnx.helper.make_node(kind, [name], [output], keepdims=0))
            probe.graph.output.append(
                onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, [])
            )
    run = open_onnxruntime(probe.SerializeToString())
    found = np.array([run(batch) for batch in batches])
    means = found.reshape(len(found), len(watched), 2).mean(axis=0)
    return {
        name: (float(low), float(high)) for name, (low, high) in zip(watched, means, strict=True)
    }


def quantize(model: Any, ranges: Ranges, keep: Sequence[str] = ()) -> Any:
    """A copy of a graph whose learned layers compute in eight bits.

    Args:
        model: onnx.ModelProto that `calibrate` took.
        ranges: what it gave.
        keep: further layers to leave in float32, by name.

    Returns:
        onnx.ModelProto.
    """
    onnx = import_onnx()
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    arrays = {t.name: t for t in graph.initializer}
    nodes: list[Any] = []
    rounded: dict[str, str] = {}  # activation -> its eight-bit twin
    added: dict[str, np.ndarray] = {}

    def scale_pair(name: str, scale: Any, zero: np.ndarray) -> list[str]:
        added[f"{name}/scale"] = np.asarray(scale, "float32")
        added[f"{name}/zero"] = zero
        return [f"{name}/scale", f"{name}/zero"]

    def twin(name: str) -> str:
        if name not in rounded:
            pair = scale_pair(name, *_activation_scale(*ranges[name]))
            pending.append(
                onnx.helper.make_node("QuantizeLinear", [name, *pair], [f"{name}/integer"])
            )
            pending.append(
                onnx.helper.make_node(
                    "DequantizeLinear", [f"{name}/integer", *pair], [f"{name}/rounded"]
                )
            )
            rounded[name] = f"{name}/rounded"
        return rounded[name]

    chosen = {node.name for node in _chosen(model, keep)}
    for node in graph.node:
        pending: list[Any] = []
        if node.name in chosen:
            activations = _activations(node)
            for place, name in enumerate(node.input):
                if name in activations:
                    node.input[place] = twin(name)
            if node.op_type != "Add":
                kernel = node.input[1]
                if f"{kernel}/scale" not in added:
                    axis = _KERNEL_AXIS[node.op_type]
                    array = onnx.numpy_helper.to_array(arrays[kernel])
                    scale, whole = _kernel_scale(array, axis)
                    pair = scale_pair(kernel, scale, np.zeros(len(scale), "int8"))
                    added[f"{kernel}/integer"] = whole
                    pending.append(
                        onnx.helper.make_node(
                            "DequantizeLinear",
                            [f"{kernel}/integer", *pair],
                            [f"{kernel}/rounded"],
                            axis=axis,
                        )
                    )
                node.input[1] = f"{kernel}/rounded"
        nodes += [*pending, node]
    used = {name for node in nodes for name in node.input}
    kept = [t for t in graph.initializer if t.name in used]
    kept += [onnx.numpy_helper.from_array(a, n) for n, a in added.items()]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    onnx.checker.check_model(result)
    return result


def _chosen(model: Any, keep: Sequence[str] = ()) -> list[Any]:
    float_layers = tuple(f"{LEARNED}{name}_" for name in (*FLOAT_LAYERS, *keep))
    return [
        node
        for node in model.graph.node
        if node.op_type in _KINDS
        and node.name.startswith(LEARNED)
        and not node.name.startswith(float_layers)
    ]


def _activations(node: Any) -> list[str]:
    return list(node.input if node.op_type == "Add" else node.input[:1])


def _activation_scale(low: float, high: float) -> tuple[float, np.ndarray]:
    """Scale and zero point (uint8) of a range, which always takes in 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255 or 1.0
    return scale, np.array(round(-low / scale), "uint8")


def _kernel_scale(kernel: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale of each output channel, and the kernel in int8."""
    others = tuple(i for i in range(kernel.ndim) if i != axis)
    greatest = np.abs(kernel).max(axis=others)
    scale = np.where(greatest > 0, greatest / 127, 1.0).astype("float32")
    shape = [-1 if i == axis else 1 for i in range(kernel.ndim)]
    return scale, np.round(kernel / scale.reshape(shape)).clip(-127, 127).astype("int8")
