"""Networks that each left some sections out, scored together on all sections.

    sebre prepare SOURCE --raw RAW --split section=0,1,2 --out FOLD1      # and so on, of all parts
    sebre train EXPERIMENT --small --dataset FOLD1 --logs LOGS1           # on what is left of it
    sebre prepare SOURCE --raw RAW --split test --out DIR
    python -m sebre.trials.cross_validation EXPERIMENT --dataset DIR
        --folds FOLD1=LOGS1/RUN FOLD2=LOGS2/RUN ... --out FILE.json

Each section of DIR is segmented by the network of the fold that has it in its test part, told by
its pixels; several networks of a fold (FOLD=WEIGHTS,WEIGHTS) count together, as in
`sebre.trials.several_networks`. The record is that of `sebre evaluate`, over all sections.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from sebre.data.dataset import SectionDataset
from sebre.data.listing import some
from sebre.data.metadata import read_facts
from sebre.evaluation.evaluate import demand_result_path, evaluate
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import Experiment
from sebre.networks.segmenter import Segmenter, count_parameters, load_segmenter
from sebre.networks.training_run import dataset_facts, read_run
from sebre.program import run_module
from sebre.trials.known_sections import names_by_pixels, pixel_digest
from sebre.trials.several_networks import Agreement, views_of
from sebre.trials.trial_files import joined_weights, save_scores

_MODULE = "sebre.trials.cross_validation"
_TESTED = "val"


class LeftOut:
    """Networks of folds as one `sebre.networks.segmenter.Segmenter`, for sections that one of them
    has left out of its training.

    Args:
        folds: what finds the regions, and the sections that it has not seen.
    """

    def __init__(self, folds: Sequence[tuple[Segmenter, SectionDataset]]):
        first = folds[0][0]
        self.config, self.regions, self.network = first.config, first.regions, first.network
        self.parameters = count_parameters(first)
        self.weights = joined_weights([segmenter.weights for segmenter, _ in folds])
        self._left_out: dict[bytes, Segmenter] = {}
        for segmenter, tested in folds:
            tested.contrast = segmenter.config.CONTRAST
            for digest, name in names_by_pixels(tested).items():
                if digest in self._left_out:
                    raise UserError(
                        f"{name}: in the test part of two folds. Leave each section out once."
                    )
                self._left_out[digest] = segmenter

    def demand_all(self, dataset: SectionDataset, root: Path) -> None:
        """Raise a UserError where a section is in no fold's test part, or the other way round."""
        names = names_by_pixels(dataset)
        if missing := [name for digest, name in names.items() if digest not in self._left_out]:
            raise UserError(
                f"{root}: {some(missing)} in the test part of no fold. Give the folds of all "
                "sections (--folds), prepared as these."
            )
        if more := len(self._left_out.keys() - names.keys()):
            raise UserError(
                f"{root}: lacks {more} section(s) that a fold leaves out. Prepare all of them "
                "(`sebre prepare ... --split test`)."
            )

    def detect(self, images: Sequence[np.ndarray], masks: str = "full") -> list[dict[str, Any]]:
        """As `MaskRCNN.detect`, of sections of the folds as they lie."""
        return [self._left_out[pixel_digest(image)].detect([image], masks)[0] for image in images]


def load_folds(
    experiment: Experiment,
    folds: Mapping[Path, Sequence[str]],
    turns: Sequence[float] = (0.0,),
) -> LeftOut:
    """The networks of folds.

    Args:
        experiment: what they find.
        folds: weights, by the folder of the prepared set that they learned from.
        turns: degrees by which each looks at a section.

    Raises:
        UserError: weights that were not trained on their fold, or do not say so.
    """
    loaded = []
    for root, names in folds.items():
        segmenters = [load_segmenter(name, experiment) for name in names]
        for segmenter in segmenters:
            demand_trained_on(segmenter, root)
        several = len(segmenters) > 1 or len(turns) > 1
        network = Agreement(segmenters, views_of(turns)) if several else segmenters[0]
        loaded.append((network, experiment.load(root, _TESTED)))
    return LeftOut(loaded)


def demand_trained_on(segmenter: Segmenter, root: Path) -> None:
    """Raise a UserError unless weights say that they learned from this prepared set."""
    path = segmenter.weights.path
    known = read_run(path.parent).get("dataset", {}).get("sha256")
    if known != dataset_facts(root)["sha256"]:
        what = "do not say what they learned from" if known is None else "learned from another set"
        raise UserError(
            f"{path}: these weights {what}; wanted a run of `sebre train` on {root}. Give it as "
            "FOLD=FOLDER_OF_THE_RUN."
        )


def _fold(text: str) -> tuple[Path, list[str]]:
    root, sign, weights = text.partition("=")
    if not sign or not root or not all(weights.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r}; wanted FOLD=WEIGHTS[,WEIGHTS]")
    return Path(root), weights.split(",")


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments of the command line and score; returns the exit code."""
    argv = sys.argv[1:] if argv is None else [str(word) for word in argv]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--dataset", type=Path, required=True, help="all sections, as a test part")
    parser.add_argument("--folds", type=_fold, nargs="+", required=True, metavar="FOLD=WEIGHTS")
    parser.add_argument("--turns", type=float, nargs="+", default=[0.0], help="degrees")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    demand_result_path(args.out)
    if len(args.folds) < 2 or len(dict(args.folds)) < len(args.folds):
        raise UserError("--folds: wanted two folds or more, each once.")
    experiment = EXPERIMENTS[args.experiment]
    dataset = experiment.load(args.dataset, _TESTED)
    network = load_folds(experiment, dict(args.folds), args.turns)
    dataset.contrast = network.config.CONTRAST
    network.demand_all(dataset, args.dataset)
    command = f"python -m {_MODULE} {shlex.join(argv)}"
    record = evaluate(
        network, dataset, experiment.name, args.dataset, facts={"command": command}, draws=0
    )
    of_a_fold = read_facts(next(iter(dict(args.folds)))).record.get("split") or {}
    rule = f"each section left out once, in {len(args.folds)} folds"
    record = replace(record, split={**of_a_fold, "rule": rule})
    return save_scores(record, args.out)


if __name__ == "__main__":
    run_module(main)
