"""The paper's RPN step (Fig. 2 b-f): scored anchors -> refined, clipped, suppressed
proposals."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mrcnn.config import Config
from mrcnn.modeling.kernels import nms, take_rows
from mrcnn.structures.boxes import apply_box_deltas, clip_boxes


@keras.saving.register_keras_serializable(package="mrcnn")
class ProposalLayer(keras.layers.Layer):
    """Choose proposals from the RPN's output.

    Args:
        proposal_count: proposals given out; missing ones are zero boxes.
        nms_threshold: IoU above which the worse of two proposals is dropped.
        pre_nms_limit: anchors that enter, by score.
        bbox_std_dev: [4], scale of the predicted deltas.

    Call arguments:
        inputs: [rpn_class [B, A, 2] probabilities (background, foreground),
            rpn_bbox [B, A, 4] deltas, anchors [B, A, 4] normalized].

    Returns:
        float32 [B, proposal_count, 4], normalized, best first.
    """

    def __init__(
        self,
        proposal_count: int,
        nms_threshold: float,
        config: Config | None = None,
        pre_nms_limit: int = 6000,
        bbox_std_dev: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
        **kwargs: Any,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if config is not None:  # Matterport's third argument
            pre_nms_limit, bbox_std_dev = config.PRE_NMS_LIMIT, config.RPN_BBOX_STD_DEV
        self.proposal_count = proposal_count
        self.nms_threshold = float(nms_threshold)
        self.pre_nms_limit = pre_nms_limit
        self.bbox_std_dev = [float(v) for v in bbox_std_dev]

    def call(self, inputs: Sequence[Any]) -> Any:
        return self.stages(inputs)["proposals"]

    def stages(self, inputs: Sequence[Any]) -> dict[str, Any]:
        """Every intermediate by name: pre_nms_scores [B, K], pre_nms_indices [B, K],
        pre_nms_anchors, refined_anchors, refined_anchors_clipped [B, K, 4],
        post_nms_indices [B, N] (rows of K), post_nms_kept bool [B, N], proposals."""
        rpn_class, rpn_bbox, anchors = (ops.stop_gradient(i) for i in inputs)
        scores = rpn_class[:, :, 1]
        # A static number of anchors, where known, limits K; where not, the limit holds.
        limit = min(self.pre_nms_limit, _static(anchors, rpn_class) or self.pre_nms_limit)
        scores, best = ops.top_k(scores, limit, sorted=True)
        std_dev = ops.convert_to_tensor(np.array(self.bbox_std_dev, "float32"))
        deltas = take_rows(rpn_bbox, best) * std_dev
        anchors = take_rows(anchors, best)
        refined = apply_box_deltas(anchors, deltas)
        whole = ops.convert_to_tensor(np.array([0, 0, 1, 1], "float32"))
        clipped = clip_boxes(refined, whole)
        valid = ops.ones_like(scores, dtype="bool")
        indices, kept = nms(clipped, valid, self.proposal_count, self.nms_threshold)
        proposals = ops.where(kept[..., None], take_rows(clipped, indices), 0.0)
        return {
            "pre_nms_scores": scores,
            "pre_nms_indices": best,
            "pre_nms_anchors": anchors,
            "refined_anchors": refined,
            "refined_anchors_clipped": clipped,
            "post_nms_indices": indices,
            "post_nms_kept": kept,
            "proposals": proposals,
        }

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple:
        return (input_shape[0][0], self.proposal_count, 4)

    def get_config(self) -> dict[str, Any]:
        names = ("proposal_count", "nms_threshold", "pre_nms_limit", "bbox_std_dev")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _static(*tensors: Any) -> int | None:
    return next((t.shape[1] for t in tensors if t.shape[1] is not None), None)
