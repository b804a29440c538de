"""Figures about one section and its network, beside the nine panels of `sebre.inspect.panels`.

For notebooks: each makes a new pyplot figure.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from mrcnn import visualize
from mrcnn.errors import MissingFileError, UserError
from mrcnn.structures.masks import expand_mask, extract_bboxes, minimize_mask
from mrcnn.structures.matching import compute_ap
from sebre.data.csv_tables import read_table
from sebre.data.region_masks import RegionMasks
from sebre.data.rotation import rotated_versions
from sebre.drawing.overlay import drawn_labels, overlay
from sebre.evaluation.section import Section, score_section
from sebre.inspect.figure_grid import DPI, WIDTH_IN, grid, legend
from sebre.inspect.trace import Walk, walk_section
from sebre.networks.segmenter import best_labels
from sebre.networks.weights_store import WeightsFile

# Names in the log, names in the figure, colors of Okabe and Ito.
_LOSSES = (
    ("rpn_class_loss", "RPN class", "#0072B2"),
    ("rpn_bbox_loss", "RPN box", "#56B4E9"),
    ("mrcnn_class_loss", "head class", "#D55E00"),
    ("mrcnn_bbox_loss", "head box", "#E69F00"),
    ("mrcnn_mask_loss", "head mask", "#009E73"),
)


def show_features(walk: Walk) -> None:
    """Draw the mean activation of each feature map, C2 to C5 of the backbone, P2 to P6 of the
    FPN."""
    maps = walk.stages.feature_maps
    if not maps:
        raise UserError("The walk has no feature maps; make it with features=True.")
    rows = [sorted(name for name in maps if name[0] == kind) for kind in "CP"]
    columns = max(map(len, rows))
    _, axes = grid(2, columns)
    for names, line in zip(rows, axes, strict=True):
        for ax, name in zip(line, names, strict=False):
            ax.imshow(np.abs(maps[name]).mean(axis=-1), cmap="cividis", interpolation="nearest")
            ax.set_title(f"{name}  {' x '.join(map(str, maps[name].shape))}", fontsize=9)


def show_mini_masks(walk: Walk) -> None:
    """Draw each region's mask in its box, its mini mask, and what returns of it.

    What differs then is red, its share of the mask above it.
    """
    shape = walk.config.MINI_MASK_SHAPE
    boxes, count = walk.gt_boxes, len(walk.class_ids)
    mini = minimize_mask(boxes, walk.gt_masks, shape)
    back = expand_mask(boxes, mini, walk.gt_masks.shape[:2])
    _, axes = grid(3, count)
    for column, (box, class_id) in enumerate(zip(boxes, walk.class_ids, strict=True)):
        y1, x1, y2, x2 = box
        mask = walk.gt_masks[y1:y2, x1:x2, column]
        lost = mask ^ back[y1:y2, x1:x2, column]
        returned = np.repeat(255 * back[y1:y2, x1:x2, column, None].astype(np.uint8), 3, axis=2)
        returned[lost] = (220, 30, 30)
        for ax, picture in zip(axes[:, column], (mask, mini[..., column], returned), strict=True):
            ax.imshow(picture, cmap="gray", interpolation="nearest")
        axes[0, column].set_title(walk.regions[int(class_id)].acronym, fontsize=9)
        axes[2, column].set_title(f"{100 * lost.sum() / mask.sum():.1f} %", fontsize=9)
    for ax, row in zip(axes[:, 0], ("drawn", "mini mask", "returned"), strict=True):
        ax.set_ylabel(row, fontsize=9)


def training_log(weights: WeightsFile) -> Path | None:
    """Table of the losses of the run that made the weights, one row an epoch; None if lost."""
    for path in (weights.path.with_suffix(".log.csv"), weights.path.with_name("log.csv")):
        if path.is_file():
            return path
    return None


def show_losses(weights: WeightsFile) -> None:
    """Draw the five losses of the run that made the weights of a network, epoch by epoch."""
    log = training_log(weights)
    if log is None:
        raise MissingFileError(
            f"{weights.path.with_name('log.csv')}: the log of the run is not there. It lies in "
            "the run's folder; put it beside the weights."
        )
    rows = read_table(
        log, ["epoch", "loss", *(name for name, _, _ in _LOSSES)], "Restore the file."
    )
    epochs = [int(row["epoch"]) for row in rows]
    _, (all_axes, part_axes) = plt.subplots(
        1, 2, figsize=(WIDTH_IN, 3.2), dpi=DPI, layout="constrained"
    )
    all_axes.plot(epochs, [float(row["loss"]) for row in rows], color="black", marker=".")
    all_axes.set_title("all losses", fontsize=10)
    for name, title, color in _LOSSES:
        values = [float(row[name]) for row in rows]
        part_axes.plot(epochs, values, marker=".", label=title, color=color)
    part_axes.set_title("each", fontsize=10)
    part_axes.legend(fontsize=8, frameon=False)
    for ax in (all_axes, part_axes):
        ax.set_xlabel("epoch")
        ax.set_ylim(bottom=0)
        ax.spines[["top", "right"]].set_visible(False)


def score(walk: Walk) -> Section:
    """Compare the regions found with those drawn; see `sebre.evaluation.section`."""
    drawn = RegionMasks(walk.masks, walk.class_ids)
    return score_section(walk.name, walk.image, drawn, walk.result)


def show_detections(walk: Walk) -> None:
    """Draw the section, the regions drawn on it and the regions found, with their Dice."""
    section = score(walk)
    drawn = drawn_labels(walk.class_ids, walk.masks)
    found = best_labels(walk.result, walk.image.shape)
    figure, axes = grid(1, 3)
    pictures = [overlay(walk.image, labels, walk.regions) for labels in (drawn, found)]
    titles = ("section", "drawn", f"found, mean Dice {_mean_dice(section):.2f}")
    for ax, picture, title in zip(axes[0], (walk.image, *pictures), titles, strict=True):
        ax.imshow(picture)
        ax.set_title(title, fontsize=10)
    legend(figure, walk.regions, {i: f"{dice:.2f}" for i, dice in section.dices.items()})


def show_precision_recall(walk: Walk) -> float:
    """Draw precision over recall of the section, all regions pooled, at a mask IoU of 0.5.

    Returns average precision, 0..1: the section's share in the paper's mAP.
    """
    ap, precisions, recalls, _ = _average_precision(walk)
    _resize(visualize.plot_precision_recall(ap, precisions, recalls), 4.2, 3.4)
    return ap


def show_overlaps(walk: Walk) -> None:
    """Draw the mask IoU of every region found with every region drawn."""
    result = walk.result
    names = ["background", *(region.acronym for region in walk.regions)]
    ax = visualize.plot_overlaps(
        walk.class_ids, result["class_ids"], result["scores"], _average_precision(walk)[3], names
    )
    _resize(ax, 6.4, 5.4)


def _average_precision(walk: Walk) -> tuple:
    """`compute_ap` of the section at a mask IoU of 0.5."""
    result = walk.result
    found = [result[key] for key in ("rois", "class_ids", "scores", "masks")]
    return compute_ap(extract_bboxes(walk.masks), walk.class_ids, walk.masks, *found)


def _resize(ax: Axes, width: float, height: float) -> None:
    ax.figure.set_size_inches(width, height)
    ax.figure.set_dpi(DPI)
    ax.figure.tight_layout()


def show_rotations(
    walk: Walk, angles: Sequence[float] = (-20, -10, 0, 10, 20)
) -> dict[float, float]:
    """Draw what the network finds on versions of the section turned by degrees, counter-clockwise.

    Returns the mean Dice of the drawn regions by angle, 0 for a missed region (paper, Fig. 4).
    """
    masks = RegionMasks(walk.masks, walk.class_ids).by_class
    figure, axes = grid(1, len(angles))
    dices = {}
    versions = rotated_versions(walk.image, masks, enlarge=True, angles=angles)
    features = bool(walk.stages.feature_maps)  # the network is compiled for this already
    for ax, (angle, _, image, turned) in zip(axes[0], versions, strict=True):
        drawn = RegionMasks.of(turned, image.shape)
        version = walk_section(
            walk.segmenter, image, drawn.stack, drawn.class_ids, f"{angle}", features=features
        )
        dices[angle] = _mean_dice(score(version))
        ax.imshow(overlay(image, best_labels(version.result, image.shape), walk.regions))
        ax.set_title(f"{angle:+g}°  Dice {dices[angle]:.2f}", fontsize=10)
    legend(figure, walk.regions, {})
    return dices


def _mean_dice(section: Section) -> float:
    return float(np.mean(list(section.dices.values())))
