"""Exported networks behind the interface of `MaskRCNN`: `detect --weights FILE.onnx`."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.export.formats import FORMAT_VERSION, METADATA
from mrcnn.export.onnx_graph import OUTPUTS
from mrcnn.export.onnx_writer import import_onnx
from mrcnn.export.sessions import Run, open_onnxruntime, open_openvino
from mrcnn.model import MaskRCNN

Forward = Callable[[Sequence[np.ndarray]], dict[str, np.ndarray]]

_PRECISIONS = {"onnxruntime": ("float32", "int8"), "openvino": ("float32", "bfloat16", "int8")}

# Settings that are part of a graph, so that no other value has an effect.
_IN_THE_GRAPH = (
    *("PRE_NMS_LIMIT", "POST_NMS_ROIS_INFERENCE", "RPN_NMS_THRESHOLD", "BEST_PER_CLASS"),
    *("DETECTION_MIN_CONFIDENCE", "DETECTION_MAX_INSTANCES", "DETECTION_NMS_THRESHOLD"),
)


class ExportedConfig(Config):
    """Settings of an exported network: those that its graph was made with, and what runs it."""

    RUNTIME = "onnxruntime"  # what runs an ONNX file, or "openvino"; a SavedModel has no choice
    RUNTIME_CACHE_DIR = None  # folder where OpenVINO keeps compiled graphs

    def _precisions(self) -> tuple[str, ...]:
        if self.RUNTIME not in _PRECISIONS:
            raise UserError(
                f"RUNTIME is {self.RUNTIME!r}; for an exported network it must be one of "
                f"{', '.join(map(repr, _PRECISIONS))}."
            )
        return _PRECISIONS[self.RUNTIME]


class ExportedMaskRCNN(MaskRCNN):
    """An exported network: `detect` and `detect_molded`, without a Keras network."""

    def __init__(self, path: Path, config: Config, facts: dict[str, Any], forward: Forward):
        self._given, self._path = forward, path
        self.exported_config: dict[str, Any] = facts["config"]  # of the network, as it was
        self.labels: list[str] | None = facts.get("labels")  # names of the classes by id
        self.image_shape: tuple[int, ...] = tuple(facts["image_shape"])  # [h, w, C], molded
        self._order: list[int] | None = None
        super().__init__("inference", config, path.parent)

    def build(self, mode: str, config: Config) -> None:
        """Nothing to build: the graph is in the file."""
        self._forward = self._checked

    def reorder_classes(self, order: Sequence[int]) -> None:
        """Give the classes other ids, as `mrcnn.weights.reorder_classes`."""
        self._order = list(order)
        if self.labels is not None:
            self.labels = [self.labels[i] for i in order]

    def load_weights(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not available: the weights are a part of the file."""
        raise NotImplementedError(
            f"{self._path}: an exported network has its weights inside. Export it again from "
            "the other weights."
        )

    def inspect(self, image: np.ndarray, features: bool = False) -> NoReturn:
        """Not available: see `MaskRCNN.inspect`."""
        raise NotImplementedError(
            f"{self._path}: an exported network has no intermediate stages. Use the weights file "
            "that it was exported from."
        )

    def _checked(self, inputs: Sequence[np.ndarray]) -> Any:
        if tuple(inputs[0].shape[1:]) != self.image_shape:
            raise UserError(
                f"{self._path}: made for molded images of {self.image_shape}, and this one is "
                f"{tuple(inputs[0].shape[1:])}. Export the network for this shape (`sebre "
                "export --shape`), or set IMAGE_RESIZE_MODE to 'square'."
            )
        found = self._given(inputs)
        if self._order is None:
            return found
        detections, masks = found["detections"].copy(), found["mrcnn_mask"]
        detections[..., 4] = np.argsort(self._order)[detections[..., 4].astype(int)]
        return {"detections": detections, "mrcnn_mask": masks[..., self._order]}


def load_exported(path: str | Path, runtime: str | None = None, **settings: Any) -> MaskRCNN:
    """Open a file or folder that `mrcnn.export.export_model` wrote.

    Args:
        path: an ONNX file, or the folder of a SavedModel.
        runtime: of an ONNX file: "onnxruntime" (default) or "openvino".
        **settings: of the molding, PRECISION ("bfloat16" in OpenVINO) and RUNTIME_CACHE_DIR that
            differ; those that are part of the graph (proposals, thresholds) cannot be changed.

    Returns:
        An `ExportedMaskRCNN`.
    """
    path = Path(path)
    if path.is_dir():
        facts = _facts(path, (path / METADATA).read_text(encoding="utf-8"))
        return ExportedMaskRCNN(path, _config(path, facts, settings), facts, _saved_model(path))
    content = path.read_bytes()
    onnx = import_onnx()
    try:
        texts = {p.key: p.value for p in onnx.load_from_string(content).metadata_props}
    except Exception as error:  # protobuf's DecodeError is not a ValueError
        raise _damaged(path, error) from error
    facts = _facts(path, texts.get("mask_rcnn"))
    config = _config(path, facts, {**settings, "RUNTIME": runtime or "onnxruntime"})
    if config.RUNTIME == "openvino":
        run = open_openvino(content, config.PRECISION == "bfloat16", config.RUNTIME_CACHE_DIR)
    else:
        run = open_onnxruntime(content)
    return ExportedMaskRCNN(path, config, facts, _as_outputs(run))


def _facts(path: Path, text: str | None) -> dict[str, Any]:
    try:
        facts = json.loads(text or "")
        version = int(facts["format_version"])
        facts["image_shape"], facts["config"], facts["batch"]
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(path, error) from error
    if version > FORMAT_VERSION:
        raise UserError(
            f"{path}: written in version {version} of the format, and this program reads up to "
            f"version {FORMAT_VERSION}. Update the program."
        )
    return facts


def _config(path: Path, facts: dict[str, Any], settings: dict[str, Any]) -> ExportedConfig:
    # Only the graph needs the backbone, and one of the user's own is known by its name alone.
    dropped = ("BACKBONE", "COMPUTE_BACKBONE_SHAPE")
    given = facts["config"].items()
    stored = {n: value for n, value in given if hasattr(Config, n) and n not in dropped}
    fixed = {"IMAGES_PER_GPU": facts["batch"], "GPU_COUNT": 1, "PRECISION": facts["precision"]}
    changed = [
        f"{name} {stored[name]} (asked for: {settings[name]})"
        for name in _IN_THE_GRAPH
        if name in stored and settings.get(name, stored[name]) != stored[name]
    ]
    if changed:
        raise UserError(
            f"{path}: was exported with {', '.join(changed)}, which is part of the file. Export "
            "the network with the settings that are wanted."
        )
    try:
        return ExportedConfig.from_dict({**stored, **fixed, **settings})
    except (TypeError, AttributeError) as error:
        raise _damaged(path, error) from error


def _as_outputs(run: Run) -> Forward:
    """What a runtime returns, under the names of `MaskRCNN`'s own forward call."""
    return lambda inputs: dict(zip(("detections", "mrcnn_mask"), run(inputs[:2]), strict=True))


def _saved_model(path: Path) -> Forward:
    import tensorflow as tf

    try:
        module = tf.saved_model.load(str(path))
    except (OSError, tf.errors.OpError, ValueError) as error:
        raise _damaged(path, error) from error

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        outputs = module.serve(*(tf.convert_to_tensor(i, tf.float32) for i in inputs))
        return [outputs[name].numpy() for name in OUTPUTS]

    return _as_outputs(run)


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path}: not a network exported by this program, or damaged ({error!r}). Export it again."
    )
