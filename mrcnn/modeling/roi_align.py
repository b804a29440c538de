"""PyramidROIAlign: fixed-size features of each ROI from the level that fits its size."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mrcnn.modeling.kernels import gather_bilinear, pyramid_crop, pyramid_table

_SAMPLES = 2  # of the aligned mode, a bin and axis, as in Detectron2


@keras.saving.register_keras_serializable(package="mrcnn")
class PyramidROIAlign(keras.layers.Layer):
    """Crop ROIs from the pyramid levels P2..P5.

    Level of a ROI (Lin et al. 2017, eq. 1): 4 + log2(sqrt(h * w) / 224), with the box at
    the scale of the molded image, rounded, within 2..5.

    Args:
        pool_shape: (rows, columns) of a crop.
        mode: "legacy" samples once a bin with corners aligned, as the reference does;
            "aligned" is ROIAlign with the half-pixel rule and 2 x 2 samples a bin.

    Call arguments:
        inputs: [boxes [B, N, 4] normalized, image_meta [B, 12 + C], P2, P3, P4, P5].

    Returns:
        float32 [B, N, rows, columns, channels].
    """

    def __init__(self, pool_shape: Sequence[int], mode: str = "legacy", **kwargs: Any):
        super().__init__(**kwargs)
        self.pool_shape = tuple(pool_shape)
        self.mode = mode

    def call(self, inputs: Sequence[Any]) -> Any:
        boxes, image_meta, *feature_maps = inputs
        boxes = ops.stop_gradient(boxes)
        # All images of a batch have one molded shape: meta[4:6] of the first.
        height, width = image_meta[0, 4], image_meta[0, 5]
        levels = roi_levels(boxes, height * width) - 2
        if self.mode == "legacy":
            crops = pyramid_crop(feature_maps, boxes, levels, self.pool_shape)
        else:
            crops = self._aligned(feature_maps, boxes, levels, height, width)
        channels = feature_maps[0].shape[-1]
        # A batch of known size lets what follows know how much there is to compute.
        batch = boxes.shape[0] or -1
        return ops.reshape(crops, (batch, boxes.shape[1], *self.pool_shape, channels))

    def _aligned(self, feature_maps, boxes, levels, height, width):
        table, base, rows, columns = pyramid_table(feature_maps, levels)
        boxes = ops.reshape(boxes, (-1, 4))

        def line(low, high, side, cells, bins):
            cells = ops.cast(cells, "float32")
            scale = cells / side
            first = low * (side - 1) * scale - 0.5
            last = (high * (side - 1) + 1) * scale - 0.5
            share = (ops.arange(bins * _SAMPLES, dtype="float32") + 0.5) / (bins * _SAMPLES)
            at = first[:, None] + (last - first)[:, None] * share[None, :]
            # Up to one cell outside the picture its border value holds.
            near = ops.logical_and(at >= -1.0, at <= cells[:, None])
            return ops.where(near, ops.clip(at, 0.0, cells[:, None] - 1.0), at)

        ys = line(boxes[:, 0], boxes[:, 2], height, rows, self.pool_shape[0])
        xs = line(boxes[:, 1], boxes[:, 3], width, columns, self.pool_shape[1])
        samples = gather_bilinear(table, base, rows, columns, ys, xs)
        p, q = self.pool_shape
        samples = ops.reshape(samples, (-1, p, _SAMPLES, q, _SAMPLES, samples.shape[-1]))
        return ops.mean(samples, axis=(2, 4))

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple:
        return (*input_shape[0][:2], *self.pool_shape, input_shape[2][-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_shape": self.pool_shape, "mode": self.mode}


def roi_levels(boxes: Any, image_area: Any) -> Any:
    """Pyramid level 2..5 of normalized boxes [B, N, 4], int32 [B, N], given the height * width of
    the molded image, px^2."""
    height = boxes[..., 2] - boxes[..., 0]
    width = boxes[..., 3] - boxes[..., 1]
    # Boxes without area (padding) would give log(0); they belong to the finest level.
    area = ops.maximum(height * width, 1e-20)
    reference = 224.0 / ops.sqrt(ops.cast(image_area, "float32"))
    level = 4 + ops.round(ops.log2(ops.sqrt(area) / reference))
    return ops.cast(ops.clip(level, 2, 5), "int32")
