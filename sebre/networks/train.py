"""The schedule of an experiment, in optimizer steps."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.model import MaskRCNN
from mrcnn.utils import download_trained_weights
from mrcnn.weights.layer_match import CLASS_LAYERS
from sebre.data.dataset import SectionDataset
from sebre.data.split import split_groups
from sebre.experiments.base import Experiment, Variant
from sebre.experiments.configs import with_settings
from sebre.networks.weights_store import find_weights, network_of, store_dir

_FEWEST_STEPS = 20  # between two checkpoints


def train(
    experiment: Experiment,
    dataset: str | Path,
    weights: str,
    logs: str | Path,
    variant: str | None = None,
    steps: Sequence[int] | None = None,
    seed: int = 0,
    inner_validation: float = 0.0,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    verbose: int = 1,
) -> MaskRCNN:
    """Train on the training part of a prepared data set.

    The test part (subset "val") is not looked at, not even for choosing a checkpoint.

    Args:
        experiment: what to train.
        dataset: folder of the prepared data set.
        weights: what to start from: "none", "last", "coco", "imagenet", a name in the
            manifest or a path.
        logs: folder of all runs; this one makes a folder in it.
        variant: of the experiment: "paper", "from_scratch" or "small"; None takes the first,
            and "from_scratch" for weights "none" where there is one.
        steps: of each part of the schedule; None takes the experiment's.
        seed: of weights, order and augmentation, and of the inner split.
        inner_validation: share of the training sections to hold out, by section, and to
            validate on after every epoch; 0 trains on all.
        resume: go on with the run that was interrupted; with weights "last".
        settings: of the configuration, that differ from the variant's.
        verbose: as `MaskRCNN.train`.

    Returns:
        The model; its `log_dir` holds checkpoints, log.csv and config.json.

    Raises:
        FileNotFoundError: no such weights, or nothing to resume.
        ValueError: a data set or weights that do not fit, or steps that cannot be divided
            into epochs.
    """
    if resume and weights != "last":
        raise UserError("--resume goes on with the last run: it needs --weights last.")
    chosen = _variant(experiment, variant, weights)
    schedule = chosen.schedule
    lengths = [stage.steps for stage in schedule] if steps is None else list(steps)
    if len(lengths) != len(schedule) or min(lengths) < 1:
        names = ", ".join(stage.layers for stage in schedule)
        raise UserError(
            f"steps are {lengths}; the schedule of {experiment.name} needs "
            f"{len(schedule)} number(s) of at least 1 ({names})."
        )
    train_set, val_set = training_sets(experiment, dataset, inner_validation, seed)

    config = chosen.config()
    usual = sum(stage.steps for stage in schedule)
    config.WARMUP_STEPS = round(config.WARMUP_STEPS * sum(lengths) / usual)
    config.STEPS_PER_EPOCH = steps_per_epoch(lengths, config.STEPS_PER_EPOCH)
    with_settings(config, **{"SEED": seed, **(settings or {})})

    model = MaskRCNN("training", config, logs)
    _start_from(model, weights)
    Path(model.log_dir).mkdir(parents=True, exist_ok=True)
    config.save(Path(model.log_dir) / "config.json")
    end = 0
    for stage, length in zip(schedule, lengths, strict=True):
        end += length // config.STEPS_PER_EPOCH
        if model.epoch >= end:
            continue
        model.train(
            train_set,
            val_set,
            learning_rate=config.LEARNING_RATE * stage.rate,
            epochs=end,
            layers=stage.layers,
            augmentation=chosen.augmentation(),
            resume=resume,
            verbose=verbose,
        )
        resume = False
    return model


def training_sets(
    experiment: Experiment, dataset: str | Path, inner_validation: float = 0.0, seed: int = 0
) -> tuple[SectionDataset, SectionDataset | None]:
    """The training part of a prepared data set, and what is held out of it.

    Args:
        experiment: gives the region set.
        dataset: folder of the prepared data set.
        inner_validation: share of the sections to hold out; 0 for none.
        seed: of the inner split.

    Returns:
        Both prepared; the second is None when nothing is held out.
    """
    whole = SectionDataset(experiment.regions).load(dataset, "train")
    if not inner_validation:
        whole.prepare()
        return whole, None
    numbers = [info["number"] for info in whole.image_info]
    parts = []
    for part in split_groups(numbers, inner_validation, seed):
        parts.append(SectionDataset(experiment.regions).load(dataset, "train", numbers=part))
        parts[-1].prepare()
    return parts[0], parts[1]


def steps_per_epoch(lengths: Sequence[int], largest: int) -> int:
    """Largest number of steps up to `largest` that divides the parts into whole epochs.

    Raises:
        ValueError: that would be so few that more time goes into checkpoints than into steps.
    """
    common = math.gcd(*lengths)
    steps = next(n for n in range(min(common, largest), 0, -1) if common % n == 0)
    if steps < min(common, _FEWEST_STEPS):
        raise UserError(
            f"{', '.join(map(str, lengths))} steps cannot be divided into epochs of "
            f"{_FEWEST_STEPS} to {largest} steps. Take round numbers, such as multiples of 100."
        )
    return steps


def _start_from(model: MaskRCNN, weights: str) -> None:
    if weights == "none":
        return
    if weights == "last":
        model.load_weights(model.find_last())
    elif weights == "imagenet":
        model.load_weights(model.get_imagenet_weights(), by_name=True)
    elif weights == "coco":
        path = store_dir() / "mask_rcnn_coco.h5"
        if not path.is_file():
            download_trained_weights(path)
        model.load_weights(path, by_name=True, exclude=CLASS_LAYERS)
    else:
        found = find_weights(weights)
        if network_of(found) != "mask_rcnn":
            raise UserError(
                f"{found.path}: the weights of another kind of network ({network_of(found)}). "
                "Start from those of a Mask R-CNN, or from none."
            )
        # Of a network for other regions, everything but the layers that depend on them.
        other = found.config is not None and (
            Config.load(found.config).NUM_CLASSES != model.config.NUM_CLASSES
            or found.entry.get("experiment", model.config.NAME) != model.config.NAME
        )
        model.load_weights(found.path, by_name=True, exclude=CLASS_LAYERS if other else None)
        model.set_log_dir()  # a run of its own, even from a checkpoint of another


def _variant(experiment: Experiment, name: str | None, weights: str) -> Variant:
    if name is None and weights == "none" and "from_scratch" in experiment.variants:
        name = "from_scratch"
    return experiment.default if name is None else experiment.variant(name)
