"""The training graph with less work in a step and the same gradients, up to roundings.

`MaskRCNN` trains what `fast_training` makes of the graph of `mrcnn.modeling.network`.
"""

from typing import Any

from keras import ops

from mrcnn.accelerate.fused import square_sum
from mrcnn.accelerate.rpn_sampling import rpn_at, sampled_anchors
from mrcnn.config import Config
from mrcnn.modeling import losses
from mrcnn.modeling.network import LOSS_NAMES, Apply, TrainingModel


class FastTrainingModel(TrainingModel):
    """A training graph whose weight decay takes one pass over the weights."""

    square_sum = staticmethod(square_sum)


def fast_training(model: TrainingModel, config: Config) -> FastTrainingModel:
    """A training graph that computes its RPN losses at the anchors that count alone.

    Args:
        model: of `build_training`; the result shares its layers and replaces it. At most
            RPN_TRAIN_ANCHORS_PER_IMAGE anchors of an image may count (match not 0).
        config: its settings.

    Returns:
        a model of the same inputs and outputs.
    """
    match, target = (model.get_layer(f"input_rpn_{name}").output for name in ("match", "bbox"))
    levels = [model.get_layer(f"fpn_p{level}").output for level in range(2, 7)]
    rpn = model.get_layer("rpn_model")
    count = min(config.RPN_TRAIN_ANCHORS_PER_IMAGE, model.outputs[0].shape[1])

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

    outputs = list(model.outputs)
    first = len(outputs) - len(LOSS_NAMES)  # the RPN's losses are the first of the losses
    outputs[first] = Apply(class_loss, (), name="rpn_class_loss")([match, rows, sample])
    outputs[first + 1] = Apply(bbox_loss, (), name="rpn_bbox_loss")([target, match, rows, sample])
    return FastTrainingModel(model.inputs, outputs, config, name=model.name)
