"""Export of the whole inference graph, as an ONNX file or a SavedModel.

Both take a molded image and its meta (see `mrcnn.data.molding.mold_inputs`) and give the
detections and their masks; anchors are inside, so that the shape of the input is fixed.
`mrcnn.export.exported_model.load_exported` gives a file the interface of `MaskRCNN` again.
"""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.backend import backend
from mrcnn.errors import UnavailableError, UserError
from mrcnn.export.onnx_graph import INPUTS, OUTPUTS, write_graph
from mrcnn.export.quantize import measure_ranges, quantize
from mrcnn.io.own_files import (
    demand_own,
    demand_own_folder,
    replace_own,
    replace_own_folder,
)
from mrcnn.model import MaskRCNN
from mrcnn.modeling.network import INFERENCE_OUTPUTS, demand_whole_cells

FORMATS = ("onnx", "saved_model")
FORMAT_VERSION = 1
METADATA = "mask_rcnn.json"  # beside a SavedModel's own files


def export_model(
    model: MaskRCNN,
    path: str | Path,
    format: str = "onnx",
    precision: str = "float32",
    images: Sequence[np.ndarray] | None = None,
    labels: Sequence[str] | None = None,
    image_shape: Sequence[int] | None = None,
) -> Path:
    """Write the inference graph of a network with its weights and settings.

    Args:
        model: in inference mode, with weights.
        path: a file for "onnx", a folder for "saved_model"; what is there is replaced if an export
            wrote it and it is unchanged, else refused.
        format: "onnx", which ONNX Runtime and OpenVINO run, or "saved_model", which
            TensorFlow runs.
        precision: "float32", or for "onnx" "int8" (see `mrcnn.export.quantize`).
        images: for "int8": pictures [H, W, C] to measure ranges on; some dozens of a training
            part, never of a test part.
        labels: names of the classes by id, background first, to be kept in the file; None takes
            the setting CLASS_NAMES, if that names them.
        image_shape: [h, w, C] of the molded images; None for `config.IMAGE_SHAPE`. The batch
            is `config.BATCH_SIZE`.

    Returns:
        The path.
    """
    if model.mode != "inference":
        raise UserError(
            f"Only a network in inference mode can be exported, and this one was built in "
            f"{model.mode} mode: MaskRCNN(mode='inference', ...)."
        )
    if format not in FORMATS:
        raise UserError(f"Format {format!r} is unknown; use one of {', '.join(FORMATS)}.")
    if precision not in ("float32", "int8") or (precision == "int8" and format != "onnx"):
        raise UserError(
            f"Precision {precision!r} cannot be exported as {format}; use 'float32', or 'int8' "
            "with 'onnx'."
        )
    if precision == "int8" and not images:
        raise UserError(
            "Precision 'int8' needs images to measure the ranges of the activations on: give "
            "some dozens of training images."
        )
    demand_export_path(path, format)
    if labels is None and model.config.CLASS_NAMES is not None:
        labels = ["background", *model.config.CLASS_NAMES]
    shape = [int(v) for v in (model.config.IMAGE_SHAPE if image_shape is None else image_shape)]
    demand_whole_cells(shape)
    facts = {
        "format_version": FORMAT_VERSION,
        "image_shape": shape,
        "batch": int(model.config.BATCH_SIZE),
        "precision": precision,
        "labels": None if labels is None else list(labels),
        "config": model.config.to_dict(),
    }
    path = Path(path)
    if format == "saved_model":
        _write_saved_model(model, path, facts)
    else:
        graph = _onnx(model, facts, images)
        replace_own(path, lambda part: part.write_bytes(graph.SerializeToString()))
    return path


def demand_export_path(path: str | Path, format: str) -> None:
    """Raise a UserError unless an export can be written there without a loss."""
    if format == "saved_model":
        demand_own_folder(path)
    else:
        demand_own([path])


def _onnx(model: MaskRCNN, facts: dict[str, Any], images: Sequence[np.ndarray] | None) -> Any:
    shape = facts["image_shape"]
    anchors = model.get_anchors(shape)
    metadata = {"mask_rcnn": json.dumps(facts)}
    graph = write_graph(model.keras_model, shape, facts["batch"], anchors, metadata)
    if facts["precision"] == "float32":
        return graph
    ranges = measure_ranges(model.keras_model, images, model.config, model.get_anchors)
    return quantize(graph, ranges)


def _write_saved_model(model: MaskRCNN, path: Path, facts: dict[str, Any]) -> None:
    if backend() != "tensorflow":
        raise UserError(
            f"A SavedModel can be written with KERAS_BACKEND=tensorflow alone, not {backend()}; "
            "use format 'onnx'."
        )
    import tensorflow as tf

    batch, shape = facts["batch"], facts["image_shape"]
    anchors = np.repeat(model.get_anchors(shape)[None], batch, axis=0)
    network = model.keras_model

    def serve(image: Any, meta: Any) -> dict[str, Any]:
        outputs = network([image, meta, tf.constant(anchors)], training=False)
        found = dict(zip(INFERENCE_OUTPUTS, outputs, strict=True))
        return dict(zip(OUTPUTS, (found["detections"], found["mrcnn_mask"]), strict=True))

    archive = keras.export.ExportArchive()
    archive.track(network)
    shapes = ([batch, *shape], [batch, network.inputs[1].shape[1]])
    signature = [tf.TensorSpec(s, name=name) for s, name in zip(shapes, INPUTS, strict=True)]
    archive.add_endpoint("serve", serve, signature)

    def write(part: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TensorFlow's own making
            archive.write_out(str(part), verbose=False)
        (part / METADATA).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    try:
        replace_own_folder(path, write)
    except UserError:
        raise
    except (OSError, tf.errors.OpError) as error:
        raise UnavailableError(
            f"{path}: could not be written ({error}). The folder around it must exist and be "
            "writable, with enough free space."
        ) from error
