"""Training a Mask R-CNN on an experiment: `sebre train`, and the samples, step by step."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import keras

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.model import MaskRCNN
from mrcnn.training import checkpoints
from mrcnn.training.checkpoints import find_last
from mrcnn.utils import download_trained_weights
from mrcnn.weights.deeper import begin_as_identity
from mrcnn.weights.layer_match import CLASS_LAYERS
from mrcnn.weights.loading import reorder_classes
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import origins, recorded_contrast
from sebre.data.region_names import in_words, order_of
from sebre.data.split import assign, inner_rule
from sebre.experiments.base import Experiment, Stage, Variant, with_settings
from sebre.networks.epoch_reports import VAL_DICE, dice_of_mask_rcnn, report_of
from sebre.networks.region_match import stored_regions
from sebre.networks.training_run import (
    demand_same_run,
    read_run,
    training_facts,
    weights_of_run,
    write_run,
)
from sebre.networks.weights_store import BACKBONE, find_weights, network_of, store_dir

logger = logging.getLogger(__name__)

_FEWEST_STEPS = 20  # between two checkpoints


@dataclass(frozen=True)
class TrainingOptions:
    """What a user may choose about one training, and the steps that follow from it.

    `train` below and each script in samples/ take these steps in order: `variant_of`,
    `configure`, `load`, `begin`, `reports`, then `MaskRCNN.train` for each of `stages`.
    """

    dataset: str | Path  # folder of the prepared data set
    logs: str | Path  # folder of all runs; this one makes a folder in it
    weights: str = "none"  # to start from; also "last", "coco", "imagenet", a name or a path
    # "paper", "from_scratch" or "small"; None takes the experiment's first, and "from_scratch" for
    # weights "none" where there is one.
    variant: str | None = None
    steps: Sequence[int] | None = None  # of each part of the schedule; None for the experiment's
    seed: int = 0  # of weights, order and augmentation, and of the inner split
    # Share of the training sections to hold out, whole animals or runs of neighboring sections, and
    # to validate on after every epoch.
    inner_validation: float = 0.0
    resume: bool = False  # go on with the run that was interrupted; with weights "last"
    settings: Mapping[str, Any] = field(default_factory=dict)  # that differ from the variant's
    verbose: int = 1  # as `MaskRCNN.train`
    callbacks: Sequence[keras.callbacks.Callback] = ()  # further ones, behind the `reports`

    def variant_of(self, experiment: Experiment) -> Variant:
        """The variant of the experiment that these options choose."""
        if self.resume and self.weights != "last":
            raise UserError("--resume goes on with the last run: it needs --weights last.")
        name = self.variant
        if name is None and self.resume:
            name = self._begun_variant(experiment)
        elif name is None and self.weights == "none" and "from_scratch" in experiment.variants:
            name = "from_scratch"
        variant = experiment.default if name is None else experiment.variant(name)
        steps = self._steps(variant)
        if len(steps) != len(variant.schedule) or min(steps) < 1:
            names = ", ".join(stage.layers for stage in variant.schedule)
            raise UserError(
                f"steps are {steps}; the schedule of {experiment.name} needs "
                f"{len(variant.schedule)} number(s) of at least 1 ({names})."
            )
        return variant

    def configure(self, variant: Variant) -> Config:
        """The settings of the variant, with those that differ."""
        config, steps = variant.config(), self._steps(variant)
        usual = sum(stage.steps for stage in variant.schedule)
        config.WARMUP_STEPS = round(config.WARMUP_STEPS * sum(steps) / usual)
        config.STEPS_PER_EPOCH = steps_per_epoch(steps, config.STEPS_PER_EPOCH)
        read = {"SEED": self.seed, "CONTRAST": recorded_contrast(self.dataset)}
        config = with_settings(config, **{**read, **self.settings})
        if any(count % config.STEPS_PER_EPOCH for count in steps):
            raise UserError(
                f"steps are {steps}; each must be a multiple of STEPS_PER_EPOCH, "
                f"{config.STEPS_PER_EPOCH}."
            )
        return config

    def load(
        self, new: Callable[[], SectionDataset]
    ) -> tuple[SectionDataset, SectionDataset | None]:
        """Sections to train on and to validate on, of the training part alone.

        `new` makes an empty data set, such as `IBSRDataset`. Both come back prepared; the second
        is None when nothing is held out. `sebre.data.split.inner_rule` says what belongs together.
        """
        whole = new().load(self.dataset, "train")
        if not self.inner_validation:
            whole.prepare()
            return whole, None
        numbers = [info["number"] for info in whole.image_info]
        kept, held_out = (
            new().load(self.dataset, "train", numbers=part) for part in self._inner_parts(numbers)
        )
        kept.prepare()
        held_out.prepare()
        return kept, held_out

    def _inner_parts(self, numbers: Sequence[int]) -> list[list[int]]:
        known = origins(self.dataset, "train")
        rows = [known.get(number, {"section": str(number)}) for number in numbers]
        rule = inner_rule(rows, self.inner_validation)
        parts = assign(rows, rule, self.seed)
        held_out = [n for n, part in zip(numbers, parts, strict=True) if part == "val"]
        what = {"subject": "whole animals", "block": "runs of neighboring sections"}[rule.unit]
        text = "Held out of %d training images to validate on: %d, in %s."
        logger.info(text, len(numbers), len(held_out), what)
        return [[n for n in numbers if n not in set(held_out)], held_out]

    def begin(self, model: MaskRCNN, variant: Variant, sections: SectionDataset) -> None:
        """Load the weights to start from, and write down how the run is trained.

        A run that is resumed was begun with the same, or an error says what differs.
        """
        config = with_settings(model.config, CLASS_NAMES=sections.regions.names)
        facts = training_facts(
            variant, self._steps(variant), self.dataset, self.inner_validation, self.weights
        )
        if not self.resume:
            start_from(model, self.weights)
            _take_folder(model)
            write_run(model.log_dir, config, facts)
            return
        last = model.find_last()
        demand_same_run(Path(last).parent, config, facts)
        model.load_weights(last)
        _, epochs = self.stages(variant, config)[-1]
        if model.epoch >= epochs:
            logger.info("%s: nothing is left to train; all %d epochs are done.", last, epochs)

    def stages(self, variant: Variant, config: Config) -> list[tuple[Stage, int]]:
        """Each part of the schedule, with the TOTAL number of epochs at its end."""
        epochs, stages = 0, []
        for stage, steps in zip(variant.schedule, self._steps(variant), strict=True):
            epochs += steps // config.STEPS_PER_EPOCH
            stages.append((stage, epochs))
        return stages

    def reports(
        self, model: MaskRCNN, variant: Variant, held_out: SectionDataset | None
    ) -> list[keras.callbacks.Callback]:
        """What scores held-out sections after each epoch, and says how the training goes."""
        _, epochs = self.stages(variant, model.config)[-1]
        if held_out is None:
            return [report_of(epochs, "loss"), *self.callbacks]
        if model.config.GPU_COUNT > 1:  # the network that is scored is built beside the other
            return [report_of(epochs, "val_loss"), *self.callbacks]
        score = dice_of_mask_rcnn(model, held_out)
        return [score, report_of(epochs, VAL_DICE), *self.callbacks]

    def _begun_variant(self, experiment: Experiment) -> str | None:
        """The variant that the run to be resumed was begun with, if it says so."""
        name = self.settings.get("NAME", experiment.default.config.NAME)
        begun = read_run(Path(find_last(self.logs, name)).parent).get("variant")
        variants = experiment.variants.items()
        return next((key for key, value in variants if value.config.__name__ == begun), None)

    def _steps(self, variant: Variant) -> list[int]:
        return [stage.steps for stage in variant.schedule] if self.steps is None else [*self.steps]


def train(
    experiment: Experiment, dataset: str | Path, weights: str, logs: str | Path, **options: Any
) -> MaskRCNN:
    """Train on the training part of a prepared data set.

    The test part (subset "val") is not looked at, not even for choosing a checkpoint. All
    arguments but the experiment are those of `TrainingOptions`.

    Returns:
        The model; its `log_dir` holds checkpoints, log.csv, config.json and training.json.

    Raises:
        FileNotFoundError: no such weights, or nothing to resume.
        UserError: a data set, weights or steps that do not fit.
    """
    return run_training(experiment, TrainingOptions(dataset, logs, weights, **options))


def run_training(experiment: Experiment, options: TrainingOptions) -> MaskRCNN:
    """Take the steps of `TrainingOptions` for an experiment; see `train`."""
    variant = options.variant_of(experiment)
    config = options.configure(variant)
    sections, held_out = options.load(experiment.sections)
    model = MaskRCNN("training", config, options.logs)
    options.begin(model, variant, sections)
    reports = options.reports(model, variant, held_out)
    for stage, epochs in options.stages(variant, config):
        model.train(
            sections,
            held_out,
            learning_rate=config.LEARNING_RATE * stage.rate,
            epochs=epochs,
            layers=stage.layers,
            augmentation=variant.augmentation(),
            custom_callbacks=reports,
            resume=options.resume,
            verbose=options.verbose,
        )
    return model


def training_sets(
    experiment: Experiment, dataset: str | Path, inner_validation: float = 0.0, seed: int = 0
) -> tuple[SectionDataset, SectionDataset | None]:
    """The training part of a prepared data set, and what is held out: `TrainingOptions.load`."""
    options = TrainingOptions(dataset, "", seed=seed, inner_validation=inner_validation)
    return options.load(experiment.sections)


def steps_per_epoch(lengths: Sequence[int], largest: int) -> int:
    """Largest number of steps up to `largest` that divides the parts into whole epochs."""
    common = math.gcd(*lengths)
    steps = next(n for n in range(min(common, largest), 0, -1) if common % n == 0)
    if steps < min(common, _FEWEST_STEPS):  # more time would go into checkpoints
        raise UserError(
            f"{', '.join(map(str, lengths))} steps cannot be divided into epochs of "
            f"{_FEWEST_STEPS} to {largest} steps. Take round numbers, such as multiples of 100."
        )
    return steps


def _take_folder(model: MaskRCNN) -> None:
    """Make the folder of a new run, which no other run has, also of those that start with it."""
    name = str(model.config.NAME)
    model.log_dir = checkpoints.make_log_dir(model.model_dir, name, datetime.now())
    model.log_dir = str(Path(model.log_dir).absolute())
    model.checkpoint_path = checkpoints.checkpoint_path_for(model.log_dir, name)


def start_from(model: MaskRCNN, weights: str) -> None:
    """Load the weights that a new run starts from; see `TrainingOptions.weights`.

    Layers that depend on the regions are taken from a network for the same ones alone, which are
    those of the setting CLASS_NAMES; what is not taken is logged. Residual blocks that a shallower
    network lacks begin as the identity.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        report = model.load_weights(model.get_imagenet_weights(), by_name=True)
    elif weights == "coco":
        path = store_dir() / "mask_rcnn_coco.h5"
        if not path.is_file():
            download_trained_weights(path)
        report = model.load_weights(path, by_name=True, exclude=CLASS_LAYERS)
    else:
        found = find_weights(model.find_last() if weights == "last" else weights_of_run(weights))
        if network_of(found) not in ("mask_rcnn", BACKBONE):
            raise UserError(
                f"{found.path}: the weights of another kind of network ({network_of(found)}). "
                "Start from those of a Mask R-CNN, or from none."
            )
        wanted = model.config.CLASS_NAMES
        names, count = stored_regions(found)
        if names is None and count == len(wanted):
            text = "%s: does not say which regions it finds; taken to be the same: %s."
            logger.warning(text, found.path, in_words(wanted))
            names = wanted
        order = None if names is None else order_of(names, wanted)
        exclude = CLASS_LAYERS if order is None else None
        if exclude:
            logger.info(
                "%s: finds %s, and this training is for %s; the layers that depend on them (%s) "
                "are not taken and start from random numbers.",
                found.path,
                "other classes" if names is None else in_words(names),
                in_words(wanted),
                ", ".join(exclude),
            )
        report = model.load_weights(found.path, by_name=True, exclude=exclude)
        if order is not None and order != sorted(order):
            reorder_classes(model.keras_model, order)
        model.set_log_dir()  # a run of its own, even from a checkpoint of another
    if added := begin_as_identity(model.keras_model, report.loaded):
        logger.info(
            "%s: has none of the residual blocks %s; they begin as the identity.",
            report.path,
            ", ".join(added),
        )
