"""The two graphs: training and inference, assembled from their stages."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
from keras import ops

from mrcnn.backend import numbers_kept, scale_loss
from mrcnn.config import LOSS_NAMES, Config
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

# What the outputs of the graphs are, in Matterport's order.
INFERENCE_OUTPUTS = (
    *("detections", "mrcnn_class", "mrcnn_bbox", "mrcnn_mask"),
    *("proposals", "rpn_class", "rpn_bbox"),
)
TRAINING_OUTPUTS = (
    *("rpn_class_logits", "rpn_class", "rpn_bbox"),
    *("mrcnn_class_logits", "mrcnn_class", "mrcnn_bbox", "mrcnn_mask", "proposals", "rois"),
    *LOSS_NAMES,
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
    """Context in which a seed decides the initial weights (None: chance does), while the numbers
    drawn afterwards with `random` and `numpy.random` are as if no network had been built."""
    if seed is None:
        yield
        return
    with numbers_kept():
        keras.utils.set_random_seed(seed)
        yield


@keras.saving.register_keras_serializable(package="mrcnn")
class Apply(keras.layers.Layer):
    """A weightless float32 step of the graph: a function of its inputs, whose result has
    `output_shape` (with the batch dimension) and `dtype`."""

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
    """The training graph as a Keras model: the losses are among its outputs, in the order of
    TRAINING_OUTPUTS, so that `compile` needs an optimizer alone and `fit` inputs alone."""

    def __init__(self, inputs: Any, outputs: Any, config: Config, **kwargs: Any):
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.loss_weights = {n: float(config.LOSS_WEIGHTS.get(n, 1)) for n in LOSS_NAMES}
        self.weight_decay = float(config.WEIGHT_DECAY)
        self.loss_means = [keras.metrics.Mean(name=name) for name in LOSS_NAMES]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> Any:
        """Weighted sum of the five losses plus `l2`."""
        total = 0.0
        outputs = dict(zip(TRAINING_OUTPUTS, y_pred, strict=True))
        for name, mean in zip(LOSS_NAMES, self.loss_means, strict=True):
            loss = outputs[name] * self.loss_weights[name]
            mean.update_state(loss)
            total = total + loss
        return scale_loss(total + self.l2())

    def l2(self) -> Any:
        """Weight decay: WEIGHT_DECAY * sum(w^2) / size(w) over the trainable weights
        except gamma and beta. Source: Matterport `MaskRCNN.compile`."""
        decayed = [w for w in self.trainable_weights if w.name not in ("gamma", "beta")]
        if not decayed or not self.weight_decay:
            return 0.0
        squares = (ops.square(ops.convert_to_tensor(w, dtype="float32")) for w in decayed)
        return self.weight_decay * sum(ops.sum(s) / math.prod(s.shape) for s in squares)


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


def _heads(features: dict, meta: Any, config: Config, style: LayerStyle) -> tuple[Callable, ...]:
    """The box head and the mask head as functions of ROIs [B, N, 4]."""
    shared = {
        "feature_maps": [features[f"P{level}"] for level in range(2, 6)],
        "image_meta": meta,
        "num_classes": config.NUM_CLASSES,
        "roi_align": config.ROI_ALIGN,
        "style": style,
    }
    classify = functools.partial(
        fpn_classifier_graph,
        pool_size=config.POOL_SIZE,
        fc_layers_size=config.FPN_CLASSIF_FC_LAYERS_SIZE,
        **shared,
    )
    draw = functools.partial(
        build_fpn_mask_graph,
        pool_size=config.MASK_POOL_SIZE,
        filters=config.MASK_CONV_FILTERS,
        **shared,
    )
    return classify, draw


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


def build_inference(
    config: Config, style: LayerStyle | None = None
) -> tuple[keras.Model, dict[str, Any], ProposalLayer]:
    """The inference graph, by default in the style that `config` asks for.

    Returns:
        the model [input_image [B, h, w, c], input_image_meta [B, 12 + C],
        input_anchors [B, A, 4]] -> INFERENCE_OUTPUTS; its symbolic tensors by the names of
        `Stages`; and its proposal layer.
    """
    style = style or LayerStyle.of(config)
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
    classify, draw = _heads(tensors, meta, config, style)
    _, tensors["mrcnn_class"], tensors["mrcnn_bbox"] = classify(rois)
    detections = DetectionLayer(config, name="mrcnn_detection")(
        [rois, tensors["mrcnn_class"], tensors["mrcnn_bbox"], meta]
    )
    tensors["detections"] = detections
    shape = (None, detections.shape[1], 4)
    boxes = Apply(lambda d: d[..., :4], shape, name="detection_boxes")([detections])
    tensors["mrcnn_mask"] = draw(boxes)
    outputs = [tensors[name] for name in INFERENCE_OUTPUTS]
    model = Network(inputs=[image, meta, anchors], outputs=outputs, name="mask_rcnn")
    return model, tensors, proposal_layer


def build_training(config: Config, style: LayerStyle | None = None) -> TrainingModel:
    """The training graph, by default in the style that `config` asks for.

    Its inputs are those of Matterport's package: image, meta, RPN match and deltas, ground-truth
    classes, boxes in px, masks, and ROIs in px if USE_RPN_ROIS is False; its outputs are
    TRAINING_OUTPUTS.
    """
    style = style or LayerStyle.of(config)
    inputs = _training_inputs(config)
    image, meta = inputs["image"], inputs["image_meta"]
    features = _features(image, config, style)
    _, rpn_logits, rpn_class, rpn_bbox = _rpn(features, config, style)
    if config.USE_RPN_ROIS:
        proposals = ProposalLayer(
            config.POST_NMS_ROIS_TRAINING, config.RPN_NMS_THRESHOLD, config, name="ROI"
        )([rpn_class, rpn_bbox, _anchors(image, config)])
    else:
        proposals = _normalize(inputs["roi"], image, "ROI")
    target_layer = DetectionTargetLayer(config, name="proposal_targets")
    gt_boxes = _normalize(inputs["gt_boxes"], image, "gt_boxes_normalized")
    rois, target_ids, target_bbox, target_mask = target_layer(
        [proposals, inputs["gt_class_ids"], gt_boxes, inputs["gt_masks"]]
    )

    classify, draw = _heads(features, meta, config, style)
    logits, probabilities, deltas = classify(rois)
    mask_rois, mask_ids = rois, target_ids
    # L_mask is defined on positive ROIs alone (He et al. 2017, section 3). Where the others
    # cannot change the statistics of the batch, they stay out of what is differentiated.
    if config.MASK_ROIS == "positive" or config.TRAIN_BN is False:
        slots = target_layer.positives
        mask_rois, mask_ids, target_mask = (
            _first(array, slots) for array in (rois, target_ids, target_mask)
        )
    positive_masks = masks = draw(mask_rois)
    if config.MASK_ROIS == "all" and mask_rois.shape[1] < rois.shape[1]:
        masks = _all_masks(masks, mask_rois, rois, features, meta)

    rpn_match, rpn_target = inputs["rpn_match"], inputs["rpn_bbox"]
    rpn_bbox_loss = functools.partial(losses.rpn_bbox_loss_graph, config)
    class_loss = functools.partial(_class_loss, config)
    plan = {
        "rpn_class_loss": (losses.rpn_class_loss_graph, rpn_match, rpn_logits),
        "rpn_bbox_loss": (rpn_bbox_loss, rpn_target, rpn_match, rpn_bbox),
        "mrcnn_class_loss": (class_loss, target_ids, logits, meta, rois),
        "mrcnn_bbox_loss": (losses.mrcnn_bbox_loss_graph, target_bbox, target_ids, deltas),
        "mrcnn_mask_loss": (losses.mrcnn_mask_loss_graph, target_mask, mask_ids, positive_masks),
    }
    outputs = [rpn_logits, rpn_class, rpn_bbox, logits, probabilities, deltas, masks]
    outputs += [proposals, rois]
    outputs += [Apply(plan[n][0], (), name=n)(list(plan[n][1:])) for n in LOSS_NAMES]
    return TrainingModel(list(inputs.values()), outputs, config, name="mask_rcnn")


def _training_inputs(config: Config) -> dict[str, Any]:
    """The inputs of the training graph in their order, by name without "input_"."""
    height, width, channels = (int(v) for v in config.IMAGE_SHAPE)
    instances = config.MAX_GT_INSTANCES
    mask_shape = config.MINI_MASK_SHAPE if config.USE_MINI_MASK else (height, width)
    wanted = {
        "image": ([height, width, channels], "float32"),
        "image_meta": ([config.IMAGE_META_SIZE], "float32"),
        "rpn_match": ([None, 1], "int32"),
        "rpn_bbox": ([config.RPN_TRAIN_ANCHORS_PER_IMAGE, 4], "float32"),
        "gt_class_ids": ([instances], "int32"),
        "gt_boxes": ([instances, 4], "float32"),
        "gt_masks": ([*mask_shape, instances], "bool"),
    }
    if not config.USE_RPN_ROIS:
        wanted["roi"] = ([config.POST_NMS_ROIS_TRAINING, 4], "int32")
    return {n: keras.Input(shape, name=f"input_{n}", dtype=d) for n, (shape, d) in wanted.items()}


def _anchors(image: Any, config: Config) -> Any:
    """The anchors of IMAGE_SHAPE for every image of the batch, [B, A, 4]."""
    anchors = normalized_anchors(config, config.IMAGE_SHAPE)

    def every_image(image):
        constant = ops.convert_to_tensor(anchors)[None]
        return ops.repeat(constant, ops.shape(image)[0], axis=0)

    return Apply(every_image, (None, *anchors.shape), name="anchors")([image])


def _first(array: Any, count: int) -> Any:
    """The first ROIs of an array [B, N, ...]."""
    shape = (None, count, *array.shape[2:])
    return Apply(lambda a: a[:, :count], shape, array.dtype)([array])


def _class_loss(config: Config, ids: Any, logits: Any, meta: Any, rois: Any) -> Any:
    counted = config.PADDING_IS_BACKGROUND
    valid = None if counted else ops.sum(ops.abs(rois), axis=-1) > 0
    active = meta[:1, 12:] if config.ACTIVE_CLASSES == "first" else meta[:, 12:]
    return losses.mrcnn_class_loss_graph(ids, logits, active, valid)
