"""Scores of sections that are left out one after the other, for data sets of a few sections.

    python -m sebre.evaluation.leave_one_out --dataset datasets/sebre_figures --out loo.json

trains the network of any section, from its shipped weights and once from random ones, on all
sections of a prepared data set but one, and scores that one. Steps and rate are those of
`sebre.evaluation.learning_curve`, which were chosen on other data sets. A call that is stopped goes
on when it is started again.
"""

import argparse
import json
import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.io.files import replace_text
from sebre.data.metadata import origins, read_facts
from sebre.data.section_files import list_subset
from sebre.evaluation.evaluate import evaluate_sections
from sebre.evaluation.learning_curve import STARTS, Start, demand_same, read_runs, trained_on
from sebre.experiments.base import Experiment
from sebre.experiments.custom import experiment_of_dataset
from sebre.networks.environment import environment
from sebre.networks.training_run import dataset_facts
from sebre.program import run_module

logger = logging.getLogger(__name__)

_LEAST = 3  # sections of a data set


def score_left_out(
    root: Path, experiment: Experiment, left_out: int, start: Start, seed: int
) -> dict[str, Any]:
    """Train on all sections of the training part but one, and score that one.

    Returns:
        `section`, `seed`, `ap` (mean average precision over its regions at a mask IoU of 0.5; None
        where none is drawn) and `dice`: that of each drawn region by name, 0 where it was not
        found.
    """
    numbers = [number for number in sorted(list_subset(root, "train")[0]) if number != left_out]
    network = trained_on(root, numbers, start, seed)
    scored = experiment.sections().load(root, "train", numbers=[left_out])
    scored.prepare()
    (section,) = evaluate_sections(network, scored)
    names = {region.id: region.name for region in experiment.regions}
    dices = {names[i]: float(value) for i, value in section.dices.items() if value is not None}
    ap = None if section.ap is None else float(section.ap)
    return {"section": left_out, "seed": seed, "ap": ap, "dice": dices}


def measure(
    root: Path, out: Path, starts: Sequence[str], seeds: Sequence[int], command: str
) -> dict[str, Any]:
    """All runs that a file of results does not have yet, each written when it is done.

    Raises:
        UserError: too few sections, versions of sections, or a file with runs of other settings.
    """
    listed, _ = list_subset(root, "train")
    _demand_single(root, listed)
    if len(listed) < _LEAST:
        raise UserError(
            f"{root}: {len(listed)} section(s) in its training part; to leave one out takes "
            f"{_LEAST} or more. Prepare it with --split train."
        )
    experiment = experiment_of_dataset(root)
    record = read_runs(out)
    fixed = {"dataset": root.resolve().name, "sha256": dataset_facts(root)["sha256"]}
    record |= fixed | {
        "split": "each section left out once",
        "source": read_facts(root).record.get("source"),
        "command": command,
        "n_sections": len(listed),
        "starts": demand_same(record, fixed, {name: STARTS[name] for name in starts}, out),
        "environment": environment(),
    }
    done = {(run["start"], run["section"], run["seed"]) for run in record["runs"]}
    for name in starts:
        for seed in seeds:
            for left_out in sorted(listed):
                if (name, left_out, seed) not in done:
                    run = score_left_out(root, experiment, left_out, STARTS[name], seed)
                    record["runs"].append({"start": name, **run})
                    _write(record, name, out)
        _write(record, name, out)
        logger.info("%s: %s", name, record["means"][name])
    return record


def _demand_single(root: Path, listed: Collection[int]) -> None:
    """Raise a UserError where what is learned from shows what is left out, turned; warn where it
    may show its animal."""
    known = origins(root, "train")
    rows = [known[number] for number in listed if number in known]
    sections = [row["section"] for row in rows]
    if len(set(sections)) < len(sections):
        raise UserError(
            f"{root}: has turned versions of its sections, of which all but one would stay in "
            "training. Prepare it without --rotations."
        )
    animals = [row["subject"] for row in rows if row["subject"]]
    if len(set(animals)) < len(animals):
        logger.warning(
            "%s: has several sections of an animal, so that scores are too high for a new one.",
            root,
        )


def _write(record: dict[str, Any], name: str, out: Path) -> None:
    runs = [run for run in record["runs"] if run["start"] == name]
    record.setdefault("means", {})[name] = mean_scores(runs)
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_text(out, json.dumps(record, indent=1) + "\n")


def mean_scores(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Mean over runs of `ap` and of the mean `dice` of a section."""
    aps = [run["ap"] for run in runs if run["ap"] is not None]
    dices = [float(np.mean(list(run["dice"].values()))) for run in runs if run["dice"]]
    return {"ap": float(np.mean(aps)), "dice": float(np.mean(dices)), "n_runs": len(runs)}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, train and score."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", type=Path, required=True, help="prepared, with its regions")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the scores")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--starts", nargs="+", default=list(STARTS), choices=STARTS)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    command = f"python -m sebre.evaluation.leave_one_out --dataset {args.dataset}"
    command += f" --out {args.out} --seeds {' '.join(map(str, args.seeds))}"
    measure(args.dataset, args.out, args.starts, args.seeds, command)


if __name__ == "__main__":
    run_module(main)
