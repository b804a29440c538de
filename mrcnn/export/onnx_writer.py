"""Writes an ONNX graph node by node, whatever the network.

spox and onnxscript would add a package to install and save the twenty lines of `add` alone.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from mrcnn.errors import MissingPackageError

OPSET = 17
_IR_VERSION = 8  # of the file; what readers of this operator set understand


def import_onnx() -> ModuleType:
    """The package onnx, or a message that says how to install it."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "ONNX files need the package onnx, which is not installed: "
            "pip install 'sebre[export]' (or: pip install onnx onnxruntime openvino)."
        ) from error
    return onnx


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Attributes:
        name: in the graph.
        layout: how its axes relate to those of the Keras tensor that it stands for.
            "plain": the same. "channels": [n, C, h, w] for [n, h, w, C]. "rois":
            [B * N, C, h, w] for [B, N, h, w, C]. "vector": [n, C] for [n, 1, 1, C].
    """

    name: str
    layout: str = "plain"


@dataclass
class GraphWriter:
    """Collects nodes and constants."""

    # Arrays by name; weights may be replaced until `finish`.
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    _nodes: list[Any] = field(default_factory=list)  # onnx.NodeProto
    _numbers: Any = field(default_factory=itertools.count)

    def fresh(self, hint: str) -> str:
        """A name that is not in use."""
        return f"{hint}_{next(self._numbers)}"

    def constant(self, array: Any, dtype: str = "float32", hint: str = "constant") -> str:
        """Add an array; returns its name."""
        name = self.fresh(hint)
        self.constants[name] = np.array(array, dtype, order="C")
        return name

    def add(self, kind: str, *inputs: str, outputs: int = 1, hint: str = "", **attributes) -> Any:
        """Add an operator; the name of its output, or a tuple of names if there are several.

        An input that is left out is ""; the name begins with the hint.
        """
        names = [self.fresh(hint or kind.lower()) for _ in range(outputs)]
        make_node = import_onnx().helper.make_node
        self._nodes.append(make_node(kind, inputs, names, name=names[0], **attributes))
        return names[0] if outputs == 1 else tuple(names)

    def numbers(self, *values: float) -> str:
        """A float32 vector; without an axis if there is one value alone."""
        return self.constant(values[0] if len(values) == 1 else values)

    def integers(self, *values: int) -> str:
        """An int64 vector."""
        return self.constant(values, "int64")

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """Reshape; one side may be -1."""
        return self.add("Reshape", name, self.integers(*shape))

    def transpose(self, name: str, order: Sequence[int]) -> str:
        """Exchange axes."""
        return self.add("Transpose", name, perm=list(order))

    def slice(self, name: str, start: int, stop: int, axis: int) -> str:
        """start:stop of one axis."""
        bounds = (self.integers(v) for v in (start, stop, axis))
        return self.add("Slice", name, *bounds)

    def unsqueeze(self, name: str, axis: int) -> str:
        """A new axis of length 1."""
        return self.add("Unsqueeze", name, self.integers(axis))

    def rows(self, table: str, indices: str, batch_dims: int = 1) -> str:
        """Rows of a table [.., A, x] by indices [.., K]: [.., K, x]."""
        return self.add("GatherND", table, self.unsqueeze(indices, -1), batch_dims=batch_dims)

    def finish(
        self,
        inputs: dict[str, Sequence[int]],
        outputs: dict[str, tuple[str, Sequence[int]]],
        metadata: dict[str, str],
    ) -> Any:
        """The model (onnx.ModelProto), checked, without what no output needs.

        Args:
            inputs: shape by name, float32.
            outputs: by name: the value it is given by, and its shape; float32.
            metadata: texts that travel with the file.
        """
        onnx = import_onnx()
        helper, kinds = onnx.helper, onnx.TensorProto
        for name, (value, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        needed, nodes = set(outputs), []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                nodes.append(node)
        shapes = (inputs, {name: shape for name, (_, shape) in outputs.items()})
        ends = [
            [helper.make_tensor_value_info(n, kinds.FLOAT, list(s)) for n, s in by_name.items()]
            for by_name in shapes
        ]
        used = {n: array for n, array in self.constants.items() if n in needed}
        arrays = [onnx.numpy_helper.from_array(array, n) for n, array in used.items()]
        graph = helper.make_graph(nodes[::-1], "mask_rcnn", *ends, arrays)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(
            graph, producer_name="mrcnn", opset_imports=opsets, ir_version=_IR_VERSION
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return model
