"""The RPN at some anchors alone, for its losses.

A step's losses count RPN_TRAIN_ANCHORS_PER_IMAGE of some 40,000 anchors (Ren et al. 2015,
section 3.1.3). Proposals need the RPN everywhere, but without a gradient; the gradient of the
losses needs it at those anchors only, which spares most of the RPN's backward pass.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

_SIDE = 3  # of the kernel of rpn_conv_shared


def sampled_anchors(rpn_match: Any, count: int) -> Any:
    """Rows int32 [B, count], ascending, of the anchors that count, filled up with neutral ones.

    `rpn_match` is int [B, A, 1]: 1 positive, -1 negative, 0 neutral; `count` must suffice.
    """
    used = ops.cast(ops.squeeze(rpn_match, -1) != 0, "int32")
    _, rows = ops.top_k(used, count)
    return ops.cast(ops.sort(rows, axis=-1), "int32")


def rpn_at(rpn: keras.Model, feature_maps: Sequence[Any], rows: Any) -> Any:
    """What `rpn_model` predicts at chosen anchors; gradients flow to its weights too.

    Args:
        rpn: of `build_rpn_model`.
        feature_maps: [P2, ..., P6], each [B, h, w, depth] of known size.
        rows: int32 [B, n], indices of anchors in the order of all levels.

    Returns:
        float32 [B, n, 2 + 4]: logits and deltas.
    """
    shared, *outputs = (
        rpn.get_layer(name) for name in ("rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred")
    )
    depth = feature_maps[0].shape[-1]
    ratios = outputs[0].filters // 2
    table, neighbors = _cells(feature_maps, shared.strides[0])
    position, ratio = rows // ratios, rows % ratios
    cells = ops.take(ops.convert_to_tensor(neighbors), position, axis=0)
    image = ops.arange(ops.shape(rows)[0], dtype="int32") * table.shape[1]
    cells = cells + image[:, None, None]
    patches = ops.take(ops.reshape(table, (-1, depth)), ops.reshape(cells, (-1,)), axis=0)
    patches = ops.cast(ops.reshape(patches, (-1, _SIDE**2 * depth)), shared.compute_dtype)
    kernel = ops.reshape(shared.kernel, (-1, shared.filters))
    x = ops.matmul(patches, ops.cast(kernel, shared.compute_dtype))
    x = ops.relu(x + ops.cast(shared.bias, shared.compute_dtype))[:, None, None]
    mine = ops.one_hot(ratio, ratios)[..., None]
    found = []
    for layer in outputs:
        values = ops.reshape(layer(x), (-1, rows.shape[1], ratios, layer.filters // ratios))
        found.append(ops.sum(values * mine, axis=2))
    return ops.concatenate(found, axis=-1)


def _cells(feature_maps: Sequence[Any], stride: int) -> tuple[Any, np.ndarray]:
    """All levels as one float32 table [B, cells + 1, depth], whose last row is zero, as
    outside of a level; and for each position of the kernel, its cells int32 [positions, 9]."""
    outside = sum(features.shape[1] * features.shape[2] for features in feature_maps)
    neighbors, first = [], 0
    for height, width in (features.shape[1:3] for features in feature_maps):
        margins = (_margins(side, stride) for side in (height, width))
        own = np.arange(first, first + height * width).reshape(height, width)
        own = np.pad(own, tuple(margins), constant_values=outside)
        windows = np.lib.stride_tricks.sliding_window_view(own, (_SIDE, _SIDE))
        neighbors.append(windows[::stride, ::stride].reshape(-1, _SIDE**2))
        first += height * width
    depth = feature_maps[0].shape[-1]
    # Overlapping patches add up their gradients in float32, as a convolution does.
    rows = [
        ops.reshape(ops.cast(f, "float32"), (-1, math.prod(f.shape[1:3]), depth))
        for f in feature_maps
    ]
    rows.append(ops.zeros_like(rows[0][:, :1]))
    return ops.concatenate(rows, axis=1), np.concatenate(neighbors).astype(np.int32)


def _margins(side: int, stride: int) -> tuple[int, int]:
    total = max((-(-side // stride) - 1) * stride + _SIDE - side, 0)
    return total // 2, total - total // 2
