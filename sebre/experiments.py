"""The table of experiments: what each command needs to know about one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mrcnn.augment import RandomRotateFlip
from mrcnn.config import Config
from sebre.config import SlicemapConfig
from sebre.regions import SLICEMAP, RegionSet


@dataclass(frozen=True)
class Stage:
    """One part of a training schedule.

    Attributes:
        layers: what is trained, a preset or a regular expression (`MaskRCNN.train`).
        steps: optimizer steps.
        rate: factor on LEARNING_RATE.
    """

    layers: str
    steps: int
    rate: float = 1.0


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes:
        name: on the command line.
        summary: one line for the help.
        config: its class of settings.
        regions: what it looks for.
        schedule: parts of its training.
        augmentation: makes the augmentation of training images.
        weights: name of its weights in the manifest.
    """

    name: str
    summary: str
    config: type[Config]
    regions: RegionSet
    schedule: tuple[Stage, ...]
    augmentation: Callable[[], Any]
    weights: str


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            name="slicemap",
            summary="six regions in sagittal mouse sections, in any orientation",
            config=SlicemapConfig,
            regions=SLICEMAP,
            schedule=(Stage("all", 2400),),
            # Sections lie at any angle, mirrored or not; staining and exposure vary.
            augmentation=lambda: RandomRotateFlip(
                max_angle=180,
                flip=True,
                scale=(0.85, 1.15),
                shift=0.05,
                bend=0.02,
                gamma=(0.65, 1.5),
                brightness=(0.8, 1.25),
            ),
            weights="slicemap",
        ),
    )
}
