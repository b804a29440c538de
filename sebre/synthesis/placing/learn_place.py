"""Training of the network that says where a section lies, on the shipped network of any section.

    python -m sebre.synthesis.placing.learn_place --data DIR --out DIR

writes `last.npz` (weights), `log.csv` and `settings.json` to the folder. Every section is seen
twice: when it is new, and once more later, since its features cost more than a step of the head.
"""

import argparse
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from mrcnn.errors import UserError
from mrcnn.io.files import file_sha256, replace_file
from sebre.data.csv_tables import append_row
from sebre.networks.segmenter import load_segmenter
from sebre.place.place_network import (
    PLACE,
    SPREAD,
    TISSUE,
    WIDTH,
    build_head,
    feature_model,
    head_arrays,
    load_head,
)
from sebre.program import run_module
from sebre.synthesis.curriculum import EASY, HARD, Recipe
from sebre.synthesis.labeled_volume import Volume
from sebre.synthesis.placing.common_frame import CommonFrame, Reference
from sebre.synthesis.placing.placed_sections import cell_targets, placed_sections
from sebre.synthesis.sources import read_volumes

logger = logging.getLogger(__name__)

_KEPT = 8192  # sections whose features are kept to be seen again
_WARMUP_STEPS = 200
_LEAST_SPREAD, _MOST_SPREAD = -4.0, 2.0  # logarithms, in units of the network
_TISSUE_WEIGHT, _AGE_WEIGHT = 0.3, 0.05
_REPORT_S = 60.0
# Every other section is easy, as most are whose place is asked for; horizontal ones are as many as
# sagittal ones, for those are told worst.
_RECIPES = tuple(replace(recipe, sagittal=0.5) for recipe in (EASY, HARD))


@dataclass(frozen=True)
class PlaceSettings:
    """Settings of a run.

    Attributes:
        width: channels of the head.
        batch_size: new sections a step; as many old ones go with them.
        sections: new ones of the whole training.
        learning_rate: the highest; it falls to 0 by half a cosine.
        seed: of weights and stream.
        held_out: volumes that it does not see.
        began_with: SHA-256 of the weights that it began with; empty for random ones.
    """

    width: int = WIDTH
    batch_size: int = 16
    sections: int = 60_000
    learning_rate: float = 2e-3
    seed: int = 0
    held_out: tuple[str, ...] = ()
    began_with: str = ""


class CellLoss(keras.losses.Loss):
    """Laplace likelihood of the place of every cell by its share of tissue, and cross-entropy of
    the tissue. Truth: [B, GRID, GRID, 4], place and share."""

    def call(self, truth: Any, answer: Any) -> Any:
        """Mean over the cells with tissue, and over all."""
        ops = keras.ops
        share = truth[..., 3:]
        spread = ops.clip(answer[..., SPREAD], _LEAST_SPREAD, _MOST_SPREAD)
        away = ops.abs(truth[..., :3] - answer[..., PLACE])
        loss = ops.sum((away * ops.exp(-spread) + spread) * share) / (3 * ops.sum(share) + 1)
        logit = answer[..., TISSUE]
        entropy = ops.mean(ops.softplus(logit) - share * logit)
        return loss + _TISSUE_WEIGHT * entropy


class AgeLoss(keras.losses.Loss):
    """Laplace likelihood of the logarithm of the age."""

    def call(self, truth: Any, answer: Any) -> Any:
        """Mean over the sections."""
        ops = keras.ops
        spread = ops.clip(answer[:, 1], _LEAST_SPREAD, _MOST_SPREAD)
        away = ops.abs(truth[:, 0] - answer[:, 0])
        return ops.mean(away * ops.exp(-spread) + spread)


def train_place(
    network: keras.Model,
    volumes: Sequence[Volume],
    frames: Mapping[str, CommonFrame],
    out: Path,
    settings: PlaceSettings,
    stop_s: float = math.inf,
    begin: Path | None = None,
) -> keras.Model:
    """Train a head.

    Args:
        network: of any section, which stays as it is.
        volumes: to learn from.
        frames: of each, by name.
        out: folder of the run.
        settings: of the run.
        stop_s: seconds that it may take; the learning rate falls to 0 by then.
        begin: weights to begin with, that an earlier run wrote; None for random ones.

    Returns:
        The head.

    Raises:
        FloatingPointError: the loss became NaN or infinite.
        UserError: the folder has a head already.
    """
    if (out / "last.npz").is_file():
        raise UserError(
            f"{out}: has a head already; a training does not go on. Give another folder (and "
            "--begin LAST.npz to start from that one)."
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / "settings.json").write_text(json.dumps(asdict(settings), indent=2), "utf-8")
    keras.utils.set_random_seed(settings.seed)
    features = feature_model(network)
    head = build_head(features, settings.width)
    if begin is not None:
        with np.load(begin) as file:
            load_head(head, dict(file))
    optimizer = keras.optimizers.AdamW(
        settings.learning_rate, weight_decay=1e-4, global_clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    head.compile(optimizer, loss=[CellLoss(), AgeLoss()], loss_weights=[1.0, _AGE_WEIGHT])
    rng = np.random.default_rng(settings.seed)
    kept: list[tuple[np.ndarray, ...]] = []
    begun = last = time.monotonic()
    losses, seen, done = [], 0, 0.0
    for batch in _batches(features, volumes, frames, settings):
        old = [kept[i] for i in rng.integers(len(kept), size=settings.batch_size)] if kept else []
        arrays = [np.stack(parts) for parts in zip(*batch, *old, strict=True)]
        *inputs, cells, age = (array.astype(np.float32) for array in arrays)
        head.optimizer.learning_rate = _learning_rate(seen, done, settings)
        losses.append(float(head.train_on_batch(inputs, [cells, age])[0]))
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(f"The loss is {losses[-1]} after {seen} sections.")
        seen += len(batch)
        _keep(kept, batch, rng)
        now = time.monotonic()
        done = min(1.0, max(seen / settings.sections, (now - begun) / stop_s))
        if done >= 1 or now - last >= _REPORT_S:
            row = {
                "sections": seen,
                "s": round(now - begun),
                "loss": round(float(np.mean(losses)), 4),
            }
            _save(head, out, row)
            last, losses = now, []
        if done >= 1:
            return head
    raise AssertionError("the stream has no end")


def _batches(
    features: keras.Model,
    volumes: Sequence[Volume],
    frames: Mapping[str, CommonFrame],
    settings: PlaceSettings,
) -> Iterator[list[tuple[np.ndarray, ...]]]:
    """New sections, each as features, truth of the cells and of the age."""
    size = features.input_shape[1]
    stream = placed_sections(volumes, frames, settings.seed, recipe=_recipe_of, size=size)
    while True:
        placed = list(islice(stream, settings.batch_size))
        pictures = np.stack([one.section.picture for one in placed])[..., None]
        arrays = [np.asarray(a, np.float16) for a in features.predict_on_batch(pictures)]
        truths = []
        for one in placed:
            places, share = cell_targets(one)
            cells = np.concatenate([places, share[..., None]], axis=-1)
            truths.append((cells.astype(np.float16), np.log([one.age_days], dtype=np.float32)))
        yield [(*each, *truth) for *each, truth in zip(*arrays, truths, strict=True)]


def _recipe_of(number: int) -> Recipe:
    return _RECIPES[number % len(_RECIPES)]


def _keep(
    kept: list[tuple[np.ndarray, ...]],
    batch: list[tuple[np.ndarray, ...]],
    rng: np.random.Generator,
) -> None:
    """Keep new sections, in the place of others once there are many."""
    room = _KEPT - len(kept)
    kept.extend(batch[:room])
    for one in batch[max(room, 0) :]:
        kept[rng.integers(_KEPT)] = one


def _learning_rate(seen: int, done: float, settings: PlaceSettings) -> float:
    warm = min(1.0, (seen / settings.batch_size + 1) / _WARMUP_STEPS)
    return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * done))


def _save(head: keras.Model, out: Path, row: Mapping[str, Any]) -> None:
    replace_file(out / "last.npz", lambda part: np.savez(part, **head_arrays(head)), ".npz")
    logger.info("%s", append_row(out / "log.csv", row))


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line and train."""
    usual = PlaceSettings()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--weights", default="any_section", help="network that it stands on")
    parser.add_argument("--held-out", nargs="*", default=[], help="volumes or sources left out")
    parser.add_argument("--sections", type=int, default=usual.sections)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--learning-rate", type=float, default=usual.learning_rate)
    parser.add_argument("--stop-s", type=float, default=math.inf)
    parser.add_argument("--begin", type=Path, help="last.npz of an earlier run to begin with")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cv2.setNumThreads(1)
    reference = Reference.read(args.data)
    volumes = read_volumes(args.data, without=args.held_out)
    frames = {volume.name: reference.frame_of(volume) for volume in volumes}
    settings = PlaceSettings(
        sections=args.sections,
        learning_rate=args.learning_rate,
        seed=args.seed,
        held_out=tuple(args.held_out),
        began_with=file_sha256(args.begin) if args.begin else "",
    )
    network = load_segmenter(args.weights).keras_model
    train_place(network, volumes, frames, args.out, settings, args.stop_s, args.begin)


if __name__ == "__main__":
    run_module(main)
