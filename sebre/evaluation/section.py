"""One section: what is drawn on it, what was found, and how well both agree."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mrcnn.structures.masks import extract_bboxes
from mrcnn.structures.matching import compute_ap
from sebre.data.region_masks import RegionMasks
from sebre.data.regions import RegionSet
from sebre.drawing.overlay import drawn_labels, overlay
from sebre.evaluation.failures import Failures, find_failures
from sebre.evaluation.mask_metrics import (
    dice,
    iou,
    largest,
    mean_distance,
    mean_squared_error,
    surface_distances,
)
from sebre.evaluation.scores import RegionScore, SectionScore
from sebre.networks.segmenter import best_labels, best_per_region


@dataclass
class Section:
    """A section, what is drawn on it and what was found.

    A region is found when it has a detection with at least one pixel; its best-scoring one
    is compared with the drawn mask.

    Attributes:
        name: such as "val/3".
        image: uint8 [H, W, 3].
        drawn, found: masks, none of them empty; of what was found the best detection per region.
        result: of `MaskRCNN.detect`.
        ap: AP at mask IoU 0.5, all regions pooled; None if nothing is drawn.
        scores: by class id of every region that is drawn, then of those that are only found.
        failures: of its regions.
    """

    name: str
    image: np.ndarray
    drawn: RegionMasks
    result: dict[str, Any]
    found: RegionMasks
    ap: float | None = None
    scores: dict[int, RegionScore] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)

    @property
    def drawn_scores(self) -> dict[int, RegionScore]:
        """Scores by class id of every region drawn."""
        return {i: score for i, score in self.scores.items() if score.drawn}

    @property
    def dices(self) -> dict[int, float]:
        """Dice by class id of every region drawn; 0 where it was missed."""
        return {i: score.dice for i, score in self.drawn_scores.items()}

    @property
    def n_found(self) -> int:
        """How many of the regions drawn were found, well or badly."""
        return sum(score.found for score in self.drawn_scores.values())

    @property
    def extra(self) -> list[int]:
        """Class ids of regions that were found but are not drawn."""
        return sorted(i for i, score in self.scores.items() if not score.drawn)

    def record(self, regions: RegionSet, kind: type[SectionScore] = SectionScore, **more: Any):
        """What result files say of the section, as `kind`, with further fields of it."""
        scores = {regions[i].name: score for i, score in self.drawn_scores.items()}
        return kind(section=self.name, ap=self.ap, regions=scores, **more)


def score_section(
    name: str,
    image: np.ndarray,
    drawn: RegionMasks,
    result: dict[str, Any],
    pixel_mm: Sequence[float] | None = None,
    contours: bool = True,
) -> Section:
    """Compare one result of `detect` with the drawn masks.

    Args:
        name: of the section.
        image: uint8 [H, W, 3].
        drawn: masks, none of them empty.
        result: of `MaskRCNN.detect` on the image.
        pixel_mm: height and width of a pixel in mm; None if not known.
        contours: take the distances between contours, the slowest of the scores.
    """
    best = {i: result["masks"][..., row] for i, row in best_per_region(result).items()}
    found = RegionMasks.of({i: mask for i, mask in best.items() if mask.any()}, image.shape)
    section = Section(name, image, drawn, result, found)
    if len(drawn.class_ids):
        section.ap = compute_ap(
            extract_bboxes(drawn.stack),
            drawn.class_ids,
            drawn.stack,
            *(result[key] for key in ("rois", "class_ids", "scores", "masks")),
        )[0]
    certain = {i: float(result["scores"][row]) for i, row in best_per_region(result).items()}
    nothing = np.zeros(image.shape[:2], bool)
    for i in dict.fromkeys([*drawn.by_class, *sorted(found.by_class)]):
        a, b = (np.ascontiguousarray(m.by_class.get(i, nothing)) for m in (drawn, found))
        score = RegionScore(
            drawn=i in drawn.by_class, found=i in found.by_class, error=mean_squared_error(a, b)
        )
        if score.drawn and score.found:
            score.score, score.iou, score.dice = certain[i], iou(a, b), dice(a, b)
            if contours:
                _score_contours(score, a, b, pixel_mm)
        section.scores[i] = score
    ious = {i: score.iou for i, score in section.drawn_scores.items()}
    section.failures = find_failures(drawn, result, found, ious)
    return section


def _score_contours(
    score: RegionScore, drawn: np.ndarray, found: np.ndarray, pixel_mm: Sequence[float] | None
) -> None:
    """Add the distances between the contours of two masks, none of them empty."""
    directed = surface_distances(drawn, found)
    score.hausdorff_px = largest(directed)
    score.hausdorff95_px = largest(directed, 95)
    score.cmd_px = mean_distance(directed)
    if pixel_mm is None:
        return
    height, width = pixel_mm
    # The search for the nearest pixels takes most of the time of a score: once where it may be.
    if height == width:
        directed = tuple(distances * height for distances in directed)
    else:
        directed = surface_distances(drawn, found, pixel_mm)
    score.hausdorff_mm = largest(directed)
    score.hausdorff95_mm = largest(directed, 95)
    score.cmd_mm = mean_distance(directed)


def sheet_row(section: Section, regions: RegionSet) -> tuple[str, list[np.ndarray]]:
    """Title and pictures of a section for `save_sheet`: itself, drawn and found."""
    shape = section.image.shape[:2]
    drawn = drawn_labels(section.drawn.class_ids, section.drawn.stack)
    found = best_labels(section.result, shape)
    empty = np.zeros(shape, np.uint8)
    score = f"   Dice {np.mean(list(section.dices.values())):.2f}" if section.dices else ""
    pictures = [overlay(section.image, labels, regions) for labels in (empty, drawn, found)]
    return section.name + score, pictures
