"""ONNX Runtime and OpenVINO in place of Keras behind `MaskRCNN.detect` (RUNTIME).

Both compute on the CPU, from the weights that the Keras network holds.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from mrcnn.accelerate.watching import watch_assignments
from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.export.onnx_graph import write_graph
from mrcnn.export.quantize import Ranges, measure_ranges, quantize
from mrcnn.export.sessions import Run, open_onnxruntime, open_openvino

Inputs = Sequence[np.ndarray]


class RuntimeForward:
    """A function inputs -> outputs, compiled by another runtime once for each shape.

    It may be called from several threads. A later assignment to the model's variables is
    noticed: graphs are then written and compiled anew.

    Args:
        model: an inference graph of `mrcnn.modeling.network.build_inference`, in float32.
        config: its settings; RUNTIME, PRECISION and RUNTIME_CACHE_DIR are used.

    Call arguments:
        inputs: molded images [B, h, w, C], image metas [B, 12 + C], anchors [B, A, 4].

    Returns:
        [detections [B, D, 6], None, None, masks [B, D, h', w', C]], places as in the
        model's outputs; the others are not computed.

    Raises:
        ModuleNotFoundError: a package of the runtime is not installed.
        ValueError: the graph cannot be exported; or PRECISION is "int8" and `calibrate` was
            not called.
    """

    def __init__(self, model: keras.Model, config: Config):
        self._model, self._config = model, config
        self._lock = threading.RLock()
        self._runs: dict[tuple, Run] = {}
        self._measure: Callable[[], Ranges] | None = None
        self._ranges: Ranges | None = None
        watch_assignments(model, self.forget)

    def __call__(self, inputs: Inputs) -> list[Any]:
        images, metas, anchors = inputs
        with self._lock:
            run = self._runs.get(images.shape)
            if run is None:
                run = self._runs[images.shape] = self._open(images.shape, anchors[0])
        detections, masks = run([images, metas])
        return [detections, None, None, masks]

    def forget(self) -> None:
        """Drop what was compiled, and the ranges measured; the next call starts anew."""
        with self._lock:
            self._runs.clear()
            self._ranges = None

    def calibrate(
        self, images: Sequence[np.ndarray], anchors_of: Callable[[Sequence[int]], np.ndarray]
    ) -> None:
        """Set what the ranges of the activations are measured on, for PRECISION "int8".

        Arguments are those of `mrcnn.export.quantize.measure_ranges`, which the next call runs.
        """
        if not images:
            raise UserError("No images were given to measure ranges on; give at least one.")
        with self._lock:
            self.forget()
            self._measure = functools.partial(
                measure_ranges, self._model, images, self._config, anchors_of
            )

    def _open(self, shape: Sequence[int], anchors: np.ndarray) -> Run:
        graph = write_graph(self._model, shape[1:], shape[0], anchors, {})
        if self._config.PRECISION == "int8":
            graph = quantize(graph, self._measured())
        content = graph.SerializeToString()
        if self._config.RUNTIME == "onnxruntime":
            return open_onnxruntime(content)
        bfloat16 = self._config.PRECISION == "bfloat16"
        return open_openvino(content, bfloat16, self._config.RUNTIME_CACHE_DIR)

    def _measured(self) -> Ranges:
        if self._measure is None:
            raise UserError(
                "PRECISION 'int8' needs the ranges of the activations: call "
                "calibrate(images) with some training images first, or load an exported file."
            )
        if self._ranges is None:
            self._ranges = self._measure()
        return self._ranges


def open_graph(content: bytes, config: Config) -> Callable[[Inputs], list[Any]]:
    """An exported graph as a function like `RuntimeForward`.

    Args:
        content: of an ONNX file.
        config: RUNTIME ("keras" is taken as ONNX Runtime), PRECISION and RUNTIME_CACHE_DIR.
    """
    if config.RUNTIME == "openvino":
        run = open_openvino(content, config.PRECISION == "bfloat16", config.RUNTIME_CACHE_DIR)
    else:
        run = open_onnxruntime(content)

    def forward(inputs: Inputs) -> list[Any]:
        detections, masks = run(inputs[:2])
        return [detections, None, None, masks]

    return forward
