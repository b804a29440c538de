"""Runs the network on one image and keeps every intermediate (paper, Fig. 2)."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from mrcnn.modeling.proposals import ProposalLayer
from mrcnn.structures.stages import Stages


class Inspector:
    """Stages of single images.

    `model`, `tensors` and `proposal_layer` are of `mrcnn.modeling.network.build_inference`;
    `compile` turns a model into a function of the list of its inputs, NumPy to NumPy.
    """

    def __init__(
        self,
        model: keras.Model,
        tensors: dict[str, Any],
        proposal_layer: ProposalLayer,
        compile: Callable[[keras.Model], Callable],
    ):
        self._model, self._tensors, self._proposal_layer = model, tensors, proposal_layer
        self._compile = compile
        self._forwards: dict[bool, Callable] = {}

    def stages(
        self,
        image: np.ndarray,
        molded: np.ndarray,
        metas: np.ndarray,
        window: np.ndarray,
        anchors: np.ndarray,
        features: bool,
    ) -> Stages:
        """The stages of one image [H, W, channels], given what `mold_inputs` made of it (a batch
        of one; `window` in its px) and normalized anchors [A, 4]; `features` keeps the feature
        maps C2..C5 and P2..P6."""
        outputs = self._forward(features)([molded, metas, anchors[None]])
        tensor = keras.ops.convert_to_tensor
        proposals = self._proposal_layer.stages(
            [tensor(outputs[n]) for n in ("rpn_class", "rpn_bbox")] + [tensor(anchors[None])]
        )
        detection = self._model.get_layer("mrcnn_detection")
        heads = [outputs[n] for n in ("proposals", "mrcnn_class", "mrcnn_bbox")]
        refined, _, _ = detection.refine(*(tensor(a) for a in (*heads, metas)))
        found = {n: keras.ops.convert_to_numpy(v)[0] for n, v in proposals.items()}
        names = ("rpn_class", "rpn_bbox", "proposals", "mrcnn_class", "mrcnn_bbox")
        return Stages(
            image=image,
            molded_image=molded[0],
            window=window,
            anchors=anchors,
            **{n: outputs[n][0] for n in (*names, "detections", "mrcnn_mask")},
            pre_nms_scores=found["pre_nms_scores"],
            pre_nms_anchors=found["pre_nms_anchors"],
            refined_anchors=found["refined_anchors"],
            refined_anchors_clipped=found["refined_anchors_clipped"],
            post_nms_indices=found["post_nms_indices"][found["post_nms_kept"]],
            refined_proposals=keras.ops.convert_to_numpy(refined)[0],
            feature_maps={n: outputs[n][0] for n in outputs if n[0] in "CP"},
        )

    def _forward(self, features: bool) -> Callable:
        if features not in self._forwards:
            names = [n for n in self._tensors if features or n[0] not in "CP"]
            model = keras.Model(self._model.inputs, {n: self._tensors[n] for n in names})
            self._forwards[features] = self._compile(model)
        return self._forwards[features]
