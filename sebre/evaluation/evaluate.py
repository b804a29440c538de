"""Scores of a network on a prepared data set.

All scores are taken at the resolution of the section as stored, not at the network's. What
they mean is said where they are computed: of two masks in `sebre.evaluation.mask_metrics`, of a
section in `sebre.evaluation.section` and `sebre.evaluation.failures`, of a data set in
`sebre.evaluation.summary`, `sebre.evaluation.average_precision`, `sebre.evaluation.bootstrap`,
`sebre.evaluation.volumes` and `sebre.evaluation.angles`.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.data.augment import RandomRotateFlip
from mrcnn.errors import UserError
from mrcnn.io.files import replace_text
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import read_facts
from sebre.data.regions import RegionSet
from sebre.evaluation.angles import score_angles
from sebre.evaluation.section import Section, score_section
from sebre.evaluation.summary import summarize
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import ANY_TURN, Turn
from sebre.networks.environment import environment
from sebre.networks.segmenter import MaskRCNNSegmenter, Segmenter

TURN_DRAWS = 5  # orientations a section
TURN_SEED = 0


def iterate_sections(
    segmenter: Segmenter,
    dataset: SectionDataset,
    turn: Turn | None = None,
    seed: int = TURN_SEED,
    pixel_mm: Callable[[str], Sequence[float] | None] | None = None,
    draws: int | None = None,
) -> Iterator[Section]:
    """Detect and score the sections of a prepared data set, one at a time.

    Args:
        segmenter: the network.
        dataset: prepared.
        turn: instead of the sections as they lie, take each at random orientations of this
            range. What comes from outside the picture has the median
            color of its border.
        seed: of the orientations.
        pixel_mm: gives height and width of a pixel of a section in mm, by its name, or None
            if they are not known; None if they are known of none.
        draws: orientations a section; None for `TURN_DRAWS`.
    """
    draws = TURN_DRAWS if draws is None else draws
    rng = np.random.default_rng(seed)
    for image_id in dataset.image_ids:
        name = dataset.image_reference(image_id)
        image = dataset.load_image(image_id)
        masks, class_ids = dataset.load_mask(image_id)
        versions = [(name, image, masks)]
        if turn is not None:
            versions = (
                (f"{name}#{draw}", *_turned(image, masks, turn, rng)) for draw in range(draws)
            )
        for version, picture, drawn in versions:
            seen = drawn.any(axis=(0, 1))
            result = segmenter.detect([picture])[0]
            pixel = pixel_mm(name) if pixel_mm else None
            yield score_section(version, picture, drawn[..., seen], class_ids[seen], result, pixel)


def evaluate_sections(
    segmenter: Segmenter,
    dataset: SectionDataset,
    turned: bool = False,
    seed: int = TURN_SEED,
    turn: Turn = ANY_TURN,
) -> list[Section]:
    """`iterate_sections` as a list, with all images and masks: for small data sets.

    Args:
        segmenter: the network.
        dataset: prepared.
        turned: at random orientations instead of as they lie.
        seed: of the orientations.
        turn: their range.
    """
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
) -> dict[str, Any]:
    """Everything `sebre evaluate` writes.

    Two runs with the same seed on one machine differ in "seconds" only.

    Args:
        segmenter: the network.
        dataset: prepared.
        experiment: its name.
        root: folder of the data set, for the record, its pixel size and its subjects.
        turn: range of the random orientations; None takes that of the experiment.
        seed: of the orientations, and of the bootstrap.
        facts: further entries of the record, such as the command.
        draws: random orientations a section; None for `TURN_DRAWS`, 0 for none.
        angles: angles to turn the sections by as well (`score_angles`), such as the
            `default_angles` of the experiment; None for none.
        angle_sections: sections to turn by these, at most; None for all.
        slice_um: distance between the slices of volumes, instead of what the data set says.

    Returns:
        Where the scores come from, with the kind of the "network" and, as far as it has them,
        its settings ("image_px", the longer side that it sees, "detection_min_confidence" and
        "best_per_class"); `summarize` of the sections as they lie; under "turned" that at
        random orientations, if any; under "angles" the scores by angle, if any; the
        environment; wall time in "seconds"; and under "sections" the scores of each section as
        it lies.

    Raises:
        ValueError: no `turn` for an experiment that is not in the table, or the data set's
            own facts cannot be read.
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
    records: list[dict[str, Any]] = []
    lying = iterate_sections(segmenter, dataset, pixel_mm=known.pixel_of)
    scores = summarize(_recorded(lying, regions, records), regions, known, seed=seed)
    draws = TURN_DRAWS if draws is None else draws
    turned = None
    if draws:
        versions = iterate_sections(segmenter, dataset, turn, seed, draws=draws)
        turned = {
            "draws_per_section": draws,
            "max_angle": turn.max_angle,
            "flip": turn.flip,
            "seed": seed,
            **summarize(versions, regions, known, turned=True, seed=seed),
        }
    by_angle = None
    if angles is not None:
        by_angle = score_angles(segmenter, dataset, angles, known, angle_sections, seed)
    subsets = {dataset.image_info[i]["subset"] for i in dataset.image_ids}
    return {
        "experiment": experiment,
        "dataset": Path(root).resolve().name,
        "subset": " ".join(sorted(subsets)),
        "split": known.record.get("split"),
        "plane": known.record.get("plane"),
        "pixel_size_um": known.record.get("pixel_size_um"),
        "slice_spacing_um": slice_um or known.record.get("slice_spacing_um"),
        "network": segmenter.network,
        "weights": segmenter.weights.name or segmenter.weights.path.name,
        "weights_sha256": segmenter.weights.sha256,
        **_settings(segmenter),
        "seed": seed,
        **(facts or {}),
        **scores,
        "turned": turned,
        "angles": by_angle,
        "environment": environment(),
        "seconds": round(time.perf_counter() - start, 1),
        "sections": records,
    }


def save_json(record: dict[str, Any], path: str | Path) -> None:
    """Write a record, atomically."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(record, indent=1) + "\n")


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
    image: np.ndarray, masks: np.ndarray, turn: Turn, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A section in a random orientation, on its own background."""
    move = RandomRotateFlip(turn.max_angle, turn.flip, scale=(1, 1), gamma=(1, 1))
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    background = np.median(border, axis=0).astype(np.int16)
    # Outside the picture there are zeros, so zero is made the background.
    moved, masks = move(image - background, masks, rng=rng)
    return (moved + background).astype(np.uint8), masks


def _recorded(
    sections: Iterable[Section], regions: RegionSet, records: list[dict[str, Any]]
) -> Iterator[Section]:
    """Pass sections on, and keep the scores of each."""
    for section in sections:
        records.append(section_record(section, regions))
        yield section


def section_record(section: Section, regions: RegionSet) -> dict[str, Any]:
    """What result files say of one section: its AP, and the scores of each region drawn."""
    return {
        "section": section.name,
        "ap": section.ap,
        "regions": {
            regions[i].name: {
                "score": section.scores[i],
                "iou": section.ious[i],
                "dice": section.dices[i],
                "hausdorff_px": section.hausdorffs.get(i),
                "hausdorff95_px": section.hausdorffs95.get(i),
                "cmd_px": section.cmds.get(i),
            }
            for i in section.dices
        },
    }
