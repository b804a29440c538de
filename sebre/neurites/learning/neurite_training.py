"""Training of the network of affinities, from the endless stream of patches.

A run keeps its files in a folder:

    settings.json   of the run
    log.csv         a row every check: steps, loss, accuracy of the affinities of held-out
                    sections if there are any
    last.keras      network and optimizer of the last check
    state.json      steps by then
    step_N.keras    the network at step N, for the steps that are kept

and goes on from there when it is started again with the same settings.
"""

import json
import logging
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from mrcnn.errors import DivergedError, UserError
from mrcnn.io.files import arrays_sha256, replace_text
from mrcnn.weights.loading import quiet_keras
from sebre.data.csv_tables import append_row
from sebre.networks.training_run import begin_or_go_on
from sebre.neurites.affinity_graph import affinities_of, graph_offsets, is_coarse
from sebre.neurites.affinity_prediction import LAST_FILE, GrayValues
from sebre.neurites.affinity_unet import (
    WIDTHS,
    BalancedCrossEntropy,
    build_network,
    network_step,
    plan_levels,
    zero_weights,
)
from sebre.neurites.learning.patches import AUGMENTATIONS, Labeled, PatchRecipe, patches
from sebre.neurites.volume_files import EmVolume

logger = logging.getLogger(__name__)

_WARMUP_STEPS = 200
_WEIGHT_DECAY, _CLIP_NORM = 1e-4, 1.0
_STATE = "state.json"


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a run, which stay the same when it goes on.

    Attributes:
        voxel_nm: along z, y, x, of all volumes.
        patch: voxels of a patch along z, y, x; a step learns from one.
        widths: filters of the levels of the network.
        long_range: length of the long edges in voxels of the finest axis; 0 for none.
        steps: of the whole training.
        learning_rate: the highest; it falls to 0 by half a cosine.
        augmentations: those that are on.
        zero_is_border: label 0 is membrane; otherwise nothing is known of it.
        precision: of the arithmetic: float32 or mixed_bfloat16.
        seed: of weights and patches.
        severity: of the defects of sections, of `SEVERITIES`.
        begun_with: SHA-256 of the file of the network that it starts from; empty for chance.
    """

    voxel_nm: tuple[float, float, float]
    patch: tuple[int, int, int] = (48, 80, 80)
    widths: tuple[int, ...] = WIDTHS
    long_range: int = 6
    steps: int = 8000
    learning_rate: float = 2e-3
    augmentations: tuple[str, ...] = AUGMENTATIONS
    zero_is_border: bool = False
    precision: str = "float32"
    seed: int = 0
    severity: str = "mild"
    begun_with: str = ""

    def recipe(self) -> PatchRecipe:
        """How its patches are made."""
        return PatchRecipe(
            self.patch,
            graph_offsets(self.long_range, self.voxel_nm),
            frozenset(self.augmentations),
            any_axis=max(self.voxel_nm) < 1.25 * min(self.voxel_nm),
            in_plane=is_coarse(self.voxel_nm),
            zero_is_border=self.zero_is_border,
            severity=self.severity,
        )


def standardized(raw: np.ndarray) -> np.ndarray:
    """Gray values less their mean, by their standard deviation; float32."""
    return GrayValues.of(raw).standardized(raw)


def train(
    volumes: Sequence[EmVolume],
    held_out: Sequence[EmVolume],
    out: Path,
    settings: TrainSettings,
    *,
    check_s: float = 240.0,
    stop_at: int | None = None,
    keep: Sequence[int] = (),
    begin: keras.Model | None = None,
) -> keras.Model:
    """Train the network, or go on with its training.

    Args:
        volumes: to learn from, with labels.
        held_out: to check on, with labels.
        out: folder of the run.
        settings: of the run. A run that goes on may have another number of `steps`.
        check_s: seconds from one check, with its checkpoint, to the next.
        stop_at: step at which this call ends; None for the last.
        keep: steps at which the network is stored for good.
        begin: network whose weights a new run starts from, of the same levels and edges.

    Returns:
        The network.

    Raises:
        UserError: settings that cannot work, or those of another run.
        DivergedError: the loss became NaN or infinite.
    """
    _demand_settings(settings)
    learned = [Labeled(standardized(v.raw), v.labels) for v in volumes]
    arrays = (array for one in learned for array in (one.gray, np.asarray(one.labels)))
    told = asdict(settings) | {"learned_from": arrays_sha256(*arrays)}
    begin_or_go_on(out, told, may_change=("steps",))
    keras.mixed_precision.set_global_policy(settings.precision)
    recipe = settings.recipe()
    model, step = _start(learned, out, settings, recipe, begin)
    last_step = min(settings.steps, settings.steps if stop_at is None else stop_at)
    stream = patches(learned, recipe, settings.seed, step)
    last, losses = time.monotonic(), []
    while step < last_step:
        model.optimizer.learning_rate = _learning_rate(step, settings)
        losses.append(float(model.train_on_batch(*next(stream))))
        if not math.isfinite(losses[-1]):
            raise DivergedError(
                f"{out}: the loss is {losses[-1]} after {step} steps. Give a lower "
                "learning rate, or the precision float32."
            )
        step += 1
        if step in keep:
            _save_network(model, out / f"step_{step}.keras")
        if step == last_step or time.monotonic() - last >= check_s:
            seconds = time.monotonic() - last
            _save_network(model, out / LAST_FILE)
            replace_text(out / _STATE, json.dumps({"step": step}))
            row = {
                "step": step,
                "loss": float(np.mean(losses)),
                "s_per_step": seconds / len(losses),
            }
            logger.info("%s", append_row(out / "log.csv", row | check(model, held_out, recipe)))
            last, losses = time.monotonic(), []
    return model


def check(model: keras.Model, volumes: Sequence[EmVolume], recipe: PatchRecipe) -> dict[str, float]:
    """How many of the nearest affinities of held-out volumes are right, edges of 0 and of 1
    counting the same, by axis."""
    right = {axis: [] for axis in "zyx"}
    for volume in volumes:
        wanted = affinities_of(
            volume.labels,
            recipe.offsets[:3],
            erode=True,
            in_plane=recipe.in_plane,
            zero_is_border=recipe.zero_is_border,
        )
        logits = whole_logits(model, standardized(volume.raw))
        for number, axis in enumerate("zyx"):
            found, edges = logits[..., number] > 0, wanted[number]
            shares = [np.mean(found[edges == value] == value) for value in (0, 1)]
            right[axis].append(np.mean(shares))
    return {f"accuracy_{axis}": float(np.mean(v)) for axis, v in right.items() if v}


def whole_logits(model: keras.Model, gray: np.ndarray) -> np.ndarray:
    """Logits float32 [z, y, x, edges] of a small volume, mirrored at its faces, in one piece."""
    room = [(8, 8 + -size % 16) for size in gray.shape]
    padded = np.pad(gray, room, mode="symmetric")
    logits = keras.ops.convert_to_numpy(model(padded[None, ..., None], training=False))[0]
    return logits[tuple(slice(8, 8 + size) for size in gray.shape)]


def _demand_settings(settings: TrainSettings) -> None:
    wrong = sorted(set(settings.augmentations) - set(AUGMENTATIONS))
    if wrong:
        raise UserError(
            f"No augmentation {', '.join(wrong)}. There are {', '.join(AUGMENTATIONS)}."
        )
    step = network_step(plan_levels(settings.voxel_nm, len(settings.widths)))
    if any(size < n or size % n for size, n in zip(settings.patch, step, strict=True)):
        raise UserError(
            f"Patches of {settings.patch} voxels (--patch) do not fit the levels of the network; "
            f"wanted multiples of {step}."
        )
    if settings.steps < 1:
        raise UserError(f"steps is {settings.steps}; at least 1 is needed.")


def _start(
    volumes: Sequence[Labeled],
    out: Path,
    settings: TrainSettings,
    recipe: PatchRecipe,
    begin: keras.Model | None,
) -> tuple[keras.Model, int]:
    """A new network, or that of the last check, and the steps that it has seen."""
    if (out / _STATE).is_file():
        step = json.loads((out / _STATE).read_text("utf-8"))["step"]
        logger.info("Going on after step %d", step)
        with quiet_keras():
            return keras.models.load_model(out / LAST_FILE), step
    keras.utils.set_random_seed(settings.seed)
    model = build_network(len(recipe.offsets), settings.voxel_nm, settings.widths)
    if begin is not None:
        _take_weights(model, begin)
    options = {"erode": True, "in_plane": recipe.in_plane, "zero_is_border": recipe.zero_is_border}
    edges = [affinities_of(v.labels, recipe.offsets, **options) for v in volumes]
    weights = zero_weights(np.concatenate([e.reshape(len(e), -1) for e in edges], axis=1))
    optimizer = keras.optimizers.AdamW(
        settings.learning_rate, weight_decay=_WEIGHT_DECAY, global_clipnorm=_CLIP_NORM
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer, BalancedCrossEntropy(weights), jit_compile=False)
    logger.info("%d parameters; edges of 0 weigh %s", model.count_params(), weights)
    return model, 0


def _take_weights(model: keras.Model, begin: keras.Model) -> None:
    shapes, wanted = ([tuple(v.shape) for v in m.variables] for m in (begin, model))
    if shapes != wanted:
        raise UserError(
            "The network to begin with (--begin-with) has other levels, filters or edges. Give "
            "its --widths, --long-range and voxel size, or begin without it."
        )
    model.set_weights(begin.get_weights())


def _learning_rate(step: int, settings: TrainSettings) -> float:
    warm = min(1.0, (step + 1) / _WARMUP_STEPS)
    return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def _save_network(model: keras.Model, path: Path) -> None:
    """The old file stays until the new one is whole."""
    part = path.with_name("part.keras")
    with quiet_keras():
        model.save(part)
    os.replace(part, path)
