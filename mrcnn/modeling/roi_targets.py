"""Training targets of the heads: sample ROIs, assign ground truth, cut mask targets."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mrcnn.config import Config
from mrcnn.modeling.kernels import crop_and_resize, take_rows
from mrcnn.structures.boxes import box_refinement, pairwise_iou

_POSITIVE_IOU = 0.5
_CROWD_IOU = 0.001  # proposals that touch a crowd more are no negatives
_EMPTY = 1e-12


@keras.saving.register_keras_serializable(package="mrcnn")
class DetectionTargetLayer(keras.layers.Layer):
    """Sample ROIs for the heads and make their targets (Matterport "proposal_targets").

    The first `positives` rows hold the sampled positive ROIs, the others the negatives;
    unused rows of either part are zero boxes of class 0.

    Args:
        config: Config; its TRAIN_ROIS_PER_IMAGE, ROI_POSITIVE_RATIO, BBOX_STD_DEV,
            MASK_SHAPE, USE_MINI_MASK, GT_AS_PROPOSALS, MIN_NEGATIVE_RATIO and SEED.

    Call arguments:
        inputs: [proposals [B, P, 4] normalized, gt_class_ids int32 [B, M] (negative: crowd,
            0: padding), gt_boxes [B, M, 4] normalized, gt_masks [B, h, w, M]: mini masks
            or masks of the molded image].

    Returns:
        rois [B, T, 4] normalized, target_class_ids int32 [B, T],
        target_bbox [B, T, 4] deltas / BBOX_STD_DEV, target_mask [B, T, 28, 28] 0 or 1.
    """

    def __init__(self, config: Config | None = None, **kwargs: Any):
        settings = kwargs.pop("settings", None) or {
            "count": int(config.TRAIN_ROIS_PER_IMAGE),
            "positive_ratio": float(config.ROI_POSITIVE_RATIO),
            "bbox_std_dev": [float(v) for v in config.BBOX_STD_DEV],
            "mask_shape": [int(v) for v in config.MASK_SHAPE],
            "mini_masks": bool(config.USE_MINI_MASK),
            "gt_as_proposals": bool(config.GT_AS_PROPOSALS),
            "min_negatives": int(config.TRAIN_ROIS_PER_IMAGE * config.MIN_NEGATIVE_RATIO),
            "seed": config.SEED,
        }
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.settings = settings
        self.positives = max(1, int(settings["count"] * settings["positive_ratio"]))
        self.seed_generator = keras.random.SeedGenerator(settings["seed"])

    def call(self, inputs: Sequence[Any]) -> list[Any]:
        proposals, class_ids, gt_boxes, gt_masks = inputs
        class_ids = ops.cast(class_ids, "int32")
        proposals, gt_boxes = ops.stop_gradient(proposals), ops.stop_gradient(gt_boxes)
        if self.settings["gt_as_proposals"]:
            real = ops.cast(class_ids > 0, "float32")[..., None]
            proposals = ops.concatenate([proposals, gt_boxes * real], axis=1)

        real = ops.sum(ops.abs(proposals), axis=-1) > 0
        overlaps = pairwise_iou(proposals, gt_boxes)
        crowd = ops.max(ops.where((class_ids < 0)[:, None, :], overlaps, 0.0), axis=-1)
        overlaps = ops.where((class_ids > 0)[:, None, :], overlaps, -1.0)
        best = ops.max(overlaps, axis=-1)
        assigned = ops.cast(ops.argmax(overlaps, axis=-1), "int32")
        positive = ops.logical_and(real, best >= _POSITIVE_IOU)
        negative = ops.logical_and(real, ops.logical_and(best < _POSITIVE_IOU, crowd < _CROWD_IOU))

        positive_rows, is_positive = self._draw(positive, self.positives)
        count = ops.sum(ops.cast(is_positive, "int32"), axis=1)
        negatives = self.settings["count"] - self.positives
        negative_rows, is_negative = self._draw(negative, negatives)
        ratio = ops.cast(count, "float32") * (1.0 / self.settings["positive_ratio"])
        wanted = ops.maximum(ops.cast(ratio, "int32") - count, self.settings["min_negatives"])
        within = ops.arange(negatives, dtype="int32")[None, :] < wanted[:, None]
        is_negative = ops.logical_and(is_negative, within)

        positive_rois = take_rows(proposals, positive_rows) * _column(is_positive)
        negative_rois = take_rows(proposals, negative_rows) * _column(is_negative)
        assigned = ops.take_along_axis(assigned, positive_rows, axis=1)
        boxes = take_rows(gt_boxes, assigned)
        ids = ops.take_along_axis(class_ids, assigned, axis=1) * ops.cast(is_positive, "int32")
        deltas = self._deltas(positive_rois, boxes, is_positive)
        masks = self._masks(positive_rois, boxes, assigned, gt_masks, is_positive)

        def pad(array):
            rest = [[0, 0]] * (len(array.shape) - 2)
            return ops.pad(array, [[0, 0], [0, negatives], *rest])

        rois = ops.concatenate([positive_rois, negative_rois], axis=1)
        return [ops.stop_gradient(a) for a in (rois, pad(ids), pad(deltas), pad(masks))]

    def _draw(self, candidates: Any, number: int) -> tuple[Any, Any]:
        """Rows of up to `number` random candidates [B, P], and which are real."""
        shape = ops.shape(candidates)
        chance = keras.random.uniform(shape, 1.0, 2.0, seed=self.seed_generator)
        available = candidates.shape[1]
        short = max(0, number - available)
        value, rows = ops.top_k(ops.where(candidates, chance, 0.0), number - short)
        value = ops.pad(value, [[0, 0], [0, short]])
        rows = ops.pad(ops.cast(rows, "int32"), [[0, 0], [0, short]])
        return rows, value > 0

    def _deltas(self, rois: Any, boxes: Any, real: Any) -> Any:
        # Unused rows have no size; any box with one keeps the logarithm finite.
        unit = ops.convert_to_tensor(np.array([0, 0, 1, 1], "float32"))
        rois = ops.where(real[..., None], rois, unit)
        boxes = ops.where(real[..., None], boxes, unit)
        std_dev = ops.convert_to_tensor(np.array(self.settings["bbox_std_dev"], "float32"))
        return box_refinement(rois, boxes) / std_dev * _column(real)

    def _masks(self, rois: Any, boxes: Any, assigned: Any, gt_masks: Any, real: Any) -> Any:
        height, width, instances = gt_masks.shape[1:]
        pictures = ops.transpose(ops.cast(gt_masks, "float32"), (0, 3, 1, 2))
        pictures = ops.reshape(pictures, (-1, height, width, 1))
        image = ops.arange(ops.shape(assigned)[0], dtype="int32")[:, None]
        indices = ops.reshape(image * instances + assigned, (-1,))
        if self.settings["mini_masks"]:
            # A mini mask spans its ground-truth box: express the ROI relative to it.
            origin = ops.concatenate([boxes[..., :2]] * 2, axis=-1)
            size = ops.concatenate([boxes[..., 2:] - boxes[..., :2]] * 2, axis=-1)
            rois = (rois - origin) / ops.where(ops.abs(size) > _EMPTY, size, 1.0)
        shape = self.settings["mask_shape"]
        masks = crop_and_resize(pictures, ops.reshape(rois, (-1, 4)), indices, shape)
        masks = ops.reshape(ops.round(masks), (-1, self.positives, *shape))
        return masks * ops.cast(real, "float32")[..., None, None]

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> list[tuple]:
        lead = (input_shape[0][0], self.settings["count"])
        return [(*lead, 4), lead, (*lead, 4), (*lead, *self.settings["mask_shape"])]

    def compute_output_spec(self, inputs: Sequence[Any]) -> list[keras.KerasTensor]:
        shapes = self.compute_output_shape([i.shape for i in inputs])
        dtypes = ["float32", "int32", "float32", "float32"]
        return [keras.KerasTensor(s, d) for s, d in zip(shapes, dtypes, strict=True)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "settings": self.settings}


def _column(flags: Any) -> Any:
    return ops.cast(flags, "float32")[..., None]
