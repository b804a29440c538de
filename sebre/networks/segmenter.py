"""One interface for every network that segments sections, and how a weights file becomes one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.errors import UserError, reading
from mrcnn.export.exported_model import ExportedMaskRCNN, load_exported
from mrcnn.imageio.contrast import BITS
from mrcnn.imageio.header import EVERYTHING, Choice
from mrcnn.imageio.reading import read_picture
from mrcnn.model import MaskRCNN
from mrcnn.structures.mask_formats import select_masks
from mrcnn.weights.layer_match import listed
from mrcnn.weights.loading import reorder_classes
from sebre.data.regions import RegionSet
from sebre.drawing.overlay import label_map
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import Experiment, with_settings
from sebre.networks.any_section import AnySectionConfig, load_any_section
from sebre.networks.region_match import class_order, experiment_of, warn_once
from sebre.networks.rivals import LOADED_KINDS, NNUNET
from sebre.networks.rivals.nnunet import APPLIED
from sebre.networks.training_run import MAY_CHANGE, weights_of_run
from sebre.networks.unet import UNetSegmenter
from sebre.networks.weights_store import (
    BACKBONE,
    NEURITES,
    WeightsFile,
    find_weights,
    network_of,
    settings_inside,
    stored_settings,
)

__all__ = [
    "MaskRCNNSegmenter",
    "Segmenter",
    "UNetSegmenter",
    "best_labels",
    "best_per_region",
    "count_parameters",
    "demand_mask_rcnn",
    "find_network",
    "load_segmenter",
    "read_image",
]

_ON_TISSUE = "ONLY_ON_TISSUE"
# Settings by which a network sees another picture, or is another one.
_SEEN_BY = (
    *("BACKBONE", "BACKBONE_WIDTH", "IMAGE_RESIZE_MODE", "IMAGE_MIN_DIM", "IMAGE_MAX_DIM"),
    *("RPN_ANCHOR_SCALES", "ROI_ALIGN", "CONTRAST"),
)
# Settings of how detections are chosen, which networks that label pixels have and do not use.
_OF_DETECTIONS = (
    *("DETECTION_MIN_CONFIDENCE", "DETECTION_MAX_INSTANCES", "DETECTION_NMS_THRESHOLD"),
    "BEST_PER_CLASS",
)


class Segmenter(Protocol):
    """A network ready to segment sections, of whatever kind."""

    config: Config
    keras_model: keras.Model  # the network alone, with weights
    regions: RegionSet
    weights: WeightsFile  # where the weights came from
    network: ClassVar[str]  # its kind, in words

    def detect(self, images: Sequence[Any], masks: str = "full") -> list[dict[str, Any]]:
        """Find the regions of each image; see `MaskRCNN.detect`."""
        ...


@dataclass
class MaskRCNNSegmenter:
    """A Mask R-CNN ready to segment sections: a `Segmenter`."""

    model: MaskRCNN  # in inference mode, with weights
    regions: RegionSet
    weights: WeightsFile
    network: ClassVar[str] = "Mask R-CNN"

    @property
    def config(self) -> Config:
        """Its settings."""
        return self.model.config

    @property
    def keras_model(self) -> keras.Model:
        """The network alone."""
        return self.model.keras_model

    def detect(self, images: Sequence[Any], masks: str = "full") -> list[dict[str, Any]]:
        """See `MaskRCNN.detect`."""
        return self.model.detect(images, masks=masks)


def load_segmenter(
    weights: str | Path,
    experiment: Experiment | None = None,
    folder: Path | None = None,
    **overrides: Any,
) -> Segmenter:
    """Build the network of a weights file, of either kind, and load it.

    Args:
        weights: name in the manifest, or path; also of an ONNX file of `sebre export`, or of the
            folder of a training run (`weights_of_run`).
        experiment: that the weights belong to; None takes it from the manifest, or from what the
            weights say of themselves. They must find its regions: under its class ids, which
            those of the weights are changed to where they number the same regions otherwise.
        folder: of the manifest; None for the shipped one.
        **overrides: settings that differ.

    Raises:
        FileNotFoundError: no such weights.
        ValueError: damaged weights, weights of another network, or an unknown experiment.
    """
    plan = _plan(weights, experiment, folder, overrides)
    if plan.exported is not None:
        model = plan.exported
        if plan.order is not None:
            model.reorder_classes(plan.order)
    elif (kind := LOADED_KINDS.get(network_of(plan.found))) is not None:
        return kind.load(plan.found, plan.config, plan.experiment.regions, plan.order)
    elif network_of(plan.found) == "any_section":
        return load_any_section(plan.found, plan.config, plan.experiment.regions, plan.order)
    else:
        model = MaskRCNN("inference", plan.config, model_dir=".")
        model.load_weights(plan.found.path)
        if plan.order is not None:
            reorder_classes(model.keras_model, plan.order)
    return MaskRCNNSegmenter(model, plan.experiment.regions, plan.found)


def find_network(
    weights: str | Path,
    experiment: Experiment | None = None,
    folder: Path | None = None,
    **overrides: Any,
) -> tuple[WeightsFile, Experiment, Config]:
    """The weights file, experiment and settings that `load_segmenter` takes.

    Arguments and errors are those of `load_segmenter`; no network is built.
    """
    plan = _plan(weights, experiment, folder, overrides)
    return plan.found, plan.experiment, plan.config


@dataclass(frozen=True)
class _Plan:
    found: WeightsFile
    experiment: Experiment
    config: Config
    order: list[int] | None  # see `class_order`
    exported: ExportedMaskRCNN | None  # the network itself, of an exported file


def _plan(
    weights: str | Path,
    experiment: Experiment | None,
    folder: Path | None,
    overrides: Mapping[str, Any],
) -> _Plan:
    """What is to be loaded, with everything checked that can be without a network."""
    found = find_weights(weights_of_run(weights), folder)
    if network_of(found) == NEURITES:
        raise UserError(
            f"{weights}: segments electron microscopy, no brain regions. Use `sebre neurites "
            "predict`, or give another network (`sebre models` lists them)."
        )
    if network_of(found) == BACKBONE:
        raise UserError(
            f"{weights}: a backbone, to start the training of a Mask R-CNN from; it finds no "
            "regions. Give another network (`sebre models` lists them)."
        )
    _demand_used(weights, network_of(found), overrides)
    exported = inside = settings = None
    if _is_exported(found):
        # What is done beside the graph is a setting of ours, which no exported network has.
        inside_graph = {name: v for name, v in overrides.items() if name != _ON_TISSUE}
        exported = load_exported(found.path, overrides.get("RUNTIME"), **inside_graph)
        on_tissue = overrides.get(_ON_TISSUE, exported.exported_config.get(_ON_TISSUE, True))
        setattr(exported.config, _ON_TISSUE, on_tissue)
        inside = exported.labels and exported.labels[1:], exported.config.NUM_CLASSES - 1
        settings = exported.config.to_dict()
    if experiment is None:
        experiment = experiment_of(found, inside, settings)
        if experiment is None:
            raise UserError(
                f"{weights}: which experiment the weights belong to is not known (found "
                f"{found.entry.get('experiment')!r}); give one of {', '.join(EXPERIMENTS)}."
            )
    order = class_order(found, experiment, inside)
    config = exported.config if exported is not None else _settings(found, experiment, overrides)
    config.CLASS_NAMES = experiment.regions.names
    if config.CLASS_COLORS is not None:
        config.CLASS_COLORS = [list(region.color) for region in experiment.regions]
    return _Plan(found, experiment, config, order, exported)


def _settings(found: WeightsFile, experiment: Experiment, overrides: Mapping[str, Any]) -> Config:
    """The settings of a network that is built here, and a warning where they may not be its own."""
    stored = stored_settings(found)
    if found.config is not None and not found.entry:
        _warn_of_other_settings(found, stored)
    if (kind := LOADED_KINDS.get(network_of(found))) is not None:
        return with_settings(kind.config(experiment).from_dict(stored), **overrides)
    if network_of(found) == "any_section":
        return with_settings(AnySectionConfig.from_dict(stored), **overrides)
    variant = experiment.variants.get(found.entry.get("variant", ""), experiment.default)
    config = variant.config.from_dict(stored)
    if not stored and not found.entry:
        assumed = ", ".join(f"{name} {getattr(config, name)}" for name in _SEEN_BY)
        warn_once(
            f"{found.path}: says nothing of its settings, and no config.json of its run lies "
            f"beside it. Those of {experiment.name} are assumed ({assumed}, ...); with others it "
            "may find nothing, or something else. Put config.json of its run into its folder, or "
            "say with --set what differs."
        )
    return with_settings(config, **{"IMAGES_PER_GPU": 1, "GPU_COUNT": 1, **overrides})


def _warn_of_other_settings(found: WeightsFile, stored: Mapping[str, Any]) -> None:
    inside = settings_inside(found)
    differ = [
        f"{name} {stored[name]}, in the weights {value}"
        for name, value in inside.items()
        if name in stored and name not in MAY_CHANGE and stored[name] != value
    ]
    if differ:
        warn_once(
            f"{found.config}: has other settings than {found.path.name} was stored with "
            f"({listed(differ, '; ')}); those of this file are taken. If it is of another run, put "
            "that of the weights' own run there, or none."
        )


def _demand_used(weights: str | Path, kind: str, overrides: Mapping[str, Any]) -> None:
    """Raise a UserError for settings that a kind of network does not look at."""
    if kind == "mask_rcnn":
        return
    unused = [name for name in overrides if name in _OF_DETECTIONS]
    if kind == "any_section" and overrides.get("PRECISION", "float32") != "float32":
        unused.append("PRECISION")
    if kind == NNUNET.name:
        unused += [name for name in overrides if name not in (*APPLIED, *unused)]
    if unused:
        raise UserError(
            f"{weights}: {', '.join(unused)} would change nothing: this network gives each pixel "
            "its most probable region, and does not look at that. Leave it out."
        )


def _is_exported(found: WeightsFile) -> bool:
    return found.path.suffix == ".onnx"


def demand_mask_rcnn(segmenter: Segmenter) -> MaskRCNNSegmenter:
    """The segmenter itself, for what needs the Keras network of a Mask R-CNN and its stages."""
    segmenter = getattr(segmenter, "segmenter", segmenter)  # of what `sebre.load` gives
    if not isinstance(segmenter, MaskRCNNSegmenter):
        raise UserError(
            f"{segmenter.weights.path}: the weights of a {segmenter.network}, which has none of "
            f"the stages that are needed here. Give those of a {MaskRCNNSegmenter.network}."
        )
    if _is_exported(segmenter.weights):
        raise UserError(
            f"{segmenter.weights.path}: an exported network, whose stages cannot be seen. Give "
            "the weights that it was exported from."
        )
    return segmenter


def count_parameters(segmenter: Segmenter) -> int | None:
    """Number of weights of a network; None of an exported file, which does not say."""
    model = getattr(segmenter, "keras_model", None)
    return getattr(segmenter, "parameters", None) if model is None else model.count_params()


def read_image(path: str | Path, rule: str = BITS, choice: Choice = EVERYTHING) -> np.ndarray:
    """An image file as uint8 [H, W, 3], upright; see `mrcnn.imageio.reading.read_picture`.

    `rule` is the CONTRAST of the network that it is for.
    """
    with reading(path, "this image"):
        return read_picture(path, choice, rule)


def best_per_region(result: dict[str, Any]) -> dict[int, int]:
    """Row of the best-scoring detection of each class id found, in the order of the ids."""
    best: dict[int, int] = {}
    for row in np.argsort(-np.asarray(result["scores"]), kind="stable"):
        best.setdefault(int(result["class_ids"][row]), int(row))
    return dict(sorted(best.items()))


def best_labels(result: dict[str, Any], shape: Sequence[int]) -> np.ndarray:
    """Label map of the best detection of each region."""
    rows = list(best_per_region(result).values())
    masks = select_masks(result["masks"], rows)
    return label_map(result["class_ids"][rows], result["scores"][rows], masks, shape)
