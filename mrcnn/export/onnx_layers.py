"""Learned layers and plain Keras layers as ONNX operators.

Feature maps have the channels first in the graph: what CPU kernels of ONNX Runtime and
OpenVINO want. Batch normalizations become part of the layer before them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from mrcnn.accelerate.folding import scale_and_shift
from mrcnn.errors import UserError
from mrcnn.export.onnx_writer import GraphWriter, Value

_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
LEARNED = "learned/"  # beginning of the names of what may be computed in low precision
# Axis of a layout for each axis of the Keras tensor [n, h, w, C].
_CHANNELS_AXIS = (0, 2, 3, 1)


@dataclass
class LayerWriter:
    """Translates one layer at a time."""

    graph: GraphWriter
    # Output name of a layer with weights -> names of its kernel and bias, kernel axis of its
    # outputs.
    _weighted: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    _input_shape: tuple[int | None, ...] = ()

    def write(
        self, layer: keras.Layer, inputs: Sequence[Value], input_shape: Sequence[int | None],
        foldable: bool,
    ) -> Value:  # fmt: skip
        """Translate a layer of a kind that the table at the end of the file has.

        `input_shape` is that of its first input, as Keras knows it. A batch normalization that
        is `foldable`, the only reader of its input, may become part of the layer before.
        """
        self._input_shape = tuple(input_shape)
        for kind, method in _TABLE.items():
            if isinstance(layer, kind):
                if kind is keras.layers.BatchNormalization:
                    return self._norm(layer, inputs[0], foldable)
                return method(self, layer, *inputs)
        raise UserError(
            f"Layer {layer.name!r} is a {type(layer).__name__}, which the ONNX export does not "
            "know. Use plain Keras layers in a backbone of your own, or export a SavedModel."
        )

    def plain(self, value: Value) -> Value:
        """With the axes of the Keras tensor."""
        if value.layout == "channels":
            return Value(self.graph.transpose(value.name, (0, 2, 3, 1)))
        if value.layout == "vector":
            return Value(self.graph.add("Unsqueeze", value.name, self.graph.integers(1, 2)))
        return value

    def channels(self, value: Value) -> Value:
        """[n, C, h, w]."""
        if value.layout == "plain":
            return Value(self.graph.transpose(value.name, (0, 3, 1, 2)), "channels")
        if value.layout == "vector":
            out = self.graph.add("Unsqueeze", value.name, self.graph.integers(2, 3))
            return Value(out, "channels")
        return value

    def activate(self, value: Value, activation: Callable) -> Value:
        """An activation function of Keras."""
        name = activation.__name__
        if name == "linear":
            return value
        if name == "softmax":
            value = self.plain(value)
            return Value(self.graph.add("Softmax", value.name, axis=-1))
        if name not in _ACTIVATIONS:
            raise UserError(f"Activation {name!r} is not known to the ONNX export.")
        return Value(self.graph.add(_ACTIVATIONS[name], value.name), value.layout)

    def _affine(
        self, kind: str, layer: Any, value: str, kernel: np.ndarray, axis: int, **attributes: Any
    ) -> str:
        bias = np.zeros(kernel.shape[axis], "float32") if layer.bias is None else _array(layer.bias)
        names = (
            self.graph.constant(kernel, hint=f"{layer.name}_kernel"),
            self.graph.constant(bias, hint=f"{layer.name}_bias"),
        )
        out = self.graph.add(kind, value, *names, hint=LEARNED + layer.name, **attributes)
        self._weighted[out] = (*names, axis)
        return out

    def _conv(self, layer: keras.layers.Conv2D, value: Value) -> Value:
        kernel = _array(layer.kernel)  # [kh, kw, in, out]
        size = tuple(layer.kernel_size)
        dense = layer.padding == "valid" and self._input_shape[1:3] == size
        if dense and layer.groups == 1:  # one position alone: a dense layer
            if value.layout != "vector":
                flat = self.graph.reshape(self.channels(value).name, (-1, kernel[..., 0].size))
                value = Value(flat, "vector")
            matrix = kernel.transpose(2, 0, 1, 3).reshape(-1, kernel.shape[-1])
            out = Value(self._affine("Gemm", layer, value.name, matrix, 1), "vector")
        else:
            name, kernel = self.channels(value).name, kernel.transpose(3, 2, 0, 1)
            attributes = _window(layer, size)
            attributes |= {"dilations": list(layer.dilation_rate), "group": layer.groups}
            out = Value(self._affine("Conv", layer, name, kernel, 0, **attributes), "channels")
        return self.activate(out, layer.activation)

    def _deconv(self, layer: keras.layers.Conv2DTranspose, value: Value) -> Value:
        if layer.padding != "valid":
            raise UserError(f"Layer {layer.name!r}: only padding 'valid' can be exported.")
        kernel = _array(layer.kernel).transpose(3, 2, 0, 1)  # [kh, kw, out, in]
        name, attributes = self.channels(value).name, _window(layer, layer.kernel_size)
        out = self._affine("ConvTranspose", layer, name, kernel, 1, **attributes)
        return self.activate(Value(out, "channels"), layer.activation)

    def _dense(self, layer: keras.layers.Dense, value: Value) -> Value:
        value = self.plain(value)
        kernel = _array(layer.kernel)
        if len(self._input_shape) == 2:
            out = self._affine("Gemm", layer, value.name, kernel, 1)
        else:
            out = self.graph.add("MatMul", value.name, self.graph.constant(kernel))
            if layer.bias is not None:
                out = self.graph.add("Add", out, self.graph.constant(_array(layer.bias)))
        return self.activate(Value(out), layer.activation)

    def _norm(self, layer: Any, value: Value, foldable: bool) -> Value:
        if getattr(layer, "train_bn", None):
            raise UserError(
                f"Layer {layer.name!r} normalizes by the batch it sees (TRAIN_BN = True); only "
                "stored statistics can be exported. Set TRAIN_BN to False or None."
            )
        scale, shift = scale_and_shift(layer)
        if foldable and value.name in self._weighted:
            kernel, bias, axis = self._weighted[value.name]
            constants = self.graph.constants
            shape = [-1 if i == axis else 1 for i in range(constants[kernel].ndim)]
            constants[kernel] = (constants[kernel] * scale.reshape(shape)).astype("float32")
            constants[bias] = (constants[bias] * scale + shift).astype("float32")
            return value
        shape = (-1, 1, 1) if value.layout == "channels" else (-1,)
        out = self.graph.add("Mul", value.name, self.graph.constant(scale.reshape(shape)))
        out = self.graph.add("Add", out, self.graph.constant(shift.reshape(shape)))
        return Value(out, value.layout)

    def _activation(self, layer: keras.layers.Activation, value: Value) -> Value:
        return self.activate(value, layer.activation)

    def _relu(self, layer: keras.layers.ReLU, value: Value) -> Value:
        if layer.max_value is not None or layer.negative_slope or layer.threshold:
            raise UserError(f"Layer {layer.name!r}: only a plain ReLU can be exported.")
        return self.activate(value, keras.activations.relu)

    def _add(self, layer: keras.layers.Add, first: Value, *others: Value) -> Value:
        name = first.name
        for other in others:
            # Keras numbers its own names on through a program; graphs of one network are equal.
            name = self.graph.add("Add", name, self._as(first, other).name, hint=LEARNED + "add")
        return Value(name, first.layout)

    def _concatenate(self, layer: keras.layers.Concatenate, *values: Value) -> Value:
        names = [self._as(values[0], value).name for value in values]
        axis = _CHANNELS_AXIS[layer.axis] if values[0].layout == "channels" else layer.axis
        return Value(self.graph.add("Concat", *names, axis=axis), values[0].layout)

    def _as(self, model: Value, value: Value) -> Value:
        return self.channels(value) if model.layout == "channels" else self.plain(value)

    def _pad(self, layer: keras.layers.ZeroPadding2D, value: Value) -> Value:
        (top, bottom), (left, right) = layer.padding
        pads = self.graph.integers(0, 0, top, left, 0, 0, bottom, right)
        return Value(self.graph.add("Pad", self.channels(value).name, pads), "channels")

    def _max_pool(self, layer: keras.layers.MaxPooling2D, value: Value) -> Value:
        name, attributes = self.channels(value).name, _window(layer, layer.pool_size)
        return Value(self.graph.add("MaxPool", name, **attributes), "channels")

    def _upsample(self, layer: keras.layers.UpSampling2D, value: Value) -> Value:
        if layer.interpolation != "nearest":
            raise UserError(f"Layer {layer.name!r}: only nearest upsampling can be exported.")
        attributes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        name, scales = self.channels(value).name, self.graph.numbers(1, 1, *layer.size)
        out = self.graph.add("Resize", name, "", scales, mode="nearest", **attributes)
        return Value(out, "channels")

    def _reshape(self, layer: keras.layers.Reshape, value: Value) -> Value:
        if value.layout == "vector" and len(layer.target_shape) == 1:
            return Value(value.name)
        shape = (0, *layer.target_shape)
        return Value(self.graph.reshape(self.plain(value).name, shape))


def _window(layer: Any, size: Sequence[int]) -> dict[str, Any]:
    padding = {"auto_pad": "SAME_UPPER"} if layer.padding == "same" else {}
    return {"kernel_shape": list(size), "strides": list(layer.strides), **padding}


def _array(variable: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable).astype("float32")


_TABLE = {
    keras.layers.Conv2DTranspose: LayerWriter._deconv,
    keras.layers.Conv2D: LayerWriter._conv,
    keras.layers.Dense: LayerWriter._dense,
    keras.layers.BatchNormalization: LayerWriter._norm,
    keras.layers.Activation: LayerWriter._activation,
    keras.layers.ReLU: LayerWriter._relu,
    keras.layers.Add: LayerWriter._add,
    keras.layers.Concatenate: LayerWriter._concatenate,
    keras.layers.ZeroPadding2D: LayerWriter._pad,
    keras.layers.MaxPooling2D: LayerWriter._max_pool,
    keras.layers.UpSampling2D: LayerWriter._upsample,
    keras.layers.Reshape: LayerWriter._reshape,
}
