"""Tensors inside the inference graph, by the names of Matterport's notebooks, and their values.

`MaskRCNN.ancestor` and `MaskRCNN.run_graph` are made of these.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mrcnn.errors import UserError
from mrcnn.modeling.heads import FoldROIs, UnfoldROIs
from mrcnn.modeling.layers import graph_nodes
from mrcnn.modeling.network import Apply

# Nodes of TensorFlow 1, and what `ProposalLayer.stages` calls them. The suppression has other
# names from TensorFlow 1.4 and 1.9 on; notebooks try one after the other.
_SUPPRESSION = "ROI/rpn_non_max_suppression"
_NODES = {
    "ROI/pre_nms_anchors:0": "pre_nms_anchors",
    "ROI/refined_anchors:0": "refined_anchors",
    "ROI/refined_anchors_clipped:0": "refined_anchors_clipped",
    f"{_SUPPRESSION}:0": "post_nms_indices",
    f"{_SUPPRESSION}/NonMaxSuppressionV2:0": "post_nms_indices",
    f"{_SUPPRESSION}/NonMaxSuppressionV3:0": "post_nms_indices",
}


def node_tensor(model: keras.Model, name: str | re.Pattern) -> keras.KerasTensor:
    """A symbolic tensor inside "ROI", the proposal layer of an inference graph.

    Args:
        model: of `mrcnn.modeling.network.build_inference`.
        name: one of _NODES, or a regular expression that matches one.

    Returns:
        Normalized boxes [B, K, 4]; or for the suppression the rows int32 [N] of them that the first
        image keeps, best first.

    Raises:
        UserError: no such name.
    """
    # Keras used to number layers of one name.
    pattern = re.compile(name.replace("/", r"(_\d+)*/") if isinstance(name, str) else name)
    stage = next((_NODES[node] for node in _NODES if pattern.fullmatch(node)), None)
    if stage is None:
        raise UserError(
            f"ancestor() does not find {name!r}; there is {', '.join(_NODES)}. The output of a "
            "layer is keras_model.get_layer(NAME).output; inspect(image) gives every stage."
        )
    layer = model.get_layer("ROI")

    def boxes(*inputs: Any) -> Any:
        return layer.stages(inputs)[stage]

    def rows(*inputs: Any) -> Any:
        stages = layer.stages(inputs)
        count = ops.sum(ops.cast(stages["post_nms_kept"][0], "int32"))
        return stages[stage][0, :count]

    if stage == "post_nms_indices":
        return Apply(rows, (None,), "int32")(layer.input)
    return Apply(boxes, (None, None, 4))(layer.input)


def tensor_values(
    model: keras.Model, inputs: Sequence[np.ndarray], outputs: Any
) -> OrderedDict[str, np.ndarray]:
    """Values of symbolic tensors of an inference graph.

    Args:
        model: of `mrcnn.modeling.network.build_inference`.
        inputs: of the model, for B images.
        outputs: pairs (key, tensor).

    Returns:
        Arrays [B, ...] by key, in the order of `outputs`; what the heads compute for N ROIs of an
        image is [B, N, ...].

    Raises:
        UserError: what is not a tensor of this graph.
    """
    wanted = OrderedDict(outputs)
    for key, tensor in wanted.items():
        if not isinstance(tensor, keras.KerasTensor):
            raise UserError(
                f"run_graph() cannot give {key!r}: {tensor!r} is not a symbolic tensor of "
                "keras_model. Take keras_model.get_layer(NAME).output, or inspect(image)."
            )
    try:
        part = keras.Model(model.inputs, dict(wanted))
    except ValueError as error:
        raise UserError(
            f"run_graph() cannot give all of {', '.join(wanted)} from the inputs of keras_model: "
            f"{error} Take outputs of its own layers, keras_model.get_layer(NAME).output."
        ) from error
    # Operation by operation: each set of outputs is asked for once or twice, too seldom to compile.
    values = part([ops.convert_to_tensor(i, dtype="float32") for i in inputs], training=False)
    folded, count = _folded(model), len(inputs[0])
    for key, tensor in wanted.items():
        array = ops.convert_to_numpy(values[key])
        if id(tensor) in folded:
            array = array.reshape(count, -1, *array.shape[1:])
        wanted[key] = array
    return wanted


def _folded(model: keras.Model) -> set[int]:
    """Ids of the tensors that have the ROIs of all images on their first axis."""
    found: set[int] = set()
    for node in graph_nodes(model):
        inside = isinstance(node.operation, FoldROIs) or found & set(map(id, node.input_tensors))
        if inside and not isinstance(node.operation, UnfoldROIs):
            found |= set(map(id, node.outputs))
    return found
