"""Training a Mask R-CNN on an experiment: `sebre train`, and the samples, step by step."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.io.files import replace_text
from mrcnn.model import MaskRCNN
from mrcnn.utils import download_trained_weights
from mrcnn.weights.layer_match import CLASS_LAYERS
from sebre.data.dataset import SectionDataset
from sebre.data.split import split_groups
from sebre.experiments.base import Experiment, Stage, Variant, with_settings
from sebre.networks.weights_store import find_weights, network_of, store_dir

_FEWEST_STEPS = 20  # between two checkpoints
TRAINING_FILE = "training.json"  # of a run: what its settings do not say


@dataclass(frozen=True)
class TrainingOptions:
    """What a user may choose about one training, and the steps that follow from it.

    `train` below and each script in samples/ take these steps in order: `variant_of`,
    `configure`, `load`, `begin`, then `MaskRCNN.train` for each of `stages`.
    """

    dataset: str | Path  # folder of the prepared data set
    logs: str | Path  # folder of all runs; this one makes a folder in it
    weights: str = "none"  # to start from; also "last", "coco", "imagenet", a name or a path
    # "paper", "from_scratch" or "small"; None takes the experiment's first, and "from_scratch" for
    # weights "none" where there is one.
    variant: str | None = None
    steps: Sequence[int] | None = None  # of each part of the schedule; None for the experiment's
    seed: int = 0  # of weights, order and augmentation, and of the inner split
    # Share of the training sections to hold out, by section, and to validate on after every epoch.
    inner_validation: float = 0.0
    resume: bool = False  # go on with the run that was interrupted; with weights "last"
    settings: Mapping[str, Any] = field(default_factory=dict)  # that differ from the variant's
    verbose: int = 1  # as `MaskRCNN.train`

    def variant_of(self, experiment: Experiment) -> Variant:
        """The variant of the experiment that these options choose."""
        if self.resume and self.weights != "last":
            raise UserError("--resume goes on with the last run: it needs --weights last.")
        name = self.variant
        if name is None and self.weights == "none" and "from_scratch" in experiment.variants:
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
        return with_settings(config, **{"SEED": self.seed, **self.settings})

    def load(
        self, new: Callable[[], SectionDataset]
    ) -> tuple[SectionDataset, SectionDataset | None]:
        """Sections to train on and to validate on, of the training part alone.

        `new` makes an empty data set, such as `IBSRDataset`. Both come back prepared; the second
        is None when nothing is held out.
        """
        whole = new().load(self.dataset, "train")
        if not self.inner_validation:
            whole.prepare()
            return whole, None
        numbers = [info["number"] for info in whole.image_info]
        kept, held_out = (
            new().load(self.dataset, "train", numbers=part)
            for part in split_groups(numbers, self.inner_validation, self.seed)
        )
        kept.prepare()
        held_out.prepare()
        return kept, held_out

    def begin(self, model: MaskRCNN, variant: Variant) -> None:
        """Load the weights to start from, and write down how the run is trained."""
        start_from(model, self.weights)
        folder = Path(model.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        model.config.save(folder / "config.json")
        write_training_facts(folder, variant, self._steps(variant), self.weights)

    def stages(self, variant: Variant, config: Config) -> list[tuple[Stage, int]]:
        """Each part of the schedule, with the TOTAL number of epochs at its end."""
        epochs, stages = 0, []
        for stage, steps in zip(variant.schedule, self._steps(variant), strict=True):
            epochs += steps // config.STEPS_PER_EPOCH
            stages.append((stage, epochs))
        return stages

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
    options.begin(model, variant)
    for stage, epochs in options.stages(variant, config):
        model.train(
            sections,
            held_out,
            learning_rate=config.LEARNING_RATE * stage.rate,
            epochs=epochs,
            layers=stage.layers,
            augmentation=variant.augmentation(),
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


def write_training_facts(
    folder: Path, variant: Variant, steps: Sequence[int], weights: str = "none"
) -> None:
    """Write what the settings of a run do not say: start, schedule, augmentation.

    What the file says of a run that is resumed stays. `steps` are of each part of the schedule.
    """
    path = folder / TRAINING_FILE
    if path.exists():
        return
    parts = zip(variant.schedule, steps, strict=True)
    augmentation = variant.augmentation()
    facts = {
        "start": weights,
        "schedule": [asdict(replace(stage, steps=count)) for stage, count in parts],
        "augmentation": augmentation
        and {"class": type(augmentation).__name__, **vars(augmentation)},
    }
    replace_text(path, json.dumps(facts, indent=1, default=repr) + "\n")


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


def start_from(model: MaskRCNN, weights: str) -> None:
    """Load the weights that a training starts from; see `TrainingOptions.weights`."""
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
