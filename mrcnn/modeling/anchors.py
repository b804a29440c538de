"""Pyramid anchors.

Order, a contract with the RPN: level, then row, then column, then ratio.
"""

from collections.abc import Sequence

import numpy as np

from mrcnn.config import Config, compute_backbone_shapes
from mrcnn.structures.boxes import norm_boxes


def generate_anchors(
    scales: float | Sequence[float],
    ratios: Sequence[float],
    shape: Sequence[int],
    feature_stride: int,
    anchor_stride: int,
) -> np.ndarray:
    """Anchors of one pyramid level.

    Args:
        scales: side of the square anchor, px; one number or several.
        ratios: width / height.
        shape: (height, width) of the feature map.
        feature_stride: px of the image to a cell of the feature map.
        anchor_stride: cells between anchors.

    Returns:
        float64 [height * width * ratios * scales, (y1, x1, y2, x2)], px, also outside the image.
        Centers are at (row, column) * feature_stride, without an offset of half a cell.
    """
    scales, ratios = np.meshgrid(np.asarray(scales), np.asarray(ratios))
    scales, ratios = scales.ravel(), ratios.ravel()
    heights = scales / np.sqrt(ratios)
    widths = scales * np.sqrt(ratios)
    rows = np.arange(0, shape[0], anchor_stride) * feature_stride
    columns = np.arange(0, shape[1], anchor_stride) * feature_stride
    center_y, center_x = (grid[..., None] for grid in np.meshgrid(rows, columns, indexing="ij"))
    half_y, half_x = 0.5 * heights, 0.5 * widths
    sides = np.broadcast_arrays(
        center_y - half_y, center_x - half_x, center_y + half_y, center_x + half_x
    )
    return np.stack(sides, axis=-1).reshape(-1, 4)


def generate_pyramid_anchors(
    scales: Sequence[float],
    ratios: Sequence[float],
    feature_shapes: Sequence[Sequence[int]],
    feature_strides: Sequence[int],
    anchor_stride: int,
) -> np.ndarray:
    """Anchors of all levels, one scale a level, float64 [A, 4] in px."""
    levels = zip(scales, feature_shapes, feature_strides, strict=False)
    return np.concatenate(
        [
            generate_anchors(scale, ratios, shape, stride, anchor_stride)
            for scale, shape, stride in levels
        ]
    )


def config_anchors(config: Config, image_shape: Sequence[int]) -> np.ndarray:
    """Pixel anchors of a configuration for one molded image shape, float64 [A, 4]."""
    return generate_pyramid_anchors(
        config.RPN_ANCHOR_SCALES,
        config.RPN_ANCHOR_RATIOS,
        compute_backbone_shapes(config, image_shape),
        config.BACKBONE_STRIDES,
        config.RPN_ANCHOR_STRIDE,
    )


def normalized_anchors(config: Config, image_shape: Sequence[int]) -> np.ndarray:
    """The same, normalized (see `mrcnn.structures.boxes.norm_boxes`), float32 [A, 4]."""
    return norm_boxes(config_anchors(config, image_shape), image_shape[:2])
