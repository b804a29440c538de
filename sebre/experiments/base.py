"""What an experiment consists of: settings, sections, schedule, augmentation.

Each experiment has a module of its own beside this one; `EXPERIMENTS` in `sebre.experiments` is
the table of all. Compare settings on inner splits of a training part (`sebre train
--inner-validation`), not on a test part. The shipped `hippocampus`, `slicemap` and `slicemap_unet`
did not keep to this: each was changed after a first test score (see their cards).
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrcnn.config import Config
from mrcnn.data.augment import RandomRotateFlip
from mrcnn.errors import UserError
from sebre.data.dataset import SectionDataset
from sebre.data.regions import MOUSE, RegionSet


def with_settings(config: Config, **settings: Any) -> Config:
    """The configuration itself, with settings changed and checked; see `Config.update`."""
    return config.update(**settings)


class SeBReConfig(Config):
    """The settings of the paper (Iqbal et al. 2019) and of its released code."""

    NAME = "brain"  # released code
    IMAGES_PER_GPU = 1  # paper, Methods: one image on a GTX 970
    NUM_CLASSES = MOUSE.num_classes  # paper: eight regions, and the background
    BACKBONE = "resnet101"  # paper: "first five stages of ResNet101" and FPN
    TRAIN_BN = False  # released code: batch normalization is frozen
    IMAGE_MIN_DIM = 384  # released code, 128 * 3; not in the paper
    IMAGE_MAX_DIM = 384
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)  # released code
    TRAIN_ROIS_PER_IMAGE = 32  # released code
    MAX_GT_INSTANCES = 8  # released code: one instance per region
    DETECTION_MAX_INSTANCES = 8  # paper: the "top 8" boxes
    DETECTION_MIN_CONFIDENCE = 0.9  # paper and released code
    DETECTION_NMS_THRESHOLD = 0.3  # released code
    LEARNING_RATE = 0.001  # paper: 1e-3 for the heads; a tenth of it for all layers
    LEARNING_MOMENTUM = 0.9  # paper
    STEPS_PER_EPOCH = 1000  # paper: 6,000 and 9,000 iterations, so 6 and 9 epochs
    VALIDATION_STEPS = 100  # released code
    # Of this repository: `sebre predict` leaves out what lies on glass. False where regions are
    # drawn where a picture shows nothing.
    ONLY_ON_TISSUE = True


class FromScratch:
    """What differs without pretrained weights; put it before a class of settings.

    What the reference does for fine-tuning learns too slowly from random weights. Nothing here
    is from the paper.
    """

    INITIALIZATION = "he"
    TRAIN_BN = None  # train it
    BN_MOMENTUM = 0.98  # statistics of about 200 images, not of the last few
    OPTIMIZER = "adamw"
    WEIGHT_DECAY = 0.05  # of AdamW
    LEARNING_RATE = 0.001  # of AdamW
    LEARNING_SCHEDULE = "cosine"
    WARMUP_STEPS = 120  # `sebre.networks.train` scales it with the steps
    GT_AS_PROPOSALS = True
    MIN_NEGATIVE_RATIO = 0.25
    PADDING_IS_BACKGROUND = False
    MASK_ROIS = "positive"
    SKIP_EMPTY_IMAGES = False  # sections at the margin, and those augmentation moved away
    IMAGES_PER_GPU = 4
    BEST_PER_CLASS = True  # a section shows each region once


class Small(FromScratch):
    """A small network, which stores in float16 in less than 16 MB."""

    BACKBONE = "resnet18"
    BACKBONE_WIDTH = 0.5
    TOP_DOWN_PYRAMID_SIZE = 128
    RPN_CONV_FILTERS = 128
    FPN_CLASSIF_FC_LAYERS_SIZE = 512
    MASK_CONV_FILTERS = 96
    MINI_MASK_SHAPE = (56, 56)
    PRE_NMS_LIMIT = 1000
    POST_NMS_ROIS_TRAINING = 200
    POST_NMS_ROIS_INFERENCE = 200
    STEPS_PER_EPOCH = 100
    VALIDATION_STEPS = None  # all of it
    DETECTION_MIN_CONFIDENCE = 0.3  # low: with one detection per region there cannot be many


@dataclass(frozen=True)
class Stage:
    """One part of a training schedule."""

    layers: str  # that are trained: a preset or a regular expression (`MaskRCNN.train`)
    steps: int  # of the optimizer
    rate: float = 1.0  # factor on LEARNING_RATE


@dataclass(frozen=True)
class Turn:
    """Orientations in which an experiment's sections may lie."""

    max_angle: float  # degrees to either side
    flip: bool  # mirrored as well


@dataclass(frozen=True)
class Variant:
    """One way to train an experiment."""

    config: type[Config]
    schedule: tuple[Stage, ...]
    augmentation: Callable[[], Any]  # makes that of training images


@dataclass(frozen=True)
class Experiment:
    """What an experiment looks for, in which sections, and how it is trained."""

    name: str  # on the command line
    summary: str  # one line for the help
    regions: RegionSet
    turn: Turn
    variants: Mapping[str, Variant]  # by name: "paper", "from_scratch", "small"
    weights: tuple[str, ...]  # names in the manifest; the first is the default
    sources: tuple[str, ...]  # of stand-in data, for `prepare`; the first is the default
    dataset: type[SectionDataset] = SectionDataset  # class of its prepared data sets
    plane: str = ""  # of its sections: sagittal, coronal or horizontal; empty if not one of them

    def sections(self) -> SectionDataset:
        """A data set of its regions, still empty."""
        return self.dataset(self.regions)

    def load(self, path: str | Path, subset: str) -> SectionDataset:
        """A part of a prepared data set, ready to be read."""
        sections = self.sections().load(path, subset)
        sections.prepare()
        return sections

    @property
    def default(self) -> Variant:
        """The first variant: the paper's, where there is one."""
        return next(iter(self.variants.values()))

    def variant(self, name: str) -> Variant:
        """A variant by name."""
        if name not in self.variants:
            raise UserError(
                f"The experiment {self.name} has no variant {name!r}; it has "
                f"{', '.join(self.variants)}."
            )
        return self.variants[name]


ANY_TURN = Turn(180, flip=True)

# Paper: 6,000 iterations of the heads at 1e-3, then 9,000 of all layers at 1e-4.
PAPER_SCHEDULE = (Stage("heads", 6000), Stage("all", 9000, 0.1))
# Without pretrained weights there is nothing to keep: all layers at once, 4 images per step.
FROM_SCRATCH_SCHEDULE = (Stage("all", 15000),)

# Size, place, bending, staining and exposure vary from section to section.
_AUGMENTATION = {
    "scale": (0.85, 1.15),
    "shift": 0.05,
    "bend": 0.01,
    "gamma": (0.65, 1.5),
    "brightness": (0.8, 1.25),
}


def online(turn: Turn, **differing: Any) -> Callable[[], RandomRotateFlip]:
    """Random orientations within `turn`, and _AUGMENTATION but for what differs."""
    drawn = {"max_angle": turn.max_angle, "flip": turn.flip, **_AUGMENTATION, **differing}
    return functools.partial(RandomRotateFlip, **drawn)


def offline(turn: Turn) -> Callable[[], RandomRotateFlip | None]:
    """Mirroring alone, where `turn` has it: the paper's rotated versions are files.

    `sebre prepare --rotations` writes them; the released code mirrors images at random while it
    trains.
    """
    if not turn.flip:
        return lambda: None
    return functools.partial(RandomRotateFlip, max_angle=0, flip=True, scale=(1, 1), gamma=(1, 1))


def variants(
    paper: type[Config],
    from_scratch: type[Config],
    small: type[Config],
    small_steps: int,
    turn: Turn,
    **differing: Any,
) -> dict[str, Variant]:
    """The variants of an experiment of the paper; `differing` is for `online`."""
    drawn = online(turn, **differing)
    return {
        "paper": Variant(paper, PAPER_SCHEDULE, offline(turn)),
        "from_scratch": Variant(from_scratch, FROM_SCRATCH_SCHEDULE, drawn),
        "small": Variant(small, (Stage("all", small_steps),), drawn),
    }
