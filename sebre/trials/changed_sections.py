"""Scores of a network on sections that are broken, larger or smaller, or of inverted contrast.

    python -m sebre.trials.changed_sections slicemap --dataset datasets/slicemap \
        --out results/changed/slicemap.json

Sections of the test part are changed in each of `KINDS` and scored beside themselves as they lie.
Masks change with the section; those that become smaller than the data set takes are left out.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from sebre.data.dataset import SectionDataset
from sebre.data.metadata import SetFacts, read_facts
from sebre.data.region_masks import RegionMasks
from sebre.evaluation.bootstrap import Difference, paired_difference
from sebre.evaluation.evaluate import origin, recorded
from sebre.evaluation.scores import Scores, SectionScore
from sebre.evaluation.section import Section, score_section
from sebre.evaluation.summary import summarize
from sebre.experiments import EXPERIMENTS
from sebre.networks.environment import environment
from sebre.networks.segmenter import Segmenter, load_segmenter
from sebre.program import run_module
from sebre.trials.copied_labels import spread
from sebre.trials.section_changes import KINDS, Kind
from sebre.trials.trial_files import demand_trial_path, save_trial

MOST = 60  # sections
FEW, DRAWS = 30, 3  # with fewer sections than FEW, each is damaged DRAWS times
_TESTED = "val"


def changed_versions(
    sections: SectionDataset,
    image_ids: Sequence[int],
    kind: Kind | None,
    draws: int,
    least_px: int,
    seed: int,
) -> Iterator[tuple[str, np.ndarray, RegionMasks]]:
    """Name, picture and masks of each version of each section; None leaves them as they lie.

    A version has the regions of which `least_px` pixels are left; without any it is left out.
    """
    rng = np.random.default_rng(seed)
    for image_id in image_ids:
        name, image = sections.image_reference(image_id), sections.load_image(image_id)
        drawn = RegionMasks(*sections.load_mask(image_id)).shown()
        for draw in range(draws if kind and kind.by_chance else 1):
            picture, masks = kind.change(image, drawn, rng) if kind else (image, drawn)
            kept = {i: mask for i, mask in masks.by_class.items() if mask.sum() >= least_px}
            if kept:
                yield f"{name}#{draw}", picture, RegionMasks.of(kept, image.shape)


def score_changed(
    segmenter: Segmenter, experiment: str, root: str | Path, most: int = MOST, seed: int = 0
) -> dict[str, Any]:
    """Score a network on the sections of the test part of a data set, changed in every way.

    Args:
        segmenter: the network.
        experiment: its name.
        root: folder of a prepared data set.
        most: sections at most, evenly over the test part.
        seed: of the damage and of the intervals.

    Returns:
        A record of plain JSON values: of the sections as they lie and of each kind of change
        the scores, and of a change how much less they are, paired by section, with its interval.
    """
    start = time.perf_counter()
    known = read_facts(root)
    sections = EXPERIMENTS[experiment].load(root, _TESTED)
    sections.contrast = segmenter.config.CONTRAST
    image_ids = spread(sections.image_ids, most)
    draws = DRAWS if len(image_ids) < FEW else 1
    least = int((known.record.get("processing") or {}).get("min_mask_px") or 1)
    kinds: dict[str, Any] = {}
    plain: list[SectionScore] = []
    for title, kind in {"as they lie": None, **KINDS}.items():
        versions = changed_versions(sections, image_ids, kind, draws, least, seed)
        scores, records = _scored(segmenter, versions, known, seed)
        kinds[title] = {
            "group": kind.group if kind else "",
            "n_sections": len(image_ids),
            "n_versions": scores.n_sections,
            "map_paper": scores.map_paper,
            "dice_mean": scores.dice_mean,
            "dice_per_region": {name: means.dice for name, means in scores.regions.items()},
            "intervals": scores.intervals.to_json(),
        }
        if kind is None:
            plain = records
        else:
            kinds[title] |= {"less": _less(records, plain)}
    return {
        **origin(experiment, root, _TESTED, known),
        "network": segmenter.network,
        "weights": segmenter.weights.name or segmenter.weights.path.name,
        "weights_sha256": segmenter.weights.sha256,
        "detection_min_confidence": getattr(segmenter.config, "DETECTION_MIN_CONFIDENCE", None),
        "draws": draws,
        "seed": seed,
        "kinds": kinds,
        "environment": environment(),
        "seconds": round(time.perf_counter() - start, 1),
    }


def _scored(
    segmenter: Segmenter, versions: Iterator, known: SetFacts, seed: int
) -> tuple[Scores, list[SectionScore]]:
    records: list[SectionScore] = []

    def scored() -> Iterator[Section]:
        for name, picture, drawn in versions:
            result = segmenter.detect([picture])[0]
            yield score_section(name, picture, drawn, result, contours=False)

    found = recorded(scored(), segmenter.regions, records, known)
    return summarize(found, segmenter.regions, known, turned=True, seed=seed), records


def _less(changed: Sequence[SectionScore], plain: Sequence[SectionScore]) -> dict[str, Any]:
    """Scores of changed sections minus those of the same as they lie, of the regions left."""
    by_name = {record.section.partition("#")[0]: record for record in plain}
    pairs = []
    for record in changed:
        name = record.section.partition("#")[0]
        regions = {r: s for r, s in by_name[name].regions.items() if r in record.regions}
        unit = record.unit or name
        pairs.append(
            (
                replace(record, unit=unit),
                replace(by_name[name], section=record.section, regions=regions),
            )
        )
    return {
        key: _plain(paired_difference(*zip(*pairs, strict=True), key)) if pairs else None
        for key in ("ap", "dice")
    }


def _plain(difference: Difference | None) -> dict[str, Any] | None:
    return asdict(difference) if difference else None


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, score, and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--dataset", type=Path, required=True, help="prepared")
    parser.add_argument("--weights", required=True, help="name or file")
    parser.add_argument("--most", type=int, default=MOST, help="sections at most, spread evenly")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    demand_trial_path(args.out)
    segmenter = load_segmenter(args.weights, EXPERIMENTS[args.experiment])
    command = f"python -m sebre.trials.changed_sections {args.experiment} --dataset {args.dataset}"
    command += f" --weights {args.weights} --most {args.most} --out {args.out}"
    found = score_changed(segmenter, args.experiment, args.dataset, args.most)
    save_trial({"trial": "changed sections", "command": command, **found}, args.out)


if __name__ == "__main__":
    run_module(main)
