"""Opens ONNX graphs in ONNX Runtime and OpenVINO, as functions of NumPy arrays."""

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from mrcnn.backend import usable_cores
from mrcnn.errors import MissingPackageError

# Thread-safe: float32 inputs -> outputs, both in the order of the graph.
Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


def threads() -> int:
    """Threads a session takes: OMP_NUM_THREADS if it is set, else the cores this process may
    use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else usable_cores()


def open_onnxruntime(graph: bytes) -> Run:
    """A graph, which is a serialized onnx.ModelProto, in ONNX Runtime on the CPU."""
    onnxruntime = _package("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        feeds = {n: np.asarray(i, "float32") for n, i in zip(names, inputs, strict=True)}
        return session.run(None, feeds)

    return run


def open_openvino(graph: bytes, bfloat16: bool = False, cache: str | Path | None = None) -> Run:
    """A graph, which is a serialized onnx.ModelProto, in OpenVINO on the CPU.

    Convolutions may compute in bfloat16. The cache is a folder that keeps compiled graphs;
    OpenVINO tells them apart by their content.
    """
    openvino = _package("openvino")
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
    }
    if cache is not None:
        settings["CACHE_DIR"] = str(cache)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(graph), "CPU", settings)
    names = [i.any_name for i in compiled.inputs]

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        feeds = {n: np.ascontiguousarray(i, "float32") for n, i in zip(names, inputs, strict=True)}
        request = compiled.create_infer_request()  # one per call: requests are not shared
        results = request.infer(feeds, share_inputs=True)
        return [np.array(results[output]) for output in compiled.outputs]

    return run


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"Exported networks need the package {name}, which is not installed: "
            f"pip install {name} onnx (or: pip install 'sebre[export]')."
        ) from error
