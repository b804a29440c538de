"""The two graphs: training and inference, assembled from their stages."""

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from mrcnn.accelerate.fused import square_sum
from mrcnn.accelerate.rpn_sampling import rpn_at, sampled_anchors
from mrcnn.backend import keep_memory_together, scale_loss
from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.modeling import losses
from mrcnn.modeling.anchors import normalized_anchors
from mrcnn.modeling.backbone import resnet_graph
from mrcnn.modeling.detection import DetectionLayer
from mrcnn.modeling.fpn import build_fpn
from mrcnn.modeling.heads import build_fpn_mask_graph, fpn_classifier_graph
from mrcnn.modeling.layers import LayerStyle
from mrcnn.modeling.proposals import ProposalLayer
from mrcnn.modeling.roi_targets import DetectionTargetLayer
from mrcnn.modeling.rpn import apply_rpn, build_rpn_model
from mrcnn.structures.boxes import norm_boxes
from mrcnn.weights import loading as weights

LOSS_NAMES = (
    "rpn_class_loss",
    "rpn_bbox_loss",
    "mrcnn_class_loss",
    "mrcnn_bbox_loss",
    "mrcnn_mask_loss",
)


def demand_whole_cells(image_shape: Sequence[int]) -> None:
    """Raise ValueError unless the pyramid can halve an image shape [h, w, ...] six times."""
    height, width = (int(v) for v in image_shape[:2])
    if height % 64 or width % 64:
        raise UserError(
            f"The molded image is {height} x {width} px; the pyramid needs both sides to be "
            "multiples of 64 (256, 320, 384, ...). Change IMAGE_MAX_DIM (IMAGE_MIN_DIM in "
            "crop mode); for images of any shape set IMAGE_RESIZE_MODE to 'square', 'fit64' or "
            "'pad64'."
        )


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Context in which a seed decides the initial weights.

    The random numbers that the program draws afterwards with `random` and `numpy.random`
    are as if no network had been built.

    Args:
        seed: None leaves everything to chance.
    """
    if seed is None:
        yield
        return
    states = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@keras.saving.register_keras_serializable(package="mrcnn")
class Apply(keras.layers.Layer):
    """A weightless float32 step of the graph: a function of the list of its inputs.

    Args:
        function: called with the inputs as arguments.
        output_shape: of the result, with the batch dimension.
        dtype: of the result.
    """

    def __init__(
        self, function: Callable, output_shape: Sequence[int | None], dtype: str = "float32", **kw
    ):
        super().__init__(dtype="float32", **kw)
        self.function = function
        self.shape = tuple(output_shape)
        self.result_dtype = dtype

    def call(self, inputs: Sequence[Any]) -> Any:
        return self.function(*inputs)

    def compute_output_spec(self, inputs: Sequence[Any]) -> keras.KerasTensor:
        return keras.KerasTensor(self.shape, self.result_dtype)


class Network(keras.Model):
    """A functional model that reads and writes old HDF5 weight files itself, as programs
    that call `keras_model.save_weights("x.h5")` expect."""

    def save_weights(self, filepath: str | Path, overwrite: bool = True, **kwargs: Any) -> None:
        """Keras's format for `*.weights.h5`, else the old layout (`mrcnn.weights.loading`)."""
        if str(filepath).endswith(".weights.h5"):
            with weights.quiet_keras():
                super().save_weights(filepath, overwrite=overwrite, **kwargs)
        else:
            weights.save_weights(self, filepath)

    def load_weights(self, filepath: str | Path, by_name: bool = False, **kwargs: Any) -> None:
        """Any file that `mrcnn.weights.loading.load_weights` reads."""
        weights.load_weights(self, filepath, by_name=by_name, **kwargs)


class TrainingModel(Network):
    """The training graph as a Keras model: the losses are among its own outputs, so that
    `compile` needs an optimizer alone and `fit` inputs alone.

    Args:
        inputs, outputs: of the functional graph; the last five outputs are the losses.
        config: Config.
    """

    def __init__(self, inputs: Any, outputs: Any, config: Config, **kwargs: Any):
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.loss_weights = {n: float(config.LOSS_WEIGHTS.get(n, 1)) for n in LOSS_NAMES}
        self.weight_decay = float(config.WEIGHT_DECAY)
        self.loss_means = [keras.metrics.Mean(name=name) for name in LOSS_NAMES]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Weighted sum of the five losses plus `l2`."""
        total = 0.0
        for name, mean, loss in zip(LOSS_NAMES, self.loss_means, y_pred[-5:], strict=True):
            loss = loss * self.loss_weights[name]
            mean.update_state(loss)
            total = total + loss
        return scale_loss(total + self.l2())

    def l2(self) -> Any:
        """Weight decay: WEIGHT_DECAY * sum(w^2) / size(w) over the trainable weights
        except gamma and beta. Source: Matterport `MaskRCNN.compile`."""
        decayed = [w for w in self.trainable_weights if w.name not in ("gamma", "beta")]
        if not decayed or not self.weight_decay:
            return 0.0
        return self.weight_decay * sum(square_sum(w) / math.prod(w.shape) for w in decayed)


def _features(image: Any, config: Config, style: LayerStyle) -> dict[str, Any]:
    if callable(config.BACKBONE):
        stages = config.BACKBONE(image, stage5=True, train_bn=config.TRAIN_BN)
    else:
        stages = resnet_graph(
            image, config.BACKBONE, stage5=True, width=config.BACKBONE_WIDTH, style=style
        )
    pyramid = build_fpn(stages[1:], config.TOP_DOWN_PYRAMID_SIZE, style)
    names = ["C2", "C3", "C4", "C5", "P2", "P3", "P4", "P5", "P6"]
    return dict(zip(names, [*stages[1:], *pyramid], strict=True))


def _rpn(features: dict[str, Any], config: Config, style: LayerStyle) -> tuple:
    """rpn_model, and what it gives on all levels."""
    rpn = build_rpn_model(
        config.RPN_ANCHOR_STRIDE,
        len(config.RPN_ANCHOR_RATIOS),
        config.TOP_DOWN_PYRAMID_SIZE,
        config.RPN_CONV_FILTERS,
        style,
    )
    return rpn, *apply_rpn(rpn, [features[f"P{level}"] for level in range(2, 7)])


def _heads(rois: Any, features: dict, meta: Any, config: Config, style: LayerStyle) -> tuple:
    return fpn_classifier_graph(
        rois,
        [features[f"P{level}"] for level in range(2, 6)],
        meta,
        config.POOL_SIZE,
        config.NUM_CLASSES,
        fc_layers_size=config.FPN_CLASSIF_FC_LAYERS_SIZE,
        roi_align=config.ROI_ALIGN,
        style=style,
    )


def _masks(rois: Any, features: dict, meta: Any, config: Config, style: LayerStyle) -> Any:
    return build_fpn_mask_graph(
        rois,
        [features[f"P{level}"] for level in range(2, 6)],
        meta,
        config.MASK_POOL_SIZE,
        config.NUM_CLASSES,
        filters=config.MASK_CONV_FILTERS,
        roi_align=config.ROI_ALIGN,
        style=style,
    )


def _all_masks(masks: Any, some: Any, rois: Any, features: dict, meta: Any) -> Any:
    """Masks of all ROIs, given the symbolic ones of the first few; the others carry no
    gradient, and a training step, which does not need them, leaves them out."""
    levels = [features[f"P{level}"] for level in range(2, 6)]
    head = keras.Function([some, meta, *levels], masks)
    count, size = rois.shape[1], some.shape[1]

    def every(first, rois, *rest):
        missing = -count % size
        rois = ops.pad(rois, [[0, 0], [0, missing], [0, 0]])
        parts = [head([rois[:, i : i + size], *rest]) for i in range(size, count, size)]
        others = ops.stop_gradient(ops.concatenate(parts, axis=1))
        return ops.concatenate([first, others], axis=1)[:, :count]

    return Apply(every, (None, count, *masks.shape[2:]), name="mrcnn_mask_all")(
        [masks, rois, meta, *levels]
    )


def _normalize(boxes: Any, image: Any, name: str) -> Any:
    def function(boxes, image):
        shape = ops.shape(image)
        return norm_boxes(ops.convert_to_tensor(boxes), (shape[1], shape[2]))

    return Apply(function, boxes.shape, name=name)([boxes, image])


def build_inference(config: Config) -> tuple[keras.Model, dict[str, Any], ProposalLayer]:
    """The inference graph.

    Returns:
        the model [input_image [B, h, w, c], input_image_meta [B, 12 + C],
        input_anchors [B, A, 4]] -> [mrcnn_detection, mrcnn_class, mrcnn_bbox, mrcnn_mask,
        ROI, rpn_class, rpn_bbox]; its symbolic tensors by the names of `Stages`; and its
        proposal layer.
    """
    style = LayerStyle.of(config)
    image = keras.Input([None, None, config.IMAGE_CHANNEL_COUNT], name="input_image")
    meta = keras.Input([config.IMAGE_META_SIZE], name="input_image_meta")
    anchors = keras.Input([None, 4], name="input_anchors")
    tensors = _features(image, config, style)
    *_, tensors["rpn_class"], tensors["rpn_bbox"] = _rpn(tensors, config, style)
    proposal_layer = ProposalLayer(
        config.POST_NMS_ROIS_INFERENCE, config.RPN_NMS_THRESHOLD, config, name="ROI"
    )
    rois = proposal_layer([tensors["rpn_class"], tensors["rpn_bbox"], anchors])
    tensors["proposals"] = rois
    _, tensors["mrcnn_class"], tensors["mrcnn_bbox"] = _heads(rois, tensors, meta, config, style)
    detections = DetectionLayer(config, name="mrcnn_detection")(
        [rois, tensors["mrcnn_class"], tensors["mrcnn_bbox"], meta]
    )
    tensors["detections"] = detections
    boxes = Apply(lambda d: d[..., :4], (None, detections.shape[1], 4), name="detection_boxes")(
        [detections]
    )
    tensors["mrcnn_mask"] = _masks(boxes, tensors, meta, config, style)
    outputs = ["detections", "mrcnn_class", "mrcnn_bbox", "mrcnn_mask", "proposals"]
    outputs += ["rpn_class", "rpn_bbox"]
    model = Network(
        inputs=[image, meta, anchors],
        outputs=[tensors[name] for name in outputs],
        name="mask_rcnn",
    )
    return model, tensors, proposal_layer


def build_training(config: Config) -> TrainingModel:
    """The training graph: inputs as in Matterport's package (image, meta, RPN match and
    deltas, ground-truth classes, boxes in px, masks, and ROIs in px if USE_RPN_ROIS is
    False); outputs RPN and head predictions, proposals, sampled ROIs, the five losses. At most
    RPN_TRAIN_ANCHORS_PER_IMAGE anchors of an image may count (match not 0)."""
    keep_memory_together()
    style = LayerStyle.of(config)
    height, width, channels = (int(v) for v in config.IMAGE_SHAPE)
    instances = config.MAX_GT_INSTANCES
    image = keras.Input([height, width, channels], name="input_image")
    meta = keras.Input([config.IMAGE_META_SIZE], name="input_image_meta")
    rpn_match = keras.Input([None, 1], name="input_rpn_match", dtype="int32")
    rpn_target = keras.Input(
        [config.RPN_TRAIN_ANCHORS_PER_IMAGE, 4], name="input_rpn_bbox", dtype="float32"
    )
    gt_class_ids = keras.Input([instances], name="input_gt_class_ids", dtype="int32")
    gt_boxes = keras.Input([instances, 4], name="input_gt_boxes", dtype="float32")
    mask_shape = config.MINI_MASK_SHAPE if config.USE_MINI_MASK else (height, width)
    gt_masks = keras.Input([*mask_shape, instances], name="input_gt_masks", dtype="bool")
    inputs = [image, meta, rpn_match, rpn_target, gt_class_ids, gt_boxes, gt_masks]

    features = _features(image, config, style)
    rpn, rpn_logits, rpn_class, rpn_bbox = _rpn(features, config, style)
    if config.USE_RPN_ROIS:
        anchors = normalized_anchors(config, config.IMAGE_SHAPE)

        def every_image(image):
            constant = ops.convert_to_tensor(anchors)[None]
            return ops.repeat(constant, ops.shape(image)[0], axis=0)

        anchors_input = Apply(every_image, (None, *anchors.shape), name="anchors")([image])
        proposals = ProposalLayer(
            config.POST_NMS_ROIS_TRAINING, config.RPN_NMS_THRESHOLD, config, name="ROI"
        )([rpn_class, rpn_bbox, anchors_input])
    else:
        input_rois = keras.Input(
            [config.POST_NMS_ROIS_TRAINING, 4], name="input_roi", dtype="int32"
        )
        inputs.append(input_rois)
        proposals = _normalize(input_rois, image, "ROI")

    target_layer = DetectionTargetLayer(config, name="proposal_targets")
    rois, target_ids, target_bbox, target_mask = target_layer(
        [proposals, gt_class_ids, _normalize(gt_boxes, image, "gt_boxes_normalized"), gt_masks]
    )
    logits, probabilities, deltas = _heads(rois, features, meta, config, style)
    mask_rois, mask_ids = rois, target_ids
    # The mask loss counts positive ROIs alone. Where the others cannot change the statistics
    # of the batch, they stay out of what is differentiated.
    if config.MASK_ROIS == "positive" or config.TRAIN_BN is False:
        slots = target_layer.positives

        def first(array, shape, dtype="float32"):
            return Apply(lambda a: a[:, :slots], (None, slots, *shape), dtype)([array])

        mask_rois, mask_ids = first(rois, [4]), first(target_ids, [], "int32")
        target_mask = first(target_mask, config.MASK_SHAPE)
    positive_masks = masks = _masks(mask_rois, features, meta, config, style)
    if config.MASK_ROIS == "all" and mask_rois.shape[1] < rois.shape[1]:
        masks = _all_masks(masks, mask_rois, rois, features, meta)

    anchor_count = min(
        config.RPN_TRAIN_ANCHORS_PER_IMAGE, len(normalized_anchors(config, config.IMAGE_SHAPE))
    )
    levels = [features[f"P{level}"] for level in range(2, 7)]
    anchor_rows = Apply(
        lambda match: sampled_anchors(match, anchor_count), (None, anchor_count), "int32"
    )([rpn_match])
    rpn_sample = Apply(
        lambda rows, *levels: rpn_at(rpn, levels, rows), (None, anchor_count, 6), name="rpn_sample"
    )([anchor_rows, *levels])

    def match_of(match, rows):
        return ops.take_along_axis(match, rows[..., None], axis=1)

    def rpn_class_loss(match, rows, sample):
        return losses.rpn_class_loss_graph(match_of(match, rows), sample[..., :2])

    def rpn_bbox_loss(target, match, rows, sample):
        # The sample keeps the order of the anchors, which that of the targets follows.
        match = match_of(match, rows)
        return losses.rpn_bbox_loss_graph(config, target, match, sample[..., 2:])

    def class_loss(ids, logits, meta, rois):
        valid = None
        if not config.PADDING_IS_BACKGROUND:
            valid = ops.sum(ops.abs(rois), axis=-1) > 0
        active = meta[:1, 12:] if config.ACTIVE_CLASSES == "first" else meta[:, 12:]
        return losses.mrcnn_class_loss_graph(ids, logits, active, valid)

    plan = {
        "rpn_class_loss": (rpn_class_loss, [rpn_match, anchor_rows, rpn_sample]),
        "rpn_bbox_loss": (rpn_bbox_loss, [rpn_target, rpn_match, anchor_rows, rpn_sample]),
        "mrcnn_class_loss": (class_loss, [target_ids, logits, meta, rois]),
        "mrcnn_bbox_loss": (losses.mrcnn_bbox_loss_graph, [target_bbox, target_ids, deltas]),
        "mrcnn_mask_loss": (losses.mrcnn_mask_loss_graph, [target_mask, mask_ids, positive_masks]),
    }
    loss_outputs = [Apply(*plan[name][:1], (), name=name)(plan[name][1]) for name in LOSS_NAMES]
    outputs = [rpn_logits, rpn_class, rpn_bbox, logits, probabilities, deltas, masks]
    outputs += [proposals, rois, *loss_outputs]
    return TrainingModel(inputs, outputs, config, name="mask_rcnn")
