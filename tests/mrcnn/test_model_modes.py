"""`MaskRCNN` under every way of feeding and building it: modes, channels, backbones."""

import keras
import numpy as np
import pytest
from keras import layers as KL
from phantoms import PhantomConfig, Phantoms

import mrcnn.model as modellib
from mrcnn.config import Config
from mrcnn.data.molding import mold_inputs
from mrcnn.model import MaskRCNN
from mrcnn.modeling.roi_align import PyramidROIAlign
from mrcnn.structures.boxes import norm_boxes

# Last layers only: the whole network runs forward, and its backward pass compiles fast.
ENDS = "rpn_bbox_pred|rpn_class_raw|mrcnn_class_logits|mrcnn_bbox_fc|mrcnn_mask"

pytestmark = pytest.mark.usefixtures("trains_op_by_op")  # a step or two


class Section(Phantoms):
    """Phantoms of any number of channels and with or without regions."""

    def __init__(self, channels=3, regions=True, size=64):
        self.channels, self.regions = channels, regions
        super().__init__(2, size=size)

    def load_image(self, image_id):
        image = Phantoms(2, size=self.size).load_image(image_id)
        return np.concatenate([image, image], axis=-1)[..., : self.channels]

    def load_mask(self, image_id):
        masks, class_ids = super().load_mask(image_id)
        return (masks, class_ids) if self.regions else (masks[..., :0], class_ids[:0])


def train(folder, dataset, steps=1, layers=ENDS, **settings):
    """A model after some steps of `MaskRCNN.train`, the losses of which are all finite."""
    model = MaskRCNN("training", PhantomConfig(STEPS_PER_EPOCH=steps, **settings), folder)
    before = {w.path: np.asarray(w).copy() for w in model.keras_model.weights}
    history = model.train(dataset, None, 1e-2, epochs=1, layers=layers, verbose=0)
    assert set(history.history) == {"loss", *PhantomConfig.LOSS_WEIGHTS}
    assert np.isfinite(list(history.history.values())).all(), history.history
    model.losses = {name: values[0] for name, values in history.history.items()}
    after = {w.path: np.asarray(w).copy() for w in model.keras_model.weights}
    assert all(np.isfinite(value).all() for value in after.values())
    model.moved = {path for path, value in after.items() if (value != before[path]).any()}
    return model


def detect(model, picture, **settings):
    """What the checkpoint of a trained model finds in inference mode."""
    config = model.config
    for name, value in {"DETECTION_MIN_CONFIDENCE": 0, **settings}.items():
        setattr(config, name, value)
    detector = MaskRCNN("inference", config, model.model_dir)
    detector.load_weights(detector.find_last())
    (found,) = detector.detect([picture])
    count = len(found["scores"])
    assert found["rois"].shape == (count, 4)
    assert found["masks"].shape == (*picture.shape[:2], count)
    assert np.isfinite(found["scores"]).all()
    assert set(found["class_ids"]) <= {1, 2, 3}
    return found


@pytest.fixture(scope="module")
def plain_losses(tmp_path_factory):
    """Losses of the first step in mode "square", in full precision."""
    return train(tmp_path_factory.mktemp("plain"), Section()).losses


# --- Channels and resizing -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "mean"), [(1, np.array([50.0])), (4, np.array([10.0, 20.0, 30.0, 40.0])), (4, 50)]
)
def test_mean_pixel_has_one_value_or_one_for_each_channel(channels, mean):
    settings = {"IMAGE_CHANNEL_COUNT": channels, "MEAN_PIXEL": mean}
    image = np.full((64, 64, channels), 100, np.uint8)
    molded, _, _ = mold_inputs([image], PhantomConfig(**settings))
    np.testing.assert_array_equal(molded[0, 9, 9], np.broadcast_to(100 - mean, channels))


def test_one_channel_and_full_masks(tmp_path):
    sections = Section(channels=1)
    model = train(
        tmp_path, sections, IMAGE_CHANNEL_COUNT=1, MEAN_PIXEL=np.array([50.0]), USE_MINI_MASK=False
    )
    assert model.keras_model.get_layer("conv1").kernel.shape == (7, 7, 1, 16)
    assert model.keras_model.get_layer("input_gt_masks").output.shape == (None, 64, 64, 4)
    assert len(model.moved) == 10, "kernel and bias of the five layers"
    detect(model, sections.load_image(0))


def test_four_channels_and_random_crops(tmp_path):
    sections = Section(channels=4, size=90)
    model = train(
        tmp_path,
        sections,
        IMAGE_CHANNEL_COUNT=4,
        MEAN_PIXEL=np.array([50.0, 50.0, 50.0, 9.0]),
        IMAGE_RESIZE_MODE="crop",
    )
    assert model.keras_model.get_layer("conv1").kernel.shape == (7, 7, 4, 16)
    # A program that trains on crops detects on whole pictures.
    detect(model, sections.load_image(0), IMAGE_RESIZE_MODE="pad64")


@pytest.mark.parametrize("mode", ["none", "pad64"])
def test_modes_are_one_for_pictures_of_the_size_of_the_network(tmp_path, mode, plain_losses):
    model = train(tmp_path, Section(), IMAGE_RESIZE_MODE=mode)
    assert model.losses == pytest.approx(plain_losses, rel=1e-4)


# --- What the heads see --------------------------------------------------------------------


def test_images_without_regions_train_on_negatives_alone(tmp_path):
    model = train(tmp_path, Section(regions=False), GT_AS_PROPOSALS=False, SKIP_EMPTY_IMAGES=False)
    for name in ("rpn_bbox_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss"):
        assert model.losses[name] == 0, name
    assert model.losses["rpn_class_loss"] > 0 and model.losses["mrcnn_class_loss"] > 0


def test_regions_of_interest_may_come_from_outside(tmp_path):
    model = train(tmp_path, Section(), USE_RPN_ROIS=False)
    assert len(model.keras_model.inputs) == 8
    assert model.keras_model.get_layer("input_roi").output.shape == (None, 50, 4)
    assert model.losses["mrcnn_bbox_loss"] > 0 and model.losses["mrcnn_mask_loss"] > 0


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_step_in_half_precision_is_near_that_in_full(tmp_path, precision, plain_losses):
    model = train(tmp_path, Section(), layers="conv1|" + ENDS, PRECISION=precision)
    assert {w.dtype for w in model.keras_model.weights} == {"float32"}
    assert model.keras_model.get_layer("mrcnn_mask_conv1").compute_dtype == precision
    if precision == "bfloat16":  # float16 skips steps until its scale fits
        assert any("conv1/kernel" in path for path in model.moved)
    assert model.losses["loss"] == pytest.approx(plain_losses["loss"], rel=0.05)


# --- A backbone of the user's own -------------------------------------------------------------


def own_backbone(input_image, stage5=True, train_bn=None):
    """In the manner of Matterport's `resnet_graph`, in plain Keras."""
    assert stage5
    stages, x = [], input_image
    for number, filters in enumerate((8, 8, 16, 16, 32), start=1):
        strides = {1: 4, 2: 1}.get(number, 2)
        x = KL.Conv2D(filters, 3, strides=strides, padding="same", name=f"own{number}")(x)
        x = modellib.BatchNorm(name=f"bn_own{number}")(x, training=train_bn)
        x = KL.Activation("relu")(x)
        stages.append(x)
    return stages


def own_shapes(image_shape):
    return [[image_shape[0] // stride, image_shape[1] // stride] for stride in (4, 8, 16, 32, 64)]


@pytest.mark.parametrize("train_bn", [False, None])
def test_a_backbone_of_ones_own_trains_and_its_frozen_statistics_stay(tmp_path, train_bn):
    settings = {"BACKBONE": own_backbone, "COMPUTE_BACKBONE_SHAPE": own_shapes}
    layers = "own1|bn_own.*|mrcnn_mask"
    model = train(tmp_path, Section(), 2, layers, TRAIN_BN=train_bn, **settings)
    norms = [f"bn_own{n}/{v}" for n in range(1, 6) for v in ("moving_mean", "moving_variance")]
    assert {p for p in model.moved if "moving_" in p} == set(norms if train_bn is None else [])
    assert {"own1/kernel", "bn_own5/gamma", "mrcnn_mask/kernel"} <= model.moved
    assert "own2/kernel" not in model.moved
    if train_bn is False:
        detect(model, Section().load_image(0))


def test_a_backbone_of_ones_own_needs_its_shapes(tmp_path):
    with pytest.raises(ValueError, match="COMPUTE_BACKBONE_SHAPE must be a function"):
        MaskRCNN("training", PhantomConfig(BACKBONE=own_backbone), tmp_path)


# --- Aligned sampling ----------------------------------------------------------------------


def test_aligned_crops_of_a_ramp_are_its_values_at_the_bin_centers():
    height, width, bins = 512, 384, 7
    boxes = np.array(
        [  # px; one for each of the levels 2..5, and one that is not square
            [20, 24, 70, 74],
            [100.5, 30.25, 200.5, 130.25],
            [37, 61, 237, 261],
            [30, 30, 480, 340],
            [33, 45, 120, 301],
        ],
        np.float32,
    )
    slopes = {4: (1.0, -2.0, 5.0), 8: (0.5, 3.0, 0.0), 16: (-4.0, 1.0, 9.0), 32: (2.0, 2.0, 1.0)}

    def ramp(y, x, stride):
        a, b, c = slopes[stride]
        return a * y[:, None] + b * x[None, :] + c

    maps = []
    for stride in slopes:
        # The center of cell i lies (i + 1/2) strides from the border.
        y, x = ((np.arange(side // stride) + 0.5) * stride for side in (height, width))
        values = ramp(y, x, stride).astype(np.float32)
        maps.append(np.stack([values, np.ones_like(values)], axis=-1)[None])
    meta = np.zeros((1, 12 + 2), np.float32)
    meta[0, 4:7] = height, width, 3
    inputs = [norm_boxes(boxes, (height, width))[None], meta, *maps]
    layer = PyramidROIAlign([bins, bins], mode="aligned")
    crops = keras.ops.convert_to_numpy(layer([keras.ops.convert_to_tensor(a) for a in inputs]))
    assert crops.shape == (1, 5, bins, bins, 2)
    np.testing.assert_allclose(crops[..., 1], 1.0, rtol=1e-6)
    for (y1, x1, y2, x2), stride, crop in zip(boxes, (4, 8, 16, 32, 8), crops[0], strict=True):
        share = (np.arange(bins) + 0.5) / bins
        wanted = ramp(y1 + share * (y2 - y1), x1 + share * (x2 - x1), stride)
        np.testing.assert_allclose(crop[..., 0], wanted, atol=2e-2, rtol=1e-5)


# --- Modes, layers, names ------------------------------------------------------------------


def test_wrong_modes_and_sizes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="mode is 'predict'; it must be 'training' or"):
        MaskRCNN("predict", PhantomConfig(), tmp_path)
    with pytest.raises(ValueError, match="80 x 80 px.*multiples of 64.*IMAGE_MAX_DIM"):
        MaskRCNN("inference", PhantomConfig(IMAGE_MAX_DIM=80), tmp_path)
    crop = PhantomConfig(IMAGE_RESIZE_MODE="crop", IMAGE_MIN_DIM=72, IMAGE_MAX_DIM=128)
    with pytest.raises(ValueError, match="72 x 72 px.*IMAGE_MIN_DIM in crop mode"):
        MaskRCNN("training", crop, tmp_path)
    with pytest.raises(ValueError, match="needs a model in training mode.*mode='training'"):
        MaskRCNN("inference", PhantomConfig(), tmp_path).train(Phantoms(1), None, 1e-3, 1, "heads")


def test_a_training_model_refuses_to_detect(tmp_path):
    images = [np.zeros((64, 64, 3), np.uint8)]
    model = MaskRCNN("training", PhantomConfig(), tmp_path)
    for call in (
        lambda: model.detect(images),
        lambda: model.detect_molded(*mold_inputs(images, model.config)[:2]),
        lambda: model.inspect(images[0]),
    ):
        with pytest.raises(ValueError, match="needs a model in inference mode"):
            call()


def test_layers_are_listed_found_and_frozen(tmp_path):
    model = MaskRCNN("inference", PhantomConfig(), tmp_path)
    layers = {layer.name: layer for layer in model.get_trainable_layers()}
    assert all(layer.weights for layer in layers.values())
    assert {"conv1", "bn_conv1", "res5b_branch2b", "fpn_p2", "rpn_conv_shared", "mrcnn_mask"} <= (
        set(layers)
    )
    assert not {"rpn_model", "ROI", "fpn_p6", "mrcnn_detection"} & set(layers)
    assert model.find_trainable_layer(layers["conv1"]) is layers["conv1"]
    model.set_trainable(r"(mrcnn_mask.*)|(rpn_.*)", verbose=0)
    trainable = {name for name, layer in layers.items() if layer.trainable}
    assert trainable == {n for n in layers if n.startswith(("mrcnn_mask", "rpn_"))}
    model.set_trainable(".*", keras_model=model.keras_model, verbose=0)
    assert all(layer.trainable for layer in layers.values())


def test_log_prints_text_and_arrays(capsys):
    modellib.log("plain text")
    modellib.log("image", np.array([[1.5, -2.0]], np.float32))
    modellib.log("nothing", np.zeros((0, 4), bool))
    text, image, nothing = capsys.readouterr().out.splitlines()
    assert text == "plain text"
    assert image == (
        "image                    shape: (1, 2)                min:   -2.00000  "
        "max:    1.50000  float32"
    )
    assert nothing.split() == "nothing shape: (0, 4) min: max: bool".split()


def test_names_that_programs_import_from_here_are_here():
    assert all(hasattr(modellib, name) for name in modellib.__all__)
    assert issubclass(PhantomConfig, Config) and modellib.MaskRCNN is MaskRCNN
