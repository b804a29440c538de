"""Scores of labels that are copied from the most similar training section, unregistered.

    python -m sebre.trials.copied_labels extended_mouse --dataset datasets/ccf \
        --atlases datasets/demba --out results/copied/ccf.json

The least that a network must be better than: it looks at no structure, only for the section that
resembles most. The record is one of `sebre evaluate`, so that scores can be paired by section.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sebre.data.metadata import read_facts
from sebre.data.region_masks import RegionMasks
from sebre.evaluation.evaluate import demand_result_path, origin, recorded, save_json
from sebre.evaluation.scores import COPIED_LABELS, Evaluation, SectionScore
from sebre.evaluation.section import Section, score_section
from sebre.evaluation.summary import summarize
from sebre.experiments import EXPERIMENTS
from sebre.networks.environment import environment
from sebre.program import run_module
from sebre.registration.labelers import LABELED, AtlasLabeler

_TESTED = "val"


def score_copied(
    experiment: str,
    root: str | Path,
    atlases: str | Path | None = None,
    most: int | None = None,
    seed: int = 0,
    command: str | None = None,
) -> Evaluation:
    """Copy labels to each section of the test part of a prepared data set, and score them.

    Args:
        experiment: its name; it gives the regions.
        root: folder of the data set.
        atlases: of the data set whose training part labels come from; None for the same. Of
            another one all sections are compared, as places in the brain do not agree.
        most: sections at most, evenly over the test part; None for all.
        seed: of the intervals.
        command: for the record.
    """
    start = time.perf_counter()
    known, regions = read_facts(root), EXPERIMENTS[experiment].regions
    tested = EXPERIMENTS[experiment].load(root, _TESTED)
    source = Path(atlases or root).resolve()
    labeler = AtlasLabeler(source, regions, "none")
    # A name that no training section has a place beside: all are compared.
    other = "" if source == Path(root).resolve() else f"{Path(root).name}/"
    records: list[SectionScore] = []

    def sections() -> Iterator[Section]:
        for image_id in spread(tested.image_ids, most):
            name, picture = tested.image_reference(image_id), tested.load_image(image_id)
            drawn = RegionMasks(*tested.load_mask(image_id)).shown()
            result = labeler.label(f"{other}{name}", picture).result
            yield score_section(name, picture, drawn, result, contours=False)

    scores = summarize(recorded(sections(), regions, records, known), regions, known, seed=seed)
    return Evaluation(
        **origin(experiment, root, _TESTED, known),
        network=COPIED_LABELS,
        weights=f"{source.name}, {LABELED}",
        seed=seed,
        command=command,
        scores=scores,
        turned=None,
        environment=environment(),
        seconds=round(time.perf_counter() - start, 1),
        sections=records,
    )


def spread(items: Sequence, most: int | None) -> list:
    """Some of many things, evenly; all for None."""
    some = len(items) if most is None else min(most, len(items))
    return [items[i] for i in np.linspace(0, len(items) - 1, some).round().astype(int)]


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, score, and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--dataset", type=Path, required=True, help="prepared")
    parser.add_argument("--atlases", type=Path, help="data set to copy from, if it is another")
    parser.add_argument("--most", type=int, help="sections at most, spread evenly")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    demand_result_path(args.out)
    command = f"python -m sebre.trials.copied_labels {args.experiment} --dataset {args.dataset}"
    command += f" --atlases {args.atlases}" if args.atlases else ""
    command += f" --most {args.most}" if args.most else ""
    command += f" --out {args.out}"
    record = score_copied(args.experiment, args.dataset, args.atlases, args.most, command=command)
    save_json(record, args.out)


if __name__ == "__main__":
    run_module(main)
