"""One section: what is drawn on it, what was found, and how well both agree."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mrcnn.structures.masks import extract_bboxes
from mrcnn.structures.matching import compute_ap
from sebre.data.regions import RegionSet
from sebre.drawing.overlay import drawn_labels, overlay
from sebre.evaluation.failures import find_failures
from sebre.evaluation.mask_metrics import (
    dice,
    iou,
    largest,
    mean_distance,
    mean_squared_error,
    surface_distances,
)
from sebre.networks.segmenter import best_labels, best_per_region


@dataclass
class Section:
    """A section, what is drawn on it and what was found.

    A region is found when it has a detection with at least one pixel; its best-scoring one
    is compared with the drawn mask.

    Attributes:
        name: such as "val/3".
        image: uint8 [H, W, 3].
        masks: drawn, bool [H, W, N].
        class_ids: of the masks, int [N].
        result: of `MaskRCNN.detect`.
        best: row of the best detection, by class id of every region found.
        ap: AP at mask IoU 0.5, all regions pooled; None if nothing is drawn.
        scores, ious, dices: by class id of every region drawn; 0 where it was missed.
        hausdorffs, hausdorffs95, cmds: distances in px, by class id of every region drawn and
            found.
        hausdorffs_mm, hausdorffs95_mm, cmds_mm: the same in mm; empty if the pixel size is not
            known.
        errors: mean squared errors, by class id of every region drawn or found.
        failures: class ids by kind of failure (`sebre.evaluation.failures`).
    """

    name: str
    image: np.ndarray
    masks: np.ndarray
    class_ids: np.ndarray
    result: dict[str, Any]
    best: dict[int, int] = field(default_factory=dict)
    ap: float | None = None
    scores: dict[int, float] = field(default_factory=dict)
    ious: dict[int, float] = field(default_factory=dict)
    dices: dict[int, float] = field(default_factory=dict)
    hausdorffs: dict[int, float] = field(default_factory=dict)
    hausdorffs95: dict[int, float] = field(default_factory=dict)
    cmds: dict[int, float] = field(default_factory=dict)
    hausdorffs_mm: dict[int, float] = field(default_factory=dict)
    hausdorffs95_mm: dict[int, float] = field(default_factory=dict)
    cmds_mm: dict[int, float] = field(default_factory=dict)
    errors: dict[int, float] = field(default_factory=dict)
    failures: dict[str, list[int]] = field(default_factory=dict)

    @property
    def found(self) -> int:
        """How many of the regions drawn were found, well or badly."""
        return len(self.dices.keys() & self.best.keys())

    @property
    def extra(self) -> list[int]:
        """Class ids of regions that were found but are not drawn."""
        return sorted(self.best.keys() - self.dices.keys())


def score_section(
    name: str,
    image: np.ndarray,
    masks: np.ndarray,
    class_ids: np.ndarray,
    result: dict[str, Any],
    pixel_mm: Sequence[float] | None = None,
    contours: bool = True,
) -> Section:
    """Compare one result of `detect` with the drawn masks.

    Args:
        name: of the section.
        image: uint8 [H, W, 3].
        masks: drawn, bool [H, W, N], none of them empty.
        class_ids: of the masks, int [N].
        result: of `MaskRCNN.detect` on the image.
        pixel_mm: height and width of a pixel in mm; None if not known.
        contours: take the distances between contours, the slowest of the scores.
    """
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
    section.best = {
        class_id: row
        for class_id, row in best_per_region(result).items()
        if result["masks"][..., row].any()
    }
    nothing = np.zeros(image.shape[:2], bool)
    for i, class_id in enumerate(int(c) for c in class_ids):
        drawn = np.ascontiguousarray(masks[..., i])
        row = section.best.get(class_id)
        if row is None:
            section.scores[class_id] = section.ious[class_id] = section.dices[class_id] = 0.0
            section.errors[class_id] = mean_squared_error(drawn, nothing)
            continue
        found = np.ascontiguousarray(result["masks"][..., row])
        section.scores[class_id] = float(result["scores"][row])
        section.ious[class_id] = iou(drawn, found)
        section.dices[class_id] = dice(drawn, found)
        section.errors[class_id] = mean_squared_error(drawn, found)
        if contours:
            _score_contours(section, class_id, drawn, found, pixel_mm)
    for class_id in section.extra:
        found = result["masks"][..., section.best[class_id]]
        section.errors[class_id] = mean_squared_error(nothing, found)
    section.failures = find_failures(masks, class_ids, result, section.best, section.ious)
    return section


def _score_contours(
    section: Section,
    class_id: int,
    drawn: np.ndarray,
    found: np.ndarray,
    pixel_mm: Sequence[float] | None,
) -> None:
    """Add the distances between the contours of two masks, none of them empty."""
    directed = surface_distances(drawn, found)
    section.hausdorffs[class_id] = largest(directed)
    section.hausdorffs95[class_id] = largest(directed, 95)
    section.cmds[class_id] = mean_distance(directed)
    if pixel_mm is None:
        return
    height, width = pixel_mm
    # The search for the nearest pixels takes most of the time of a score: once where it may be.
    if height == width:
        directed = tuple(distances * height for distances in directed)
    else:
        directed = surface_distances(drawn, found, pixel_mm)
    section.hausdorffs_mm[class_id] = largest(directed)
    section.hausdorffs95_mm[class_id] = largest(directed, 95)
    section.cmds_mm[class_id] = mean_distance(directed)


def sheet_row(section: Section, regions: RegionSet) -> tuple[str, list[np.ndarray]]:
    """Title and pictures of a section for `sebre.drawing.contact_sheet`: itself, drawn and found
    regions."""
    shape = section.image.shape[:2]
    drawn = drawn_labels(section.class_ids, section.masks)
    found = best_labels(section.result, shape)
    empty = np.zeros(shape, np.uint8)
    score = f"   Dice {np.mean(list(section.dices.values())):.2f}" if section.dices else ""
    pictures = [overlay(section.image, labels, regions) for labels in (empty, drawn, found)]
    return section.name + score, pictures
