"""One section on its way through the network (paper, Fig. 2), for notebooks and `sebre inspect`.

`sebre.inspect.panels` draws it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mrcnn.data.molding import fit_image, unmold_detections, unmold_image
from mrcnn.data.resizing import resize_mask
from mrcnn.modeling.rpn_targets import build_rpn_targets
from mrcnn.structures.boxes import pairwise_iou
from mrcnn.structures.masks import extract_bboxes
from mrcnn.structures.stages import Stages
from sebre.data.regions import RegionSet
from sebre.experiments.base import SeBReConfig
from sebre.networks.segmenter import MaskRCNNSegmenter, best_per_region

# The settings of the released code that say how many boxes there are at each stage.
PAPER_NUMBERS = {
    name: getattr(SeBReConfig, name)
    for name in (
        "IMAGE_MIN_DIM",
        "IMAGE_MAX_DIM",
        "RPN_ANCHOR_SCALES",
        "RPN_TRAIN_ANCHORS_PER_IMAGE",
        "PRE_NMS_LIMIT",
        "POST_NMS_ROIS_INFERENCE",
        "DETECTION_MAX_INSTANCES",
    )
}

_SAME_REGION_IOU = 0.5  # from which a box counts as one of a region (paper, Methods)


@dataclass(frozen=True)
class Walk:
    """A section, all that the network computed for it, and what it should have computed.

    Boxes are (y1, x1, y2, x2) in px of the molded picture. G regions drawn, A anchors.

    Attributes:
        name: of the section, such as "val/3".
        segmenter: the network.
        stages: every intermediate.
        drawn: the regions below are drawn on the section; False: nothing is drawn there, and
            they are those that the network found.
        masks: bool [H, W, G], in px of the section.
        class_ids: of the masks, int [G].
        gt_masks: bool [h, w, G], in px of the molded picture.
        rpn_match: int [A], 1 for positive anchors, -1 for negative ones, 0 for others.
        rpn_bbox: [RPN_TRAIN_ANCHORS_PER_IMAGE, 4] deltas of the positive anchors, then zeros.
        note: where section and network come from, in a sentence.
    """

    name: str
    segmenter: MaskRCNNSegmenter
    stages: Stages
    drawn: bool
    masks: np.ndarray
    class_ids: np.ndarray
    gt_masks: np.ndarray
    rpn_match: np.ndarray
    rpn_bbox: np.ndarray
    note: str = ""

    @property
    def config(self) -> Any:
        """Settings of the network."""
        return self.segmenter.model.config

    @property
    def regions(self) -> RegionSet:
        """What the network looks for."""
        return self.segmenter.regions

    @property
    def image(self) -> np.ndarray:
        """The section, uint8 [H, W, 3]."""
        return self.stages.image

    @cached_property
    def picture(self) -> np.ndarray:
        """The molded section as a picture, uint8 [h, w, 3]."""
        return unmold_image(self.stages.molded_image, self.config)

    @cached_property
    def gt_boxes(self) -> np.ndarray:
        """Boxes of `gt_masks`, [G, 4]."""
        return extract_bboxes(self.gt_masks)

    def pixels(self, boxes: np.ndarray) -> np.ndarray:
        """Normalized boxes [..., 4] in px of the molded picture, not rounded."""
        height, width = self.stages.molded_image.shape[:2]
        scale = np.array([height - 1, width - 1, height - 1, width - 1])
        return boxes * scale + np.array([0, 0, 1, 1])

    def region_of(self, boxes: np.ndarray) -> np.ndarray:
        """Class id of the region whose box overlaps each box of [n, 4] most, 0 below an IoU of
        0.5."""
        if not len(self.class_ids):
            return np.zeros(len(boxes), np.int32)
        overlaps = pairwise_iou(np.asarray(boxes, float), self.gt_boxes.astype(float))
        best = self.class_ids[overlaps.argmax(axis=1)]
        return np.where(overlaps.max(axis=1) >= _SAME_REGION_IOU, best, 0)

    @cached_property
    def proposals(self) -> np.ndarray:
        """Rows of `stages.proposals` that are not padding."""
        return np.flatnonzero(self.stages.proposals.any(axis=1))

    @cached_property
    def result(self) -> dict[str, np.ndarray]:
        """As `MaskRCNN.detect` on the section."""
        return _detections(self.stages, self.image.shape, self.stages.window)

    @cached_property
    def molded_result(self) -> dict[str, np.ndarray]:
        """The same in px of the molded picture."""
        shape = self.stages.molded_image.shape
        return _detections(self.stages, shape, np.array([0, 0, *shape[:2]]))

    def facts(self) -> dict[str, int]:
        """How many boxes there are at each stage.

        The released notebook prints, for P14 section 150: 384 px, 36,828 anchors, 256 of them in
        the RPN's sample, 6,000 before non-maximum suppression, 1,000 proposals, 8 detections.
        """
        return {
            "image_side": int(self.stages.molded_image.shape[0]),
            "anchors": len(self.stages.anchors),
            "rpn_samples": int(np.count_nonzero(self.rpn_match)),
            "before_nms": len(self.stages.pre_nms_anchors),
            "proposals": len(self.stages.proposals),
            "detections": int(np.count_nonzero(self.stages.detections[:, 4])),
        }


def walk_section(
    segmenter: MaskRCNNSegmenter,
    image: np.ndarray,
    masks: np.ndarray | None = None,
    class_ids: np.ndarray | None = None,
    name: str = "",
    note: str = "",
    features: bool = False,
) -> Walk:
    """Take one section through the network.

    Args:
        segmenter: the network.
        image: uint8 [H, W, 3].
        masks: drawn regions, bool [H, W, G], none empty; None if nothing is drawn.
        class_ids: of the masks, int [G].
        name: of the section.
        note: where it comes from.
        features: keep the feature maps C2..C5 and P2..P6 too.
    """
    stages = segmenter.model.inspect(image, features=features)
    drawn = masks is not None
    if not drawn:
        result = _detections(stages, image.shape, stages.window)
        rows = [r for r in best_per_region(result).values() if result["masks"][..., r].any()]
        masks, class_ids = result["masks"][..., rows], result["class_ids"][rows]

    config = segmenter.model.config
    _, _, scale, padding, crop = fit_image(image, config)
    gt_masks = resize_mask(masks, scale, padding, crop)
    kept = gt_masks.any(axis=(0, 1))
    masks, class_ids, gt_masks = masks[..., kept], class_ids[kept], gt_masks[..., kept]
    segmenter.model.get_anchors(stages.molded_image.shape)
    rpn_match, rpn_bbox = build_rpn_targets(
        stages.molded_image.shape,
        segmenter.model.anchors,
        class_ids,
        extract_bboxes(gt_masks),
        config,
        rng=np.random.default_rng(0),
    )
    return Walk(
        name, segmenter, stages, drawn, masks, class_ids, gt_masks, rpn_match, rpn_bbox, note
    )


def _detections(
    stages: Stages, shape: tuple[int, ...], window: np.ndarray
) -> dict[str, np.ndarray]:
    """The detections in px of a picture of this shape that lies in this window."""
    parts = unmold_detections(
        stages.detections, stages.mrcnn_mask, shape, stages.molded_image.shape, window
    )
    return dict(zip(("rois", "class_ids", "scores", "masks"), parts, strict=True))
