"""From classified proposals to the final detections (Fig. 2 g-h)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mrcnn.config import Config
from mrcnn.modeling.kernels import nms, take_rows
from mrcnn.structures.boxes import apply_box_deltas, clip_boxes, norm_boxes

# As a threshold on IoU: any other detection of the class is suppressed.
_SUPPRESS_ALL = -1.0


@keras.saving.register_keras_serializable(package="mrcnn")
class DetectionLayer(keras.layers.Layer):
    """Refine, filter and suppress detections, per class, by the settings of a `Config`.

    Call arguments:
        inputs: [rois [B, N, 4] normalized, mrcnn_class [B, N, C],
            mrcnn_bbox [B, N, C, 4], image_meta [B, 12 + C]].

    Returns:
        float32 [B, DETECTION_MAX_INSTANCES, (y1, x1, y2, x2, class_id, score)],
        normalized, best first, zero padded.
    """

    def __init__(self, config: Config | None = None, **kwargs: Any):
        settings = kwargs.pop("settings", None) or {
            "max_instances": int(config.DETECTION_MAX_INSTANCES),
            "min_confidence": float(config.DETECTION_MIN_CONFIDENCE or 0),
            "nms_threshold": float(config.DETECTION_NMS_THRESHOLD),
            "best_per_class": bool(config.BEST_PER_CLASS),
            "bbox_std_dev": [float(v) for v in config.BBOX_STD_DEV],
        }
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.settings = settings

    def call(self, inputs: Sequence[Any]) -> Any:
        rois, probabilities, deltas, image_meta = inputs
        boxes, class_ids, scores = self.refine(rois, probabilities, deltas, image_meta)
        keep = class_ids > 0
        if self.settings["min_confidence"]:
            keep = ops.logical_and(keep, scores >= self.settings["min_confidence"])
        limit = self.settings["max_instances"]
        order_scores, order = ops.top_k(ops.where(keep, scores, -1.0), rois.shape[1])
        boxes = take_rows(boxes, order)
        class_ids = ops.take_along_axis(class_ids, order, axis=1)
        threshold = self.settings["nms_threshold"]
        # The first `limit` kept of all classes are also the first `limit` of each class.
        indices, kept = nms(
            boxes,
            order_scores >= 0,
            limit,
            _SUPPRESS_ALL if self.settings["best_per_class"] else threshold,
            groups=class_ids,
        )
        rows = ops.concatenate(
            [boxes, ops.cast(class_ids, "float32")[..., None], order_scores[..., None]], axis=-1
        )
        rows = take_rows(rows, indices)
        return ops.where(kept[..., None], rows, 0.0)

    def refine(self, rois: Any, probabilities: Any, deltas: Any, image_meta: Any) -> tuple:
        """Best class of each ROI, its box moved by that class's deltas and clipped to the
        window: boxes [B, N, 4], class_ids int32 [B, N], scores [B, N]."""
        class_ids = ops.cast(ops.argmax(probabilities, axis=-1), "int32")
        scores = ops.max(probabilities, axis=-1)
        deltas = ops.take_along_axis(deltas, class_ids[..., None, None], axis=2)[:, :, 0]
        std_dev = ops.convert_to_tensor(np.array(self.settings["bbox_std_dev"], "float32"))
        boxes = apply_box_deltas(rois, deltas * std_dev)
        # All images of a batch have one molded shape: meta[4:6] of the first.
        windows = norm_boxes(image_meta[:, 7:11], (image_meta[0, 4], image_meta[0, 5]))
        return clip_boxes(boxes, windows), class_ids, scores

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple:
        return (input_shape[0][0], self.settings["max_instances"], 6)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "settings": self.settings}
