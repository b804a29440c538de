"""The stages of the network that know which Keras backend runs.

`nms` and the two crop functions are written once in `keras.ops`; TensorFlow, whose
own kernels are several times faster without XLA, takes them instead.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from mrcnn.backend import backend
from mrcnn.structures.boxes import pairwise_iou

_NMS_TILE = 256


def take_rows(table: Any, indices: Any) -> Any:
    """Rows of a table [B, A, C] at indices [B, K]: [B, K, C]."""
    return ops.take_along_axis(table, indices[..., None], axis=1)


# --- Non-maximum suppression --------------------------------------------------------


def nms(
    boxes: Any, valid: Any, max_output: int, iou_threshold: float, groups: Any = None
) -> tuple[Any, Any]:
    """Greedy non-maximum suppression of a batch, with outputs of a fixed size.

    A box is dropped when its IoU with a better kept box of its group exceeds `iou_threshold`.

    Args:
        boxes: float32 [B, N, 4], best first; N is static.
        valid: bool [B, N]; other boxes are ignored.
        max_output: boxes kept at most.
        iou_threshold: IoU.
        groups: int32 [B, N]; boxes of different groups do not meet. None: one group.

    Returns:
        indices int32 [B, max_output], best first, 0 where unused; kept bool [B, max_output].
    """
    boxes = ops.stop_gradient(boxes)
    if groups is None:
        if backend() == "tensorflow":
            return _tensorflow_nms(boxes, valid, max_output, iou_threshold)
        groups = ops.zeros_like(boxes[..., 0], dtype="int32")
    return tiled_nms(boxes, valid, max_output, iou_threshold, groups)


def tiled_nms(
    boxes: Any, valid: Any, max_output: int, iou_threshold: float, groups: Any
) -> tuple[Any, Any]:
    """`nms` in `keras.ops` alone: tiles of boxes against those kept so far, then each
    tile against itself until nothing changes; ends as soon as enough are kept."""
    count = boxes.shape[1]
    tile = min(_NMS_TILE, count)
    tiles = -(-count // tile)
    spare = tiles * tile - count
    boxes = ops.pad(boxes, [[0, 0], [0, spare], [0, 0]])
    valid = ops.pad(ops.cast(valid, "bool"), [[0, 0], [0, spare]])
    groups = ops.pad(ops.cast(groups, "int32"), [[0, 0], [0, spare]])
    capacity = max_output + tile
    batch = ops.shape(boxes)[0]
    slots = ops.arange(capacity, dtype="int32")

    def unfinished(t, kept_boxes, kept_groups, kept_index, total):
        return ops.logical_and(t < tiles, ops.any(total < max_output))

    def step(t, kept_boxes, kept_groups, kept_index, total):
        start = t * tile
        here = ops.slice(boxes, (0, start, 0), (batch, tile, 4))
        here_groups = ops.slice(groups, (0, start), (batch, tile))
        here_valid = ops.slice(valid, (0, start), (batch, tile))
        used = slots[None, :] < total[:, None]
        clash = _clash(here, here_groups, kept_boxes, kept_groups, iou_threshold)
        beaten = ops.any(ops.logical_and(clash, used[:, None, :]), axis=-1)
        alive = ops.logical_and(here_valid, ops.logical_not(beaten))
        keep = _survivors(alive, _clash(here, here_groups, here, here_groups, iou_threshold))
        place = total[:, None] + ops.cumsum(ops.cast(keep, "int32"), axis=1) - 1
        put = ops.logical_and(keep[:, :, None], place[:, :, None] == slots[None, None, :])
        weight = ops.cast(put, "float32")
        kept_boxes = kept_boxes + ops.einsum("btm,btc->bmc", weight, here)
        put = ops.cast(put, "int32")
        number = start + ops.arange(tile, dtype="int32")
        kept_groups = kept_groups + ops.sum(put * here_groups[:, :, None], axis=1)
        kept_index = kept_index + ops.sum(put * number[None, :, None], axis=1)
        total = ops.minimum(total + ops.sum(ops.cast(keep, "int32"), axis=1), max_output)
        # Beyond max_output nothing is reported, and nothing there may be overwritten.
        inside = ops.cast(slots[None, :] < total[:, None], "int32")
        kept_boxes = kept_boxes * ops.cast(inside, "float32")[:, :, None]
        return t + 1, kept_boxes, kept_groups * inside, kept_index * inside, total

    none = ops.zeros((batch, capacity), dtype="int32")
    start = (
        ops.convert_to_tensor(0, dtype="int32"),
        ops.zeros((batch, capacity, 4), dtype="float32"),
        none,
        none,
        ops.zeros((batch,), dtype="int32"),
    )
    *_, kept_index, total = ops.while_loop(unfinished, step, start)
    return kept_index[:, :max_output], slots[None, :max_output] < total[:, None]


def _clash(boxes: Any, groups: Any, others: Any, other_groups: Any, iou_threshold: float) -> Any:
    """Which boxes [B, N, 4] meet which others [B, M, 4] of their group: bool [B, N, M]."""
    same = groups[:, :, None] == other_groups[:, None, :]
    return ops.logical_and(pairwise_iou(boxes, others) > iou_threshold, same)


def _survivors(alive: Any, clash: Any) -> Any:
    """Boxes alive [B, N] of one tile, best first, that no better one suppresses (`_clash`)."""
    count = clash.shape[-1]
    # j is suppressed by i only when i comes first.
    earlier = ops.convert_to_tensor(np.tril(np.ones((count, count), bool), -1))
    clash = ops.logical_and(clash, earlier[None, :, :])

    def suppress(keep, previous, alive, clash):
        beaten = ops.any(ops.logical_and(clash, keep[:, None, :]), axis=-1)
        return ops.logical_and(alive, ops.logical_not(beaten)), keep, alive, clash

    keep, *_ = ops.while_loop(
        lambda keep, previous, alive, clash: ops.any(keep != previous),
        suppress,
        (alive, ops.logical_not(alive), alive, clash),
    )
    return keep


def _tensorflow_nms(boxes, valid, max_output, iou_threshold):
    import tensorflow as tf

    # The kernel does not tell which boxes it keeps, so the score of a box is its place from
    # the end: whole numbers, which float32 holds exactly. It is the fastest there is, and
    # takes a box without area for one that meets no other.
    count = tf.shape(boxes)[1]
    places = tf.cast(tf.range(count, 0, -1), tf.float32)
    kept = tf.image.combined_non_max_suppression(
        boxes[:, :, None],
        tf.where(valid, places[None, :], -1.0)[:, :, None],
        max_output,
        max_output,
        iou_threshold=iou_threshold,
        score_threshold=0.0,
        clip_boxes=False,
    )
    is_kept = tf.range(max_output)[None, :] < kept.valid_detections[:, None]
    return tf.where(is_kept, count - tf.cast(kept.nmsed_scores, tf.int32), 0), is_kept


# --- Bilinear crops ------------------------------------------------------------------


def crop_and_resize(images: Any, boxes: Any, box_indices: Any, size: Sequence[int]) -> Any:
    """Bilinear crops float32 [n, rows, columns, C], one sample a bin, corners aligned.

    Row i lies at y1*(H-1) + i*(y2-y1)*(H-1)/(rows-1); samples outside the picture are 0. No
    gradient flows to the boxes. Source: `tf.image.crop_and_resize`.

    Args:
        images: float32 [K, H, W, C].
        boxes: float32 [n, 4], normalized.
        box_indices: int32 [n], rows of `images`.
        size: (rows, columns) of a crop.
    """
    boxes = ops.stop_gradient(boxes)
    if backend() == "tensorflow":
        import tensorflow as tf

        return tf.image.crop_and_resize(images, boxes, box_indices, size)
    height, width, channels = images.shape[1:]
    table = ops.reshape(images, (-1, channels))
    heights = ops.zeros_like(box_indices) + height
    widths = ops.zeros_like(box_indices) + width
    ys, xs = legacy_samples(boxes, heights, widths, size)
    return gather_bilinear(table, box_indices * (height * width), heights, widths, ys, xs)


def pyramid_crop(feature_maps: Sequence[Any], boxes: Any, levels: Any, size: Sequence[int]) -> Any:
    """`crop_and_resize` of each box from its own pyramid level: [B * N, rows, columns, C].

    `feature_maps` are float32 [B, H_l, W_l, C], one a level; `boxes` [B, N, 4], normalized;
    `levels` int32 [B, N], index into `feature_maps`; `size` (rows, columns).
    """
    boxes = ops.stop_gradient(boxes)
    if backend() == "tensorflow":
        return _tensorflow_pyramid_crop(feature_maps, boxes, levels, size)
    table, base, heights, widths = pyramid_table(feature_maps, levels)
    ys, xs = legacy_samples(ops.reshape(boxes, (-1, 4)), heights, widths, size)
    return gather_bilinear(table, base, heights, widths, ys, xs)


def _tensorflow_pyramid_crop(feature_maps, boxes, levels, size):
    import tensorflow as tf

    flat = tf.reshape(boxes, [-1, 4])
    flat_levels = tf.reshape(levels, [-1])
    per_image = tf.shape(boxes)[1]
    crops, rows = [], []
    for level, features in enumerate(feature_maps):
        row = tf.where(flat_levels == level)[:, 0]
        image = tf.cast(row, tf.int32) // per_image
        features = tf.cast(features, tf.float32)
        crops.append(tf.image.crop_and_resize(features, tf.gather(flat, row), image, size))
        rows.append(tf.cast(row, tf.int32))
    return tf.dynamic_stitch(rows, crops)


def pyramid_table(feature_maps: Sequence[Any], levels: Any) -> tuple[Any, Any, Any, Any]:
    """All levels [B, H_l, W_l, C] as one table of cells [cells, C], and for each of the B * N boxes
    int32: the first cell of its image and level, and that level's height and width."""
    channels = feature_maps[0].shape[-1]
    table = ops.concatenate([ops.reshape(f, (-1, channels)) for f in feature_maps], axis=0)
    batch = ops.shape(levels)[0]
    image = ops.arange(batch, dtype="int32")[:, None]
    base = heights = widths = ops.zeros_like(levels)
    offset = 0
    for level, features in enumerate(feature_maps):
        height, width = ops.shape(features)[1], ops.shape(features)[2]
        here = levels == level
        base = ops.where(here, offset + image * (height * width), base)
        heights = ops.where(here, height, heights)
        widths = ops.where(here, width, widths)
        offset = offset + batch * (height * width)
    return table, *(ops.reshape(of_box, (-1,)) for of_box in (base, heights, widths))


def legacy_samples(boxes: Any, heights: Any, widths: Any, size: Sequence[int]) -> tuple:
    """Sample rows [n, size[0]] and columns [n, size[1]] of `crop_and_resize`, in cells, rounded
    step by step as TensorFlow's kernel does: whether the last sample of a box that ends on the
    border counts as outside hangs on the last bit."""

    def rounded(product):
        # XLA would fuse the product with the sum that takes it, but not this.
        return ops.maximum(product, -3e38)

    def line(low, high, cells, number):
        last = ops.cast(cells - 1, "float32")
        if number == 1:
            return (0.5 * (low + high) * last)[:, None]
        # XLA divides by a constant through its reciprocal, so this must not look like one.
        steps = ops.where(ops.isnan(low), 1.0, number - 1.0)
        step = (high - low) * last / steps
        offsets = ops.arange(number, dtype="float32") * step[:, None]
        return rounded(low * last)[:, None] + rounded(offsets)

    return (
        line(boxes[:, 0], boxes[:, 2], heights, size[0]),
        line(boxes[:, 1], boxes[:, 3], widths, size[1]),
    )


def gather_bilinear(table: Any, base: Any, heights: Any, widths: Any, ys: Any, xs: Any) -> Any:
    """Bilinear samples [n, p, q, C] of a table of cells (row-major pictures laid end to end).

    Args:
        table: float [cells, C].
        base: int32 [n], first cell of the picture that sample grid n reads.
        heights: int32 [n], rows of that picture.
        widths: int32 [n], its columns.
        ys: float32 [n, p], rows to sample, in cells; outside [0, height - 1] it gives 0.
        xs: float32 [n, q], columns to sample; likewise.
    """

    def corners(at, cells):
        last = ops.cast(cells - 1, "float32")[:, None]
        inside = ops.cast(ops.logical_and(at >= 0, at <= last), table.dtype)
        at = ops.clip(at, 0.0, last)
        low = ops.floor(at)
        high = ops.cast(ops.minimum(low + 1, last), "int32")
        part = ops.cast(at - low, table.dtype)
        return ops.cast(low, "int32"), high, (1 - part) * inside, part * inside

    top, bottom, top_share, bottom_share = corners(ys, heights)
    left, right, left_share, right_share = corners(xs, widths)
    result = 0
    for row, row_share in ((top, top_share), (bottom, bottom_share)):
        for column, column_share in ((left, left_share), (right, right_share)):
            cell = base[:, None, None] + row[:, :, None] * widths[:, None, None]
            cell = cell + column[:, None, :]
            share = row_share[:, :, None] * column_share[:, None, :]
            result = result + ops.take(table, cell, axis=0) * share[..., None]
    return result
