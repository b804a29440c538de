"""Scores of registration, and of a network on the same sections: paper, Fig. 8 and Supp. 7.

A `sebre.registration.labelers.Labeler` labels the sections of the test part of a prepared data
set, upright and turned; the scores are those of `sebre.evaluation.evaluate`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import SetFacts, read_facts
from sebre.data.region_masks import RegionMasks
from sebre.data.regions import RegionSet
from sebre.data.rotation import rotated_versions
from sebre.evaluation.evaluate import demand_result_path, origin, save_json
from sebre.evaluation.scores import NETWORK, LabeledSection, Registration, Rotated, Times
from sebre.evaluation.section import Section, score_section
from sebre.evaluation.summary import summarize
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import Experiment
from sebre.networks.environment import environment
from sebre.networks.segmenter import load_segmenter
from sebre.registration.labelers import AtlasLabeler, Labeler, NetworkLabeler

TESTED = "val"
ROTATE = 20.0  # degrees: the ends of the paper's range


def evaluate_labeler(
    labeler: Labeler,
    root: str | Path,
    regions: RegionSet,
    rotate: float = ROTATE,
    limit: int | None = None,
    seed: int = 0,
    facts: Mapping[str, Any] | None = None,
) -> Registration:
    """Label each test section, upright and turned, and score the labels.

    Which sections, and how they are turned, does not depend on the labeler. Two runs with the
    same seed differ in times only; elastix must have one thread. Seconds of a section are processor
    time of all threads, those of the whole wall time. Without labels all regions count as missed.

    Args:
        labeler: see `sebre.registration.labelers`.
        root: folder of a prepared data set; scored is its test part ("val").
        regions: the region set.
        rotate: degrees that turned sections are turned by, to a side drawn at random, on a canvas
            that is enlarged so that nothing is cut off. Atlases stay upright.
        limit: how many sections, evenly spaced among those that show the most regions;
            None for all.
        seed: of the sides and of the bootstrap.
        facts: further entries of the record, such as the command.
    """
    start = time.perf_counter()
    if limit is not None and limit < 1:
        raise UserError(f"limit is {limit}; wanted at least 1 section, or None for all.")
    known = read_facts(root)
    tested = SectionDataset(regions).load(root, TESTED)
    tested.prepare()
    chosen = _chosen(tested, limit)

    def scores(angles: Sequence[float], whole: bool) -> dict[str, Any]:
        records: list[LabeledSection] = []
        sections = _labeled(labeler, tested, chosen, angles, known, records)
        return {
            # As they lie, and all of them, sections make up volumes.
            "scores": summarize(sections, regions, known, not whole, seed),
            "n_failed": sum(record.failed is not None for record in records),
            "seconds_per_section": _times(records),
            "sections": records,
        }

    sides = np.random.default_rng(seed).choice([-1, 1], len(chosen))
    upright = scores([0.0] * len(chosen), whole=limit is None)
    turned = scores((sides * float(rotate)).tolist(), whole=False)
    record = Registration(
        **origin("", root, TESTED, known),
        **labeler.facts(),
        limit=limit,
        seed=seed,
        **upright,
        turned=Rotated(rotate=rotate, enlarged=True, seed=seed, **turned),
        environment=environment(),
        seconds=round(time.perf_counter() - start, 1),
    )
    return replace(record, **(facts or {}))


def register_command(
    experiment: str,
    dataset: str | Path,
    method: str,
    out: str | Path,
    weights: str | Path | None = None,
    rotate: float = ROTATE,
    limit: int | None = None,
    seed: int = 0,
    threads: int = 1,
    command: str | None = None,
) -> Registration:
    """What `sebre register` does: `evaluate_labeler`, with its record written to a JSON file.

    Args:
        experiment: its name; it gives the regions.
        dataset: folder of a prepared data set.
        method: one of `sebre.registration.transform.METHODS`, or "network".
        out: JSON file to write.
        weights: of the network, a name or a path; None for a registration.
        rotate: degrees.
        limit: number of sections.
        seed: of what is random.
        threads: of elastix.
        command: for the record.
    """
    if experiment not in EXPERIMENTS:
        raise UserError(f"{experiment!r} is not one of {', '.join(EXPERIMENTS)}.")
    known = EXPERIMENTS[experiment]
    demand_result_path(out)
    labeler = _labeler(known, dataset, method, weights, seed, threads)
    facts = {"experiment": experiment, **({"command": command} if command else {})}
    record = evaluate_labeler(labeler, dataset, known.regions, rotate, limit, seed, facts)
    save_json(record, out)
    return record


def _labeler(
    experiment: Experiment,
    dataset: str | Path,
    method: str,
    weights: str | Path | None,
    seed: int,
    threads: int,
) -> Labeler:
    if method != NETWORK:
        if weights is not None:
            raise UserError(
                f"Weights ({weights}) are for the method {NETWORK}; {method} has none. Leave them "
                "out, or change the method."
            )
        return AtlasLabeler(dataset, experiment.regions, method, seed, threads)
    if weights is None:
        raise UserError(f"The method {NETWORK} needs weights; give a name or a path.")
    return NetworkLabeler(load_segmenter(weights, experiment))


def _labeled(
    labeler: Labeler,
    tested: SectionDataset,
    image_ids: Sequence[int],
    angles: Sequence[float],
    facts: SetFacts,
    records: list[LabeledSection],
) -> Iterator[Section]:
    """Label and score test sections at their angles, one at a time; adds to `records`."""
    for image_id, angle in zip(image_ids, angles, strict=True):
        name = tested.image_reference(image_id)
        masks = RegionMasks(*tested.load_mask(image_id)).by_class
        _, _, picture, turned = next(
            rotated_versions(tested.load_image(image_id), masks, enlarge=True, angles=(angle,))
        )
        labeled = labeler.label(name, picture)
        drawn = RegionMasks.of(turned, picture.shape)
        section = score_section(name, picture, drawn, labeled.result, facts.pixel_of(name))
        error = sum(score.error for score in section.scores.values()) / len(tested.regions)
        records.append(
            section.record(
                tested.regions,
                LabeledSection,
                mse=error,
                unit=facts.unit_of(name),
                angle=angle,
                **labeled.facts,
                seconds=labeled.seconds,
            )
        )
        yield section


def _chosen(tested: SectionDataset, limit: int | None) -> list[int]:
    """Test sections: all, or `limit` evenly spaced of those that show the most regions."""
    image_ids = [int(i) for i in tested.image_ids]
    if limit is None:
        return image_ids
    shown = {i: len(tested.load_mask(i)[1]) for i in image_ids}
    full = [i for i in image_ids if shown[i] == max(shown.values())]
    at = np.linspace(0, len(full) - 1, min(limit, len(full))).round().astype(int)
    return [full[i] for i in at]


def _times(records: Sequence[LabeledSection]) -> Times | None:
    """Of the seconds of the sections that did not fail."""
    seconds = [record.seconds for record in records if record.seconds is not None]
    return Times.of(seconds, "processor")
