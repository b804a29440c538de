"""The interface of Matterport's package: names, arguments, defaults, shapes and types."""

import inspect
import random
import re

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from keras import ops

import mrcnn.model as modellib
from mrcnn import parallel_model, utils, visualize
from mrcnn.config import Config
from mrcnn.data import Batches

AP_ARGUMENTS = "gt_boxes gt_class_ids gt_masks pred_boxes pred_class_ids pred_scores pred_masks"
GRAPH_ARGUMENTS = "rois feature_maps image_meta pool_size num_classes train_bn=True"

# The arguments of each callable; more may follow if they have a default.
SIGNATURES = [
    (utils, "extract_bboxes", "mask"),
    (utils, "compute_iou", "box boxes box_area boxes_area"),
    (utils, "compute_overlaps", "boxes1 boxes2"),
    (utils, "compute_overlaps_masks", "masks1 masks2"),
    (utils, "non_max_suppression", "boxes scores threshold"),
    (utils, "apply_box_deltas", "boxes deltas"),
    (utils, "box_refinement", "box gt_box"),
    (utils, "box_refinement_graph", "box gt_box"),
    (utils, "resize_image", "image min_dim=None max_dim=None min_scale=None mode='square'"),
    (utils, "resize_mask", "mask scale padding crop=None"),
    (utils, "minimize_mask", "bbox mask mini_shape"),
    (utils, "expand_mask", "bbox mini_mask image_shape"),
    (utils, "unmold_mask", "mask bbox image_shape"),
    (utils, "mold_mask", "mask config"),
    (utils, "generate_anchors", "scales ratios shape feature_stride anchor_stride"),
    (
        utils,
        "generate_pyramid_anchors",
        "scales ratios feature_shapes feature_strides anchor_stride",
    ),
    (utils, "trim_zeros", "x"),
    (utils, "compute_matches", f"{AP_ARGUMENTS} iou_threshold=0.5 score_threshold=0.0"),
    (utils, "compute_ap", f"{AP_ARGUMENTS} iou_threshold=0.5"),
    (
        utils,
        "compute_ap_range",
        "gt_box gt_class_id gt_mask pred_box pred_class_id pred_score pred_mask "
        "iou_thresholds=None verbose=1",
    ),
    (utils, "compute_recall", "pred_boxes gt_boxes iou"),
    (utils, "batch_slice", "inputs graph_fn batch_size names=None"),
    (utils, "download_trained_weights", "coco_model_path verbose=1"),
    (utils, "norm_boxes", "boxes shape"),
    (utils, "denorm_boxes", "boxes shape"),
    (
        utils,
        "resize",
        "image output_shape order=1 mode='constant' cval=0 clip=True preserve_range=False "
        "anti_aliasing=False anti_aliasing_sigma=None",
    ),
    (utils, "Dataset", "class_map=None"),
    (utils.Dataset, "add_class", "self source class_id class_name"),
    (utils.Dataset, "add_image", "self source image_id path **kwargs"),
    (utils.Dataset, "prepare", "self class_map=None"),
    (utils.Dataset, "map_source_class_id", "self source_class_id"),
    (utils.Dataset, "get_source_class_id", "self class_id source"),
    (utils.Dataset, "image_reference", "self image_id"),
    (utils.Dataset, "source_image_link", "self image_id"),
    (utils.Dataset, "load_image", "self image_id"),
    (utils.Dataset, "load_mask", "self image_id"),
    (modellib, "MaskRCNN", "mode config model_dir"),
    (modellib.MaskRCNN, "build", "self mode config"),
    (modellib.MaskRCNN, "find_last", "self"),
    (modellib.MaskRCNN, "load_weights", "self filepath by_name=False exclude=None"),
    (modellib.MaskRCNN, "get_imagenet_weights", "self"),
    (modellib.MaskRCNN, "compile", "self learning_rate momentum"),
    (
        modellib.MaskRCNN,
        "set_trainable",
        "self layer_regex keras_model=None indent=0 verbose=1",
    ),
    (modellib.MaskRCNN, "set_log_dir", "self model_path=None"),
    (
        modellib.MaskRCNN,
        "train",
        "self train_dataset val_dataset learning_rate epochs layers augmentation=None "
        "custom_callbacks=None no_augmentation_sources=None",
    ),
    (modellib.MaskRCNN, "detect", "self images verbose=0"),
    (modellib.MaskRCNN, "detect_molded", "self molded_images image_metas verbose=0"),
    (modellib.MaskRCNN, "mold_inputs", "self images"),
    (
        modellib.MaskRCNN,
        "unmold_detections",
        "self detections mrcnn_mask original_image_shape image_shape window",
    ),
    (modellib.MaskRCNN, "get_anchors", "self image_shape"),
    (modellib.MaskRCNN, "ancestor", "self tensor name checked=None"),
    (modellib.MaskRCNN, "find_trainable_layer", "self layer"),
    (modellib.MaskRCNN, "get_trainable_layers", "self"),
    (modellib.MaskRCNN, "run_graph", "self images outputs image_metas=None"),
    (modellib, "log", "text array=None"),
    (modellib, "compute_backbone_shapes", "config image_shape"),
    (
        modellib,
        "load_image_gt",
        "dataset config image_id augment=False augmentation=None use_mini_mask=False",
    ),
    (modellib, "build_rpn_targets", "image_shape anchors gt_class_ids gt_boxes config"),
    (
        modellib,
        "build_detection_targets",
        "rpn_rois gt_class_ids gt_boxes gt_masks config",
    ),
    (modellib, "generate_random_rois", "image_shape count gt_class_ids gt_boxes"),
    (
        modellib,
        "data_generator",
        "dataset config shuffle=True augment=False augmentation=None random_rois=0 batch_size=1 "
        "detection_targets=False no_augmentation_sources=None",
    ),
    (
        modellib,
        "compose_image_meta",
        "image_id original_image_shape image_shape window scale active_class_ids",
    ),
    (modellib, "parse_image_meta", "meta"),
    (modellib, "parse_image_meta_graph", "meta"),
    (modellib, "mold_image", "images config"),
    (modellib, "unmold_image", "normalized_images config"),
    (modellib, "resnet_graph", "input_image architecture stage5=False train_bn=True"),
    (modellib, "build_rpn_model", "anchor_stride anchors_per_location depth"),
    (modellib, "fpn_classifier_graph", f"{GRAPH_ARGUMENTS} fc_layers_size=1024"),
    (modellib, "build_fpn_mask_graph", GRAPH_ARGUMENTS),
    (modellib, "ProposalLayer", "proposal_count nms_threshold config=None"),
    (modellib, "PyramidROIAlign", "pool_shape"),
    (modellib, "DetectionTargetLayer", "config=None"),
    (modellib, "DetectionLayer", "config=None"),
    (modellib, "smooth_l1_loss", "y_true y_pred"),
    (modellib, "rpn_class_loss_graph", "rpn_match rpn_class_logits"),
    (modellib, "rpn_bbox_loss_graph", "config target_bbox rpn_match rpn_bbox"),
    (
        modellib,
        "mrcnn_class_loss_graph",
        "target_class_ids pred_class_logits active_class_ids",
    ),
    (modellib, "mrcnn_bbox_loss_graph", "target_bbox target_class_ids pred_bbox"),
    (modellib, "mrcnn_mask_loss_graph", "target_masks target_class_ids pred_masks"),
    (modellib, "apply_box_deltas_graph", "boxes deltas"),
    (modellib, "clip_boxes_graph", "boxes window"),
    (modellib, "overlaps_graph", "boxes1 boxes2"),
    (modellib, "norm_boxes_graph", "boxes shape"),
    (modellib, "denorm_boxes_graph", "boxes shape"),
    (
        modellib,
        "identity_block",
        "input_tensor kernel_size filters stage block use_bias=True train_bn=True",
    ),
    (
        modellib,
        "conv_block",
        "input_tensor kernel_size filters stage block strides=(2,2) use_bias=True train_bn=True",
    ),
    (modellib, "rpn_graph", "feature_map anchors_per_location anchor_stride"),
    (modellib, "log2_graph", "x"),
    (modellib, "refine_detections_graph", "rois probs deltas window config"),
    (modellib, "detection_targets_graph", "proposals gt_class_ids gt_boxes gt_masks config"),
    (modellib, "trim_zeros_graph", "boxes name='trim_zeros'"),
    (modellib, "batch_pack_graph", "x counts num_rows"),
    # Of forks for TensorFlow 2.
    (
        modellib,
        "DataGenerator",
        "dataset config shuffle=True augment=False augmentation=None random_rois=0 "
        "detection_targets=False no_augmentation_sources=None",
    ),
    (parallel_model, "ParallelModel", "keras_model gpu_count"),
]

DEFAULTS = {
    "NAME": None,
    "GPU_COUNT": 1,
    "IMAGES_PER_GPU": 2,
    "STEPS_PER_EPOCH": 1000,
    "VALIDATION_STEPS": 50,
    "BACKBONE": "resnet101",
    "COMPUTE_BACKBONE_SHAPE": None,
    "BACKBONE_STRIDES": [4, 8, 16, 32, 64],
    "FPN_CLASSIF_FC_LAYERS_SIZE": 1024,
    "TOP_DOWN_PYRAMID_SIZE": 256,
    "NUM_CLASSES": 1,
    "RPN_ANCHOR_SCALES": [32, 64, 128, 256, 512],
    "RPN_ANCHOR_RATIOS": [0.5, 1, 2],
    "RPN_ANCHOR_STRIDE": 1,
    "RPN_NMS_THRESHOLD": 0.7,
    "RPN_TRAIN_ANCHORS_PER_IMAGE": 256,
    "PRE_NMS_LIMIT": 6000,
    "POST_NMS_ROIS_TRAINING": 2000,
    "POST_NMS_ROIS_INFERENCE": 1000,
    "USE_MINI_MASK": True,
    "MINI_MASK_SHAPE": [56, 56],
    "IMAGE_RESIZE_MODE": "square",
    "IMAGE_MIN_DIM": 800,
    "IMAGE_MAX_DIM": 1024,
    "IMAGE_MIN_SCALE": 0,
    "IMAGE_CHANNEL_COUNT": 3,
    "MEAN_PIXEL": [123.7, 116.8, 103.9],
    "TRAIN_ROIS_PER_IMAGE": 200,
    "ROI_POSITIVE_RATIO": 0.33,
    "POOL_SIZE": 7,
    "MASK_POOL_SIZE": 14,
    "MASK_SHAPE": [28, 28],
    "MAX_GT_INSTANCES": 100,
    "RPN_BBOX_STD_DEV": [0.1, 0.1, 0.2, 0.2],
    "BBOX_STD_DEV": [0.1, 0.1, 0.2, 0.2],
    "DETECTION_MAX_INSTANCES": 100,
    "DETECTION_MIN_CONFIDENCE": 0.7,
    "DETECTION_NMS_THRESHOLD": 0.3,
    "LEARNING_RATE": 0.001,
    "LEARNING_MOMENTUM": 0.9,
    "WEIGHT_DECAY": 0.0001,
    "LOSS_WEIGHTS": {
        "rpn_class_loss": 1.0,
        "rpn_bbox_loss": 1.0,
        "mrcnn_class_loss": 1.0,
        "mrcnn_bbox_loss": 1.0,
        "mrcnn_mask_loss": 1.0,
    },
    "USE_RPN_ROIS": True,
    "TRAIN_BN": False,
    "GRADIENT_CLIP_NORM": 5.0,
    "BATCH_SIZE": 2,
    "IMAGE_SHAPE": [1024, 1024, 3],
    "IMAGE_META_SIZE": 13,
}


class TinyConfig(Config):
    NAME = "Tiny"
    IMAGES_PER_GPU = 1
    NUM_CLASSES = 3
    BACKBONE = "resnet18"
    BACKBONE_WIDTH = 0.25
    TOP_DOWN_PYRAMID_SIZE = 32
    RPN_CONV_FILTERS = 32
    FPN_CLASSIF_FC_LAYERS_SIZE = 32
    MASK_CONV_FILTERS = 32
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    POST_NMS_ROIS_INFERENCE = 20
    TRAIN_ROIS_PER_IMAGE = 8
    DETECTION_MAX_INSTANCES = 5
    DETECTION_MIN_CONFIDENCE = 0


class Squares(utils.Dataset):
    """Three images with two squares each; the third mask is empty."""

    def __init__(self):
        super().__init__()
        self.add_class("drawn", 1, "square")
        self.add_class("drawn", 2, "block")
        for i in range(3):
            self.add_image("drawn", i, path=None)
        self.prepare()

    def load_image(self, image_id):
        return np.full((96, 128, 3), 40 * image_id, np.uint8)

    def load_mask(self, image_id):
        masks = np.zeros((96, 128, 3), bool)
        masks[10:40, 20:60, 0] = True
        masks[50:90, 70:110, 1] = True
        return masks, np.array([1, 2, 1], np.int32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    return modellib.MaskRCNN(mode="inference", config=TinyConfig(), model_dir=str(folder))


def layout(arrays):
    return [(a.shape, a.dtype.name) for a in arrays]


@pytest.mark.parametrize(
    ("owner", "name", "arguments"), SIGNATURES, ids=[entry[1] for entry in SIGNATURES]
)
def test_arguments_and_defaults_are_those_of_the_public_interface(owner, name, arguments):
    parameters = [
        p
        for p in inspect.signature(getattr(owner, name)).parameters.values()
        if p.kind is not p.VAR_KEYWORD or f"**{p.name}" in arguments
    ]
    found = [
        "**" * (p.kind is p.VAR_KEYWORD)
        + (p.name if p.default is p.empty else f"{p.name}={p.default!r}".replace(" ", ""))
        for p in parameters
    ]
    wanted = arguments.split()
    assert found[: len(wanted)] == wanted
    assert all("=" in extra for extra in found[len(wanted) :])


@pytest.mark.parametrize("name", DEFAULTS)
def test_settings_have_the_defaults_of_the_public_interface(name):
    value = getattr(Config(), name)
    plain = value.tolist() if isinstance(value, np.ndarray) else value
    assert (list(plain) if isinstance(plain, tuple) else plain) == DEFAULTS[name]


def test_display_prints_every_setting_padded_to_30(capsys):
    TinyConfig().display()
    printed = capsys.readouterr().out
    for name in DEFAULTS:
        assert re.search(f"^{name.ljust(30)} ", printed, re.MULTILINE) or name == "BACKBONE"
    assert f"{'BATCH_SIZE':30} 1\n" in printed


def test_address_of_the_published_weights():
    assert utils.COCO_MODEL_URL.startswith("https://github.com/matterport/Mask_RCNN/releases/")
    assert utils.COCO_MODEL_URL.endswith("/v2.0/mask_rcnn_coco.h5")


def test_log_pads_text_and_shape_and_shows_range_and_type(capsys):
    modellib.log("Detections")
    modellib.log("gt_mask", np.array([[True, False]]))
    modellib.log("none", np.zeros((0, 4), np.int32))
    assert capsys.readouterr().out.splitlines() == [
        "Detections",
        f"{'gt_mask':25}shape: {'(1, 2)':20}  min:    0.00000  max:    1.00000  bool",
        f"{'none':25}shape: {'(0, 4)':20}  min: {'':10}  max: {'':10}  int32",
    ]


def test_an_image_with_ground_truth_has_the_documented_layout():
    dataset, config = Squares(), TinyConfig()
    assert layout(modellib.load_image_gt(dataset, config, 1)) == [
        ((128, 128, 3), "uint8"),
        ((15,), "float64"),
        ((2,), "int32"),
        ((2, 4), "int32"),
        ((128, 128, 2), "bool"),
    ]
    image, meta, class_ids, boxes, masks = modellib.load_image_gt(
        dataset, config, 1, use_mini_mask=True
    )
    assert masks.shape == (56, 56, 2) and masks.dtype == bool
    assert class_ids.tolist() == [1, 2]
    assert boxes.tolist() == [[26, 20, 56, 60], [66, 70, 106, 110]]
    assert meta.tolist() == [1, 96, 128, 3, 128, 128, 3, 16, 0, 112, 128, 1, 1, 1, 1]
    molded = modellib.mold_image(image, config)
    assert np.array_equal(modellib.unmold_image(molded, config), image)
    parsed = modellib.parse_image_meta(meta[None])
    assert {name: (v.shape, v.dtype.name) for name, v in parsed.items()} == {
        "image_id": ((1,), "int32"),
        "original_image_shape": ((1, 3), "int32"),
        "image_shape": ((1, 3), "int32"),
        "window": ((1, 4), "int32"),
        "scale": ((1,), "float32"),
        "active_class_ids": ((1, 3), "int32"),
    }


def test_generated_batches_have_the_documented_order_and_types():
    base = [
        ((2, 128, 128, 3), "float32"),
        ((2, 15), "float64"),
        ((2, 4092, 1), "int32"),
        ((2, 256, 4), "float64"),
        ((2, 100), "int32"),
        ((2, 100, 4), "int32"),
        ((2, 56, 56, 100), "bool"),
    ]
    inputs, outputs = next(modellib.data_generator(Squares(), TinyConfig(), batch_size=2))
    assert layout(inputs) == base and outputs == []
    inputs, outputs = next(
        modellib.data_generator(
            Squares(), TinyConfig(), batch_size=2, random_rois=20, detection_targets=True
        )
    )
    assert layout(inputs) == [*base, ((2, 20, 4), "int32"), ((2, 8, 4), "int32")]
    assert layout(outputs) == [
        ((2, 8, 1), "int32"),
        ((2, 8, 3, 4), "float32"),
        ((2, 8, 28, 28, 3), "float32"),
    ]


def test_model_attributes(model):
    assert model.mode == "inference" and model.epoch == 0
    assert re.fullmatch(r".*[/\\]tiny\d{8}T\d{4}", model.log_dir)
    assert model.log_dir.startswith(model.model_dir)
    assert model.checkpoint_path.format(epoch=3).endswith("mask_rcnn_tiny_0003.h5")
    normalized = model.get_anchors(model.config.IMAGE_SHAPE)
    assert normalized.shape == (4092, 4) and normalized.dtype == np.float32
    assert np.allclose(model.anchors[0], (-5.6568542, -2.8284271, 5.6568542, 2.8284271))
    molded, metas, windows = model.mold_inputs([np.zeros((64, 128, 3), np.uint8)])
    outputs = model.keras_model.predict([molded, metas, normalized[None]], verbose=0)
    shapes = [(5, 6), (20, 3), (20, 3, 4), (5, 28, 28, 3), (20, 4), (4092, 2), (4092, 4)]
    assert [o.shape[1:] for o in outputs] == shapes
    assert windows.tolist() == [[32, 0, 96, 128]]


def test_detections_have_the_documented_types_and_verbose_prints_the_arrays(model, capsys):
    image = np.random.default_rng(0).integers(0, 255, (100, 120, 3)).astype(np.uint8)
    (result,) = model.detect([image])
    assert capsys.readouterr().out == ""
    count = len(result["rois"])
    assert count
    assert {name: (v.shape, v.dtype.name) for name, v in result.items()} == {
        "rois": ((count, 4), "int32"),
        "class_ids": ((count,), "int32"),
        "scores": ((count,), "float32"),
        "masks": ((100, 120, count), "bool"),
    }
    model.detect([image], verbose=1)
    titles = [line.partition(" ")[0] for line in capsys.readouterr().out.splitlines()]
    assert titles == ["Processing", "image", "molded_images", "image_metas", "anchors"]
    molded, metas, _ = model.mold_inputs([image])
    (result,) = model.detect_molded(molded, metas, verbose=1)
    assert result["masks"].shape[:2] == (128, 128)
    titles = [line.partition(" ")[0] for line in capsys.readouterr().out.splitlines()]
    assert titles == ["Processing", "molded_images", "image_metas", "anchors"]


def test_images_without_detections_give_empty_arrays(model):
    masks = np.zeros((5, 28, 28, 3), np.float32)
    found = model.unmold_detections(
        np.zeros((5, 6), np.float32), masks, (100, 120, 3), (128, 128, 3), (0, 0, 128, 128)
    )
    assert [a.shape for a in found] == [(0, 4), (0,), (0,), (100, 120, 0)]


def test_unpadded_images_must_suit_the_pyramid(tmp_path):
    config = TinyConfig(IMAGE_RESIZE_MODE="none")
    model = modellib.MaskRCNN("inference", config, tmp_path)
    assert len(model.detect([np.zeros((64, 128, 3), np.uint8)])) == 1
    odd = np.zeros((100, 120, 3), np.uint8)
    with pytest.raises(ValueError, match="100 x 120 px; .* multiples of 64"):
        model.detect([odd])
    with pytest.raises(ValueError, match="100 x 120 px; .* multiples of 64"):
        model.inspect(odd)


def test_building_is_seeded_and_leaves_the_random_numbers_of_the_program_alone(model, tmp_path):
    random.seed(7)
    np.random.seed(7)
    expected = random.random(), np.random.random()
    random.seed(7)
    np.random.seed(7)
    again = modellib.MaskRCNN("inference", TinyConfig(), tmp_path)
    assert (random.random(), np.random.random()) == expected
    other = modellib.MaskRCNN("inference", TinyConfig(SEED=1), tmp_path)
    kernels = [m.keras_model.get_layer("conv1").kernel for m in (model, again, other)]
    first, same, different = (ops.convert_to_numpy(kernel) for kernel in kernels)
    assert np.array_equal(first, same) and not np.allclose(first, different)


def test_a_checkpoint_sets_directory_and_epoch(model):
    model.set_log_dir("/far/tiny20200102T0304/mask_rcnn_tiny_0007.h5")
    assert (model.log_dir, model.epoch) == ("/far/tiny20200102T0304", 7)
    # Nothing is written beside the checkpoints of another experiment.
    for foreign in ("/far/coco20200102T0304/", "C:\\far\\coco20200102T0304\\"):
        model.set_log_dir(foreign + "mask_rcnn_coco_0160.h5")
        assert re.fullmatch(r".*[/\\]tiny20200102T0304", model.log_dir)
        assert model.log_dir.startswith(model.model_dir) and model.epoch == 160
    model.set_log_dir("/far/mask_rcnn_coco.h5")
    assert model.epoch == 0 and "20200102" not in model.log_dir


def test_run_graph_gives_layers_and_inner_tensors_of_several_images(model, capsys):
    image = np.random.default_rng(0).integers(0, 255, (100, 120, 3)).astype(np.uint8)
    layer = model.keras_model.get_layer
    found = model.run_graph(
        [image, image[:, ::-1]],
        [
            ("rois", layer("ROI").output),
            ("input", layer("input_image").output),
            ("stage", layer("res2a_out").output),
            ("hidden", layer("mrcnn_class_conv2").output),
            ("logits", layer("mrcnn_class_logits").output),
            ("masks", layer("mrcnn_mask").output),
            ("class", model.keras_model.outputs[1]),
            ("anchors", model.ancestor(None, "ROI/refined_anchors_clipped:0")),
            ("kept", model.ancestor(None, "ROI/rpn_non_max_suppression/NonMaxSuppressionV3:0")),
        ],
    )
    assert list(found) == "rois input stage hidden logits masks class anchors kept".split()
    shapes = [(20, 4), (128, 128, 3), (32, 32, 16), (20, 1, 1, 32), (20, 3), (5, 28, 28, 3)]
    shapes += [(20, 3), (4092, 4)]
    assert [array.shape for array in found.values()][:-1] == [(2, *shape) for shape in shapes]
    kept = found["kept"]
    assert 0 < len(kept) <= 20 and kept.dtype == np.int32
    np.testing.assert_array_equal(found["rois"][0, : len(kept)], found["anchors"][0, kept])
    molded, metas, _ = model.mold_inputs([image, image[:, ::-1]])
    anchors = np.stack([model.get_anchors((128, 128, 3))] * 2)
    outputs = model.keras_model([molded, metas, anchors], training=False)
    np.testing.assert_allclose(found["masks"], ops.convert_to_numpy(outputs[3]), atol=1e-4)
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in printed] == list(found)

    again = model.run_graph(molded, [("rois", layer("ROI").output)], image_metas=metas)
    np.testing.assert_allclose(again["rois"], found["rois"], atol=1e-4)


def test_what_run_graph_and_ancestor_cannot_give_is_said(model, tmp_path):
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match=r"cannot give 'x': None is not .*get_layer"):
        model.run_graph([image], [("x", None)])
    rpn = model.keras_model.get_layer("rpn_model")
    with pytest.raises(ValueError, match="cannot give all of inner from the inputs of keras_model"):
        model.run_graph([image], [("inner", rpn.get_layer("rpn_conv_shared").output)])
    with pytest.raises(ValueError, match=r"'ROI/gather:0'; there is ROI/pre_nms.*inspect\(image"):
        model.ancestor(model.keras_model.get_layer("ROI").output, "ROI/gather:0")
    training = modellib.MaskRCNN("training", TinyConfig(), tmp_path)
    for call in (
        lambda: training.ancestor(None, "ROI/pre_nms_anchors:0"),
        lambda: training.run_graph([image], []),
    ):
        with pytest.raises(ValueError, match="needs a model in inference mode"):
            call()
    # As they are in both modes, from the beginning.
    assert np.array_equal(training.anchors, utils.generate_pyramid_anchors(
        TinyConfig.RPN_ANCHOR_SCALES, TinyConfig.RPN_ANCHOR_RATIOS,
        modellib.compute_backbone_shapes(TinyConfig(), (128, 128)), TinyConfig.BACKBONE_STRIDES, 1,
    ))  # fmt: skip


def test_blocks_of_ones_own_backbone_are_those_of_the_resnet():
    image = keras.Input([64, 64, 3])
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same")(
        modellib.KL.Conv2D(64, 7, strides=2, padding="same", name="conv1")(image)
    )
    x = modellib.conv_block(x, 3, [64, 64, 256], stage=2, block="a", strides=(1, 1), train_bn=False)
    x = modellib.identity_block(x, 3, [64, 64, 256], stage=2, block="b", use_bias=False)
    x = modellib.conv_block(x, 5, [8, 8, 16], stage=3, block="a")
    own = keras.Model(image, x)
    assert own.output_shape == (None, 8, 8, 16)
    theirs = keras.Model(image, modellib.resnet_graph(image, "resnet50", train_bn=False)[1])
    for name in ("res2a_branch2a", "res2a_branch2c", "res2a_branch1", "bn2a_branch1", "res2a_out"):
        shapes = ([tuple(w.shape) for w in m.get_layer(name).weights] for m in (own, theirs))
        assert len(set(map(tuple, shapes))) == 1
    assert own.get_layer("res3a_branch2b").kernel.shape == (5, 5, 8, 8)
    assert not own.get_layer("res2b_branch2a").use_bias
    assert own.get_layer("bn2a_branch2a").train_bn is False
    assert own.get_layer("bn2b_branch2a").train_bn is True


def test_graph_functions_for_one_image_are_the_layers_for_a_batch(model):
    config = TinyConfig()
    image = np.random.default_rng(0).integers(0, 255, (100, 120, 3)).astype(np.uint8)
    stages = model.inspect(image)
    window = utils.norm_boxes(stages.window, (128, 128))
    found = modellib.refine_detections_graph(
        stages.proposals, stages.mrcnn_class, stages.mrcnn_bbox, window, config
    )
    np.testing.assert_allclose(ops.convert_to_numpy(found), stages.detections, atol=1e-5)

    gt_boxes = np.array([[0.1, 0.1, 0.5, 0.5], [0.5, 0.5, 0.9, 0.9]], np.float32)
    masks = np.ones((56, 56, 2), bool)
    ids, boxes = np.array([1, 2], np.int32), np.concatenate([gt_boxes, gt_boxes + 0.01])
    one = modellib.detection_targets_graph(boxes, ids, gt_boxes, masks, config)
    batch = modellib.DetectionTargetLayer(config)([a[None] for a in (boxes, ids, gt_boxes, masks)])
    for ours, theirs in zip(one, batch, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (ours, theirs[0])))
    assert sorted(ops.convert_to_numpy(one[1]).tolist())[-2:] != [0, 0]

    padded = np.concatenate([gt_boxes, np.zeros((3, 4), np.float32)])
    real, which = map(ops.convert_to_numpy, modellib.trim_zeros_graph(padded))
    assert np.array_equal(real, gt_boxes) and which.tolist() == [True, True, False, False, False]
    packed = modellib.batch_pack_graph(ops.convert_to_tensor(np.stack([padded] * 2)), [2, 1], 2)
    wanted = np.concatenate([gt_boxes, gt_boxes[:1]])
    np.testing.assert_array_equal(ops.convert_to_numpy(packed), wanted)
    assert ops.convert_to_numpy(modellib.log2_graph(ops.convert_to_tensor([8.0])))[0] == 3
    pixels = modellib.denorm_boxes_graph(ops.convert_to_tensor(gt_boxes), (101, 201))
    assert np.array_equal(ops.convert_to_numpy(pixels), utils.denorm_boxes(gt_boxes, (101, 201)))
    assert ops.convert_to_numpy(pixels).dtype == np.int32

    maps = keras.Input([8, 8, 32])
    outputs = modellib.rpn_graph(maps, 3, 1)
    assert [o.shape[1:] for o in outputs] == [(192, 2), (192, 2), (192, 4)]


def test_batches_have_numbers_in_the_generator_of_tensorflow_2_forks():
    config = TinyConfig(IMAGES_PER_GPU=2)
    batches = modellib.DataGenerator(
        Squares(), config, shuffle=False, random_rois=20, detection_targets=True
    )
    assert len(batches) == 2
    ids = [batches[i][0][1][:, 0].tolist() for i in (0, 1, 0)]
    assert ids == [[0, 1], [2, 0], [0, 1]]
    inputs, outputs = batches[0]
    assert [a.shape for a in inputs[7:]] == [(2, 20, 4), (2, 8, 4)] and len(outputs) == 3
    shuffled = modellib.DataGenerator(Squares(), config)
    orders = []
    for _ in range(20):
        orders.append(tuple(int(shuffled[i][0][1][0, 0]) for i in range(3)))
        shuffled.on_epoch_end()
    assert len(set(orders)) > 2 and {tuple(sorted(order)) for order in orders} == {(0, 1, 2)}
    assert shuffled[1][1] == []


def test_a_star_import_gives_what_the_module_of_matterport_gave():
    space: dict = {}
    exec("from mrcnn.model import *", space)
    assert space["MaskRCNN"] is modellib.MaskRCNN and space["utils"] is modellib.utils is utils
    assert space["np"] is np and space["KL"] is keras.layers and space["os"].sep in "/\\"
    assert space["tf"].__name__ == "tensorflow" and set(modellib.__all__) <= set(space)
    with pytest.raises(AttributeError, match="has no attribute 'KE'"):
        _ = modellib.KE


def test_training_needs_a_name(tmp_path):
    model = modellib.MaskRCNN("training", TinyConfig(NAME=None), tmp_path)
    with pytest.raises(ValueError, match="NAME is None"):
        model.train(Squares(), None, 0.001, 1, "heads")


def test_a_whole_number_of_steps_may_come_from_a_division():
    assert len(Batches(Squares(), TinyConfig(WORKERS=0), steps=4 / 2)) == 2


def test_an_unknown_backbone_lists_the_known_ones():
    with pytest.raises(ValueError, match="use one of resnet18, resnet50, resnet101"):
        modellib.resnet_graph(None, "vgg16")


def test_box_functions_of_the_graph_take_tensors():
    boxes = ops.convert_to_tensor([[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 10.0]])
    window = ops.convert_to_tensor([2.0, 2.0, 8.0, 8.0])
    clipped = ops.convert_to_numpy(modellib.clip_boxes_graph(boxes, window))
    assert clipped.tolist() == [[2, 2, 8, 8], [5, 2, 8, 8]]
    overlaps = ops.convert_to_numpy(modellib.overlaps_graph(boxes, boxes))
    np.testing.assert_allclose(overlaps, [[1, 1 / 3], [1 / 3, 1]], rtol=1e-6)
    shape = ops.convert_to_tensor([11, 21])
    normalized = ops.convert_to_numpy(modellib.norm_boxes_graph(boxes, shape))
    np.testing.assert_allclose(normalized, [[0, 0, 0.9, 0.45], [0.5, 0, 1.4, 0.45]], rtol=1e-6)
    moved = modellib.apply_box_deltas_graph(boxes, ops.convert_to_tensor([[0.1, 0, 0, 0]] * 2))
    np.testing.assert_allclose(ops.convert_to_numpy(moved)[0], [1, 0, 11, 10], rtol=1e-6)


def test_no_instances_are_shown_whatever_the_shape_of_their_masks(capsys):
    image = np.zeros((20, 30, 3), np.uint8)
    nothing = np.zeros((0, 4), np.int32)
    old = np.zeros((0, 20, 30), np.uint8)
    visualize.display_instances(image, nothing, old, np.zeros(0, np.int32), ["BG"])
    plt.close("all")
    assert "No instances to display" in capsys.readouterr().out
