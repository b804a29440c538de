"""Scores of a network on prepared sections.

All scores are taken at the resolution of the section as stored, not at the network's.

- AP (the paper's mAP is its mean over sections): per section, all regions pooled, a
  detection counts when its mask has IoU of at least 0.5 with the drawn mask of its region.
- Dice and IoU: per region drawn in a section, against the best-scoring detection of that
  region; a region that was missed has 0. Means are over the sections that show the region,
  then over regions.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.augment import RandomRotateFlip
from mrcnn.metrics import compute_ap
from mrcnn.utils import extract_bboxes
from sebre.dataset import SectionDataset
from sebre.metrics import dice, iou
from sebre.predict import Segmenter, best_per_region
from sebre.regions import RegionSet

TURN_DRAWS = 5  # orientations a section
TURN_SEED = 0


@dataclass
class Section:
    """A section, what is drawn on it and what was found.

    Attributes:
        name: such as "val/3".
        image: uint8 [H, W, 3].
        masks: drawn, bool [H, W, N].
        class_ids: of the masks, int [N].
        result: of `MaskRCNN.detect`.
        ap: AP at mask IoU 0.5; None if nothing is drawn.
        scores, ious, dices: by class id of every region drawn; 0 where it was missed.
    """

    name: str
    image: np.ndarray
    masks: np.ndarray
    class_ids: np.ndarray
    result: dict[str, Any]
    ap: float | None = None
    scores: dict[int, float] = field(default_factory=dict)
    ious: dict[int, float] = field(default_factory=dict)
    dices: dict[int, float] = field(default_factory=dict)

    @property
    def found(self) -> int:
        """How many of the regions drawn were found, well or badly."""
        return sum(score > 0 for score in self.scores.values())


def score_section(
    name: str,
    image: np.ndarray,
    masks: np.ndarray,
    class_ids: np.ndarray,
    result: dict[str, Any],
) -> Section:
    """Compare one result of `detect` with the drawn masks; see the head of this module."""
    section = Section(name, image, masks, class_ids, result)
    if len(class_ids):
        section.ap = compute_ap(
            extract_bboxes(masks),
            class_ids,
            masks,
            result["rois"],
            result["class_ids"],
            result["scores"],
            result["masks"],
        )[0]
    best = best_per_region(result)
    for i, class_id in enumerate(int(c) for c in class_ids):
        row = best.get(class_id)
        found = row is not None
        section.scores[class_id] = float(result["scores"][row]) if found else 0.0
        for score, values in ((iou, section.ious), (dice, section.dices)):
            values[class_id] = score(masks[..., i], result["masks"][..., row]) if found else 0.0
    return section


def evaluate_sections(
    segmenter: Segmenter, dataset: SectionDataset, turned: bool = False, seed: int = TURN_SEED
) -> list[Section]:
    """Detect and score every section of a prepared data set.

    Args:
        segmenter: the network.
        dataset: prepared.
        turned: instead of the sections as they lie, take each at `TURN_DRAWS` random angles
            (0-360 degrees), mirrored with probability 0.5.
        seed: of the orientations.
    """
    turn = RandomRotateFlip(max_angle=180, flip=True, scale=(1, 1), gamma=(1, 1))
    rng = np.random.default_rng(seed)
    drawn = []
    for image_id in dataset.image_ids:
        name = dataset.image_reference(image_id)
        image = dataset.load_image(image_id)
        masks, class_ids = dataset.load_mask(image_id)
        if not turned:
            drawn.append((name, image, masks, class_ids))
            continue
        for draw in range(TURN_DRAWS):
            new_image, new_masks = turn(image, masks, rng=rng)
            seen = new_masks.any(axis=(0, 1))
            drawn.append((f"{name}#{draw}", new_image, new_masks[..., seen], class_ids[seen]))
    results = segmenter.detect([image for _, image, _, _ in drawn])
    return [score_section(*section, result) for section, result in zip(drawn, results, strict=True)]


def summarize(sections: Sequence[Section], regions: RegionSet) -> dict[str, Any]:
    """Means over sections, by the names that result files use.

    Returns:
        n_sections; map_paper; dice_mean; dice_per_region and iou_per_region by region name,
        None for a region that no section shows.
    """

    def per_region(values: Sequence[dict[int, float]]) -> dict[str, float | None]:
        found = {r.name: [v[r.id] for v in values if r.id in v] for r in regions}
        return {name: float(np.mean(v)) if v else None for name, v in found.items()}

    dices = per_region([s.dices for s in sections])
    shown = [value for value in dices.values() if value is not None]
    aps = [s.ap for s in sections if s.ap is not None]
    return {
        "n_sections": len(sections),
        "map_paper": float(np.mean(aps)) if aps else None,
        "dice_mean": float(np.mean(shown)) if shown else None,
        "dice_per_region": dices,
        "iou_per_region": per_region([s.ious for s in sections]),
    }


def evaluate(
    segmenter: Segmenter, dataset: SectionDataset, experiment: str, root: str | Path
) -> dict[str, Any]:
    """Everything `sebre evaluate` writes.

    Args:
        segmenter: the network.
        dataset: prepared.
        experiment: its name.
        root: folder of the data set, for the record.

    Returns:
        The summary of the sections as they lie, under "turned" that at random orientations,
        and one record a section.
    """
    lying = evaluate_sections(segmenter, dataset)
    turned = evaluate_sections(segmenter, dataset, turned=True)
    return {
        "experiment": experiment,
        "dataset": Path(root).name,
        "weights": segmenter.weights.name or segmenter.weights.path.name,
        "weights_sha256": segmenter.weights.sha256,
        **summarize(lying, dataset.regions),
        "turned": {
            "draws_per_section": TURN_DRAWS,
            "seed": TURN_SEED,
            **summarize(turned, dataset.regions),
        },
        "sections": [_record(section, dataset.regions) for section in lying],
    }


def save_json(record: dict[str, Any], path: str | Path) -> None:
    """Write a record, atomically."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _record(section: Section, regions: RegionSet) -> dict[str, Any]:
    return {
        "section": section.name,
        "ap": section.ap,
        "regions": {
            regions[i].name: {
                "score": section.scores[i],
                "iou": section.ious[i],
                "dice": section.dices[i],
            }
            for i in section.dices
        },
    }
