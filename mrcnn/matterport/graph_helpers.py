"""The functions of Matterport's `model` that put its graph together and are of no use here.

Those that are stay where they are used; `mrcnn.model` has the names of all.
"""

from typing import Any

from keras import ops

from mrcnn.config import Config
from mrcnn.modeling.backbone import residual_block
from mrcnn.modeling.detection import DetectionLayer
from mrcnn.modeling.layers import LayerStyle
from mrcnn.modeling.roi_targets import DetectionTargetLayer

log2_graph = ops.log2


def identity_block(
    input_tensor: Any,
    kernel_size: int,
    filters: tuple[int, int, int],
    stage: int,
    block: str,
    use_bias: bool = True,
    train_bn: bool | None = True,
) -> Any:
    """A residual block without a convolution in its shortcut.

    Args:
        input_tensor: [B, h, w, filters[2]].
        kernel_size: of the second convolution; the others are 1 x 1.
        filters: of the three convolutions.
        stage: number in the names of the layers.
        block: letter in them.
        use_bias: of the convolutions.
        train_bn: see `mrcnn.modeling.layers.BatchNorm`.

    Source: Matterport `model.identity_block`.
    """
    plan = _bottleneck(kernel_size, filters)
    style = LayerStyle(train_bn=train_bn)
    return residual_block(input_tensor, f"{stage}{block}", plan, style, use_bias=use_bias)


def conv_block(
    input_tensor: Any,
    kernel_size: int,
    filters: tuple[int, int, int],
    stage: int,
    block: str,
    strides: Any = (2, 2),
    use_bias: bool = True,
    train_bn: bool | None = True,
) -> Any:
    """A residual block with a convolution in its shortcut, which takes every `strides`-th pixel;
    all else is as in `identity_block`. Source: Matterport `model.conv_block`."""
    plan = _bottleneck(kernel_size, filters)
    name, style = f"{stage}{block}", LayerStyle(train_bn=train_bn)
    return residual_block(input_tensor, name, plan, style, strides, use_bias=use_bias)


def _bottleneck(kernel_size: int, filters: tuple[int, int, int]) -> list[tuple[str, int, int]]:
    return list(zip(("2a", "2b", "2c"), filters, (1, kernel_size, 1), strict=True))


def refine_detections_graph(rois: Any, probs: Any, deltas: Any, window: Any, config: Config) -> Any:
    """`DetectionLayer` for one image: rois [N, 4], probs [N, C], deltas [N, C, 4], window [4],
    normalized, to detections [D, 6]. Source: Matterport `model.refine_detections_graph`."""
    # The meta of an image in whose px the window has these coordinates.
    corners = ops.cast(window, "float32") + ops.convert_to_tensor([0.0, 0.0, 1.0, 1.0])
    meta = ops.concatenate([ops.full((7,), 2.0), corners, ops.zeros((1,))])
    inputs = (ops.convert_to_tensor(part)[None] for part in (rois, probs, deltas))
    return DetectionLayer(config)([*inputs, meta[None]])[0]


def detection_targets_graph(
    proposals: Any, gt_class_ids: Any, gt_boxes: Any, gt_masks: Any, config: Config
) -> list[Any]:
    """`DetectionTargetLayer` for one image: proposals [P, 4], gt_class_ids [M], gt_boxes [M, 4],
    gt_masks [h, w, M] to rois [T, 4], class ids [T], deltas [T, 4], masks [T, *MASK_SHAPE].
    Source: Matterport `model.detection_targets_graph`."""
    parts = (proposals, gt_class_ids, gt_boxes, gt_masks)
    batch = [ops.convert_to_tensor(part)[None] for part in parts]
    return [targets[0] for targets in DetectionTargetLayer(config)(batch)]


def trim_zeros_graph(boxes: Any, name: str = "trim_zeros") -> tuple[Any, Any]:
    """The boxes [N, 4] that are not all zero (padding), and which those are, bool [N]; `name` is
    not used. Source: Matterport `model.trim_zeros_graph`."""
    boxes = ops.convert_to_tensor(boxes)
    real = ops.any(boxes != 0, axis=1)
    return ops.take(boxes, ops.nonzero(real)[0], axis=0), real


def batch_pack_graph(x: Any, counts: Any, num_rows: int) -> Any:
    """The first `counts[i]` rows of each of the `num_rows` items of x [num_rows, N, ...], one after
    the other. Source: Matterport `model.batch_pack_graph`."""
    return ops.concatenate([x[i, : counts[i]] for i in range(num_rows)], axis=0)
