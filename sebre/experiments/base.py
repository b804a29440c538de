"""The table of experiments: what each command needs to know about one."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mrcnn.config import Config
from mrcnn.data.augment import RandomRotateFlip
from mrcnn.errors import UserError
from sebre.data.regions import HIPPOCAMPUS, MOUSE, SLICEMAP, SUBCORTICAL, RegionSet
from sebre.experiments import configs as settings


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
class Turn:
    """Orientations in which an experiment's sections may lie.

    Attributes:
        max_angle: degrees to either side.
        flip: mirrored as well.
    """

    max_angle: float
    flip: bool


@dataclass(frozen=True)
class Variant:
    """One way to train an experiment.

    Attributes:
        config: its class of settings.
        schedule: parts of its training.
        augmentation: makes the augmentation of training images.
    """

    config: type[Config]
    schedule: tuple[Stage, ...]
    augmentation: Callable[[], Any]


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes:
        name: on the command line.
        summary: one line for the help.
        regions: what it looks for.
        turn: orientations of its sections.
        variants: by name: "paper", "from_scratch", "small".
        weights: names of its weights in the manifest; the first is the default.
        sources: of stand-in data, for `prepare`; the first is the default.
    """

    name: str
    summary: str
    regions: RegionSet
    turn: Turn
    variants: Mapping[str, Variant]
    weights: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def default(self) -> Variant:
        """The first variant: the paper's, where there is one."""
        return next(iter(self.variants.values()))

    def variant(self, name: str) -> Variant:
        """A variant by name.

        Raises:
            ValueError: the experiment has no such variant.
        """
        if name not in self.variants:
            raise UserError(
                f"The experiment {self.name} has no variant {name!r}; it has "
                f"{', '.join(self.variants)}."
            )
        return self.variants[name]


# Paper: 6,000 iterations of the heads at 1e-3, then 9,000 of all layers at 1e-4.
PAPER_SCHEDULE = (Stage("heads", 6000), Stage("all", 9000, 0.1))
# Without pretrained weights there is nothing to keep: all layers at once, 4 images a step.
FROM_SCRATCH_SCHEDULE = (Stage("all", 15000),)

# Size, place, bending, staining and exposure vary from section to section.
_AUGMENTATION = {
    "scale": (0.85, 1.15),
    "shift": 0.05,
    "bend": 0.01,
    "gamma": (0.65, 1.5),
    "brightness": (0.8, 1.25),
}


def _online(turn: Turn, **differing: Any) -> Callable[[], RandomRotateFlip]:
    """Random orientations within `turn`, and _AUGMENTATION but for what differs."""
    drawn = {"max_angle": turn.max_angle, "flip": turn.flip, **_AUGMENTATION, **differing}
    return functools.partial(RandomRotateFlip, **drawn)


def _offline(turn: Turn) -> RandomRotateFlip | None:
    # The rotated versions are files (`sebre prepare --rotations`); the released code mirrors
    # images at random while it trains.
    if not turn.flip:
        return None
    return RandomRotateFlip(max_angle=0, flip=True, scale=(1, 1), gamma=(1, 1))


def _of_the_paper(
    prefix: str, turn: Turn, small_steps: int, augmentation: Mapping[str, Any], **facts: Any
) -> Experiment:
    """An experiment in three variants, of the classes of settings called `prefix`...

    `augmentation` is what differs from _AUGMENTATION, `facts` the rest of the experiment.
    """
    offline, online = functools.partial(_offline, turn), _online(turn, **augmentation)
    variants = {
        "paper": Variant(getattr(settings, f"{prefix}Config"), PAPER_SCHEDULE, offline),
        "from_scratch": Variant(
            getattr(settings, f"{prefix}FromScratch"), FROM_SCRATCH_SCHEDULE, online
        ),
        "small": Variant(getattr(settings, f"{prefix}Small"), (Stage("all", small_steps),), online),
    }
    return Experiment(turn=turn, variants=variants, **facts)


ANY_TURN = Turn(180, flip=True)

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        _of_the_paper(
            "P14Mouse",
            Turn(20, flip=True),
            small_steps=1600,
            augmentation={"bend": 0.02, "brightness": (0.8, 1.1), "fill": "edge"},
            name="p14_mouse",
            summary="eight regions in sagittal sections of the P14 mouse brain",
            regions=MOUSE,
            weights=(),
            sources=("sebre_figures", "colour_code", "allen_ish"),
        ),
        _of_the_paper(
            "ExtendedMouse",
            Turn(20, flip=True),
            small_steps=2000,
            augmentation={},
            name="extended_mouse",
            summary="eight regions in the mouse brain from P4 to adult",
            regions=MOUSE,
            weights=("extended_mouse_mri", "extended_mouse_demba", "extended_mouse_384"),
            sources=("mouse_mri", "demba", "ccf", "colour_code", "allen_ish"),
        ),
        _of_the_paper(
            "Hippocampus",
            Turn(20, flip=True),
            small_steps=1600,
            augmentation={"scale": (0.75, 1.3), "bend": 0.03},
            name="hippocampus",
            summary="CA1, CA2, CA3 and dentate gyrus in coronal sections",
            regions=HIPPOCAMPUS,
            weights=("hippocampus",),
            sources=("ara_nissl", "colour_code"),
        ),
        _of_the_paper(
            "IBSR",
            Turn(20, flip=False),
            small_steps=2000,
            augmentation={},
            name="ibsr",
            summary="caudate, putamen, pallidum and thalamus, left and right, in human MRI",
            regions=SUBCORTICAL,
            weights=("ibsr",),
            sources=("malc2012", "ibsr"),
        ),
        Experiment(
            name="slicemap",
            summary="six regions in sagittal mouse sections, in any orientation",
            regions=SLICEMAP,
            turn=ANY_TURN,
            variants={
                "small": Variant(
                    settings.SlicemapConfig,
                    (Stage("all", 2400),),
                    _online(ANY_TURN, bend=0.02),
                )
            },
            weights=("slicemap", "slicemap_384"),
            sources=("slicemap",),
        ),
    )
}
