"""The five losses, with the names and arguments of Matterport's package.

Each is the mean over what counts, and 0 where nothing does. Shapes are static: entries that do
not count weigh 0.
"""

from typing import Any

from keras import ops

_EPSILON = 1e-7


def _masked_mean(values: Any, weights: Any) -> Any:
    total = ops.sum(weights)
    return ops.sum(values * weights) / ops.maximum(total, _EPSILON)


def smooth_l1_loss(y_true: Any, y_pred: Any) -> Any:
    """0.5 d^2 where |d| < 1, else |d| - 0.5; elementwise."""
    d = ops.abs(y_true - y_pred)
    return ops.where(d < 1.0, 0.5 * d * d, d - 0.5)


def _cross_entropy(class_ids: Any, logits: Any) -> Any:
    """Softmax cross-entropy [...] of int class_ids [...] and logits [..., C]."""
    return ops.sparse_categorical_crossentropy(class_ids, logits, from_logits=True)


def rpn_class_loss_graph(rpn_match: Any, rpn_class_logits: Any) -> Any:
    """Cross-entropy of the anchors' objectness, from rpn_match [B, A, 1] (1 positive, -1 negative,
    0 neutral, which does not count) and logits [B, A, (background, foreground)]."""
    match = ops.cast(ops.squeeze(rpn_match, -1), "int32")
    loss = _cross_entropy(ops.cast(match == 1, "int32"), rpn_class_logits)
    return _masked_mean(loss, ops.cast(match != 0, "float32"))


def rpn_bbox_loss_graph(config: Any, target_bbox: Any, rpn_match: Any, rpn_bbox: Any) -> Any:
    """Smooth L1 of the positive anchors' deltas.

    `target_bbox` [B, K, 4] begins with the targets of the positive anchors, in anchor order;
    `rpn_match` is [B, A, 1], `rpn_bbox` [B, A, 4]; `config` is Matterport's, and not used.
    """
    positive = ops.cast(ops.squeeze(rpn_match, -1), "int32") == 1
    row = ops.cumsum(ops.cast(positive, "int32"), axis=1) - 1
    row = ops.clip(row, 0, target_bbox.shape[1] - 1)
    target = ops.take_along_axis(target_bbox, row[..., None], axis=1)
    loss = ops.mean(smooth_l1_loss(target, rpn_bbox), axis=-1)
    return _masked_mean(loss, ops.cast(positive, "float32"))


def mrcnn_class_loss_graph(
    target_class_ids: Any, pred_class_logits: Any, active_class_ids: Any, valid: Any = None
) -> Any:
    """Cross-entropy of the ROIs' classes.

    An ROI whose predicted class is not annotated in its image's source does not count.

    Args:
        target_class_ids: int [B, T], 0 for background and padding.
        pred_class_logits: [B, T, C].
        active_class_ids: 1 for the classes of the source; [B, C], or [1, C] for all images.
        valid: [B, T], 0 for rows to leave out; default: all count.
    """
    loss = _cross_entropy(ops.cast(target_class_ids, "int32"), pred_class_logits)
    predicted = ops.cast(ops.argmax(pred_class_logits, axis=-1), "int32")
    active = ops.cast(active_class_ids, "float32")[:, None, :]
    weights = ops.sum(active * ops.one_hot(predicted, pred_class_logits.shape[-1]), axis=-1)
    if valid is not None:
        weights = weights * ops.cast(valid, "float32")
    return _masked_mean(loss, weights)


def mrcnn_bbox_loss_graph(target_bbox: Any, target_class_ids: Any, pred_bbox: Any) -> Any:
    """Smooth L1 of the positive ROIs' deltas [B, T, 4] and those predicted for their target class
    (int [B, T]) in [B, T, C, 4]."""
    class_ids = ops.cast(target_class_ids, "int32")
    pred = ops.take_along_axis(pred_bbox, class_ids[..., None, None], axis=2)[:, :, 0]
    loss = ops.mean(smooth_l1_loss(target_bbox, pred), axis=-1)
    return _masked_mean(loss, ops.cast(class_ids > 0, "float32"))


def mrcnn_mask_loss_graph(target_masks: Any, target_class_ids: Any, pred_masks: Any) -> Any:
    """Binary cross-entropy of the positive ROIs' masks [B, T, h, w], 0 or 1, and the probabilities
    for their target class (int [B, T]) in [B, T, h, w, C]."""
    class_ids = ops.cast(target_class_ids, "int32")
    pred = ops.take_along_axis(pred_masks, class_ids[:, :, None, None, None], axis=-1)[..., 0]
    pred = ops.clip(pred, _EPSILON, 1.0 - _EPSILON)
    target = ops.cast(target_masks, "float32")
    loss = -(target * ops.log(pred) + (1.0 - target) * ops.log(1.0 - pred))
    return _masked_mean(ops.mean(loss, axis=(-2, -1)), ops.cast(class_ids > 0, "float32"))
