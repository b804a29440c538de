"""One brain section's way through the network, stage by stage, with a picture of each."""

import os
import random

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from programs import brain_sections
from programs.brain_sections import BrainConfig, BrainDataset_Val

import mrcnn.model as modellib
from mrcnn import utils, visualize
from mrcnn.model import log
from mrcnn.visualize import get_ax


def main(dataset_dir, weights_path, model_dir, out_dir):
    def save(letter):
        plt.savefig(os.path.join(out_dir, f"{letter}.png"), dpi=20)

    brain_sections.DATASET_DIR = dataset_dir
    config = BrainConfig()

    class InferenceConfig(config.__class__):
        GPU_COUNT = 1
        IMAGES_PER_GPU = 1
        DETECTION_MIN_CONFIDENCE = 0.05  # of a network that has hardly learned

    config = InferenceConfig()
    dataset = BrainDataset_Val()
    dataset.load_brain()
    dataset.prepare()
    with tf.device("/cpu:0"):
        model = modellib.MaskRCNN(mode="inference", model_dir=model_dir, config=config)
    model.load_weights(weights_path, by_name=True)

    # a: what the region proposal network is trained to say
    image, image_meta, gt_class_id, gt_bbox, gt_mask = modellib.load_image_gt(
        dataset, config, 1, use_mini_mask=False
    )
    target_rpn_match, target_rpn_bbox = modellib.build_rpn_targets(
        image.shape, model.anchors, gt_class_id, gt_bbox, model.config
    )
    log("target_rpn_match", target_rpn_match)
    positive = model.anchors[np.where(target_rpn_match[:] == 1)[0]]
    negative = model.anchors[np.where(target_rpn_match[:] == -1)[0]]
    log("negative_anchors", negative)
    refined = utils.apply_box_deltas(
        positive, target_rpn_bbox[: positive.shape[0]] * model.config.RPN_BBOX_STD_DEV
    )
    visualize.draw_boxes(image, boxes=positive, refined_boxes=refined, ax=get_ax())
    save("a")

    # b: what it says
    pillar = model.keras_model.get_layer("ROI").output
    nms_node = model.ancestor(pillar, "ROI/rpn_non_max_suppression:0")
    if nms_node is None:
        nms_node = model.ancestor(pillar, "ROI/rpn_non_max_suppression/NonMaxSuppressionV2:0")
    rpn = model.run_graph(
        [image],
        [
            ("rpn_class", model.keras_model.get_layer("rpn_class").output),
            ("pre_nms_anchors", model.ancestor(pillar, "ROI/pre_nms_anchors:0")),
            ("refined_anchors", model.ancestor(pillar, "ROI/refined_anchors:0")),
            ("refined_anchors_clipped", model.ancestor(pillar, "ROI/refined_anchors_clipped:0")),
            ("post_nms_anchor_ix", nms_node),
            ("proposals", model.keras_model.get_layer("ROI").output),
        ],
    )
    best = np.argsort(rpn["rpn_class"][:, :, 1].flatten())[::-1]
    visualize.draw_boxes(image, boxes=model.anchors[best[:30]], ax=get_ax())
    save("b")

    # c, d: refined, then clipped
    limit = 10
    ax = get_ax(1, 2)
    visualize.draw_boxes(
        image,
        boxes=rpn["pre_nms_anchors"][0, :limit],
        refined_boxes=rpn["refined_anchors"][0, :limit],
        ax=ax[0],
    )
    clipped = rpn["refined_anchors_clipped"][0, :limit]
    visualize.draw_boxes(image, refined_boxes=clipped, ax=ax[1])
    save("cd")

    # e: after non-maximum suppression
    ixs = rpn["post_nms_anchor_ix"][:limit]
    kept = rpn["refined_anchors_clipped"][0, ixs]
    visualize.draw_boxes(image, refined_boxes=kept, ax=get_ax())
    save("e")

    # f: proposals
    h, w = config.IMAGE_SHAPE[:2]
    proposals = rpn["proposals"][0, :limit] * np.array([h, w, h, w])
    visualize.draw_boxes(image, refined_boxes=proposals, ax=get_ax())
    save("f")

    # g: classes
    mrcnn = model.run_graph(
        [image],
        [
            ("proposals", model.keras_model.get_layer("ROI").output),
            ("probs", model.keras_model.get_layer("mrcnn_class").output),
            ("deltas", model.keras_model.get_layer("mrcnn_bbox").output),
            ("masks", model.keras_model.get_layer("mrcnn_mask").output),
            ("detections", model.keras_model.get_layer("mrcnn_detection").output),
        ],
    )
    proposals = np.around(mrcnn["proposals"][0] * np.array([h, w, h, w])).astype(np.int32)
    rows = np.arange(proposals.shape[0])
    roi_class_ids = np.argmax(mrcnn["probs"][0], axis=1)
    roi_scores = mrcnn["probs"][0, rows, roi_class_ids]
    roi_class_names = np.array(dataset.class_names)[roi_class_ids]
    roi_positive_ixs = np.where(roi_class_ids > 0)[0]
    print(f"{np.sum(np.any(proposals, axis=1))} valid proposals, {len(roi_positive_ixs)} positive")
    print(list(zip(*np.unique(roi_class_names, return_counts=True), strict=True)))
    ixs = np.random.randint(0, proposals.shape[0], 20)
    visualize.draw_boxes(
        image,
        boxes=proposals[ixs],
        visibilities=np.where(roi_class_ids[ixs] > 0, 2, 1),
        captions=[
            f"{dataset.class_names[c]} {s:.3f}" if c > 0 else ""
            for c, s in zip(roi_class_ids[ixs], roi_scores[ixs], strict=True)
        ],
        ax=get_ax(),
    )
    save("g")

    # h: moved by the deltas of their class
    deltas = mrcnn["deltas"][0, rows, roi_class_ids]
    refined_proposals = utils.apply_box_deltas(proposals, deltas * config.BBOX_STD_DEV)
    refined_proposals = refined_proposals.astype(np.int32)
    ids = random.sample(range(len(proposals)), 5)
    visualize.draw_boxes(
        image, boxes=proposals[ids], refined_boxes=refined_proposals[ids], ax=get_ax()
    )
    save("h")

    # i: detections
    det_class_ids = mrcnn["detections"][0, :, 4].astype(np.int32)
    det_count = np.where(det_class_ids != 0)[0]
    detections = mrcnn["detections"][0, : len(det_count)]
    visualize.draw_boxes(
        image,
        refined_boxes=detections[:, :4],
        visibilities=[2] * len(detections),
        captions=[f"{dataset.class_names[int(c)]} {s:.3f}" for c, s in detections[:, 4:6]],
        title="Detections",
        ax=get_ax(),
    )
    save("i")
    det_masks = np.array([mrcnn["masks"][0, i, :, :, c] for i, c in enumerate(det_class_ids)])
    return {
        "model": model,
        "image": image,
        "refined": refined,
        "gt_bbox": gt_bbox,
        "rpn": rpn,
        "mrcnn": mrcnn,
        "det_masks": det_masks,
    }
