"""What corrections gain: `sebre next` against a choice by chance, and the worst sections.

    python -m sebre.corrections.measure_gain --dataset datasets/slicemap --out gain.json

A seed draws 20 sections of the training part. They are predicted by the shipped network of any
section, as `sebre predict` does, and 5 of them are chosen: by `sebre next`, by chance, or those
that are truly the worst. Their drawn masks stand for corrections. The network goes on with the
five as `sebre train custom --weights any_section` does, and is scored on other sections: the test
part, or with `--inner` held-out sections of the training part, where rules were compared. A call
that is stopped goes on when it is started again.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mrcnn.errors import UserError
from mrcnn.io.files import replace_text
from sebre.corrections.candidates import Candidate, read_candidates
from sebre.corrections.next_sections import choose
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import read_facts
from sebre.data.region_masks import RegionMasks
from sebre.data.regions import ANY_SECTION, RegionSet
from sebre.data.section_files import list_subset
from sebre.evaluation.learning_curve import (
    STARTS,
    Start,
    checksum,
    content_of,
    demand_unchanged,
    parts_of,
    read_runs,
    trained_on,
)
from sebre.evaluation.mask_metrics import dice
from sebre.experiments.custom import experiment_of_dataset
from sebre.networks.environment import environment
from sebre.networks.segmenter import Segmenter, best_labels, find_network, load_segmenter
from sebre.predict.folders import detect_folders
from sebre.predict.job import plan_job
from sebre.predict.outputs import label_paths
from sebre.predict.pictures import SectionFile
from sebre.program import run_module
from sebre.synthesis.zeroshot import classes_of

logger = logging.getLogger(__name__)

CANDIDATES, CORRECTED = 20, 5
SCORED = 30  # sections that are scored at most, spread evenly
NETWORK = "any_section"
RULES = ("next", "random", "worst")  # how the sections are chosen
_DECIMALS = 4


@dataclass(frozen=True)
class Stage:
    """A data set, and what is drawn from it and scored."""

    root: Path
    regions: RegionSet
    drawn_from: list[int]  # numbers of the training part
    scored: SectionDataset

    @cached_property
    def known(self) -> np.ndarray:
        """Id of the region by class of the network of any section, uint8; 0 where there is none."""
        classes, joined = classes_of(self.root, self.regions)
        found = np.zeros(ANY_SECTION.num_classes, np.uint8)
        for region_id, class_id in classes.items():
            found[class_id] = region_id
        for part, whole in joined.items():
            found[part] = found[whole]
        return found

    def candidates(self, seed: int) -> list[int]:
        """Numbers of the sections that a seed draws, in the order that it draws them."""
        order = np.random.default_rng(seed).permutation(self.drawn_from)
        return [int(number) for number in order[:CANDIDATES]]


def read_stage(root: Path, inner: bool) -> Stage:
    """What may be drawn, and what is scored.

    Raises:
        UserError: the training part has too few sections.
    """
    experiment = experiment_of_dataset(root)
    parts = parts_of(root, experiment, inner)
    if len(parts.drawn_from) < CANDIDATES:
        raise UserError(
            f"{root}: {len(parts.drawn_from)} sections can be drawn from; wanted {CANDIDATES}."
        )
    return Stage(root, experiment.regions, parts.drawn_from, parts.scored)


def choices(stage: Stage, seed: int, rules: Sequence[str]) -> dict[str, list[int]]:
    """Numbers of the sections that each rule chooses of the candidates of a seed."""
    numbers = stage.candidates(seed)
    if set(rules) == {"random"}:
        return {"random": numbers[:CORRECTED]}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        candidates = predicted(stage.root, numbers, out)
        truly = {number: wrong_px(stage, number, out) for number in numbers}
    chosen = {
        "next": [int(pick.section.name) for pick in choose(candidates, CORRECTED)],
        "random": numbers[:CORRECTED],
        "worst": sorted(numbers, key=lambda number: -truly[number])[:CORRECTED],
    }
    return {rule: chosen[rule] for rule in rules}


def predicted(root: Path, numbers: Sequence[int], out: Path) -> tuple[Candidate, ...]:
    """What a folder of `sebre predict` tells of some training sections; their numbers are their
    names."""
    listed, _ = list_subset(root, "train")
    sections = [SectionFile(listed[n].image.absolute(), str(n)) for n in numbers]
    # Where a section lies in the brain does not change the choice.
    job = plan_job(NETWORK, find_network(NETWORK)[1], out, place=False)
    failed = [outcome.error for outcome in detect_folders(job, sections) if outcome.error]
    if failed:
        raise UserError(failed[0])
    return read_candidates(out).sections


def wrong_px(stage: Stage, number: int, predictions: Path) -> int:
    """Pixels of a training section whose region is another one than was predicted, of the regions
    that the network of any section knows: those that are to be corrected."""
    sections = SectionDataset(stage.regions).load(stage.root, "train", numbers=[number])
    sections.prepare()
    with Image.open(label_paths(predictions, str(number))[0]) as image:
        found = stage.known[np.asarray(image)]
    drawn = RegionMasks(*sections.load_mask(0)).by_class
    wrong = np.zeros(found.shape, bool)
    for region_id in np.unique(stage.known[stage.known > 0]):
        wrong |= (found == region_id) != drawn.get(int(region_id), np.zeros(found.shape, bool))
    return int(wrong.sum())


def known_regions(stage: Stage) -> list[str]:
    """Names of the regions that the network of any section knows, too."""
    return [region.name for region in stage.regions if region.id in stage.known]


def score(stage: Stage, network: Segmenter, as_regions: np.ndarray | None = None) -> dict[str, Any]:
    """Dice of the scored sections by region, by the name of the section.

    Args:
        stage: with the sections.
        network: that finds the regions.
        as_regions: id of the region by class of the network, where that finds others.
    """
    found = {}
    sections = stage.scored
    sections.contrast = network.config.CONTRAST
    rows = np.linspace(0, sections.num_images - 1, min(SCORED, sections.num_images))
    for row in (int(row) for row in rows.round()):
        image = sections.load_image(row)
        labels = best_labels(network.detect([image])[0], image.shape)
        labels = labels if as_regions is None else as_regions[labels]
        found[sections.image_reference(row)] = _dices(labels, sections, row)
    return found


def _dices(labels: np.ndarray, sections: SectionDataset, row: int) -> dict[str, float]:
    """Dice of every region that is drawn on a section, by its name."""
    drawn = RegionMasks(*sections.load_mask(row)).shown()
    names = {region.id: region.name for region in sections.regions}
    return {
        names[i]: round(float(dice(mask, labels == i)), _DECIMALS)
        for i, mask in drawn.by_class.items()
    }


def mean_dice(scores: Mapping[str, Mapping[str, float]]) -> float:
    """Mean over the sections that show a region, then over regions."""
    by_region: dict[str, list[float]] = {}
    for regions in scores.values():
        for name, value in regions.items():
            by_region.setdefault(name, []).append(value)
    return float(np.mean([np.mean(values) for values in by_region.values()]))


def measure(
    root: Path,
    out: Path,
    start: Start,
    rules: Sequence[str],
    seeds: Sequence[int],
    inner: bool,
    command: str,
) -> dict[str, Any]:
    """All runs that a file of results does not have yet, each written when it is done.

    Raises:
        UserError: the training part has too few sections, or the file has runs of other settings.
    """
    stage = read_stage(root, inner)
    facts = read_facts(root)
    record = read_runs(out)
    fixed = {
        "dataset": root.resolve().name,
        "subset": "inner" if inner else "val",
        "start": asdict(start) | checksum(start),
        "sha256": content_of(root),
    }
    demand_unchanged(record, fixed, out)
    if (earlier := record.get("command", command)) != command:
        command = earlier if command in earlier.split("; ") else f"{earlier}; {command}"
    record |= fixed | {
        "split": facts.record.get("split"),
        "command": command,
        "candidates": CANDIDATES,
        "corrected": CORRECTED,
        "n_drawn_from": len(stage.drawn_from),
        "regions": stage.regions.names,
        "known_regions": known_regions(stage),
        "unit": facts.unit,
        "environment": environment(),
    }
    if "before" not in record:
        record["before"] = score(stage, load_segmenter(start.weights), stage.known)
        _write(out, record)
    record["units"] = {name: facts.unit_of(name) for name in record["before"]}
    done = {(run["rule"], run["seed"]) for run in record["runs"]}
    for seed in seeds:
        waiting = [rule for rule in rules if (rule, seed) not in done]
        for rule, numbers in choices(stage, seed, waiting).items() if waiting else ():
            same = [
                run["scores"]
                for run in record["runs"]
                if run["seed"] == seed and set(run["corrected"]) == set(numbers)
            ]
            # Their order is that of the files, so the same sections give the same network.
            scores = same[0] if same else score(stage, trained_on(root, numbers, start, seed))
            run = {"rule": rule, "seed": seed, "corrected": numbers}
            record["runs"].append({**run, "dice_mean": mean_dice(scores), "scores": scores})
            _write(out, record)
            logger.info("%s, seed %d, %s: %.4f", rule, seed, numbers, mean_dice(scores))
    return record


def _write(out: Path, record: Mapping[str, Any]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_text(out, json.dumps(record, indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, choose, train and score."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", type=Path, required=True, help="prepared, with its regions")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the scores")
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=RULES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, help="in place of those of the learning curve")
    parser.add_argument("--inner", action="store_true", help="leave the test part alone")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    start = STARTS[NETWORK]
    start = replace(start, steps=args.steps) if args.steps else start
    command = f"python -m sebre.corrections.measure_gain --dataset {args.dataset}"
    command += f" --out {args.out} --rules {' '.join(args.rules)}"
    command += f" --seeds {' '.join(map(str, args.seeds))}"
    command += f" --steps {args.steps}" * bool(args.steps) + " --inner" * args.inner
    measure(args.dataset, args.out, start, args.rules, args.seeds, args.inner, command)


if __name__ == "__main__":
    run_module(main)
