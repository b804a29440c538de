"""The whole inference graph as one ONNX model, written layer by layer of the Keras graph.

`mrcnn.export.formats` and `mrcnn.export.quantize` call it.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from mrcnn.export.onnx_layers import LayerWriter
from mrcnn.export.onnx_stages import StageWriter
from mrcnn.export.onnx_writer import GraphWriter, Value
from mrcnn.modeling.detection import DetectionLayer
from mrcnn.modeling.heads import FoldROIs, UnfoldROIs
from mrcnn.modeling.network import INFERENCE_OUTPUTS, Apply
from mrcnn.modeling.proposals import ProposalLayer
from mrcnn.modeling.roi_align import PyramidROIAlign

INPUTS = ("input_image", "input_image_meta")
OUTPUTS = ("mrcnn_detection", "mrcnn_mask")


def write_graph(
    model: keras.Model,
    image_shape: Sequence[int],
    batch: int,
    anchors: np.ndarray,
    metadata: dict[str, str],
) -> Any:
    """An inference graph of `mrcnn.modeling.network.build_inference` for one fixed shape of its
    inputs.

    Args:
        model: [input_image, input_image_meta, input_anchors] -> [detections, .., masks, ..].
        image_shape: [h, w, C] of the molded images, px.
        batch: images per call.
        anchors: float32 [A, 4], normalized; they become part of the graph.
        metadata: texts that travel with the file.

    Returns:
        onnx.ModelProto: float32 input_image [batch, h, w, C], input_image_meta [batch, 12 + C]
        -> mrcnn_detection [batch, D, 6], mrcnn_mask [batch, D, h', w', C], as `MaskRCNN`'s
        Keras model gives them.
    """
    graph = GraphWriter()
    height, width = (int(v) for v in image_shape[:2])
    rois = next(layer for layer in model.layers if isinstance(layer, PyramidROIAlign))
    maps = rois.input[2:]
    cells = [(math.ceil(height / s), math.ceil(width / s)) for s in (4, 8, 16, 32)]
    stages = StageWriter(graph, batch, height, width, cells[: len(maps)], anchors)
    writer = _Walk(graph, LayerWriter(graph), stages)
    names = (*INPUTS, "anchors")
    values = {id(t): Value(name) for t, name in zip(model.inputs, names, strict=True)}
    writer.walk(model, values)
    found = dict(zip(INFERENCE_OUTPUTS, model.outputs, strict=True))
    tensors = dict(zip(OUTPUTS, (found["detections"], found["mrcnn_mask"]), strict=True))
    shapes = ([batch, *map(int, image_shape)], [batch, model.inputs[1].shape[1]])
    outputs = {
        name: (writer.layers.plain(values[id(t)]).name, [batch, *t.shape[1:]])
        for name, t in tensors.items()
    }
    return graph.finish(dict(zip(INPUTS, shapes, strict=True)), outputs, metadata)


@dataclass
class _Walk:
    graph: GraphWriter
    layers: LayerWriter
    stages: StageWriter

    def walk(self, model: keras.Model, values: dict[int, Value]) -> None:
        """Translate every layer of a model; fills `values`, by id of the Keras tensor."""
        uses = Counter(id(t) for node in _nodes(model) for t in node.input_tensors)
        uses.update(id(t) for t in model.outputs)
        for node in _nodes(model):
            inputs = [values[id(t)] for t in node.input_tensors]
            shapes = [t.shape for t in node.input_tensors]
            layer = node.operation
            if isinstance(layer, keras.Model):
                inner = {id(t): v for t, v in zip(layer.inputs, inputs, strict=True)}
                self.walk(layer, inner)
                results = [inner[id(t)] for t in layer.outputs]
            else:
                foldable = uses[id(node.input_tensors[0])] == 1
                results = [self._translate(layer, inputs, shapes, foldable)]
            for tensor, value in zip(node.outputs, results, strict=True):
                values[id(tensor)] = value

    def _translate(
        self, layer: keras.Layer, inputs: list[Value], shapes: list[tuple], foldable: bool
    ) -> Value:
        graph, plain = self.graph, self.layers.plain
        if isinstance(layer, ProposalLayer):
            return self.stages.proposals(layer, *(plain(v).name for v in inputs[:2]))
        if isinstance(layer, PyramidROIAlign):
            maps = [self.layers.channels(v).name for v in inputs[2:]]
            return self.stages.crops(layer, plain(inputs[0]).name, maps, shapes[0][1])
        if isinstance(layer, DetectionLayer):
            names = [plain(v).name for v in inputs]
            return self.stages.detections(layer, *names, *shapes[1][1:3])
        if isinstance(layer, FoldROIs) and inputs[0].layout == "rois":
            return Value(inputs[0].name, "channels")
        if isinstance(layer, UnfoldROIs):
            shape = (self.stages.batch, *layer.shape)
            return Value(graph.reshape(plain(inputs[0]).name, shape))
        if isinstance(layer, Apply) and layer.name == "detection_boxes":
            return Value(graph.slice(inputs[0].name, 0, 4, 2))
        return self.layers.write(layer, inputs, shapes[0], foldable)


def _nodes(model: keras.Model) -> Iterator[Any]:
    """The calls of layers that make up a functional model, each after those it needs."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                yield node
