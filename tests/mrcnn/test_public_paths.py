"""Every public name of the network stays where programs import it from.

Names may be added; one that is taken away breaks somebody's program. What the names take and
give is held by tests/integration/test_matterport_api.py.
"""

import ast
import importlib
import subprocess
import sys

import pytest
from paths import ROOT

# Matterport's modules: its names, and those that were added to them.
MATTERPORT = {
    "mrcnn.config": "Config compute_backbone_shapes",
    "mrcnn.model": """
        BatchNorm DataGenerator DetectionLayer DetectionTargetLayer MaskRCNN ProposalLayer
        PyramidROIAlign apply_box_deltas_graph batch_pack_graph build_detection_targets
        build_fpn_mask_graph build_rpn_model build_rpn_targets clip_boxes_graph compose_image_meta
        compute_backbone_shapes conv_block data_generator denorm_boxes_graph
        detection_targets_graph fpn_classifier_graph generate_random_rois identity_block
        load_image_gt log log2_graph mold_image mrcnn_bbox_loss_graph mrcnn_class_loss_graph
        mrcnn_mask_loss_graph norm_boxes_graph overlaps_graph parse_image_meta
        parse_image_meta_graph refine_detections_graph resnet_graph rpn_bbox_loss_graph
        rpn_class_loss_graph rpn_graph smooth_l1_loss trim_zeros_graph unmold_image utils""",
    "mrcnn.utils": """
        COCO_MODEL_URL Dataset apply_box_deltas batch_slice box_refinement box_refinement_graph
        compute_ap compute_ap_range compute_iou compute_matches compute_overlaps
        compute_overlaps_masks compute_recall denorm_boxes download_trained_weights expand_mask
        extract_bboxes generate_anchors generate_pyramid_anchors minimize_mask mold_mask
        non_max_suppression norm_boxes resize resize_image resize_mask trim_zeros unmold_mask""",
    "mrcnn.visualize": """
        apply_mask display_differences display_images display_instances display_table
        display_top_masks display_weight_stats draw_box draw_boxes draw_rois get_ax plot_overlaps
        plot_precision_recall plot_weight_histograms random_colors weight_stats""",
    "mrcnn.parallel_model": "ParallelModel distribution_scope",
}
OURS = {
    "mrcnn.augment": """
        RandomRotateFlip SideFlipError as_generator augment_image_and_masks exchange_sides
        flip_left_right""",
    "mrcnn.data": "Batches UnreadableImageError data_generator load_image_gt",
    "mrcnn.export": "FORMATS FORMAT_VERSION METADATA export_model",
    "mrcnn.mask_formats": """
        Contours FORMATS Masks Rle contours_to_mask contours_to_rle count_masks demand_format
        mask_areas mask_to_contours mask_to_rle one_mask paint_mask paste_contours paste_rle
        rle_area rle_box rle_columns rle_from_columns rle_from_text rle_intersection rle_iou
        rle_to_contours rle_to_mask rle_to_text rle_union select_masks to_rles unmold_compact""",
    "mrcnn.training": "Checkpoints EpochLog train",
    "mrcnn.weights": """
        IMAGENET_MD5 IMAGENET_URL WeightReport get_imagenet_weights load_weights quiet_keras
        save_weights""",
}
METHODS = {
    "config.Config": "display from_dict load save to_dict validate",
    "model.MaskRCNN": """
        ancestor build compile detect detect_molded find_last find_trainable_layer get_anchors
        get_imagenet_weights get_trainable_layers inspect load_weights mold_inputs run_graph
        set_log_dir set_trainable train unmold_detections""",
    "utils.Dataset": """
        add_class add_image get_source_class_id image_ids image_reference load_image load_mask
        map_source_class_id prepare source_image_link""",
}
# Settings that only exported networks have still; saved configurations name them.
OF_EARLIER = {"RUNTIME": "keras", "RUNTIME_CACHE_DIR": None}
SETTINGS = """
    ACCUMULATION_STEPS ACTIVE_CLASSES BACKBONE BACKBONE_STRIDES BACKBONE_WIDTH BATCH_SIZE
    BBOX_STD_DEV BEST_PER_CLASS BN_MOMENTUM CACHE_DIR CACHE_MEMORY_MB COMPUTE_BACKBONE_SHAPE
    DETECTION_MAX_INSTANCES DETECTION_MIN_CONFIDENCE DETECTION_NMS_THRESHOLD
    FPN_CLASSIF_FC_LAYERS_SIZE GPU_COUNT GRADIENT_CLIP_NORM GT_AS_PROPOSALS IMAGES_PER_GPU
    IMAGE_CHANNEL_COUNT IMAGE_MAX_DIM IMAGE_META_SIZE IMAGE_MIN_DIM IMAGE_MIN_SCALE
    IMAGE_RESIZE_MODE IMAGE_SHAPE INITIALIZATION LEARNING_MOMENTUM LEARNING_RATE LEARNING_SCHEDULE
    LOSS_WEIGHTS MASK_CONV_FILTERS MASK_POOL_SIZE MASK_ROIS MASK_SHAPE MAX_GT_INSTANCES MEAN_PIXEL
    MINI_MASK_SHAPE MIN_NEGATIVE_RATIO NAME NUM_CLASSES ON_SIDE_FLIP OPTIMIZER
    PADDING_IS_BACKGROUND POOL_SIZE POST_NMS_ROIS_INFERENCE POST_NMS_ROIS_TRAINING PRECISION
    PRE_NMS_LIMIT REDUCED_DECODE ROI_ALIGN ROI_POSITIVE_RATIO RPN_ANCHOR_RATIOS RPN_ANCHOR_SCALES
    RPN_ANCHOR_STRIDE RPN_BBOX_STD_DEV RPN_CONV_FILTERS RPN_NMS_THRESHOLD
    RPN_TRAIN_ANCHORS_PER_IMAGE SEED SIDE_PAIRS SKIP_CORRUPT_IMAGES SKIP_EMPTY_IMAGES
    STEPS_PER_EPOCH TOP_DOWN_PYRAMID_SIZE TRAIN_BN TRAIN_ROIS_PER_IMAGE USE_MINI_MASK USE_RPN_ROIS
    VALIDATION_STEPS WARMUP_STEPS WEIGHT_DECAY WORKERS""".split()


@pytest.mark.parametrize("module", [*MATTERPORT, *OURS])
def test_names_are_where_programs_import_them(module):
    found = importlib.import_module(module)
    names = {**MATTERPORT, **OURS}[module].split()
    assert [name for name in names if not hasattr(found, name)] == []


@pytest.mark.parametrize("path", METHODS)
def test_methods_are_there(path):
    module, _, name = path.partition(".")
    found = getattr(importlib.import_module(f"mrcnn.{module}"), name)
    assert [method for method in METHODS[path].split() if not hasattr(found, method)] == []


def test_settings_are_there_or_taken_from_saved_configurations():
    Config = importlib.import_module("mrcnn.config").Config
    config = Config.from_dict(Config().to_dict() | OF_EARLIER)
    assert [name for name in SETTINGS if not hasattr(config, name)] == []


def test_a_module_is_found_by_import_of_its_path():
    """`import mrcnn.model as modellib` in a fresh process, as old programs begin."""
    lines = [f"import {module} as m{number}" for number, module in enumerate((*MATTERPORT, *OURS))]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_list_holds_all_that_the_matterport_tests_use():
    """What tests/integration/test_matterport_api.py names is frozen here too."""
    text = (ROOT / "tests/integration/test_matterport_api.py").read_text("utf-8")
    (signatures,) = (
        node.value.elts
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "SIGNATURES"
    )
    tested = {entry.elts[1].value for entry in signatures}
    frozen = {name for names in (*MATTERPORT.values(), *METHODS.values()) for name in names.split()}
    assert len(tested) > 70 and tested <= frozen
