"""Box arithmetic on NumPy arrays or backend tensors [..., 4], answering in kind.

Boxes are (y1, x1, y2, x2); y2 and x2 lie one past the last pixel.
"""

from typing import Any

import numpy as np

# exp() of a larger log-size delta would only overflow: any box is clipped later.
MAX_LOG_SIZE = 20.0


def _namespace(*arrays: Any) -> Any:
    """`keras.ops` when any argument is a backend tensor, else `numpy`."""
    plain = (np.ndarray, np.generic, list, tuple, int, float)
    if all(isinstance(a, plain) for a in arrays):
        return np
    from keras import ops  # seconds to load, for nothing where all boxes are arrays

    return ops


def _split(boxes: Any) -> tuple:
    return tuple(boxes[..., i] for i in range(4))


def box_area(boxes: Any) -> Any:
    """Areas [...] of boxes [..., 4]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def pairwise_iou(boxes1: Any, boxes2: Any) -> Any:
    """Intersection over union of every pair: [..., n, 4], [..., m, 4] -> [..., n, m].

    Two boxes without any area have IoU 0.

    Example:
        >>> pairwise_iou([[0, 0, 10, 10]], [[0, 0, 10, 10], [0, 5, 10, 15], [20, 20, 30, 30]])
        array([[1.        , 0.33333333, 0.        ]])
    """
    xp = _namespace(boxes1, boxes2)
    if xp is np:
        boxes1, boxes2 = np.asarray(boxes1, float), np.asarray(boxes2, float)
    a, b = boxes1[..., :, None, :], boxes2[..., None, :, :]
    height = xp.maximum(xp.minimum(a[..., 2], b[..., 2]) - xp.maximum(a[..., 0], b[..., 0]), 0.0)
    width = xp.maximum(xp.minimum(a[..., 3], b[..., 3]) - xp.maximum(a[..., 1], b[..., 1]), 0.0)
    intersection = height * width
    union = box_area(boxes1)[..., :, None] + box_area(boxes2)[..., None, :] - intersection
    return xp.where(union > 0, intersection / xp.where(union > 0, union, 1.0), 0.0)


def apply_box_deltas(boxes: Any, deltas: Any) -> Any:
    """Move and resize boxes [..., 4] by deltas [..., (dy, dx, log dh, log dw)].
    Source: Matterport `utils.apply_box_deltas` and `apply_box_deltas_graph`."""
    xp = _namespace(boxes, deltas)
    if xp is np:
        boxes, deltas = _floating(boxes), np.asarray(deltas)
    y1, x1, y2, x2 = _split(boxes)
    dy, dx, dh, dw = _split(deltas)
    height, width = y2 - y1, x2 - x1
    center_y = y1 + 0.5 * height + dy * height
    center_x = x1 + 0.5 * width + dx * width
    height = height * xp.exp(xp.minimum(dh, MAX_LOG_SIZE))
    width = width * xp.exp(xp.minimum(dw, MAX_LOG_SIZE))
    y1, x1 = center_y - 0.5 * height, center_x - 0.5 * width
    return xp.stack([y1, x1, y1 + height, x1 + width], axis=-1)


def box_refinement(box: Any, gt_box: Any) -> Any:
    """Deltas [..., (dy, dx, log dh, log dw)] that move `box` onto `gt_box`.

    Boxes must have a positive height and width. Inverse of `apply_box_deltas`.
    Source: Matterport `utils.box_refinement`.

    Example:
        >>> box, drawn = np.array([10.0, 10, 20, 20]), np.array([12.0, 10, 22, 20])
        >>> deltas = box_refinement(box, drawn)
        >>> deltas
        array([0.2, 0. , 0. , 0. ])
        >>> apply_box_deltas(box, deltas)
        array([12., 10., 22., 20.])
    """
    xp = _namespace(box, gt_box)
    if xp is np:
        box, gt_box = _floating(box), _floating(gt_box)
    y1, x1, y2, x2 = _split(box)
    gy1, gx1, gy2, gx2 = _split(gt_box)
    height, width, gt_height, gt_width = y2 - y1, x2 - x1, gy2 - gy1, gx2 - gx1
    dy = (gy1 + 0.5 * gt_height - (y1 + 0.5 * height)) / height
    dx = (gx1 + 0.5 * gt_width - (x1 + 0.5 * width)) / width
    return xp.stack([dy, dx, xp.log(gt_height / height), xp.log(gt_width / width)], axis=-1)


def clip_boxes(boxes: Any, window: Any) -> Any:
    """Clip boxes [..., n, 4] to window [..., 4] (one window per leading index)."""
    xp = _namespace(boxes, window)
    low = xp.stack([window[..., 0], window[..., 1]] * 2, axis=-1)[..., None, :]
    high = xp.stack([window[..., 2], window[..., 3]] * 2, axis=-1)[..., None, :]
    return xp.maximum(xp.minimum(boxes, high), low)


def norm_boxes(boxes: Any, shape: Any) -> Any:
    """Pixel boxes [..., 4] of a picture `shape` (h, w) px -> normalized float32.

    (y1, x1, y2 - 1, x2 - 1) / (h - 1, w - 1, h - 1, w - 1), so that (0, 0, 1, 1) covers the picture
    from the center of its first pixel to the center of its last.

    Example:
        >>> norm_boxes([[0, 0, 101, 201]], (101, 201))
        array([[0., 0., 1., 1.]], dtype=float32)
        >>> denorm_boxes([[0, 0, 0.5, 1]], (101, 201))
        array([[  0,   0,  51, 201]], dtype=int32)
    """
    h, w = shape[0], shape[1]
    xp = _namespace(boxes, h, w)
    if xp is np:
        scale = np.array([h - 1, w - 1, h - 1, w - 1])
        return np.divide(np.asarray(boxes) - np.array([0, 0, 1, 1]), scale).astype(np.float32)
    scale, shift = _scale_and_shift(xp, h, w)
    return (xp.cast(boxes, "float32") - shift) / scale


def denorm_boxes(boxes: Any, shape: Any) -> Any:
    """Normalized boxes [..., 4] -> pixels, int32, rounded. Inverse of `norm_boxes`."""
    h, w = shape[0], shape[1]
    xp = _namespace(boxes, h, w)
    if xp is np:
        scale = np.array([h - 1, w - 1, h - 1, w - 1])
        shift = np.array([0, 0, 1, 1])
        return np.around(np.multiply(np.asarray(boxes), scale) + shift).astype(np.int32)
    scale, shift = _scale_and_shift(xp, h, w)
    return xp.cast(xp.round(xp.cast(boxes, "float32") * scale + shift), "int32")


def _scale_and_shift(xp: Any, h: Any, w: Any) -> tuple[Any, Any]:
    """Of normalized boxes, as tensors."""
    h, w = xp.cast(h, "float32"), xp.cast(w, "float32")
    scale = xp.stack([h, w, h, w], axis=-1) - 1.0
    return scale, xp.convert_to_tensor([0.0, 0.0, 1.0, 1.0], "float32")


def _floating(array: Any) -> np.ndarray:
    """As an array of floats; integers become float32, as in Matterport's package."""
    array = np.asarray(array)
    return array if array.dtype.kind == "f" else array.astype(np.float32)
