"""The training graph with less work in a step and the same gradients, up to roundings.

`MaskRCNN` trains what `fast_training` makes of the graph of `mrcnn.modeling.network`.
"""

from typing import Any

from keras import ops

from mrcnn.accelerate.rpn_sampling import rpn_at, sampled_anchors
from mrcnn.config import Config
from mrcnn.modeling import losses
from mrcnn.modeling.network import TRAINING_OUTPUTS, Apply, TrainingModel


def fast_training(model: TrainingModel, config: Config) -> TrainingModel:
    """A training graph that computes its RPN losses at the anchors that count alone.

    The result has the inputs and outputs of `model`, shares its layers and replaces it. At most
    RPN_TRAIN_ANCHORS_PER_IMAGE anchors of an image may count (match not 0).
    """
    outputs = dict(zip(TRAINING_OUTPUTS, model.outputs, strict=True))
    match, target = (model.get_layer(f"input_rpn_{name}").output for name in ("match", "bbox"))
    levels = [model.get_layer(f"fpn_p{level}").output for level in range(2, 7)]
    rpn = model.get_layer("rpn_model")
    count = min(config.RPN_TRAIN_ANCHORS_PER_IMAGE, outputs["rpn_class"].shape[1])

    rows = Apply(lambda match: sampled_anchors(match, count), (None, count), "int32")([match])
    sample = Apply(
        lambda rows, *levels: rpn_at(rpn, levels, rows), (None, count, 6), name="rpn_sample"
    )([rows, *levels])

    def match_of(match: Any, rows: Any) -> Any:
        return ops.take_along_axis(match, rows[..., None], axis=1)

    def class_loss(match: Any, rows: Any, sample: Any) -> Any:
        return losses.rpn_class_loss_graph(match_of(match, rows), sample[..., :2])

    def bbox_loss(target: Any, match: Any, rows: Any, sample: Any) -> Any:
        # The sample keeps the order of the anchors, which that of the targets follows.
        return losses.rpn_bbox_loss_graph(config, target, match_of(match, rows), sample[..., 2:])

    for name, loss, read in (
        ("rpn_class_loss", class_loss, [match, rows, sample]),
        ("rpn_bbox_loss", bbox_loss, [target, match, rows, sample]),
    ):
        outputs[name] = Apply(loss, (), name=name)(read)
    return TrainingModel(model.inputs, list(outputs.values()), config, name=model.name)
