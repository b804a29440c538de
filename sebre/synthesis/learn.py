"""Training of the network of any section, from the endless stream.

    python -m sebre.synthesis.learn --data DIR --out DIR --without princeton demba_P28

writes to the folder

    settings.json   of the run
    log.csv         one row a check: sections seen, loss, Dice on synthetic sections of volumes
                    that were left out, and on real sections if asked for
    last.keras      network and optimizer of the last check
    state.json      sections seen by then

and goes on from there when it is started again.
"""

import argparse
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import cv2
import keras
import numpy as np

from mrcnn.weights.loading import load_weights
from sebre.data.csv_tables import append_row
from sebre.networks.any_section import any_section_segmenter, build_network
from sebre.networks.training_run import begin_or_go_on
from sebre.networks.weights_store import find_weights
from sebre.program import run_module
from sebre.synthesis import zeroshot
from sebre.synthesis.backbones import BACKBONES, build_backbone
from sebre.synthesis.classes import IGNORE, NUM_CLASSES
from sebre.synthesis.cross_entropy import WeightedCrossEntropy, class_weights
from sebre.synthesis.curriculum import EASY, HARD, Recipe, recipe_at
from sebre.synthesis.labeled_volume import Volume
from sebre.synthesis.sources import read_volumes
from sebre.synthesis.stream import batches, sections

logger = logging.getLogger(__name__)

_CHECK_SEED = 1_000_003  # added to the seed of the training
_CHECK_SECTIONS = 64
_WEIGHT_SECTIONS = 64  # that the weights of the classes are taken from
_WARMUP_STEPS = 200
_WEIGHT_DECAY, _CLIP_NORM = 1e-4, 1.0


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a run, which stay the same when it goes on.

    Attributes:
        size: side of the pictures, px.
        network: "unet", that of any section, or a backbone of Mask R-CNN (`BACKBONES`).
        widths: filters of the levels of the U-Net.
        backbone_width: multiplies the filters of a backbone.
        batch_size: sections a step.
        sections: of the whole training.
        learning_rate: the highest; it falls to 0 by half a cosine.
        seed: of weights and stream.
        without: sources and volumes that are left out.
        held_out: volumes and sources, among those left out, that checks are made on.
        start: name or path of the weights that it starts from; none for random ones.
        precision: of the computation: float32, or mixed_bfloat16, twice as fast on processors
            that know it.
        ramp: shares of the training from which sections get harder, and are hardest.
    """

    size: int = 192
    network: str = "unet"
    widths: tuple[int, ...] = (16, 40, 80, 160, 320)
    backbone_width: float = 1.0
    batch_size: int = 16
    sections: int = 1_000_000
    learning_rate: float = 2e-3
    seed: int = 0
    without: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    start: str = ""
    precision: str = "float32"
    ramp: tuple[float, float] = (0.1, 0.6)


class Checks:
    """Synthetic sections of volumes that the training does not see, easy and hard ones.

    Args:
        volumes: held out.
        settings: of the run.
        real: folder of the collections of real sections; None leaves them out.
        label_step: px of a picture for one answer of the network.
    """

    def __init__(
        self,
        volumes: Sequence[Volume],
        settings: TrainSettings,
        real: Path | None,
        label_step: int,
    ):
        self._real = real
        self._sets = {}
        if volumes:
            seed = settings.seed + _CHECK_SEED
            for name, recipe in (("easy", EASY), ("hard", HARD)):
                stream = sections(volumes, seed, recipe=recipe, size=settings.size)
                self._sets[name] = next(batches(stream, _CHECK_SECTIONS, label_step))

    def __call__(self, model: keras.Model) -> dict[str, float]:
        """Mean Dice of the classes on each set, and of each source of real sections."""
        scores = {}
        for name, (pictures, labels) in self._sets.items():
            logits = model.predict(pictures, batch_size=16, verbose=0)
            scores[f"dice_{name}"] = mean_dice(logits.argmax(-1), labels)
        if self._real is not None:
            real = zeroshot.evaluate(any_section_segmenter(model, turns=1).labels, self._real)
            scores |= {f"real_{source}": score for source, score in real.items()}
        return scores


def mean_dice(found: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes that are shown of their Dice over all pixels of a set.

    Args:
        found: integers, any shape. Classes.
        labels: uint8, the same shape. Classes; 255 is left out.
    """
    scored = labels != IGNORE
    pairs = np.bincount(
        NUM_CLASSES * labels[scored].astype(np.int64) + found[scored], minlength=NUM_CLASSES**2
    ).reshape(NUM_CLASSES, NUM_CLASSES)
    drawn, seen = pairs.sum(axis=1), pairs.sum(axis=0)
    dices = 2 * np.diag(pairs) / np.maximum(drawn + seen, 1)
    return float(dices[1:][drawn[1:] > 0].mean())


def train(
    volumes: Sequence[Volume],
    held_out: Sequence[Volume],
    out: Path,
    settings: TrainSettings,
    *,
    check_s: float = 300.0,
    stop_s: float = math.inf,
    workers: int = 1,
    real: Path | None = None,
) -> keras.Model:
    """Train the network, or go on with its training.

    Args:
        volumes: to learn from.
        held_out: to check on.
        out: folder of the run.
        settings: of the run. A run that goes on may have another number of `sections`.
        check_s: seconds from one check, with its checkpoint, to the next.
        stop_s: seconds after which this call ends, after a last check.
        workers: threads that make sections.
        real: folder of collections of real sections to score at every check, to look at.

    Returns:
        The network.

    Raises:
        FloatingPointError: the loss became NaN or infinite.
        UserError: the folder holds a run of other settings.
    """
    begin_or_go_on(out, asdict(settings), (out / "state.json").is_file(), may_change=("sections",))
    model, seen = _start(volumes, out, settings)
    label_step = settings.size // model.output_shape[1]
    checks = Checks(held_out, settings, real, label_step)
    begun = last = time.monotonic()
    losses: list[float] = []
    for pictures, labels in _training_batches(volumes, settings, seen, workers, label_step):
        model.optimizer.learning_rate = _learning_rate(seen, settings)
        losses.append(float(model.train_on_batch(pictures, labels)))
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(f"The loss is {losses[-1]} after {seen} sections.")
        seen += len(pictures)
        now = time.monotonic()
        done = seen >= settings.sections or now - begun >= stop_s
        if done or now - last >= check_s:
            _save(model, out, seen)
            row = {"sections": seen, "loss": float(np.mean(losses)), **checks(model)}
            rate = len(losses) * settings.batch_size / (now - last)
            logger.info("%s", append_row(out / "log.csv", {**row, "sections_per_s": rate}))
            last, losses = time.monotonic(), []
        if done:
            break
    return model


def _start(
    volumes: Sequence[Volume], out: Path, settings: TrainSettings
) -> tuple[keras.Model, int]:
    """A new network, or that of the last check, and the sections that it has seen."""
    if (out / "state.json").is_file():
        seen = json.loads((out / "state.json").read_text("utf-8"))["sections"]
        logger.info("Going on after %d sections", seen)
        return keras.models.load_model(out / "last.keras"), seen
    keras.utils.set_random_seed(settings.seed)
    model = _new_network(settings)
    if settings.start:
        load_weights(model, find_weights(settings.start).path)
    stream = sections(volumes, settings.seed + _CHECK_SEED, size=settings.size)
    labels = np.stack([section.labels for section in islice(stream, _WEIGHT_SECTIONS)])
    optimizer = keras.optimizers.AdamW(
        settings.learning_rate, weight_decay=_WEIGHT_DECAY, global_clipnorm=_CLIP_NORM
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer, WeightedCrossEntropy(class_weights(labels).tolist()), jit_compile=False
    )
    logger.info("A network of %d parameters", model.count_params())
    return model, 0


def _new_network(settings: TrainSettings) -> keras.Model:
    """The network of a run with random weights."""
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(settings.precision)  # which has no other way into the layers
    try:
        if settings.network == "unet":
            return build_network(settings.size, settings.widths)
        precision = settings.precision.removeprefix("mixed_")
        return build_backbone(settings.network, settings.size, settings.backbone_width, precision)
    finally:
        keras.config.set_dtype_policy(usual)


def _training_batches(
    volumes: Sequence[Volume], settings: TrainSettings, seen: int, workers: int, label_step: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches from section number `seen` on, in their order, made ahead by threads."""

    def recipe(number: int) -> Recipe:
        return recipe_at(number / settings.sections, settings.ramp)

    def one(start: int) -> tuple[np.ndarray, np.ndarray]:
        stream = sections(volumes, settings.seed, start, recipe=recipe, size=settings.size)
        return next(batches(stream, settings.batch_size, label_step))

    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(one, seen + i * settings.batch_size) for i in range(2 * workers)]
        start = seen + len(waiting) * settings.batch_size
        while True:
            batch = waiting.pop(0).result()
            waiting.append(pool.submit(one, start))
            start += settings.batch_size
            yield batch


def _learning_rate(seen: int, settings: TrainSettings) -> float:
    warm = min(1.0, (seen / settings.batch_size + 1) / _WARMUP_STEPS)
    left = 0.5 * (1 + math.cos(math.pi * min(seen / settings.sections, 1.0)))
    return settings.learning_rate * min(warm, 1.0) * left


def _save(model: keras.Model, out: Path, seen: int) -> None:
    """Network and state; the old ones stay until the new ones are whole."""
    part = out / "part.keras"
    model.save(part)
    os.replace(part, out / "last.keras")
    part = out / "state.part"
    part.write_text(json.dumps({"sections": seen}), "utf-8")
    os.replace(part, out / "state.json")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line and train."""
    usual = TrainSettings()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--without", nargs="*", default=[], help="sources or volumes left out")
    parser.add_argument("--held-out", nargs="*", default=[], help="left out, to check on")
    parser.add_argument("--network", default=usual.network, choices=("unet", *BACKBONES))
    parser.add_argument("--backbone-width", type=float, default=usual.backbone_width)
    parser.add_argument("--size", type=int, default=usual.size)
    parser.add_argument("--batch-size", type=int, default=usual.batch_size)
    parser.add_argument("--sections", type=int, default=usual.sections)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--learning-rate", type=float, default=usual.learning_rate)
    parser.add_argument("--start", default=usual.start, help="weights to start from: name or file")
    parser.add_argument("--precision", default=usual.precision, help="float32 or mixed_bfloat16")
    parser.add_argument("--ramp", type=float, nargs=2, default=usual.ramp)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--check-s", type=float, default=300.0)
    parser.add_argument("--stop-s", type=float, default=math.inf)
    parser.add_argument("--real", action="store_true", help="score real sections at every check")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cv2.setNumThreads(1)
    held_out = set(args.held_out)
    everything = read_volumes(args.data, without=args.without)
    volumes = [v for v in everything if not {v.name, v.source} & held_out]
    settings = TrainSettings(
        size=args.size,
        network=args.network,
        backbone_width=args.backbone_width,
        batch_size=args.batch_size,
        sections=args.sections,
        learning_rate=args.learning_rate,
        seed=args.seed,
        start=args.start,
        precision=args.precision,
        ramp=tuple(args.ramp),
        without=tuple(args.without),
        held_out=tuple(args.held_out),
    )
    train(
        volumes,
        [v for v in everything if {v.name, v.source} & held_out],
        args.out,
        settings,
        check_s=args.check_s,
        stop_s=args.stop_s,
        workers=args.workers,
        real=args.data if args.real else None,
    )


if __name__ == "__main__":
    run_module(main)
