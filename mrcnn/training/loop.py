"""What `MaskRCNN.train` does: one call of `fit`, its logs, its checkpoints, and resuming.

After each epoch the weights, the optimizer's variables and the random states are on disk, so
that a killed run goes on with the same arguments and `resume=True` as if nothing had happened. One
that is stopped by Ctrl-C goes on with the very next step.
"""

import csv
import importlib.util
import io
import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.backend import distribution_scope
from mrcnn.config import Config
from mrcnn.data.batches import Batches
from mrcnn.errors import DivergedError, UserError
from mrcnn.io.files import replace_text
from mrcnn.training import checkpoints
from mrcnn.training.fitting import fit
from mrcnn.training.interruption import StopOnInterrupt
from mrcnn.training.optimizers import LAYER_PRESETS, compile_model, set_trainable
from mrcnn.weights.loading import save_weights

logger = logging.getLogger(__name__)


def train(
    model: Any,
    train_dataset: Any,
    val_dataset: Any,
    learning_rate: float,
    epochs: int,
    layers: str,
    augmentation: Any = None,
    custom_callbacks: list[keras.callbacks.Callback] | None = None,
    no_augmentation_sources: list[str] | None = None,
    resume: bool = False,
    verbose: int = 1,
) -> keras.callbacks.History | None:
    """Train a MaskRCNN from its `epoch` on, in its `log_dir`; see `MaskRCNN.train`."""
    config = model.config
    _demand_trainable(model)
    if model.epoch >= epochs:
        logger.info("Nothing to train: epoch %d of %d is reached.", model.epoch, epochs)
        return None
    layers = LAYER_PRESETS.get(layers, layers)
    log_dir = Path(model.log_dir)
    first_epoch, step, state, state_path = model.epoch, 0, None, None
    if resume:
        step = model.step
        state_path = checkpoints.state_path(log_dir, model.epoch, step)
        state = checkpoints.load_state(state_path)
        if state["epoch"] < state["epochs"]:
            first_epoch = state["first_epoch"]
    sources = {"augmentation": augmentation, "no_augmentation_sources": no_augmentation_sources}
    batches, checks = _batches(config, train_dataset, val_dataset, **sources)
    # The order of the images belongs to the epoch, so a resumed run sees the same ones.
    batches.epoch = model.epoch
    facts = {"layers": layers, "learning_rate": learning_rate}
    facts |= {"first_epoch": first_epoch, "epochs": epochs}
    scores, others = _by_kind(custom_callbacks or ())
    files = Checkpoints(
        model,
        facts,
        monitor=scores[0].column if scores else "loss" if checks is None else "val_loss",
        higher=bool(scores),
        inside=_stored_with(config, train_dataset),
        behind=(step, state.get("means", {}) if step else {}),
    )
    stop = StopOnInterrupt(files)
    callbacks = [StopOnBadLoss(), *scores, *_tensorboard(log_dir), files, *others, stop]
    progress = {"initial_epoch": model.epoch, "epochs": epochs, "verbose": verbose}
    network = model.keras_model
    with distribution_scope(config.GPU_COUNT), stop:
        set_trainable(network, layers, verbose)
        steps = (epochs - first_epoch) * math.ceil(config.STEPS_PER_EPOCH)
        compile_model(network, config, learning_rate, config.LEARNING_MOMENTUM, steps)
        network.optimizer.build(network.trainable_variables)
        if state is not None:
            checkpoints.restore_random_states(network, state, state_path)
            if first_epoch < model.epoch or step:
                checkpoints.restore_optimizer(network, state, state_path)
        log_dir.mkdir(parents=True, exist_ok=True)
        text = "Training epochs %d to %d, learning rate %g, files in %s"
        logger.info(text, model.epoch + 1, epochs, learning_rate, log_dir)
        history = fit(network, batches, checks, step, callbacks=callbacks, **progress)
    model.epoch = max(model.epoch, epochs)
    return history


def _by_kind(
    callbacks: Sequence[keras.callbacks.Callback],
) -> tuple[list["EpochScore"], list[keras.callbacks.Callback]]:
    """Those that add columns to the log, which come before it is written, and the others."""
    scores = [one for one in callbacks if isinstance(one, EpochScore)]
    return scores, [one for one in callbacks if not isinstance(one, EpochScore)]


def _demand_trainable(model: Any) -> None:
    if model.mode != "training":
        raise UserError(
            f"The model was built with mode={model.mode!r}; only mode='training' can train."
        )
    if model.config.NAME is None:
        raise UserError(
            f"{type(model.config).__name__}.NAME is None; set it to a short text, which names the "
            "log directory and the checkpoints."
        )


def _stored_with(config: Config, dataset: Any) -> dict[str, Any]:
    """What `save_weights` keeps of a training in its files."""
    return {"class_names": _class_names(config, dataset), "settings": config.to_dict()}


def _class_names(config: Config, dataset: Any) -> list[str] | None:
    """Names that the weights of a training are stored with; None if there are none.

    Raises UserError where the settings and the data set have other ones.
    """
    found = [info["name"] for info in dataset.class_info][1:]
    wanted = config.CLASS_NAMES
    if wanted is None:
        return found if len(set(found)) == len(found) == config.NUM_CLASSES - 1 else None
    if found != list(wanted):
        raise UserError(
            f"The data set has the classes {', '.join(found)}, but CLASS_NAMES are "
            f"{', '.join(wanted)}. Train on a data set of these classes, in this order, or set "
            "CLASS_NAMES to those of the data set."
        )
    return found


def _batches(
    config: Config, train_dataset: Any, val_dataset: Any, **sources: Any
) -> tuple[Batches, Batches | None]:
    """What is trained on, and what is validated on after each epoch."""
    kind = _ReplicaBatches if config.GPU_COUNT > 1 else Batches
    steps = math.ceil(config.STEPS_PER_EPOCH) * config.ACCUMULATION_STEPS
    batches = kind(train_dataset, config, steps=steps, **sources)
    if val_dataset is None:
        return batches, None
    steps = config.VALIDATION_STEPS
    shuffle = steps is not None
    return batches, kind(val_dataset, config, shuffle=shuffle, steps=steps, training=False)


class EpochScore(keras.callbacks.Callback):
    """A column of log.csv that is no loss: a score of the network after each epoch, the higher the
    better. The best weights are those of its highest value.

    Args:
        column: its name.
        score: gives it, with the weights as they are.
    """

    def __init__(self, column: str, score: Callable[[], float]):
        super().__init__()
        self.column, self.score = column, score

    def on_epoch_end(self, epoch, logs=None):
        """Add the column, for the callbacks that come after."""
        # JAX keeps the variables to itself while it trains.
        getattr(self.model, "jax_state_sync", lambda: None)()
        logs[self.column] = self.score()


class EpochFiles(keras.callbacks.Callback):
    """After each epoch: a row of log.csv, the state to resume from, the weights.

    Args:
        folder: of the run.
        weights_name: of the weights, with `{epoch:04d}` left to fill in.
        facts: written into the state.
        inside: written into the weights: `class_names` and `settings` of `save_weights`.
        behind: batches of the first epoch that were done before, and the means over them.
    """

    def __init__(
        self,
        folder: str | Path,
        weights_name: str,
        facts: dict[str, Any],
        inside: Mapping[str, Any] | None = None,
        behind: tuple[int, dict[str, float]] = (0, {}),
    ):
        super().__init__()
        self.folder, self.weights_name, self.facts = Path(folder), weights_name, facts
        self.inside = dict(inside or {})
        self.behind = behind
        self.log = EpochLog(self.folder / "log.csv")
        self._epoch, self._done = 0, 0  # that is trained, and its batches that are complete
        self._means: dict[str, Any] = {}
        self._begun = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Forget the rows of epochs that are trained again."""
        self._epoch, self._done, self._begun = epoch, 0, time.monotonic()
        self.log.truncate(epoch)

    def on_train_batch_end(self, batch, logs=None):
        """Count the batch, and keep the means so far."""
        # Of several batches that are accumulated the optimizer counts one.
        self._done, self._means = batch + 1, logs

    def on_epoch_end(self, epoch, logs=None):
        """Write all files of one epoch; `epoch` is 0-based, the files count from 1."""
        epoch += 1
        seconds = round(self._elapsed(), 1)
        means = self.whole(logs, self.params["steps"])
        self.log.append({"epoch": epoch, **means, "seconds": seconds})
        self._write(epoch, 0, {})
        self.behind = 0, {}

    def save_step(self) -> None:
        """Write the files of an epoch that was stopped after one of its batches, but for the
        row."""
        if 0 < self._done < self.params["steps"]:
            step = self.behind[0] + self._done
            means = {**self.whole(self._means, self._done), "seconds": self._elapsed()}
            self._write(self._epoch, step, {"step": step, "means": means})

    def _elapsed(self) -> float:
        """Seconds since the epoch began, with those before it was stopped and resumed."""
        return time.monotonic() - self._begun + self.behind[1].get("seconds", 0.0)

    def newest(self) -> Path | None:
        """The checkpoint to go on from; None before the first."""
        return checkpoints.newest_of(self.folder, self.weights_name)

    def whole(self, means: dict[str, Any], count: int) -> dict[str, float]:
        """Means over the epoch, of those over its last batches (count); others as they are."""
        earlier, known = self.behind
        return {
            name: (earlier * known[name] + count * float(value)) / (earlier + count)
            if name in known
            else float(value)
            for name, value in means.items()
        }

    def _write(self, epoch: int, step: int, facts: dict[str, Any]) -> None:
        # JAX keeps the variables to itself while it trains.
        getattr(self.model, "jax_state_sync", lambda: None)()
        # The weights come last: once they are there, everything that belongs to them is.
        state = checkpoints.state_path(self.folder, epoch, step)
        checkpoints.save_state(state, self.model, {**self.facts, **facts, "epoch": epoch})
        weights = self.folder / checkpoints.with_step(self.weights_name.format(epoch=epoch), step)
        save_weights(self.model, weights, **self.inside)
        # Until an epoch is complete, the run may be taken back to the one before.
        pattern = "training_state_*_step_*.npz" if step else "training_state_*.npz"
        steps = self.weights_name.replace("{epoch:04d}", "*_step_*")
        for old in (*self.folder.glob(pattern), *self.folder.glob(steps)):
            if old not in (state, weights):
                old.unlink()


class Checkpoints(EpochFiles):
    """The files of each epoch, and the weights of the best one by the column `monitor` of log.csv:
    of its smallest value, or with `higher` of its largest. The model's `epoch` counts the epochs
    that are safely on disk, `step` the batches after it."""

    def __init__(
        self,
        model: Any,
        facts: dict[str, Any],
        monitor: str,
        higher: bool = False,
        **options: Any,
    ):
        name = checkpoints.checkpoint_path_for("", model.config.NAME)
        super().__init__(model.log_dir, name, facts, **options)
        self.mask_rcnn, self.monitor, self.higher = model, monitor, higher

    def on_epoch_end(self, epoch, logs=None):
        """Write all files of one epoch; `epoch` is 0-based, the files count from 1."""
        now = self.whole(logs, self.params["steps"])[self.monitor]
        if self.log.is_better(now, self.monitor, self.higher):
            best = self.folder / f"best_mask_rcnn_{self.mask_rcnn.config.NAME.lower()}.h5"
            save_weights(self.model, best, **self.inside)
        super().on_epoch_end(epoch, logs)
        self.mask_rcnn.epoch, self.mask_rcnn.step = epoch + 1, 0

    def save_step(self) -> None:
        """Write the files of an epoch that was stopped after one of its batches, but for the
        row."""
        super().save_step()
        if newest := self.newest():
            self.mask_rcnn.epoch, self.mask_rcnn.step = checkpoints.place_of(newest)


class EpochLog:
    """A CSV file with one row an epoch, rewritten atomically; columns may change on the way."""

    def __init__(self, path: Path):
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                self.rows = list(csv.DictReader(file))

    def truncate(self, epoch: int) -> None:
        """Drop the rows after `epoch` (1-based)."""
        kept = [row for row in self.rows if int(row["epoch"]) <= epoch]
        if len(kept) < len(self.rows):
            self.rows = kept
            self._write()

    def append(self, row: dict[str, Any]) -> None:
        """Add a row and write the file."""
        self.rows.append(row)
        self._write()

    def is_better(self, value: float, column: str, higher: bool = False) -> bool:
        """Whether a value is below all of a column so far, or with `higher` above; a first one is,
        unless it is NaN."""
        cells = (float(row[column]) for row in self.rows if row.get(column) not in (None, ""))
        known = [cell for cell in cells if not math.isnan(cell)]
        if not known or math.isnan(value):
            return not math.isnan(value)
        return value > max(known) if higher else value < min(known)

    def _write(self) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        replace_text(self.path, text.getvalue())


class _ReplicaBatches(Batches):
    """Masks as numbers: Keras averages the first batch over the devices, which booleans do
    not allow."""

    def read(self, epoch, index):
        (inputs,) = super().read(epoch, index)
        return (tuple(a.astype(np.uint8) if a.dtype == bool else a for a in inputs),)


class StopOnBadLoss(keras.callbacks.Callback):
    """Stop at once, before weights that are spoilt reach a checkpoint."""

    def __init__(self):
        super().__init__()
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Note the epoch, for the message."""
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Raise DivergedError unless the loss is finite."""
        if math.isfinite(float(logs["loss"])):
            return
        bad = [k for k, v in logs.items() if k != "loss" and not math.isfinite(float(v))]
        raise DivergedError(
            f"The loss is {float(logs['loss'])} at epoch {self.epoch + 1}, step {batch + 1} "
            f"({', '.join(bad) or 'weight decay'}). Try a learning rate ten times smaller, "
            "WARMUP_STEPS (100 or more), GRADIENT_CLIP_NORM = 5, or PRECISION = 'float32'; "
            "then check the data for empty boxes. The last checkpoint is from before."
        )


def _tensorboard(log_dir: Path) -> list[keras.callbacks.Callback]:
    if importlib.util.find_spec("tensorflow") is None:
        logger.warning("TensorBoard logs need TensorFlow; they are left out, log.csv is written.")
        return []
    try:
        with warnings.catch_warnings():
            # Deprecations inside tensorboard's own imports are not the user's concern.
            warnings.simplefilter("ignore")
            import tensorboard  # noqa: F401
    except ImportError as error:
        logger.warning("No TensorBoard logs (%s); log.csv is written.", error)
        return []
    return [keras.callbacks.TensorBoard(log_dir=str(log_dir), write_graph=False)]
