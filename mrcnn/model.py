"""`MaskRCNN`: build, train, detect, inspect. Assembly only; each stage has its own file.

`__all__` lists what users of Matterport's package import from here.
"""

import datetime
import importlib.util
import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.accelerate.fast_layers import fast_style
from mrcnn.accelerate.fast_training import fast_training
from mrcnn.accelerate.forward import compile_forward
from mrcnn.backend import distribution_scope, keep_memory_together
from mrcnn.config import Config, compute_backbone_shapes
from mrcnn.data.generator import DataGenerator, data_generator
from mrcnn.data.molding import (
    compose_image_meta,
    mold_image,
    mold_inputs,
    parse_image_meta,
    parse_image_meta_graph,
    unmold_compact,
    unmold_detections,
    unmold_image,
)
from mrcnn.data.sampled_rois import build_detection_targets, generate_random_rois
from mrcnn.data.samples import load_image_gt
from mrcnn.errors import UserError
from mrcnn.matterport.graph_helpers import (
    batch_pack_graph,
    conv_block,
    detection_targets_graph,
    identity_block,
    log2_graph,
    refine_detections_graph,
    trim_zeros_graph,
)
from mrcnn.matterport.inner_tensors import node_tensor, tensor_values
from mrcnn.modeling.anchors import config_anchors
from mrcnn.modeling.backbone import resnet_graph
from mrcnn.modeling.detection import DetectionLayer
from mrcnn.modeling.heads import build_fpn_mask_graph, fpn_classifier_graph
from mrcnn.modeling.inspection import Inspector
from mrcnn.modeling.layers import BatchNorm, nested_layers
from mrcnn.modeling.losses import (
    mrcnn_bbox_loss_graph,
    mrcnn_class_loss_graph,
    mrcnn_mask_loss_graph,
    rpn_bbox_loss_graph,
    rpn_class_loss_graph,
    smooth_l1_loss,
)
from mrcnn.modeling.network import build_inference, build_training, demand_whole_cells, seeded
from mrcnn.modeling.proposals import ProposalLayer
from mrcnn.modeling.roi_align import PyramidROIAlign
from mrcnn.modeling.roi_targets import DetectionTargetLayer
from mrcnn.modeling.rpn import build_rpn_model, rpn_graph
from mrcnn.modeling.rpn_targets import build_rpn_targets
from mrcnn.structures.boxes import apply_box_deltas as apply_box_deltas_graph
from mrcnn.structures.boxes import clip_boxes as clip_boxes_graph
from mrcnn.structures.boxes import denorm_boxes as denorm_boxes_graph
from mrcnn.structures.boxes import norm_boxes
from mrcnn.structures.boxes import norm_boxes as norm_boxes_graph
from mrcnn.structures.boxes import pairwise_iou as overlaps_graph
from mrcnn.structures.mask_formats import demand_format
from mrcnn.structures.stages import Stages
from mrcnn.training import checkpoints, optimizers
from mrcnn.training import loop as training
from mrcnn.weights import loading as weights
from mrcnn.weights.loading import WeightReport

# What old programs find here besides, by `modellib.utils` or `from mrcnn.model import *`.
_MODULES = {"K": "keras.backend", "KL": "keras.layers", "KM": "keras.models"}
_MODULES |= {"tf": "tensorflow", "utils": "mrcnn.utils"}
_MODULES |= {name: name for name in ("logging", "math", "os", "random")}
# fmt: off
__all__ = [
    "BatchNorm", "DataGenerator", "DetectionLayer", "DetectionTargetLayer", "MaskRCNN",
    "OrderedDict", "ProposalLayer", "PyramidROIAlign", "apply_box_deltas_graph",
    "batch_pack_graph", "build_detection_targets", "build_fpn_mask_graph", "build_rpn_model",
    "build_rpn_targets", "clip_boxes_graph", "compose_image_meta", "compute_backbone_shapes",
    "conv_block", "data_generator", "denorm_boxes_graph", "detection_targets_graph",
    "fpn_classifier_graph", "generate_random_rois", "identity_block", "load_image_gt", "log",
    "log2_graph", "mold_image", "mrcnn_bbox_loss_graph", "mrcnn_class_loss_graph",
    "mrcnn_mask_loss_graph", "norm_boxes_graph", "overlaps_graph", "parse_image_meta",
    "parse_image_meta_graph", "refine_detections_graph", "resnet_graph", "rpn_bbox_loss_graph",
    "rpn_class_loss_graph", "rpn_graph", "smooth_l1_loss", "trim_zeros_graph", "unmold_image",
    "datetime", "keras", "np", "re",
]
# fmt: on
__all__ += [name for name in _MODULES if name != "tf" or importlib.util.find_spec("tensorflow")]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class MaskRCNN:
    """Mask R-CNN (He et al. 2017) with Matterport's interface.

    `mode` is "training" or "inference"; logs and checkpoints go to `model_dir`.

    Attributes:
        keras_model: the Keras model.
        epoch: epochs trained so far.
        step: batches of the next epoch trained so far, of a run that was stopped within it.
        log_dir, checkpoint_path: where this run writes.
        anchors: px, float64 [A, 4], of the molded image shape last used; at first IMAGE_SHAPE's.
        tensors: symbolic tensors of the inference graph by name, for graphs of one's own.
        proposal_layer: its `ProposalLayer`.
    """

    def __init__(self, mode: str, config: Config, model_dir: str | Path):
        if mode not in ("training", "inference"):
            raise UserError(f"mode is {mode!r}; it must be 'training' or 'inference'.")
        self.mode = mode
        self.config = config
        # Data sets of old programs change the working directory.
        self.model_dir = str(Path(model_dir).absolute())
        self.anchors = None
        self._anchor_cache: dict[tuple, np.ndarray] = {}
        self.set_log_dir()
        self.keras_model = self.build(mode, config)
        self.get_anchors(config.IMAGE_SHAPE)

    def build(self, mode: str, config: Config) -> keras.Model:
        """Build the network; see `mrcnn.modeling.network`."""
        demand_whole_cells(config.IMAGE_SHAPE)
        style = fast_style(config)
        if mode == "training":
            config.validate_training()
            keep_memory_together()
        with distribution_scope(config.GPU_COUNT), seeded(config.SEED):
            if mode == "training":
                return fast_training(build_training(config, style), config)
            model, self.tensors, self.proposal_layer = build_inference(config, style)
        wanted = {name: self.tensors[name] for name in ("detections", "mrcnn_mask")}
        self._forward = compile_forward(keras.Model(model.inputs, wanted))
        self._inspector = Inspector(model, self.tensors, self.proposal_layer, compile_forward)
        return model

    # --- Weights and logs ---------------------------------------------------------

    def find_last(self) -> str:
        """Path of the newest checkpoint of this configuration's name in `model_dir`;
        FileNotFoundError when none is there."""
        return checkpoints.find_last(self.model_dir, self.config.NAME)

    def load_weights(
        self, filepath: str | Path, by_name: bool = False, exclude: Sequence[str] | None = None
    ) -> WeightReport:
        """Load an HDF5 weight file, old layout or Keras's own; see `mrcnn.weights.loading`.

        `by_name` loads the layers that the file has, instead of demanding all; `exclude` names
        layers to leave as they are, and implies it. The report says what was loaded, excluded,
        missing and unused.
        """
        report = weights.load_weights(self.keras_model, filepath, by_name=by_name, exclude=exclude)
        self.set_log_dir(str(filepath))
        return report

    def save_weights(self, filepath: str | Path, dtype: str = "float32") -> None:
        """Write an HDF5 weight file in the old layout, which old code loads too, as "float32" or
        "float16", with CLASS_NAMES if they are known, and with all settings."""
        names, settings = self.config.CLASS_NAMES, self.config.to_dict()
        weights.save_weights(self.keras_model, filepath, dtype, names, settings)

    def get_imagenet_weights(self) -> str:
        """Path of the ImageNet ResNet-50 weights, downloaded if need be."""
        return weights.get_imagenet_weights()

    def set_log_dir(self, model_path: str | Path | None = None) -> None:
        """Choose the log directory and set `epoch`: to continue where a checkpoint of this
        name lies, in `model_dir` with the date of a checkpoint of another name, or a new
        directory named by the time."""
        self.epoch = self.step = 0
        name = str(self.config.NAME)
        found = model_path and checkpoints.parse_checkpoint_path(str(model_path), name)
        if found:
            self.log_dir, self.epoch = found
            self.step = checkpoints.place_of(str(model_path))[1]
            if not str(model_path).startswith(self.log_dir):  # of another experiment
                self.log_dir = Path(self.model_dir) / re.split(r"[/\\]", self.log_dir)[-1]
        else:
            now = datetime.datetime.now()
            self.log_dir = checkpoints.log_dir_for(self.model_dir, name, now)
        self.log_dir = str(Path(self.log_dir).absolute())
        self.checkpoint_path = checkpoints.checkpoint_path_for(self.log_dir, name)

    # --- Training -------------------------------------------------------------------

    def train(
        self,
        train_dataset: Any,
        val_dataset: Any,
        learning_rate: float,
        epochs: int,
        layers: str,
        augmentation: Any = None,
        custom_callbacks: Sequence[Any] | None = None,
        no_augmentation_sources: Sequence[str] | None = None,
        resume: bool = False,
        verbose: int = 1,
    ) -> Any:
        """Train the network up to an epoch, and return the Keras history of this call (None when
        `epochs` is reached already).

        An epoch is STEPS_PER_EPOCH optimizer steps, each of ACCUMULATION_STEPS batches, whatever
        the size of the data set. Every call starts with a new optimizer, unless it resumes an
        interrupted one. Raises ValueError for what does not fit, FileNotFoundError when there is
        nothing to resume, FloatingPointError once the loss is not finite.

        Args:
            train_dataset: prepared `Dataset`.
            val_dataset: the same, or None for no validation. VALIDATION_STEPS batches of it are
                used, the same ones each time; None uses the whole set.
            learning_rate: of the optimizer, after the warm-up.
            epochs: TOTAL number of epochs that the model has seen at the end, so that 20, then
                40 trains 20 and 20.
            layers: "heads", "3+", "4+", "5+", "all", or a regular expression of names.
            augmentation: an imgaug augmenter or a callable; see `mrcnn.data.augment`.
            custom_callbacks: Keras callbacks, called after the built-in ones; an
                `mrcnn.training.loop.EpochScore` comes before them and chooses the best weights.
            no_augmentation_sources: sources of images that are not augmented.
            resume: go on with the `train` call that wrote the checkpoint loaded before: its
                optimizer and random states are restored. When that call was complete, this is
                the next one, and begins with a new optimizer as it would have without a break.
            verbose: 1 shows a progress bar with all losses, 2 one line per epoch, 0 nothing.
        """
        self._demand_mode("training")
        pictures = train_dataset, val_dataset
        options = augmentation, custom_callbacks, no_augmentation_sources, resume, verbose
        return training.train(self, *pictures, learning_rate, epochs, layers, *options)

    def compile(self, learning_rate: float, momentum: float) -> None:
        """Give the Keras model a fresh optimizer."""
        optimizers.compile_model(
            self.keras_model, self.config, learning_rate, momentum, self.config.STEPS_PER_EPOCH
        )

    def set_trainable(
        self,
        layer_regex: str,
        keras_model: keras.Model | None = None,
        indent: int = 0,
        verbose: int = 1,
    ) -> None:
        """Make the layers trainable whose whole name matches, and freeze the others."""
        optimizers.set_trainable(keras_model or self.keras_model, layer_regex, verbose)

    def get_trainable_layers(self) -> list[keras.layers.Layer]:
        """The layers that have weights, those of nested models included."""
        return [layer for layer in nested_layers(self.keras_model) if layer.weights]

    def find_trainable_layer(self, layer: Any) -> Any:
        """The layer itself: nothing is wrapped here. Kept for Matterport's interface."""
        return layer

    # --- Detection --------------------------------------------------------------------

    def warm_up(self, image_shape: Sequence[int] | None = None) -> float:
        """Compile for images of a shape (H, W, ...) px, IMAGE_SHAPE by default, so that the first
        `detect` is as fast as the others; returns the seconds it took.

        That is 5 to 15 s for the paper's network, 2 to 6 s for a small one. Several threads may
        call this and `detect` at once.
        """
        shape = self.config.IMAGE_SHAPE if image_shape is None else image_shape
        image = np.zeros((*(int(v) for v in shape[:2]), self.config.IMAGE_CHANNEL_COUNT), np.uint8)
        start = time.perf_counter()
        self.detect([image])
        return time.perf_counter() - start

    def detect(
        self, images: Sequence[np.ndarray], verbose: int = 0, masks: str = "full"
    ) -> list[dict[str, Any]]:
        """Detect regions in any number of images of any sizes.

        Args:
            images: [H, W, channels] each, 0..255, RGB order; or
                `mrcnn.imageio.reduced.ReducedPicture`.
            verbose: 1 prints shape, range and type of the arrays.
            masks: "full", or for large images "rle" or "contours"; see
                `mrcnn.structures.mask_formats`.

        Returns:
            One dict an image: rois int32 [N, 4] px of the image, class_ids int32 [N],
            scores float32 [N], masks bool [H, W, N], or a list of N in another format.
        """
        self._demand_mode("inference")
        demand_format(masks)
        if verbose:
            log(f"Processing {len(images)} images")
            for image in images:
                log("image", image)
        results: list[dict[str, Any] | None] = [None] * len(images)
        molded = [mold_inputs([image], self.config) for image in images]
        by_shape: dict[tuple, list[int]] = {}
        for index, (image, _, _) in enumerate(molded):
            by_shape.setdefault(image.shape[1:], []).append(index)
        for members in by_shape.values():
            inputs = [
                np.concatenate(part) for part in zip(*(molded[i] for i in members), strict=True)
            ]
            detections, found = self._run(inputs[0], inputs[1], verbose)
            for row, index in enumerate(members):
                shapes = images[index].shape, inputs[0].shape[1:]
                results[index] = _result(
                    detections[row], found[row], *shapes, inputs[2][row], masks
                )
        return results

    def detect_molded(
        self, molded_images: np.ndarray, image_metas: np.ndarray, verbose: int = 0
    ) -> list[dict[str, Any]]:
        """`detect` on images that are molded already (see `load_image_gt`, `mold_image`);
        results are in px of the molded images."""
        self._demand_mode("inference")
        if verbose:
            log(f"Processing {len(molded_images)} images")
        detections, masks = self._run(molded_images, image_metas, verbose)
        shape = molded_images.shape[1:]
        window = np.array([0, 0, shape[0], shape[1]])
        return [
            _result(row, mask, shape, shape, window, "full")
            for row, mask in zip(detections, masks, strict=True)
        ]

    def mold_inputs(self, images: Sequence[np.ndarray]) -> tuple:
        """See `mrcnn.data.molding.mold_inputs`."""
        return mold_inputs(images, self.config)

    def unmold_detections(
        self,
        detections: np.ndarray,
        mrcnn_mask: np.ndarray,
        original_image_shape: Sequence[int],
        image_shape: Sequence[int],
        window: Sequence[int],
    ) -> tuple:
        """See `mrcnn.data.molding.unmold_detections`."""
        return unmold_detections(detections, mrcnn_mask, original_image_shape, image_shape, window)

    def get_anchors(self, image_shape: Sequence[int]) -> np.ndarray:
        """Normalized anchors of a molded image shape, float32 [A, 4]; `self.anchors` holds
        them in px afterwards."""
        key = tuple(int(v) for v in image_shape)
        if key not in self._anchor_cache:
            anchors = config_anchors(self.config, image_shape)
            self._anchor_cache[key] = (anchors, norm_boxes(anchors, image_shape[:2]))
        self.anchors, normalized = self._anchor_cache[key]
        return normalized

    def inspect(self, image: np.ndarray, features: bool = False) -> Stages:
        """Run one image [H, W, channels], 0..255, and return every intermediate (paper, Fig. 2);
        with `features` also the feature maps C2..C5 and P2..P6."""
        self._demand_mode("inference")
        molded, metas, windows = mold_inputs([image], self.config)
        demand_whole_cells(molded.shape[1:])
        anchors = self.get_anchors(molded.shape[1:])
        return self._inspector.stages(image, molded, metas, windows[0], anchors, features)

    def run_graph(
        self, images: Sequence[np.ndarray], outputs: Any, image_metas: np.ndarray | None = None
    ) -> OrderedDict[str, np.ndarray]:
        """Values of tensors inside the network, which are printed as well.

        `inspect` gives every stage of one image, without names of layers.

        Args:
            images: B of them, as of `detect`; or molded [B, h, w, channels], with image_metas.
            outputs: pairs (key, symbolic tensor): keras_model.get_layer(NAME).output, or what
                `ancestor` gives.
            image_metas: [B, 12 + C]; see `compose_image_meta`.

        Returns:
            Arrays [B, ...] by key. Boxes are normalized; see `denorm_boxes`.
        """
        self._demand_mode("inference")
        if image_metas is None:
            images, image_metas, _ = self.mold_inputs(images)
        demand_whole_cells(images.shape[1:])
        anchors = np.repeat(self.get_anchors(images.shape[1:])[None], len(images), axis=0)
        found = tensor_values(self.keras_model, [images, image_metas, anchors], outputs)
        for key, array in found.items():
            log(key, array)
        return found

    def ancestor(self, tensor: Any, name: Any, checked: Any = None) -> keras.KerasTensor:
        """A tensor inside the layer "ROI" by its name in TensorFlow 1, for `run_graph`; see
        `mrcnn.matterport.inner_tensors.node_tensor`. `tensor` and `checked` are not used."""
        self._demand_mode("inference")
        return node_tensor(self.keras_model, name)

    def _demand_mode(self, mode: str) -> None:
        if self.mode != mode:
            raise UserError(
                f"This needs a model in {mode} mode, and it was built in {self.mode} mode: "
                f"MaskRCNN(mode={mode!r}, ...)."
            )

    def _run(
        self, images: np.ndarray, metas: np.ndarray, verbose: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Detections and masks of molded images, in batches of BATCH_SIZE; the last one is
        filled up, so that one compiled shape serves all."""
        demand_whole_cells(images.shape[1:])
        size = self.config.BATCH_SIZE
        anchors = np.repeat(self.get_anchors(images.shape[1:])[None], size, axis=0)
        if verbose:
            log("molded_images", images)
            log("image_metas", metas)
            log("anchors", anchors)
        detections, masks = [], []
        for start in range(0, len(images), size):
            rows = np.minimum(np.arange(start, start + size), len(images) - 1)
            outputs = self._forward([images[rows], metas[rows], anchors])
            real = min(size, len(images) - start)
            detections.append(outputs["detections"][:real])
            masks.append(outputs["mrcnn_mask"][:real])
        return np.concatenate(detections), np.concatenate(masks)


def _result(detections, masks, original_shape, molded_shape, window, form) -> dict[str, Any]:
    found = unmold_compact(detections, masks, original_shape, molded_shape, window, form)
    return dict(zip(("rois", "class_ids", "scores", "masks"), found, strict=True))


def log(text: str, array: np.ndarray | None = None) -> None:
    """Print a text and, if given, an array's shape, range and type (Matterport's format)."""
    if array is not None:
        span = (f"{v:10.5f}" for v in (array.min(), array.max())) if array.size else ("", "")
        low, high = span
        text = f"{text:25}shape: {array.shape!s:20}  min: {low:10}  max: {high:10}  {array.dtype}"
    print(text)
