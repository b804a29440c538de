"""Networks and pictures of the tests of export and runtimes."""

import keras
import numpy as np
from paths import ROOT

from mrcnn.config import Config
from mrcnn.model import MaskRCNN
from mrcnn.modeling.layers import nested_layers
from sebre.networks.segmenter import read_image

DATASET = ROOT / "datasets/slicemap"


class Tiny(Config):
    NAME = "tiny"
    IMAGES_PER_GPU = 2
    BACKBONE = "resnet18"
    BACKBONE_WIDTH = 0.25
    TOP_DOWN_PYRAMID_SIZE = RPN_CONV_FILTERS = MASK_CONV_FILTERS = 32
    FPN_CLASSIF_FC_LAYERS_SIZE = 64
    NUM_CLASSES = 4
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 128
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    PRE_NMS_LIMIT = 500
    POST_NMS_ROIS_INFERENCE = 60
    DETECTION_MAX_INSTANCES = 12
    DETECTION_MIN_CONFIDENCE = 0
    INITIALIZATION = "he"


# Random features are large: every score would be 1, and rounding would decide their order.
CALM = {
    "rpn_class_raw": 5e-4,
    "rpn_bbox_pred": 1e-3,
    "mrcnn_class_logits": 5e-4,
    "mrcnn_bbox_fc": 1e-3,
}


def tiny(tmp_path, **settings):
    """A network whose normalizations and biases are not those of a fresh one."""
    model = MaskRCNN("inference", Tiny(**settings), tmp_path)
    rng = np.random.default_rng(0)
    for layer in nested_layers(model.keras_model):
        if layer.name in CALM:
            layer.kernel.assign(layer.kernel * CALM[layer.name])
    for variable in model.keras_model.variables:
        value = keras.ops.convert_to_numpy(variable.value)
        if value.ndim == 1:
            value = value + rng.uniform(0, 0.3, value.shape).astype("float32")
            variable.assign(value)
    return model


def picture(seed, height=90, width=128):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((height // 6, width // 8, 1), np.uint8))


def few_sections(part="val", count=3):
    """A few sections of the embedded data set."""
    folder = DATASET / f"mrcnn_{part}_dataset_images"
    return [read_image(path) for path in sorted(folder.iterdir())[:count]]


def mean_dice(wanted, found):
    """Mean Dice of the masks of all classes of `wanted`, 0 where `found` lacks one."""
    dices = []
    for a, b in zip(wanted, found, strict=True):
        masks = {i: b["masks"][..., row] for row, i in enumerate(b["class_ids"])}
        for row, class_id in enumerate(a["class_ids"]):
            mask = a["masks"][..., row]
            other = masks.get(class_id, np.zeros_like(mask))
            dices.append(2 * (mask & other).sum() / (mask.sum() + other.sum()))
    return np.mean(dices)


def assert_same_results(wanted, found):
    """Equal detections: boxes within 1e-3 of the longer side, masks of IoU 0.99."""
    for a, b in zip(wanted, found, strict=True):
        assert len(a["class_ids"]) > 0
        np.testing.assert_array_equal(a["class_ids"], b["class_ids"])
        np.testing.assert_allclose(a["rois"], b["rois"], rtol=0, atol=1)
        np.testing.assert_allclose(a["scores"], b["scores"], rtol=0, atol=1e-4)
        both = (a["masks"] & b["masks"]).sum((0, 1))
        assert np.all(both >= 0.99 * (a["masks"] | b["masks"]).sum((0, 1)))
