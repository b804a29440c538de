"""Scores of a network on a prepared data set, at the resolution of the sections as stored.

What they mean is said where they are computed: of two masks in `mask_metrics`, of a section in
`section` and `failures`, of a data set in `summary`, `average_precision`, `bootstrap`, `volumes`
and `angles`, all in `sebre.evaluation`.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.data.augment import RandomRotateFlip
from mrcnn.errors import UserError
from mrcnn.io.own_files import demand_own, replace_own_text
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import SetFacts, read_facts
from sebre.data.region_masks import RegionMasks
from sebre.data.regions import RegionSet
from sebre.evaluation.angles import score_angles
from sebre.evaluation.scores import Evaluation, Registration, SectionScore, Times, Turned
from sebre.evaluation.section import Section, score_section
from sebre.evaluation.stored import Stored
from sebre.evaluation.summary import summarize
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import ANY_TURN, Turn
from sebre.networks.environment import environment
from sebre.networks.segmenter import MaskRCNNSegmenter, Segmenter, count_parameters
from sebre.networks.training_run import training_seconds

TURN_DRAWS = 5  # orientations per section
TURN_SEED = 0


def iterate_sections(
    segmenter: Segmenter,
    dataset: SectionDataset,
    turn: Turn | None = None,
    seed: int = TURN_SEED,
    pixel_mm: Callable[[str], Sequence[float] | None] | None = None,
    draws: int | None = None,
    seconds: list[float] | None = None,
) -> Iterator[Section]:
    """Detect and score the sections of a prepared data set, one at a time.

    Args:
        segmenter: the network.
        dataset: prepared.
        turn: instead of the sections as they lie, take each at random orientations of this
            range. What comes from outside the picture has the median color of its border.
        seed: of the orientations.
        pixel_mm: gives height and width of a pixel of a section in mm, by its name, or None
            if they are not known; None if they are known of none.
        draws: orientations per section; None for `TURN_DRAWS`.
        seconds: gets the wall time of each detection.
    """
    draws = TURN_DRAWS if draws is None else draws
    rng = np.random.default_rng(seed)
    dataset.contrast = segmenter.config.CONTRAST
    for image_id in dataset.image_ids:
        name = dataset.image_reference(image_id)
        image = dataset.load_image(image_id)
        drawn = RegionMasks(*dataset.load_mask(image_id))
        versions = [(name, image, drawn)]
        if turn is not None:
            versions = (
                (f"{name}#{draw}", *_turned(image, drawn, turn, rng)) for draw in range(draws)
            )
        for version, picture, masks in versions:
            begun = time.perf_counter()
            result = segmenter.detect([picture])[0]
            if seconds is not None:
                seconds.append(time.perf_counter() - begun)
            pixel = pixel_mm(name) if pixel_mm else None
            yield score_section(version, picture, masks.shown(), result, pixel)


def evaluate_sections(
    segmenter: Segmenter,
    dataset: SectionDataset,
    turned: bool = False,
    seed: int = TURN_SEED,
    turn: Turn = ANY_TURN,
) -> list[Section]:
    """`iterate_sections` as a list, with all images and masks: for small data sets."""
    return list(iterate_sections(segmenter, dataset, turn if turned else None, seed))


def evaluate(
    segmenter: Segmenter,
    dataset: SectionDataset,
    experiment: str,
    root: str | Path,
    turn: Turn | None = None,
    seed: int = TURN_SEED,
    facts: Mapping[str, Any] | None = None,
    draws: int | None = None,
    angles: Sequence[float] | None = None,
    angle_sections: int | None = None,
    slice_um: float | None = None,
) -> Evaluation:
    """Everything `sebre evaluate` writes.

    Two runs with the same seed on one machine differ in "seconds" and "seconds_per_section" only.

    Args:
        segmenter: the network.
        dataset: prepared.
        experiment: its name.
        root: folder of the data set, for the record, its pixel size and its subjects.
        turn: range of the random orientations; None takes that of the experiment.
        seed: of the orientations, and of the bootstrap.
        facts: further entries of the record, such as the command.
        draws: random orientations per section; None for `TURN_DRAWS`, 0 for none.
        angles: to turn the sections by as well (`score_angles`), such as `default_angles`.
        angle_sections: sections to turn by these, at most; None for all.
        slice_um: distance between the slices of volumes, instead of what the data set says.
    """
    start = time.perf_counter()
    if turn is None:
        if experiment not in EXPERIMENTS:
            raise UserError(
                f"{experiment!r} is not one of {', '.join(EXPERIMENTS)}; give the range of "
                "orientations to evaluate at."
            )
        turn = EXPERIMENTS[experiment].turn
    known = read_facts(root, slice_um)
    regions = dataset.regions
    records: list[SectionScore] = []
    seconds: list[float] = []
    lying = iterate_sections(segmenter, dataset, pixel_mm=known.pixel_of, seconds=seconds)
    scores = summarize(recorded(lying, regions, records, known), regions, known, seed=seed)
    draws = TURN_DRAWS if draws is None else draws
    turned = by_angle = None
    if draws:
        versions = iterate_sections(segmenter, dataset, turn, seed, draws=draws)
        turned = Turned(
            draws_per_section=draws,
            max_angle=turn.max_angle,
            flip=turn.flip,
            seed=seed,
            scores=summarize(versions, regions, known, turned=True, seed=seed),
        )
    if angles is not None:
        by_angle = score_angles(segmenter, dataset, angles, known, angle_sections, seed)
    subsets = {dataset.image_info[i]["subset"] for i in dataset.image_ids}
    record = Evaluation(
        **origin(experiment, root, " ".join(sorted(subsets)), known),
        slice_spacing_um=slice_um or known.record.get("slice_spacing_um"),
        network=segmenter.network,
        weights=segmenter.weights.name or segmenter.weights.path.name,
        weights_sha256=segmenter.weights.sha256,
        **_settings(segmenter),
        seed=seed,
        scores=scores,
        turned=turned,
        angles=by_angle,
        environment=environment(),
        parameters=count_parameters(segmenter),
        training_seconds=training_seconds(segmenter.weights),
        seconds_per_section=Times.of(seconds, "wall"),
        seconds=round(time.perf_counter() - start, 1),
        sections=records,
    )
    return replace(record, **(facts or {}))


def origin(experiment: str, root: str | Path, subset: str, known: SetFacts) -> dict[str, Any]:
    """The fields of a `sebre.evaluation.scores.Record`."""
    return {
        "experiment": experiment,
        "dataset": Path(root).resolve().name,
        "subset": subset,
        "split": known.record.get("split"),
        "plane": known.record.get("plane"),
        "pixel_size_um": known.record.get("pixel_size_um"),
    }


def save_json(record: Stored | Mapping[str, Any], path: str | Path) -> None:
    """Write a record, atomically; see `demand_result_path`."""
    content = record.to_json() if isinstance(record, Stored) else record
    replace_own_text(path, json.dumps(content, indent=1) + "\n", known=_is_result)


def demand_result_path(path: str | Path, inputs: Sequence[str | Path] = ()) -> None:
    """Raise a UserError unless a record can be written: it replaces nothing but another record."""
    demand_own([path], inputs, _is_result)


def _is_result(path: Path) -> bool:
    """Whether a file is a record of scores, as those that are shipped."""
    for kind in (Evaluation, Registration):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            kind.from_json(json.loads(path.read_text(encoding="utf-8")))
            return True
    return False


def _settings(segmenter: Segmenter) -> dict[str, Any]:
    """What of the settings of a network changes its scores; None where it has no such thing."""
    config = getattr(segmenter, "config", None)
    # The settings of a U-Net inherit those of detections, and do not use them.
    detects = config if segmenter.network == MaskRCNNSegmenter.network else None
    return {
        "image_px": getattr(config, "IMAGE_MAX_DIM", None),
        "detection_min_confidence": getattr(detects, "DETECTION_MIN_CONFIDENCE", None),
        "best_per_class": getattr(detects, "BEST_PER_CLASS", None),
    }


def _turned(
    image: np.ndarray, masks: RegionMasks, turn: Turn, rng: np.random.Generator
) -> tuple[np.ndarray, RegionMasks]:
    """A section in a random orientation, on its own background."""
    move = RandomRotateFlip(turn.max_angle, turn.flip, scale=(1, 1), gamma=(1, 1))
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    background = np.median(border, axis=0).astype(np.int16)
    # Outside the picture there are zeros, so zero is made the background.
    moved, stack = move(image - background, masks.stack, rng=rng)
    return (moved + background).astype(np.uint8), RegionMasks(stack, masks.class_ids)


def recorded(
    sections: Iterable[Section],
    regions: RegionSet,
    records: list[SectionScore],
    facts: SetFacts,
) -> Iterator[Section]:
    """Pass sections on, and keep the scores of each, with what intervals are over where that is not
    the picture: its animal, or the section that it is a version of."""
    for section in sections:
        record = section.record(regions)
        if facts.unit == "subject" or facts.has_versions:
            record.unit = facts.unit_of(section.name)
        records.append(record)
        yield section
