"""`sebre export`: writes a network for other runtimes; the benchmark takes its samples too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.export.formats import demand_export_path, export_model
from sebre.experiments.base import Experiment
from sebre.networks.segmenter import demand_mask_rcnn, load_segmenter
from sebre.networks.train import training_sets

_SAMPLES = 32  # sections that the ranges for int8 are measured on


def export_network(
    experiment: Experiment,
    weights: str | Path,
    path: str | Path,
    form: str = "onnx",
    precision: str = "float32",
    calibrate: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    shape: Sequence[int] | None = None,
) -> Path:
    """Write a network with everything that `detect` needs; see `mrcnn.export.export_model`.

    Args:
        experiment: that the weights belong to.
        weights: name in the manifest, or path.
        path: to write: a file for "onnx", a folder for "saved_model". What is there is replaced
            only if an export wrote it.
        form: "onnx" or "saved_model".
        precision: "float32" or, for "onnx", "int8".
        calibrate: prepared data set, on whose training part the ranges for "int8" are measured.
        settings: of the configuration, that differ from those of the weights.
        shape: (h, w) px of the molded images; None for that of the configuration.

    Returns:
        The path.
    """
    if precision == "int8" and calibrate is None:
        raise UserError(
            "int8 needs typical sections to measure the ranges of the activations on: give a "
            "prepared data set (--calibrate), whose training part is used."
        )
    demand_export_path(path, form)
    segmenter = demand_mask_rcnn(load_segmenter(weights, experiment, **(settings or {})))
    images = calibration_images(experiment, calibrate) if precision == "int8" else None
    molded = None if shape is None else (*shape, segmenter.config.IMAGE_CHANNEL_COUNT)
    return export_model(segmenter.model, path, form, precision, images, None, molded)


def calibration_images(experiment: Experiment, dataset: str | Path) -> list[np.ndarray]:
    """Up to 32 sections spread evenly over the training part of a prepared data set."""
    sections, _ = training_sets(experiment, dataset)
    count = min(_SAMPLES, sections.num_images)
    rows = np.linspace(0, sections.num_images - 1, count).round().astype(int)
    return [sections.load_image(row) for row in rows]
