"""What is said of a training after each epoch: the Dice of held-out sections, and the time left.

`val_dice` in log.csv is the mean Dice of what the network finds, as `sebre evaluate` counts it: the
best detection of each region, 0 for one that is missed; the mean over the sections that show a
region, then over regions. Where it is known it chooses the best weights: those of the highest one.
"""

import logging
import time
from collections.abc import Mapping
from copy import copy
from typing import Any, Protocol

import keras
import numpy as np

from mrcnn.model import MaskRCNN
from mrcnn.training.loop import EpochScore
from sebre.data.dataset import SectionDataset
from sebre.networks.segmenter import best_per_region

logger = logging.getLogger(__name__)

VAL_DICE = "val_dice"
_SCORED = 32  # held-out sections, spread evenly; an epoch should not wait long for its score
# What "best" means, by the column of the log that chooses it.
_BEST = {
    VAL_DICE: f"the highest {VAL_DICE}, the mean Dice of up to {_SCORED} held-out sections",
    "val_loss": "the smallest val_loss, the loss on the held-out sections",
    "loss": "the smallest loss on the training sections themselves, as none are held out "
    "(--inner-validation SHARE holds some out)",
}


class _Finder(Protocol):
    def detect(self, images: Any) -> list[dict[str, Any]]: ...


def mean_dice(network: _Finder, sections: SectionDataset) -> float:
    """Mean Dice of up to 32 sections; NaN where none shows a region."""
    means = list(region_dices(network, sections, _SCORED).values())
    return float(np.mean(means)) if means else float("nan")


def region_dices(network: _Finder, sections: SectionDataset, most: int) -> dict[str, float]:
    """Dice of every region, by its name: the mean over the sections that show it, of at most so
    many sections, spread evenly."""
    rows = np.linspace(0, sections.num_images - 1, min(most, sections.num_images))
    by_region: dict[int, list[float]] = {}
    for row in rows.round().astype(int):
        drawn, class_ids = sections.load_mask(row)
        result = network.detect([sections.load_image(row)])[0]
        best = best_per_region(result)
        for index, class_id in enumerate(int(i) for i in class_ids):
            mask, score = drawn[..., index], 0.0
            if class_id in best:
                found = result["masks"][..., best[class_id]]
                score = 2 * int((found & mask).sum()) / (int(found.sum()) + int(mask.sum()))
            by_region.setdefault(class_id, []).append(score)
    names = {region.id: region.name for region in sections.regions}
    return {names[i]: float(np.mean(scores)) for i, scores in sorted(by_region.items())}


def dice_of_mask_rcnn(model: MaskRCNN, sections: SectionDataset) -> EpochScore:
    """The Dice of a Mask R-CNN in training, by its twin in inference mode with the same weights."""
    twin: MaskRCNN | None = None

    def score() -> float:
        nonlocal twin
        if twin is None:
            config = copy(model.config).update(IMAGES_PER_GPU=1, GPU_COUNT=1, SEED=0)
            twin = MaskRCNN("inference", config, model.model_dir)
        trained = {variable.path: variable for variable in model.keras_model.variables}
        for variable in twin.keras_model.variables:
            variable.assign(trained[variable.path])
        return mean_dice(twin, sections)

    return EpochScore(VAL_DICE, score)


class EpochReport(keras.callbacks.Callback):
    """Logs a line after each epoch: losses, score, and when the training will be done.

    Args:
        epochs: of the whole training, of all parts of its schedule.
    """

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs
        self._seconds: list[float] = []
        self._begun, self._line = 0.0, ""

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note the time, and log the line of the epoch before."""
        self._say()
        self._begun = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Make the line; `epoch` is 0-based."""
        self._seconds.append(time.monotonic() - self._begun)
        # The first epoch of a call compiles the network.
        usual = self._seconds[1:] or self._seconds
        left = (self.epochs - epoch - 1) * float(np.mean(usual))
        names = [name for name in ("loss", "val_loss", VAL_DICE) if name in (logs or {})]
        values = ", ".join(f"{name} {float(logs[name]):.3f}" for name in names)
        self._line = f"Epoch {epoch + 1} of {self.epochs}: {values}; {self._seconds[-1]:.0f} s"
        if epoch + 1 < self.epochs:
            at = time.strftime("%H:%M", time.localtime(time.time() + left))
            self._line += f", about {spoken_time(left)} left (until {at})"

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Log the last line."""
        self._say()

    def _say(self) -> None:
        # Not at the end of the epoch: the progress bar has not ended its line then.
        if self._line:
            logger.info("%s.", self._line)
        self._line = ""


def report_of(epochs: int, column: str) -> EpochReport:
    """The report of a training; says by which column of its log the best weights are chosen."""
    logger.info("Files best_*.h5 are of the epoch with %s.", _BEST[column])
    return EpochReport(epochs)


def spoken_time(seconds: float) -> str:
    """A duration: "40 s", "12 min", "3 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
