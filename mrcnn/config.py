"""Every knob of the network, its data path and its training, once.

Names and defaults of the first block follow Matterport's package, so that its sample
configurations work unchanged; the options after it are off by default.
"""

import json
import logging
import math
import numbers
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.io.files import replace_text

logger = logging.getLogger(__name__)

RESIZE_MODES = ("none", "square", "pad64", "fit64", "crop")
_CHOICES = {
    "IMAGE_RESIZE_MODE": RESIZE_MODES,
    "ROI_ALIGN": ("legacy", "aligned"),
    "OPTIMIZER": ("sgd", "adamw"),
    "LEARNING_SCHEDULE": ("constant", "cosine"),
    "INITIALIZATION": ("reference", "he"),
    "MASK_ROIS": ("all", "positive"),
    "ACTIVE_CLASSES": ("first", "each"),
    "ON_SIDE_FLIP": ("refuse", "swap"),
    "TRAIN_BN": (None, True, False),
    "REDUCED_DECODE": (False, True),
}
# Settings of exported networks alone; stored configurations of earlier versions name them too.
_OF_EXPORTED = ("RUNTIME", "RUNTIME_CACHE_DIR")
_COUNTS = (
    *("GPU_COUNT", "IMAGES_PER_GPU", "ACCUMULATION_STEPS", "NUM_CLASSES", "IMAGE_CHANNEL_COUNT"),
    *("TRAIN_ROIS_PER_IMAGE", "MAX_GT_INSTANCES", "DETECTION_MAX_INSTANCES", "PRE_NMS_LIMIT"),
    *("POST_NMS_ROIS_TRAINING", "POST_NMS_ROIS_INFERENCE"),
)
LOSS_NAMES = (
    *("rpn_class_loss", "rpn_bbox_loss"),
    *("mrcnn_class_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss"),
)


class _Derived:
    """A value computed from other settings, which an instance may still overwrite."""

    def __init__(self, compute: Callable[["Config"], Any]):
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, config: "Config | None", owner: type) -> Any:
        return self if config is None else self.compute(config)


class Config:
    """Base configuration: subclass it and set NAME.

    Settings are class attributes in capitals; derived ones (BATCH_SIZE, IMAGE_SHAPE,
    IMAGE_META_SIZE) follow a change of what they are computed from. An instance may overwrite
    them, a class may not: there they are computed all the same, as in Matterport's package.
    """

    # --- Experiment -----------------------------------------------------------
    NAME = None  # str, set by the subclass; part of log directories and checkpoints
    GPU_COUNT = 1  # devices; above 1 the training is data parallel
    IMAGES_PER_GPU = 2
    STEPS_PER_EPOCH = 1000  # optimizer steps between two checkpoints
    VALIDATION_STEPS = 50  # batches; None validates on the whole set
    SEED = 0  # int, or None for a different run every time

    # --- Backbone ---------------------------------------------------------------
    # "resnet18", "resnet50", "resnet101", or a callable
    # f(input_image, stage5=True, train_bn=...) -> [C1, C2, C3, C4, C5].
    BACKBONE = "resnet101"
    BACKBONE_WIDTH = 1.0  # multiplies the filters of a named backbone
    COMPUTE_BACKBONE_SHAPE = None  # f(image_shape) -> [5, 2], with a callable backbone
    BACKBONE_STRIDES = [4, 8, 16, 32, 64]  # px, P2..P6
    TRAIN_BN = False  # None: as usual; False: statistics frozen; True: always batch's
    BN_MOMENTUM = 0.99

    # --- Pyramid, proposals, heads ----------------------------------------------
    TOP_DOWN_PYRAMID_SIZE = 256  # filters of P2..P6
    RPN_CONV_FILTERS = 512
    FPN_CLASSIF_FC_LAYERS_SIZE = 1024
    MASK_CONV_FILTERS = 256
    NUM_CLASSES = 1  # with background
    # Names of the classes by id, without the background; None: not known. They are stored in weight
    # files and exports, and `MaskRCNN.train` compares them with those of the data set.
    CLASS_NAMES = None
    # Colors of the classes, [r, g, b] each, 0..255, for pictures of them; None: not known.
    CLASS_COLORS = None
    RPN_ANCHOR_SCALES = (32, 64, 128, 256, 512)  # px, one for each of P2..P6
    RPN_ANCHOR_RATIOS = [0.5, 1, 2]  # width / height
    RPN_ANCHOR_STRIDE = 1  # feature map cells between anchors
    RPN_NMS_THRESHOLD = 0.7  # IoU
    RPN_TRAIN_ANCHORS_PER_IMAGE = 256
    PRE_NMS_LIMIT = 6000  # anchors kept by score before non-maximum suppression
    POST_NMS_ROIS_TRAINING = 2000
    POST_NMS_ROIS_INFERENCE = 1000
    RPN_BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])
    BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])
    POOL_SIZE = 7
    MASK_POOL_SIZE = 14
    MASK_SHAPE = [28, 28]
    ROI_ALIGN = "legacy"  # "legacy": crop-and-resize sampling; "aligned": half-pixel
    USE_RPN_ROIS = True  # False: training takes its ROIs as an input

    # --- Input ------------------------------------------------------------------
    IMAGE_RESIZE_MODE = "square"  # none | square | pad64 | fit64 | crop; see `resize_image`
    IMAGE_MIN_DIM = 800
    IMAGE_MAX_DIM = 1024
    IMAGE_MIN_SCALE = 0
    IMAGE_CHANNEL_COUNT = 3
    MEAN_PIXEL = np.array([123.7, 116.8, 103.9])
    USE_MINI_MASK = True
    MINI_MASK_SHAPE = (56, 56)
    MAX_GT_INSTANCES = 100

    # --- Training targets -------------------------------------------------------
    TRAIN_ROIS_PER_IMAGE = 200
    ROI_POSITIVE_RATIO = 0.33
    GT_AS_PROPOSALS = False  # append ground-truth boxes to the proposals in training
    MIN_NEGATIVE_RATIO = 0.0  # share of TRAIN_ROIS_PER_IMAGE kept for negatives
    PADDING_IS_BACKGROUND = True  # padded ROIs count as background in the class loss
    # Classes annotated in an image's source: "first" applies the list of the first image of
    # a batch to all of it, as the reference does; "each" takes each image's own.
    ACTIVE_CLASSES = "first"
    MASK_ROIS = "all"  # "positive" runs the mask head on the positive slots alone

    # --- Optimization -----------------------------------------------------------
    LEARNING_RATE = 0.001
    LEARNING_MOMENTUM = 0.9
    WEIGHT_DECAY = 0.0001
    GRADIENT_CLIP_NORM = 5.0  # global norm
    LOSS_WEIGHTS = dict.fromkeys(LOSS_NAMES, 1.0)
    OPTIMIZER = "sgd"
    LEARNING_SCHEDULE = "constant"  # "cosine" decays to 0 at the end of train()
    WARMUP_STEPS = 0  # optimizer steps of linear warm-up
    ACCUMULATION_STEPS = 1  # batches whose mean gradient makes one optimizer step
    INITIALIZATION = "reference"  # "he": he-normal, small output layers
    PRECISION = "float32"  # compute type of the convolutions; or "bfloat16", "float16"

    # --- Detection --------------------------------------------------------------
    DETECTION_MAX_INSTANCES = 100
    DETECTION_MIN_CONFIDENCE = 0.7  # 0 disables the filter
    DETECTION_NMS_THRESHOLD = 0.3  # IoU
    BEST_PER_CLASS = False  # keep the best detection of each class alone

    # --- Data path --------------------------------------------------------------
    WORKERS = 2  # threads that prepare batches
    CACHE_MEMORY_MB = 1024  # decoded, resized images and masks held in memory
    CACHE_DIR = None  # folder for what exceeds it; None: a temporary folder
    # True: large sections are decoded at a fraction of their size, see `mrcnn.imageio.reduced`.
    # Much faster; texture is averaged where the reference samples it. Boxes, masks and areas are
    # in px of the original all the same.
    REDUCED_DECODE = False
    # How files of more than 8 bits become 8; see `mrcnn.imageio.contrast`. It is stored with the
    # weights, so that new pictures are read as the training images were.
    CONTRAST = "bits"  # or "percentiles LOW HIGH", "percentiles LOW HIGH nonzero"
    SKIP_CORRUPT_IMAGES = False  # True: skip and count instead of stopping
    # True, as the reference: training leaves out images that show no object (crowds do not count),
    # also where augmentation moved all of them out. False: it learns background from them.
    SKIP_EMPTY_IMAGES = True
    # Pairs (left id, right id) of classes that trade places in a mirror image.
    SIDE_PAIRS = ()
    ON_SIDE_FLIP = "refuse"  # with SIDE_PAIRS: "refuse" a mirroring, or "swap" the ids

    @_Derived
    def BATCH_SIZE(self) -> int:
        """Images a step: IMAGES_PER_GPU * GPU_COUNT."""
        return self.IMAGES_PER_GPU * self.GPU_COUNT

    @_Derived
    def IMAGE_SHAPE(self) -> np.ndarray:
        """Shape [h, w, channels] of a molded image, in px."""
        side = self.IMAGE_MIN_DIM if self.IMAGE_RESIZE_MODE == "crop" else self.IMAGE_MAX_DIM
        return np.array([side, side, self.IMAGE_CHANNEL_COUNT])

    @_Derived
    def IMAGE_META_SIZE(self) -> int:
        """Length of the image meta vector, see `mrcnn.data.molding.compose_image_meta`."""
        return 1 + 3 + 3 + 4 + 1 + self.NUM_CLASSES

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for name, derived in vars(Config).items():
            if isinstance(derived, _Derived) and getattr(cls, name) is not derived:
                text = "%s.%s = %s has no effect: it is computed. Set it on an instance instead."
                logger.warning(text, cls.__name__, name, getattr(cls, name))
                setattr(cls, name, derived)

    def __init__(self, **overrides: Any):
        """Overrides set attributes of this instance; an unknown name is an error."""
        self.update(**overrides)

    def update(self, **settings: Any) -> "Config":
        """Change settings of this instance and check them all; returns the instance itself.

        Raises UserError for an unknown name, or a value that cannot work.
        """
        for name, value in settings.items():
            if hasattr(type(self), name) and name.isupper() and not name.startswith("_"):
                setattr(self, name, value)
            elif name not in _OF_EXPORTED:
                raise UserError(
                    f"{type(self).__name__} has no setting {name!r}: unknown setting. "
                    "Use an attribute listed by display()."
                )
            elif name == "RUNTIME" and value != "keras":
                raise _export_first(name, value)
        self.validate()
        if self.STEPS_PER_EPOCH % 1:
            steps, self.STEPS_PER_EPOCH = self.STEPS_PER_EPOCH, math.ceil(self.STEPS_PER_EPOCH)
            text = "%s.STEPS_PER_EPOCH is %s; it is rounded up to %d, as Keras 2 did."
            logger.warning(text, type(self).__name__, steps, self.STEPS_PER_EPOCH)
        for name, value in settings.items():
            usual = getattr(type(self), name, None)
            if isinstance(value, str) and isinstance(usual, int | float | tuple | list):
                raise UserError(
                    f"{type(self).__name__}.{name} is {value!r}; it must be a value such as "
                    f"{usual!r}."
                )
        return self

    def _precisions(self) -> tuple[str, ...]:
        """What PRECISION may be."""
        if (runtime := getattr(self, "RUNTIME", "keras")) != "keras":
            raise _export_first("RUNTIME", runtime)
        if self.PRECISION == "int8":
            raise _export_first("PRECISION", "int8")
        return ("float32", "bfloat16", "float16")

    def validate(self) -> None:
        """Raise ValueError naming the first setting that cannot work."""

        def demand(ok: bool, name: str, wanted: str) -> None:
            if not ok:
                raise UserError(
                    f"{type(self).__name__}.{name} is {getattr(self, name)!r}; it must be {wanted}."
                )

        for name, allowed in (*_CHOICES.items(), ("PRECISION", self._precisions())):
            demand(getattr(self, name) in allowed, name, "one of " + ", ".join(map(repr, allowed)))
        for name in _COUNTS:
            value = getattr(self, name)
            whole = isinstance(value, numbers.Real) and value >= 1 and value % 1 == 0
            demand(whole, name, "a whole number of at least 1")
        steps = self.STEPS_PER_EPOCH
        finite = isinstance(steps, numbers.Real) and 1 <= steps < math.inf
        demand(finite, "STEPS_PER_EPOCH", "a number of at least 1")
        demand(
            callable(self.BACKBONE) or self.BACKBONE in ("resnet18", "resnet50", "resnet101"),
            "BACKBONE",
            "'resnet18', 'resnet50', 'resnet101' or a callable",
        )
        demand(
            len(self.RPN_ANCHOR_SCALES) == len(self.BACKBONE_STRIDES),
            "RPN_ANCHOR_SCALES",
            f"one scale for each of the {len(self.BACKBONE_STRIDES)} BACKBONE_STRIDES",
        )
        demand(
            len(np.atleast_1d(self.MEAN_PIXEL)) in (1, self.IMAGE_CHANNEL_COUNT),
            "MEAN_PIXEL",
            f"one value, or one for each of the {self.IMAGE_CHANNEL_COUNT} channels",
        )
        demand(
            isinstance(self.LOSS_WEIGHTS, dict),
            "LOSS_WEIGHTS",
            f"a dict over {list(LOSS_NAMES)}; what it lacks weighs 1",
        )
        names = self.CLASS_NAMES
        demand(
            names is None or len(set(names)) == len(names) == self.NUM_CLASSES - 1,
            "CLASS_NAMES",
            f"None, or {self.NUM_CLASSES - 1} different names (NUM_CLASSES - 1)",
        )
        colors = self.CLASS_COLORS
        demand(
            colors is None or len(colors) == self.NUM_CLASSES - 1,
            "CLASS_COLORS",
            f"None, or {self.NUM_CLASSES - 1} colors [r, g, b] (NUM_CLASSES - 1)",
        )
        for left, right in self.SIDE_PAIRS:
            demand(
                0 < left < self.NUM_CLASSES and 0 < right < self.NUM_CLASSES and left != right,
                "SIDE_PAIRS",
                f"pairs of different class ids between 1 and {self.NUM_CLASSES - 1}",
            )

    def validate_training(self) -> None:
        """Raise ValueError naming a setting that training alone reads and that cannot work."""
        side = 2 * self.MASK_POOL_SIZE
        if list(self.MASK_SHAPE) != [side, side]:
            raise UserError(
                f"{type(self).__name__}.MASK_SHAPE is {self.MASK_SHAPE!r}; to train it must be "
                f"[{side}, {side}], twice MASK_POOL_SIZE, which is what the mask head gives."
            )
        if unknown := set(self.LOSS_WEIGHTS) - set(LOSS_NAMES):
            text = "%s.LOSS_WEIGHTS: there is no loss %s, so its weight has no effect."
            logger.warning(text, type(self).__name__, ", ".join(map(repr, sorted(unknown))))

    def to_dict(self) -> dict[str, Any]:
        """All settings and derived values by name, as plain JSON types; a callable by its name."""
        names = (n for n in sorted(dir(self)) if n.isupper() and not n.startswith("_"))
        return {name: _plain(getattr(self, name)) for name in names}

    def save(self, path: str | Path) -> None:
        """Write `to_dict()` as JSON, atomically."""
        replace_text(path, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Config":
        """An instance of this class with the settings of a file that `save` wrote."""
        try:
            values = dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path}: not a saved configuration ({error}).") from error
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """An instance of this class with the settings that `to_dict` gave."""
        values = {k: v for k, v in values.items() if not _is_derived(k)}
        for name, value in values.items():
            if isinstance(getattr(cls, name, None), np.ndarray):
                values[name] = np.array(value)
        return cls(**values)

    def display(self) -> None:
        """Print every setting, as Matterport's package does."""
        print("\nConfigurations:")
        for name in sorted(dir(self)):
            value = getattr(self, name)
            if not name.startswith("_") and not callable(value):
                print(f"{name:30} {value}")
        print("\n")


def _export_first(name: str, value: Any) -> UserError:
    return UserError(
        f"{name} {value!r} is for exported networks alone. Export the network first ("
        "`sebre export`, for eight bits `sebre export --precision int8`, or "
        "`mrcnn.export.export_model`), and give that file as weights."
    )


def _is_derived(name: str) -> bool:
    return isinstance(getattr(Config, name, None), _Derived)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Callable):
        return getattr(value, "__name__", repr(value))
    return value


def compute_backbone_shapes(config: Config, image_shape: Any) -> np.ndarray:
    """Height and width of each level P2..P6 of a molded image [h, w, ...] px: int [5, 2]."""
    if callable(config.BACKBONE):
        if config.COMPUTE_BACKBONE_SHAPE is None:
            raise UserError(
                "BACKBONE is a callable, so COMPUTE_BACKBONE_SHAPE must be a function "
                "image_shape -> [5, 2]; it is None."
            )
        return np.asarray(config.COMPUTE_BACKBONE_SHAPE(image_shape))
    strides = config.BACKBONE_STRIDES
    return np.array([[math.ceil(side / stride) for side in image_shape[:2]] for stride in strides])
