"""Training of the U-Net: the pictures, order, augmentation and optimizer of Mask R-CNN.

With the same experiment, seed and steps, the two networks see the same augmented pictures in
the same order; only what is learned from them differs. A run keeps its files in a folder:

    <logs>/unet_<experiment><YYYYMMDD>T<HHMMSS>/
        config.json                        settings
        log.csv                            one row an epoch
        unet_<experiment>_<epoch:04d>.h5   weights of the last epoch, float32
        training_state_<epoch:04d>.npz     optimizer state of the last epoch
        unet_<experiment>.h5               the trained network, float16
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.backend import keep_memory_together
from mrcnn.config import Config
from mrcnn.data.batches import Batches
from mrcnn.errors import MissingFileError, UserError
from mrcnn.io.download import file_sha256
from mrcnn.modeling.network import seeded
from mrcnn.training import checkpoints
from mrcnn.training.fitting import fit
from mrcnn.training.loop import EpochFiles, StopOnBadLoss
from mrcnn.training.optimizers import make_optimizer
from mrcnn.weights.loading import load_weights, save_weights
from sebre.drawing.overlay import drawn_labels
from sebre.experiments.base import Experiment, Variant, with_settings
from sebre.networks.train import steps_per_epoch, training_sets, write_training_facts
from sebre.networks.unet import DiceCrossEntropy, UNetSegmenter, build_unet, unet_config
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
    run = _plan(experiment, steps, settings, seed)
    train_set, val_set = training_sets(experiment, dataset, inner_validation, seed)
    name = f"unet_{experiment.name}"
    new = Path(logs) / f"{name}{time.strftime('%Y%m%dT%H%M%S')}"
    folder = _last_run(logs, name) if resume else new
    model = _compiled(run)
    facts = {"steps": run.steps, "inner_validation": inner_validation, **run.config.to_dict()}
    begun = _restore(model, folder, name, facts) if resume else 0
    if not resume:
        folder.mkdir(parents=True)
        run.config.save(folder / "config.json")
        write_training_facts(folder, run.variant, [run.steps])
    epochs = run.steps // run.config.STEPS_PER_EPOCH
    logger.info("Training a U-Net, epochs %d to %d, files in %s", begun + 1, epochs, folder)
    batches = LabelBatches(
        train_set,
        run.config,
        augmentation=run.variant.augmentation(),
        steps=run.config.STEPS_PER_EPOCH * run.config.ACCUMULATION_STEPS,
    )
    batches.epoch = begun  # the order of the pictures belongs to the epoch
    checks = None
    if val_set is not None:
        checks = LabelBatches(val_set, run.config, shuffle=False, training=False)
    if begun < epochs:
        callbacks = [StopOnBadLoss(), _LastEpoch(folder, name + "_{epoch:04d}.h5", facts)]
        progress = {"initial_epoch": begun, "epochs": epochs, "verbose": verbose}
        fit(model, batches, checks, callbacks=callbacks, **progress)

    path = folder / f"{name}.h5"
    save_weights(model, path, dtype="float16")
    load_weights(model, path)  # what is scored is what is stored
    stored = WeightsFile(path, file_sha256(path), config=folder / "config.json")
    return UNetSegmenter(model, run.config, experiment.regions, stored)


@dataclass(frozen=True)
class _Plan:
    variant: Variant
    config: Config
    steps: int


def _plan(
    experiment: Experiment, steps: int | None, settings: Mapping[str, Any] | None, seed: int
) -> _Plan:
    """The settings of a training that can work."""
    variant = experiment.variant("small")
    usual = sum(stage.steps for stage in variant.schedule)
    steps = usual if steps is None else steps
    if steps < 1:
        raise UserError(f"steps is {steps}; at least 1 is needed.")
    config = unet_config(experiment)()
    config.WARMUP_STEPS = round(config.WARMUP_STEPS * steps / usual)
    config.STEPS_PER_EPOCH = steps_per_epoch([steps], config.STEPS_PER_EPOCH)
    own = {"MAX_GT_INSTANCES": len(experiment.regions), "USE_MINI_MASK": False, "SEED": seed}
    with_settings(config, **{**own, **(settings or {})})
    if steps % config.STEPS_PER_EPOCH:
        raise UserError(
            f"steps is {steps}; it must be a multiple of STEPS_PER_EPOCH, {config.STEPS_PER_EPOCH}."
        )
    return _Plan(variant, config, steps)


def _compiled(run: _Plan) -> keras.Model:
    """The network with random weights and a built optimizer."""
    keep_memory_together()
    with seeded(run.config.SEED):
        model = build_unet(run.config)
    rate, momentum = run.config.LEARNING_RATE, run.config.LEARNING_MOMENTUM
    model.compile(
        make_optimizer(run.config, rate, momentum, run.steps),
        DiceCrossEntropy(run.config.UNET_DICE_WEIGHT),
        jit_compile=keras.backend.backend() == "jax",
    )
    model.optimizer.build(model.trainable_variables)
    return model


class _LastEpoch(EpochFiles):
    """The files of the last epoch alone: those of the one before go when it is complete."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        old = _checkpoint_files(self.folder, self.weights_name.replace("{epoch:04d}", "*"))
        super().on_epoch_end(epoch, logs)
        for path in old:
            path.unlink()


def _checkpoint_files(folder: Path, pattern: str) -> list[Path]:
    """Weights of epochs, in their order."""
    return sorted(folder.glob(pattern), key=_epoch_of)


def _epoch_of(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])


def _last_run(logs: str | Path, name: str) -> Path:
    """Folder of the newest run of this name."""
    runs = checkpoints.runs_of(logs, name, r"\d{8}T\d{6}")
    if not runs:
        raise MissingFileError(
            f"{logs}: no run to resume; wanted a folder {name}<YYYYMMDD>T<HHMMSS>. Give the "
            "folder of all runs that the interrupted training was given, or train without resume."
        )
    return runs[-1]


def _restore(model: keras.Model, folder: Path, name: str, facts: Mapping[str, Any]) -> int:
    """Load the last checkpoint of a run; returns the epochs that it has behind it."""
    files = _checkpoint_files(folder, f"{name}_*.h5")
    if not files:
        raise MissingFileError(
            f"{folder}: nothing to resume; the run stopped before the end of its first epoch. "
            "Train without resume."
        )
    epoch = _epoch_of(files[-1])
    path = checkpoints.state_path(folder, epoch)
    state = checkpoints.load_state(path)
    now = json.loads(json.dumps(facts))  # as they come back from a file
    changed = [f"{k} {state.get(k)!r}, now {v!r}" for k, v in now.items() if state.get(k) != v]
    if changed:
        raise UserError(
            f"{folder}: the run was begun with other arguments ({'; '.join(changed)}). Resume it "
            "with the same, or train without resume."
        )
    load_weights(model, files[-1])
    checkpoints.restore_optimizer(model, state, path)
    return epoch


def _labels(class_ids: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Label map [h, w] of one row of a batch, padded with class id 0."""
    real = class_ids > 0
    return drawn_labels(class_ids[real], masks[..., real])
