"""What `MaskRCNN.train` does: one call of `fit`, its logs, its checkpoints, and resuming.

After each epoch the weights, the optimizer's variables and the random states are on disk, so
that a killed run goes on with the same arguments and `resume=True` as if nothing had happened.
"""

import csv
import importlib.util
import io
import logging
import math
import warnings
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
    first_epoch, state, state_path = model.epoch, None, None
    if resume:
        state_path = checkpoints.state_path(log_dir, model.epoch)
        state = checkpoints.load_state(state_path)
        if state["epoch"] < state["epochs"]:
            first_epoch = state["first_epoch"]
    sources = {"augmentation": augmentation, "no_augmentation_sources": no_augmentation_sources}
    batches, checks = _batches(config, train_dataset, val_dataset, **sources)
    # The order of the images belongs to the epoch, so a resumed run sees the same ones.
    batches.epoch = model.epoch
    facts = {"layers": layers, "learning_rate": learning_rate}
    facts |= {"first_epoch": first_epoch, "epochs": epochs}
    callbacks = [
        StopOnBadLoss(),
        *_tensorboard(log_dir),
        Checkpoints(model, facts, monitor="loss" if checks is None else "val_loss"),
        *(custom_callbacks or []),
    ]
    progress = {"initial_epoch": model.epoch, "epochs": epochs, "verbose": verbose}
    network = model.keras_model
    with distribution_scope(config.GPU_COUNT):
        set_trainable(network, layers, verbose)
        steps = (epochs - first_epoch) * math.ceil(config.STEPS_PER_EPOCH)
        compile_model(network, config, learning_rate, config.LEARNING_MOMENTUM, steps)
        network.optimizer.build(network.trainable_variables)
        if state is not None:
            checkpoints.restore_random_states(network, state, state_path)
            if first_epoch < model.epoch:
                checkpoints.restore_optimizer(network, state, state_path)
        log_dir.mkdir(parents=True, exist_ok=True)
        text = "Training epochs %d to %d, learning rate %g, files in %s"
        logger.info(text, model.epoch + 1, epochs, learning_rate, log_dir)
        history = fit(network, batches, checks, callbacks=callbacks, **progress)
    model.epoch = max(model.epoch, epochs)
    return history


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


class EpochFiles(keras.callbacks.Callback):
    """After each epoch: a row of log.csv, the state to resume from, the weights.

    `weights_name` has `{epoch:04d}` left to fill in; `facts` are written into the state.
    """

    def __init__(self, folder: str | Path, weights_name: str, facts: dict[str, Any]):
        super().__init__()
        self.folder, self.weights_name, self.facts = Path(folder), weights_name, facts
        self.log = EpochLog(self.folder / "log.csv")

    def on_epoch_begin(self, epoch, logs=None):
        """Forget the rows of epochs that are trained again."""
        self.log.truncate(epoch)

    def on_epoch_end(self, epoch, logs=None):
        """Write all files of one epoch; `epoch` is 0-based, the files count from 1."""
        epoch += 1
        self.log.append({"epoch": epoch, **{k: float(v) for k, v in logs.items()}})
        # The weights come last: once they are there, everything that belongs to them is.
        state = checkpoints.state_path(self.folder, epoch)
        checkpoints.save_state(state, self.model, {**self.facts, "epoch": epoch})
        save_weights(self.model, self.folder / self.weights_name.format(epoch=epoch))
        for old in self.folder.glob("training_state_*.npz"):
            if old != state:
                old.unlink()


class Checkpoints(EpochFiles):
    """The files of each epoch, and the weights of the best one by the column `monitor` of log.csv.
    The model's `epoch` counts the epochs that are safely on disk."""

    def __init__(self, model: Any, facts: dict[str, Any], monitor: str):
        name = checkpoints.checkpoint_path_for("", model.config.NAME)
        super().__init__(model.log_dir, name, facts)
        self.mask_rcnn, self.monitor = model, monitor

    def on_epoch_end(self, epoch, logs=None):
        """Write all files of one epoch; `epoch` is 0-based, the files count from 1."""
        if float(logs[self.monitor]) < self.log.best(self.monitor):
            name = self.mask_rcnn.config.NAME.lower()
            save_weights(self.model, self.folder / f"best_mask_rcnn_{name}.h5")
        super().on_epoch_end(epoch, logs)
        self.mask_rcnn.epoch = epoch + 1


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

    def best(self, column: str) -> float:
        """Smallest value of a column so far; infinity without any."""
        values = [float(row[column]) for row in self.rows if row.get(column) not in (None, "")]
        return min(values, default=math.inf)

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
