"""Training of the U-Net: the pictures, order, augmentation and optimizer of Mask R-CNN.

With the same experiment, seed and steps, the two networks see the same augmented pictures in
the same order; only what is learned from them differs.
"""

import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.data import Batches
from mrcnn.fetch import file_sha256
from mrcnn.network import seeded
from mrcnn.optimizers import make_optimizer
from mrcnn.training import EpochLog
from mrcnn.weights import load_weights, save_weights
from sebre.dataset import SectionDataset
from sebre.experiments import Experiment
from sebre.pictures import drawn_labels
from sebre.predict import with_settings
from sebre.train import training_sets
from sebre.unet import DiceCrossEntropy, UNetSegmenter, build_unet, config_beside, unet_config
from sebre.weights_store import WeightsFile

logger = logging.getLogger(__name__)


class LabelBatches(Batches):
    """`mrcnn.data.Batches` with one label a pixel in place of boxes and masks.

    Where masks overlap, `sebre.pictures.drawn_labels` decides: the smaller one wins.
    """

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Molded images float32 [B, h, w, C] and class ids uint8 or uint16 [B, h, w]."""
        (inputs,) = super().__getitem__(index)
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
) -> UNetSegmenter:
    """Train on the training part of a prepared data set, from random weights.

    The test part (subset "val") is not looked at.

    Args:
        experiment: what to train; its small variant gives the size of the pictures, their
            augmentation, how many make a step, the steps and the optimizer.
        dataset: folder of the prepared data set.
        logs: folder of all runs; this one makes a folder in it.
        steps: optimizer steps; None takes the experiment's.
        seed: of weights, order and augmentation, and of the inner split.
        inner_validation: share of the training sections to hold out, by section, and to
            validate on after every epoch; 0 trains on all.
        settings: of the configuration, that differ; see `sebre.unet.UNetSettings`.
        verbose: as `keras.Model.fit`.

    Returns:
        The trained network. The folder of its `weights.path` holds the weights (float16, which
        the network has too), the settings and log.csv.

    Raises:
        ValueError: a data set that does not fit, less than one step, or settings that cannot
            work.
        FloatingPointError: the loss became NaN or infinite.
    """
    variant = experiment.variant("small")
    usual = sum(stage.steps for stage in variant.schedule)
    steps = usual if steps is None else steps
    if steps < 1:
        raise ValueError(f"steps is {steps}; at least 1 is needed.")
    train_set, val_set = training_sets(experiment, dataset, inner_validation, seed)
    config = unet_config(experiment)()
    config.WARMUP_STEPS = round(config.WARMUP_STEPS * steps / usual)
    own = {"MAX_GT_INSTANCES": len(experiment.regions), "USE_MINI_MASK": False, "SEED": seed}
    with_settings(config, **{**own, **(settings or {})})
    config.STEPS_PER_EPOCH = math.gcd(steps, config.STEPS_PER_EPOCH)

    with seeded(config.SEED):
        model = build_unet(config)
    model.compile(
        make_optimizer(config, config.LEARNING_RATE, config.LEARNING_MOMENTUM, steps),
        DiceCrossEntropy(config.UNET_DICE_WEIGHT),
        jit_compile=keras.backend.backend() == "jax",
    )
    folder = Path(logs) / f"unet_{experiment.name}{time.strftime('%Y%m%dT%H%M%S')}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"unet_{experiment.name}.h5"
    config.save(config_beside(path))
    logger.info("Training a U-Net for %d steps, files in %s", steps, folder)
    _fit(model, config, train_set, val_set, variant.augmentation(), folder, steps, verbose)

    save_weights(model, path, dtype="float16")
    load_weights(model, path)  # what is scored is what is stored
    return UNetSegmenter(model, config, experiment.regions, WeightsFile(path, file_sha256(path)))


def _fit(
    model: keras.Model,
    config: Config,
    train_set: SectionDataset,
    val_set: SectionDataset | None,
    augmentation: Any,
    folder: Path,
    steps: int,
    verbose: int,
) -> None:
    batches = LabelBatches(
        train_set, config, augmentation=augmentation, steps=config.STEPS_PER_EPOCH
    )
    checks = None
    if val_set is not None:
        checks = LabelBatches(val_set, config, shuffle=False, training=False)
    try:
        model.fit(
            batches,
            epochs=steps // config.STEPS_PER_EPOCH,
            validation_data=checks,
            verbose=verbose,
            shuffle=False,  # the batches shuffle by themselves
            callbacks=[_Log(folder / "log.csv")],
        )
    except Exception:
        for part in filter(None, (batches, checks)):
            if part.error is not None:
                raise part.error from None
        raise


class _Log(keras.callbacks.Callback):
    """After each epoch a row of log.csv; stops on a loss that is no number."""

    def __init__(self, path: Path):
        super().__init__()
        self.log = EpochLog(path)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        values = {name: float(value) for name, value in (logs or {}).items()}
        if not math.isfinite(values["loss"]):
            raise FloatingPointError(
                f"The loss is {values['loss']} in epoch {epoch + 1}. Try a smaller LEARNING_RATE, "
                "or PRECISION = 'float32'."
            )
        self.log.append({"epoch": epoch + 1, **values})


def _labels(class_ids: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Label map [h, w] of one row of a batch, padded with class id 0."""
    real = class_ids > 0
    return drawn_labels(class_ids[real], masks[..., real])
