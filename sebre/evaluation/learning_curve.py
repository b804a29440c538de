"""How many sections must be drawn? Scores of networks that were trained on few of them.

    python -m sebre.evaluation.learning_curve --dataset datasets/slicemap --out curve.json

draws 2, 5, 10 and 20 sections of the training part by chance, trains on them the network of any
section, once from its shipped weights and once from random ones, and scores each on the same
sections of the test part. A call that is stopped goes on when it is started again. The settings of
each start were chosen with `--inner`, which trains and scores on parts of the training part alone.
"""

import argparse
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.io.files import replace_text
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import origins, read_facts
from sebre.data.section_files import list_subset, part_folder
from sebre.data.split import assign, inner_rule
from sebre.experiments.base import Experiment
from sebre.experiments.custom import experiment_of_dataset
from sebre.networks.any_section import AnySectionSegmenter
from sebre.networks.environment import environment
from sebre.networks.epoch_reports import region_dices
from sebre.networks.section_train import train_section
from sebre.networks.training_run import dataset_facts
from sebre.networks.weights_store import find_weights
from sebre.program import run_module

logger = logging.getLogger(__name__)

COUNTS = (2, 5, 10, 20)
SCORED = 60  # sections of the test part at most, spread evenly
_INNER = 0.3  # share of the training part that `--inner` scores on
_FACTS = ("dataset.json", "sections.csv")  # of a prepared set, that a part of it needs too


@dataclass(frozen=True)
class Start:
    """What a training starts from, and how it goes on from there."""

    weights: str  # a name or a file; "none" for random ones
    steps: int  # of 8 sections
    rate: float


# Chosen with --inner and one seed. any_section, 5 sections of slicemap and of demba: Dice 0.823 and
# 0.691 after 60 steps at 0.002, 0.830 and 0.690 at 0.005, 0.856 and 0.733 after 150 steps at 0.005.
# none, 20 sections of slicemap: 0.750 after 150 steps at 0.002, 0.761 at 0.005, 0.827 after 400 at
# 0.005; 300 is what time allowed.
STARTS = {
    "any_section": Start("any_section", 150, 0.005),
    "none": Start("none", 300, 0.005),
}


@dataclass(frozen=True)
class Parts:
    """Numbers of sections of the training part to draw from, and what is scored."""

    drawn_from: list[int]
    scored: SectionDataset


def parts_of(root: Path, experiment: Experiment, inner: bool) -> Parts:
    """What sections may be drawn, and what is scored: the test part, or with `inner` whole animals
    or neighbors (`inner_rule`) of the training part, which are not drawn from then."""
    listed, _ = list_subset(root, "train")
    numbers = [number for number, section in sorted(listed.items()) if section.masks]
    if not inner:
        return Parts(numbers, experiment.load(root, "val"))
    known = origins(root, "train")
    rows = [known.get(number, {"section": str(number)}) for number in numbers]
    parts = assign(rows, inner_rule(rows, _INNER), seed=0)
    held_out = [n for n, part in zip(numbers, parts, strict=True) if part == "val"]
    scored = experiment.sections().load(root, "train", numbers=held_out)
    scored.prepare()
    return Parts([n for n in numbers if n not in set(held_out)], scored)


def content_of(root: Path) -> dict[str, str]:
    """Checksums of the parts of a data set."""
    return {part: dataset_facts(root, part)["sha256"] for part in ("train", "val")}


def part_of_set(root: Path, numbers: Sequence[int], out: Path) -> Path:
    """A prepared data set whose training part is some sections of that of another."""
    for kind in ("images", "masks"):
        part_folder(out, "train", kind).mkdir(parents=True)
    listed, _ = list_subset(root, "train")
    for number in numbers:
        section = listed[number]
        shutil.copy(section.image, part_folder(out, "train", "images"))
        masks = part_folder(out, "train", "masks") / f"section_masks_{number}"
        masks.mkdir()
        for path in section.masks.values():
            shutil.copy(path, masks)
    for name in _FACTS:
        if (root / name).is_file():
            shutil.copy(root / name, out)
    return out


def trained_on(root: Path, numbers: Sequence[int], start: Start, seed: int) -> AnySectionSegmenter:
    """A network trained on some sections of the training part of a data set; no file of the run
    stays."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = part_of_set(root, numbers, Path(folder) / root.name)
        return train_section(
            experiment_of_dataset(dataset),
            dataset,
            Path(folder) / "logs",
            start.weights,
            steps=start.steps,
            seed=seed,
            settings={"LEARNING_RATE": start.rate, "WORKERS": 0},
            verbose=0,
        )


def run_one(root: Path, parts: Parts, start: Start, count: int, seed: int) -> dict[str, Any]:
    """Train on some sections, and score: a record of plain JSON values.

    The sections are the first ones of an order that the seed draws, so that more of them contain
    the fewer.
    """
    order = np.random.default_rng(seed).permutation(parts.drawn_from)
    numbers = [int(number) for number in order[:count]]
    begun = time.process_time()
    network = trained_on(root, numbers, start, seed)
    trained = time.process_time() - begun
    parts.scored.contrast = network.config.CONTRAST
    dices = region_dices(network, parts.scored, SCORED)
    return {
        "sections": count,
        "seed": seed,
        "drawn": numbers,
        "dice_mean": float(np.mean(list(dices.values()))),
        "dice_per_region": dices,
        "training_cpu_s": round(trained, 1),
    }


def measure(
    root: Path,
    out: Path,
    starts: Mapping[str, Start],
    counts: Sequence[int],
    seeds: Sequence[int],
    inner: bool,
    command: str,
) -> dict[str, Any]:
    """All runs that a file of results does not have yet, each written when it is done.

    Raises:
        UserError: the training part has too few sections, or the file has runs of other settings.
    """
    experiment = experiment_of_dataset(root)
    parts = parts_of(root, experiment, inner)
    if max(counts) > len(parts.drawn_from):
        raise UserError(
            f"{root}: {len(parts.drawn_from)} sections can be drawn from; wanted {max(counts)} "
            "(--sections)."
        )
    record = read_runs(out)
    facts = read_facts(root)
    fixed = {"dataset": root.resolve().name, "subset": "inner" if inner else "val"}
    fixed |= {"sha256": content_of(root)}
    record |= fixed | {
        "starts": demand_same(record, fixed, starts, out),
        "split": facts.record.get("split"),
        "command": command,
        "n_drawn_from": len(parts.drawn_from),
        "n_scored": min(SCORED, parts.scored.num_images),
        "regions": experiment.regions.names,
        "environment": environment(),
    }
    done = {(run["start"], run["sections"], run["seed"]) for run in record["runs"]}
    for seed in seeds:
        for count in counts:
            for name, start in starts.items():
                if (name, count, seed) in done:
                    continue
                run = {"start": name, **run_one(root, parts, start, count, seed)}
                record["runs"].append(run)
                out.parent.mkdir(parents=True, exist_ok=True)
                replace_text(out, json.dumps(record, indent=1) + "\n")
                logger.info("%s, %d sections, seed %d: %.3f", name, count, seed, run["dice_mean"])
    return record


def read_runs(out: Path) -> dict[str, Any]:
    """What a file of runs holds; nothing but an empty list of them where there is none yet.

    Raises:
        UserError: another file has the name.
    """
    if not out.is_file():
        return {"runs": []}
    try:
        record = json.loads(out.read_text("utf-8"))
    except ValueError:
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("runs"), list):
        raise UserError(f"{out}: there already, and no file of such runs. Choose another (--out).")
    return record


def demand_same(
    record: Mapping[str, Any], fixed: Mapping[str, Any], starts: Mapping[str, Start], out: Path
) -> dict[str, Any]:
    """What all runs of a file start from, those of earlier calls among them.

    Raises:
        UserError: a file with runs on another data set or part, or with other steps or weights.
    """
    now = {name: asdict(start) | checksum(start) for name, start in starts.items()}
    before = record.get("starts", {})
    demand_unchanged({**before, **record}, {**fixed, **now}, out)
    return {**before, **now}


def demand_unchanged(record: Mapping[str, Any], now: Mapping[str, Any], out: Path) -> None:
    """That what a file of runs says of them is what it would say of further ones.

    Raises:
        UserError: entries of `record`, read from `out`, that differ from those of `now`.
    """
    if differ := [key for key, value in now.items() if record.get(key, value) != value]:
        raise UserError(
            f"{out}: has runs of other settings ({', '.join(differ)}). Choose another file (--out)."
        )


def checksum(start: Start) -> dict[str, str]:
    """SHA-256 of the weights of a start, where it has any."""
    return {} if start.weights == "none" else {"sha256": find_weights(start.weights).sha256}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, train and score."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", type=Path, required=True, help="prepared, with its regions")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the scores")
    parser.add_argument("--sections", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--starts", nargs="+", default=list(STARTS), choices=STARTS)
    parser.add_argument("--weights", help="in place of the shipped any_section")
    parser.add_argument("--steps", type=int, help="in place of those of each start")
    parser.add_argument("--rate", type=float, help="in place of that of each start")
    parser.add_argument("--inner", action="store_true", help="leave the test part alone")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    starts = {}
    for name in args.starts:
        usual = STARTS[name]
        weights = args.weights if args.weights and name != "none" else usual.weights
        starts[name] = Start(weights, args.steps or usual.steps, args.rate or usual.rate)
    command = f"python -m sebre.evaluation.learning_curve --dataset {args.dataset}"
    command += f" --out {args.out} --seeds {' '.join(map(str, args.seeds))}"
    for name in ("sections", "starts"):
        command += f" --{name} {' '.join(map(str, getattr(args, name)))}"
    for name in ("weights", "steps", "rate"):
        command += f" --{name} {getattr(args, name)}" if getattr(args, name) else ""
    command += " --inner" if args.inner else ""
    measure(args.dataset, args.out, starts, args.sections, args.seeds, args.inner, command)


if __name__ == "__main__":
    run_module(main)
