"""Training of networks that label every pixel: here of those of `sebre.networks.rivals`, with the
pictures, order, augmentation and optimizer of Mask R-CNN; `sebre.networks.section_train` has
another kind.

With the same experiment, seed and steps, they and Mask R-CNN see the same augmented pictures in
the same order; only what is learned from them differs. A run, here of a U-Net, keeps its files in a
folder:

    <logs>/unet_<experiment><YYYYMMDD>T<HHMMSS>/
        config.json                        settings
        log.csv                            one row an epoch
        unet_<experiment>_<epoch:04d>.h5   weights of the last epoch, float32
        best_unet_<experiment>.h5          weights of the best epoch, if sections are held out
        training_state_<epoch:04d>.npz     optimizer state of the last epoch
        unet_<experiment>.h5               the trained network, float16

Names of an epoch that was stopped by Ctrl-C are those of `mrcnn.training.checkpoints`.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.backend import keep_memory_together
from mrcnn.config import Config
from mrcnn.data.batches import Batches
from mrcnn.errors import MissingFileError, UserError
from mrcnn.io.files import file_sha256
from mrcnn.modeling.network import seeded
from mrcnn.training import checkpoints
from mrcnn.training.fitting import fit
from mrcnn.training.interruption import StopOnInterrupt
from mrcnn.training.loop import EpochFiles, EpochScore, StopOnBadLoss
from mrcnn.training.optimizers import make_optimizer
from mrcnn.weights.loading import load_weights, save_weights
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import recorded_contrast
from sebre.drawing.overlay import drawn_labels
from sebre.experiments.base import Experiment, Variant, with_settings
from sebre.networks.epoch_reports import VAL_DICE, EpochReport, mean_dice, report_of
from sebre.networks.segmenter import Segmenter
from sebre.networks.train import steps_per_epoch, training_sets
from sebre.networks.training_run import CONFIG_FILE, demand_same_run, training_facts, write_run
from sebre.networks.unet import UNET, PixelKind, UNetSegmenter
from sebre.networks.weights_store import WeightsFile

logger = logging.getLogger(__name__)


class LabelBatches(Batches):
    """`mrcnn.data.batches.Batches` with one label per pixel in place of boxes and masks.

    Where masks overlap, `sebre.drawing.overlay.drawn_labels` decides: the smaller one wins.
    """

    def read(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Molded images float32 [B, h, w, C] and class ids uint8 or uint16 [B, h, w]."""
        (inputs,) = super().read(epoch, index)
        images, _, _, _, class_ids, _, masks, *_ = inputs
        return images, np.stack([_labels(*pair) for pair in zip(class_ids, masks, strict=True)])


@dataclass(frozen=True)
class PixelNetwork:
    """How one kind of network that labels every pixel is trained.

    Attributes:
        name: of its runs and files.
        variant: schedule of one part and augmentation, for an experiment.
        config: class of its settings, for an experiment.
        build: the network with random weights, of its settings.
        segmenter: made of network, settings, regions and weights file.
        loss: of its settings, and of a function that gives the share of each class among the
            pixels of the training sections.
        shown: what it sees of a data set, by its settings.
        batches: of what it sees.
    """

    name: str
    variant: Callable[[Experiment], Variant]
    config: Callable[[Experiment], type[Config]]
    build: Callable[[Config], keras.Model]
    segmenter: Callable[..., Segmenter]
    loss: Callable[[Config, Callable[[], np.ndarray]], keras.losses.Loss]
    shown: Callable[[SectionDataset, Config], SectionDataset] = lambda sections, config: sections
    batches: type[LabelBatches] = LabelBatches


def from_pictures(kind: PixelKind) -> PixelNetwork:
    """How a kind is trained on the pictures, and with the augmentation, of Mask R-CNN."""
    return PixelNetwork(
        name=kind.name,
        variant=lambda experiment: experiment.variant("small"),
        config=kind.config,
        build=kind.build,
        segmenter=kind.segmenter,
        loss=kind.loss,
    )


def train_unet(
    experiment: Experiment,
    dataset: str | Path,
    logs: str | Path,
    steps: int | None = None,
    seed: int = 0,
    inner_validation: float = 0.0,
    settings: Mapping[str, Any] | None = None,
    verbose: int = 1,
    resume: bool = False,
) -> UNetSegmenter:
    """Train on the training part of a prepared data set, from random weights.

    The test part (subset "val") is not looked at. The experiment's small variant gives the size
    of the pictures, their augmentation, how many make a step, the steps and the optimizer; other
    arguments are those of `sebre.networks.train.TrainingOptions`, but `settings` may have those
    of `sebre.networks.unet.UNetSettings`, and `resume` goes on with the last run of the
    experiment in `logs`: all other arguments must be those of that run.

    Returns:
        The trained network. The folder of its `weights.path` holds the weights (float16, which
        the network has too), the settings and log.csv.

    Raises:
        FileNotFoundError: nothing to resume.
        ValueError: a data set, steps or settings that cannot work, or a run to resume that was
            begun in another way.
        FloatingPointError: the loss became NaN or infinite.
    """
    options = {"steps": steps, "seed": seed, "inner_validation": inner_validation}
    options |= {"settings": settings, "verbose": verbose, "resume": resume}
    return train_pixels(from_pictures(UNET), experiment, dataset, logs, **options)


def train_pixels(
    kind: PixelNetwork,
    experiment: Experiment,
    dataset: str | Path,
    logs: str | Path,
    steps: int | None = None,
    seed: int = 0,
    inner_validation: float = 0.0,
    settings: Mapping[str, Any] | None = None,
    verbose: int = 1,
    resume: bool = False,
    start: str = "none",
    begin: Callable[[keras.Model, SectionDataset], None] = lambda model, sections: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Any:
    """Train a network of some kind; `train_unet` does so for a U-Net.

    Args:
        kind: of the network.
        experiment: what to look for.
        dataset: folder of a prepared data set.
        logs: folder of all runs.
        steps: of the optimizer; None for those of the kind's schedule.
        seed: of weights, order, augmentation and the inner split.
        inner_validation: share of the training sections to hold out.
        settings: that differ.
        verbose: as of `MaskRCNN.train`.
        resume: go on with the last run.
        start: what the training starts from, as the user names it.
        begin: gives a new network the weights to start from, with a look at what it will see.
        callbacks: of Keras, called after those that write the files of the run.

    Returns:
        The trained network, as the kind's `segmenter`.
    """
    read = {"CONTRAST": recorded_contrast(dataset)}
    run = _plan(kind, experiment, steps, {**read, **(settings or {})}, seed)
    train_set, val_set = training_sets(experiment, dataset, inner_validation, seed)
    facts = training_facts(run.variant, [run.steps], dataset, inner_validation, start)
    name = f"{kind.name}_{experiment.name}"
    folder = Path(logs) / f"{name}{time.strftime('%Y%m%dT%H%M%S')}"
    last = None
    if resume:
        folder, last = _last_checkpoint(logs, name)
        demand_same_run(folder, run.config, facts)
    model = _compiled(run, train_set)
    place, means = (0, 0), {}
    if last is None:
        train_set.contrast = run.config.CONTRAST
        begin(model, kind.shown(train_set, run.config))
        folder.mkdir(parents=True)
        write_run(folder, run.config, facts)
    else:
        place, means = _restore(model, last)
    files = _LastEpoch(
        folder,
        name + "_{epoch:04d}.h5",
        {},
        inside={"class_names": experiment.regions.names, "settings": run.config.to_dict()},
        behind=(place[1], means),
    )
    _train(model, run, (train_set, val_set), place, files, verbose, callbacks)
    path = folder / f"{name}.h5"
    save_weights(model, path, dtype="float16", **files.inside)
    load_weights(model, path)  # what is scored is what is stored
    stored = WeightsFile(path, file_sha256(path), config=folder / CONFIG_FILE)
    return kind.segmenter(model, run.config, experiment.regions, stored)


def _train(
    model: keras.Model,
    run: "_Plan",
    sets: tuple[SectionDataset, SectionDataset | None],
    place: tuple[int, int],
    files: EpochFiles,
    verbose: int,
    more: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Train from a place, (epochs, batches of the next one) that are done, to the end."""
    begun, step = place
    kind, config = run.kind, run.config
    epochs = run.steps // config.STEPS_PER_EPOCH
    if begun >= epochs:
        text = "%s: nothing is left to train; all %d epochs are done."
        logger.info(text, files.folder, epochs)
        return
    text = "Training a network of the kind %s, epochs %d to %d, files in %s"
    logger.info(text, kind.name, begun + 1, epochs, files.folder)
    train_set, val_set = sets
    batches = kind.batches(
        kind.shown(train_set, config),
        config,
        augmentation=run.variant.augmentation(),
        steps=config.STEPS_PER_EPOCH * config.ACCUMULATION_STEPS,
    )
    batches.epoch = begun  # the order of the pictures belongs to the epoch
    checks = None
    if val_set is not None:
        checks = kind.batches(kind.shown(val_set, config), config, shuffle=False, training=False)
    progress = {"initial_epoch": begun, "epochs": epochs, "verbose": verbose}
    scores = []
    if val_set is not None:
        finder = kind.segmenter(model, config, val_set.regions, WeightsFile(files.folder, ""))
        scores.append(EpochScore(VAL_DICE, partial(mean_dice, finder, val_set)))
    report = report_of(epochs, VAL_DICE) if scores else EpochReport(epochs)
    with StopOnInterrupt(files) as stop:
        callbacks = [StopOnBadLoss(), *scores, files, report, *more, stop]
        fit(model, batches, checks, step, callbacks=callbacks, **progress)


@dataclass(frozen=True)
class _Plan:
    kind: PixelNetwork
    variant: Variant
    config: Config
    steps: int


def _plan(
    kind: PixelNetwork,
    experiment: Experiment,
    steps: int | None,
    settings: Mapping[str, Any],
    seed: int,
) -> _Plan:
    """The settings of a training that can work."""
    variant = kind.variant(experiment)
    usual = sum(stage.steps for stage in variant.schedule)
    steps = usual if steps is None else steps
    if steps < 1:
        raise UserError(f"steps is {steps}; at least 1 is needed.")
    config = kind.config(experiment)()
    config.WARMUP_STEPS = round(config.WARMUP_STEPS * steps / usual)
    config.STEPS_PER_EPOCH = steps_per_epoch([steps], config.STEPS_PER_EPOCH)
    own = {"MAX_GT_INSTANCES": len(experiment.regions), "USE_MINI_MASK": False, "SEED": seed}
    own["CLASS_NAMES"] = experiment.regions.names
    with_settings(config, **{**own, **settings})
    if steps % config.STEPS_PER_EPOCH:
        raise UserError(
            f"steps is {steps}; it must be a multiple of STEPS_PER_EPOCH, {config.STEPS_PER_EPOCH}."
        )
    return _Plan(kind, variant, config, steps)


def class_shares(sections: SectionDataset, num_classes: int) -> np.ndarray:
    """Share of each class among all pixels of sections, [num_classes], the background first."""
    counts = np.zeros(num_classes)
    for image_id in sections.image_ids:
        masks, class_ids = sections.load_mask(image_id)
        counts += np.bincount(drawn_labels(class_ids, masks).ravel(), minlength=num_classes)
    return counts / counts.sum()


def _compiled(run: _Plan, sections: SectionDataset) -> keras.Model:
    """The network with random weights and a built optimizer, for training sections."""
    keep_memory_together()
    with seeded(run.config.SEED):
        model = run.kind.build(run.config)
    rate, momentum = run.config.LEARNING_RATE, run.config.LEARNING_MOMENTUM
    model.compile(
        make_optimizer(run.config, rate, momentum, run.steps),
        run.kind.loss(run.config, partial(class_shares, sections, run.config.NUM_CLASSES)),
        jit_compile=keras.backend.backend() == "jax",
    )
    model.optimizer.build(model.trainable_variables)
    return model


class _LastEpoch(EpochFiles):
    """The files of the last epoch alone: those of the one before go when it is complete. And the
    weights of the best epoch, where held-out sections are scored."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if VAL_DICE in logs and self.log.is_better(logs[VAL_DICE], VAL_DICE, higher=True):
            best = self.folder / f"best_{self.folder.name[:-15]}.h5"
            save_weights(self.model, best, dtype="float16", **self.inside)
        before = [*self.folder.glob(self.weights_name.replace("{epoch:04d}", "*"))]
        super().on_epoch_end(epoch, logs)
        for path in before:
            path.unlink(missing_ok=True)  # those of a step went with it


def last_run(logs: str | Path, name: str) -> Path:
    """Folder of the newest run of this name."""
    runs = checkpoints.runs_of(logs, name, r"\d{8}T\d{6}")
    if not runs:
        raise MissingFileError(
            f"{logs}: no run to resume; wanted a folder {name}<YYYYMMDD>T<HHMMSS>. Give the "
            "folder of all runs that the interrupted training was given, or train without resume."
        )
    return runs[-1]


def _last_checkpoint(logs: str | Path, name: str) -> tuple[Path, Path]:
    """Folder of the newest run of this name, and its last checkpoint."""
    run = last_run(logs, name)
    last = checkpoints.newest_of(run, name + "_{epoch:04d}.h5")
    if last is None:
        raise nothing_to_resume(run)
    return run, last


def nothing_to_resume(run: Path) -> MissingFileError:
    """What is raised of a run that has no checkpoint."""
    return MissingFileError(
        f"{run}: nothing to resume; the run stopped before its first checkpoint. "
        "Train without resume."
    )


def _restore(model: keras.Model, last: Path) -> tuple[tuple[int, int], dict[str, float]]:
    """Load a checkpoint of a run; returns its place in it, and the means of an epoch begun."""
    place = checkpoints.place_of(last)
    path = checkpoints.state_path(last.parent, *place)
    state = checkpoints.load_state(path)
    load_weights(model, last)
    checkpoints.restore_optimizer(model, state, path)
    checkpoints.restore_random_states(model, state, path)
    return place, state.get("means", {})


def _labels(class_ids: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Label map [h, w] of one row of a batch, padded with class id 0."""
    real = class_ids > 0
    return drawn_labels(class_ids[real], masks[..., real])
