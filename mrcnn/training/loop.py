"""What `MaskRCNN.train` does: one call of `fit`, its logs, its checkpoints, and resuming.

After each epoch the weights, the optimizer's variables and the states of the random
generators are on disk. A run that was killed loads its last checkpoint, calls `train` with
the same arguments and `resume=True`, and goes on as if nothing had happened.
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

from mrcnn.data.batches import Batches
from mrcnn.errors import DivergedError, UserError
from mrcnn.io.files import replace_text
from mrcnn.parallel_model import distribution_scope
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
    """Train a model up to an epoch.

    An epoch is STEPS_PER_EPOCH optimizer steps, each of ACCUMULATION_STEPS batches, whatever
    the size of the data set. Every call starts with a new optimizer, unless it resumes an
    interrupted one.

    Args:
        model: MaskRCNN in training mode; its `epoch` is where the call starts, its
            `log_dir` where all files go.
        train_dataset: prepared `utils.Dataset`.
        val_dataset: the same, or None for no validation. VALIDATION_STEPS batches of it are
            used, the same ones each time; None uses the whole set.
        learning_rate: rate after the warm-up.
        epochs: TOTAL number of epochs that the model has seen at the end, so that 20, then
            40 trains 20 and 20.
        layers: a name of `LAYER_PRESETS` or a regular expression on layer names.
        augmentation: imgaug augmenter or callable (image, masks) -> (image, masks).
        custom_callbacks: keras callbacks that are called after the built-in ones.
        no_augmentation_sources: dataset sources that are never augmented.
        resume: go on with the `train` call that wrote the checkpoint loaded before: its
            optimizer and random states are restored. When that call was complete, this is
            the next one, and begins with a new optimizer as it would have without a break.
        verbose: 0 silent, 1 progress bar with all losses, 2 one line an epoch.

    Returns:
        The history of this call; None when the model has reached `epochs` already.

    Raises:
        ValueError: inference mode; no NAME; no layer selected; a resume state that does not fit.
        FileNotFoundError: nothing to resume.
        FloatingPointError: the loss became NaN or infinite.

    Source: Matterport's `MaskRCNN.train`.
    """
    config = model.config
    if model.mode != "training":
        raise UserError(
            f"The model was built with mode={model.mode!r}; only mode='training' can train."
        )
    if config.NAME is None:
        raise UserError(
            f"{type(config).__name__}.NAME is None; set it to a short text, which names the log "
            "directory and the checkpoints."
        )
    if model.epoch >= epochs:
        logger.info("Nothing to train: epoch %d of %d is reached.", model.epoch, epochs)
        return None
    layers = LAYER_PRESETS.get(layers, layers)
    log_dir = Path(model.log_dir)
    first_epoch = model.epoch
    state = state_path = None
    if resume:
        state_path = checkpoints.state_path(log_dir, model.epoch)
        state = checkpoints.load_state(state_path)
        if state["epoch"] < state["epochs"]:
            first_epoch = state["first_epoch"]

    batches_class = _ReplicaBatches if config.GPU_COUNT > 1 else Batches
    train_batches = batches_class(
        train_dataset,
        config,
        shuffle=True,
        augmentation=augmentation,
        no_augmentation_sources=no_augmentation_sources,
        steps=config.STEPS_PER_EPOCH * config.ACCUMULATION_STEPS,
    )
    # The order of the images belongs to the epoch, so a resumed run sees the same ones.
    train_batches.epoch = model.epoch
    val_batches = None
    if val_dataset is not None:
        val_batches = batches_class(
            val_dataset,
            config,
            shuffle=config.VALIDATION_STEPS is not None,
            steps=config.VALIDATION_STEPS,
            training=False,
        )

    with distribution_scope(config):
        set_trainable(model.keras_model, layers, verbose)
        compile_model(
            model.keras_model,
            config,
            learning_rate,
            config.LEARNING_MOMENTUM,
            total_steps=(epochs - first_epoch) * config.STEPS_PER_EPOCH,
        )
        model.keras_model.optimizer.build(model.keras_model.trainable_variables)
        if state is not None:
            checkpoints.restore_random_states(model.keras_model, state, state_path)
            if first_epoch < model.epoch:
                checkpoints.restore_optimizer(model.keras_model, state, state_path)

        log_dir.mkdir(parents=True, exist_ok=True)
        facts = {
            "layers": layers,
            "learning_rate": learning_rate,
            "first_epoch": first_epoch,
            "epochs": epochs,
        }
        logger.info(
            "Training epochs %d to %d, learning rate %g, files in %s",
            model.epoch + 1,
            epochs,
            learning_rate,
            log_dir,
        )
        callbacks = [
            _StopOnBadLoss(),
            *_tensorboard(log_dir),
            Checkpoints(model, facts, monitor="loss" if val_batches is None else "val_loss"),
            *(custom_callbacks or []),
        ]
        history = fit(
            model.keras_model,
            train_batches,
            val_batches,
            initial_epoch=model.epoch,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
        )
    model.epoch = max(model.epoch, epochs)
    return history


class Checkpoints(keras.callbacks.Callback):
    """After each epoch: a row of log.csv, the weights, the state to resume from.

    Args:
        model: MaskRCNN; its `epoch` counts the epochs that are safely on disk.
        facts: written into the resume state.
        monitor: the column of log.csv that decides which epoch is the best.
    """

    def __init__(self, model: Any, facts: dict[str, Any], monitor: str):
        super().__init__()
        self.mask_rcnn = model
        self.facts = facts
        self.monitor = monitor
        self.log = EpochLog(Path(model.log_dir) / "log.csv")

    def on_train_begin(self, logs=None):
        """Forget the rows of epochs that are trained again."""
        self.log.truncate(self.mask_rcnn.epoch)

    def on_epoch_end(self, epoch, logs=None):
        """Write all files of one epoch; `epoch` is 0-based, the files count from 1."""
        epoch += 1
        model = self.mask_rcnn
        best = self.log.best(self.monitor)
        value = float(logs[self.monitor])
        self.log.append({"epoch": epoch, **{k: float(v) for k, v in logs.items()}})
        name = model.config.NAME.lower()
        log_dir = Path(model.log_dir)
        if value < best:
            save_weights(self.model, log_dir / f"best_mask_rcnn_{name}.h5", dtype="float32")
        # The weights come last: once they are there, everything that belongs to them is.
        state = checkpoints.state_path(log_dir, epoch)
        checkpoints.save_state(state, self.model, {**self.facts, "epoch": epoch})
        path = checkpoints.checkpoint_path_for(log_dir, name).format(epoch=epoch)
        save_weights(self.model, path, dtype="float32")
        for old in log_dir.glob("training_state_*.npz"):
            if old != state:
                old.unlink()
        model.epoch = epoch


class EpochLog:
    """A CSV file with one row an epoch, rewritten atomically; columns may change on the way.

    Args:
        path: the file; it need not exist.
    """

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


class _StopOnBadLoss(keras.callbacks.Callback):
    """Stop at once, before weights that are spoilt reach a checkpoint."""

    def __init__(self):
        super().__init__()
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
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
