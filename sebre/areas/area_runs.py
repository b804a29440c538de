"""The folder of a training, and its loop; `area_training` and `siamese` say what is learned.

    settings.json   of the run
    log.csv         a row every check: steps, loss, seconds per step, what the check found
    last.keras      network and optimizer of the last check
    state.json      steps by then

A run that is started again with the same settings goes on from there.
"""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.errors import DivergedError
from mrcnn.io.files import replace_text
from mrcnn.weights.loading import quiet_keras
from sebre.data.csv_tables import append_row
from sebre.networks.training_run import LOG_FILE, begin_or_go_on

LAST_FILE, STATE_FILE = "last.keras", "state.json"
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_WEIGHT_DECAY, _CLIP_NORM = 1e-4, 1.0
_logger = logging.getLogger(__name__)


def compiled(model: keras.Model, loss: Any, learning_rate: float) -> keras.Model:
    """The network, ready for `run_training`."""
    optimizer = keras.optimizers.AdamW(
        learning_rate, weight_decay=_WEIGHT_DECAY, global_clipnorm=_CLIP_NORM
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer, loss, jit_compile=False)
    return model


def run_training(
    out: str | Path,
    settings: Mapping[str, Any],
    build: Callable[[], keras.Model],
    batches: Callable[[int], Iterator[tuple[Any, Any]]],
    check: Callable[[keras.Model], Mapping[str, float]] = lambda model: {},
    check_s: float = 120.0,
) -> keras.Model:
    """Train a network, or go on with its training.

    Args:
        out: folder of the run.
        settings: of the run, among them "steps", "learning_rate", "precision" and "seed".
        build: the compiled network with the weights to start from.
        batches: inputs and targets from a step on, without end.
        check: what is logged beside the loss.
        check_s: seconds from one check, with its checkpoint, to the next.

    Raises:
        UserError: the folder holds something else, or a run of other settings.
        DivergedError: the loss became NaN or infinite.
    """
    out = Path(out)
    begin_or_go_on(out, settings)
    keras.mixed_precision.set_global_policy(settings["precision"])
    keras.utils.set_random_seed(settings["seed"])
    model, step, steps = build(), 0, settings["steps"]
    if (out / STATE_FILE).is_file():
        step = json.loads((out / STATE_FILE).read_text("utf-8"))["step"]
        _logger.info("Going on after step %d", step)
        with quiet_keras():
            model = keras.models.load_model(out / LAST_FILE)
    stream, last, losses = batches(step), time.monotonic(), []
    while step < steps:
        model.optimizer.learning_rate = learning_rate(step, steps, settings["learning_rate"])
        # Of several losses, the first is their sum.
        losses.append(float(np.ravel(model.train_on_batch(*next(stream)))[0]))
        if not math.isfinite(losses[-1]):
            raise DivergedError(
                f"{out}: the loss is {losses[-1]} after {step} steps. Give a lower learning rate, "
                "or the precision float32."
            )
        step += 1
        if step == steps or time.monotonic() - last >= check_s:
            seconds = (time.monotonic() - last) / len(losses)
            _save(model, out / LAST_FILE)
            replace_text(out / STATE_FILE, json.dumps({"step": step}))
            row = {"step": step, "loss": float(np.mean(losses)), "s_per_step": seconds}
            _logger.info("%s", append_row(out / LOG_FILE, row | dict(check(model))))
            last, losses = time.monotonic(), []
    keras.mixed_precision.set_global_policy("float32")
    return model


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Rises over the first twentieth, then falls to 0 by half a cosine."""
    warm = min(1.0, (step + 1) / max(steps / 20, 1))
    return highest * warm * 0.5 * (1 + math.cos(math.pi * step / steps))


def _save(model: keras.Model, path: Path) -> None:
    part = path.with_name("part.keras")  # the old file stays until the new one is whole
    with quiet_keras():
        model.save(part)
    os.replace(part, path)
