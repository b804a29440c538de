"""The RPN at some anchors alone, for its losses.

The losses of a step count RPN_TRAIN_ANCHORS_PER_IMAGE anchors of some 40,000 (Ren et al.
2015, section 3.1.3). Proposals need the RPN everywhere, but no gradient flows through them;
the gradient of the losses needs it at those anchors only, which spares most of the cost of
the RPN's backward pass and changes nothing but roundings.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

_SIDE = 3  # of the kernel of rpn_conv_shared


def sampled_anchors(rpn_match: Any, count: int) -> Any:
    """Rows of the anchors that count, in anchor order, filled up with neutral ones.

    Args:
        rpn_match: int [B, A, 1]: 1 positive, -1 negative, 0 neutral.
        count: n; at most as many anchors of an image may be positive or negative.

    Returns:
        int32 [B, n], ascending.
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
    table, corners, pitches = _padded_cells(feature_maps, shared.strides[0])
    position, ratio = rows // ratios, rows % ratios
    corner = ops.take(ops.convert_to_tensor(corners), position)
    pitch = ops.take(ops.convert_to_tensor(pitches), position)
    image = ops.arange(ops.shape(rows)[0], dtype="int32") * table.shape[1]
    step = ops.arange(_SIDE, dtype="int32")
    lines = (corner + image[:, None])[..., None] + step * pitch[..., None]
    cells = lines[..., None] + step
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


def _padded_cells(feature_maps: Sequence[Any], stride: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """All levels, padded as a "same" convolution does, as one float32 table
    [B, cells, depth]; for each position of the kernel int32 [positions]: the cell of its
    first weight, and the number of cells from one row of the kernel to the next."""
    tables, corners, pitches = [], [], []
    offset = 0
    for features in feature_maps:
        height, width, depth = features.shape[1:]
        (top, bottom), (left, right) = (_margins(side, stride) for side in (height, width))
        # Overlapping patches add up their gradients in float32, as a convolution does.
        padded = ops.pad(
            ops.cast(features, "float32"), [[0, 0], [top, bottom], [left, right], [0, 0]]
        )
        rows, pitch = height + top + bottom, width + left + right
        tables.append(ops.reshape(padded, (-1, rows * pitch, depth)))
        y = np.arange(-(-height // stride)) * stride
        x = np.arange(-(-width // stride)) * stride
        corners.append((offset + y[:, None] * pitch + x).ravel())
        pitches.append(np.full(len(y) * len(x), pitch))
        offset += rows * pitch
    return (
        ops.concatenate(tables, axis=1),
        np.concatenate(corners).astype(np.int32),
        np.concatenate(pitches).astype(np.int32),
    )


def _margins(side: int, stride: int) -> tuple[int, int]:
    total = max((-(-side // stride) - 1) * stride + _SIDE - side, 0)
    return total // 2, total - total // 2
