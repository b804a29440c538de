"""Pictures of images, boxes, masks and scores, under the names of Matterport's `visualize`.

A function that is given no `ax` makes a figure, shows it if the Matplotlib backend has a
display, and leaves it open, so that `plt.savefig` works after it. No backend is chosen here.
"""

import logging
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mrcnn.errors import UserError
from mrcnn.structures.boxes import denorm_boxes
from mrcnn.structures.masks import unmold_mask
from mrcnn.structures.matching import compute_matches
from mrcnn.visualize.outlines import (
    add_box,
    add_joint,
    add_outline,
    apply_mask,
    as_rgb,
    frame,
    new_axes,
    random_colors,
    show,
)

logger = logging.getLogger(__name__)


def get_ax(rows: int = 1, cols: int = 1, size: float = 16) -> Any:
    """Axes of a new figure, one or an array [rows, cols], `size` inches each; of the released SeBRe
    code."""
    return plt.subplots(rows, cols, figsize=(size * cols, size * rows))[1]


def display_images(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    cols: int = 4,
    cmap: Any = None,
    norm: Any = None,
    interpolation: str | None = None,
) -> Figure:
    """Show images [H, W], or [H, W, channels] of 0..255, in a grid with `cols` in a row.

    `titles` has one for each; `cmap`, `norm` and `interpolation` are Matplotlib's, the first two
    for images without channels. Source: Matterport `visualize.display_images`.
    """
    titles = titles if titles is not None else [""] * len(images)
    if len(titles) != len(images):
        raise UserError(f"{len(titles)} titles for {len(images)} images; give one for each.")
    rows = -(-len(images) // cols)
    figure = plt.figure(figsize=(14, 14 * max(rows, 1) // cols + 1))
    for place, (image, title) in enumerate(zip(images, titles, strict=True), start=1):
        ax = figure.add_subplot(rows, cols, place)
        ax.set_title(title, fontsize=9)
        ax.axis("off")
        image = as_rgb(image) if np.ndim(image) == 3 else image
        ax.imshow(image, cmap=cmap, norm=norm, interpolation=interpolation)
    show(created=True)
    return figure


def display_instances(
    image: np.ndarray,
    boxes: np.ndarray,
    masks: np.ndarray,
    class_ids: np.ndarray,
    class_names: Sequence[str],
    scores: np.ndarray | None = None,
    title: str = "",
    figsize: tuple[float, float] = (16, 16),
    ax: Axes | None = None,
    show_mask: bool = True,
    show_bbox: bool = True,
    colors: Sequence[Any] | None = None,
    captions: Sequence[str] | None = None,
) -> Axes:
    """Draw the masks, boxes, names and scores of objects over their image.

    Args:
        image: [H, W, channels], 0..255.
        boxes: [N, (y1, x1, y2, x2)] px; an all-zero box is not drawn.
        masks: [H, W, N].
        class_ids: [N].
        class_names: names by class id.
        scores: [N], shown with 3 decimals.
        title: of the picture.
        figsize: inches, of a new figure.
        ax: axes to draw on instead of a new figure.
        show_mask: fill the masks.
        show_bbox: draw the boxes.
        colors: (red, green, blue[, alpha]) 0..1 of each object.
        captions: texts in place of name and score.

    Source: Matterport `visualize.display_instances`.
    """
    count = len(boxes)
    if count and not count == masks.shape[-1] == len(class_ids):
        raise UserError(
            f"{count} boxes, {masks.shape[-1]} masks and {len(class_ids)} class ids; give "
            "as many of each (masks are [H, W, N])."
        )
    if not count:
        print("\n*** No instances to display *** \n")
    ax, created = new_axes(ax, figsize)
    frame(ax, image, 10, title)
    colors = colors if colors is not None else random_colors(count)
    picture = as_rgb(image)
    for i, (box, color) in enumerate(zip(boxes, colors, strict=False)):
        mask = masks[:, :, i]
        if show_mask:
            apply_mask(picture, mask, color)
        add_outline(ax, mask, color)
        if not np.any(box):
            continue
        if show_bbox:
            add_box(ax, box, color, "dashed", alpha=0.7)
        if captions is not None:
            caption = captions[i]
        else:
            caption = class_names[class_ids[i]]
            caption += "" if scores is None else f" {scores[i]:.3f}"
        ax.text(box[1], box[0] + 8, caption, color="w", size=11, backgroundcolor="none")
    ax.imshow(picture)
    show(created)
    return ax


def display_differences(
    image: np.ndarray,
    gt_box: np.ndarray,
    gt_class_id: np.ndarray,
    gt_mask: np.ndarray,
    pred_box: np.ndarray,
    pred_class_id: np.ndarray,
    pred_score: np.ndarray,
    pred_mask: np.ndarray,
    class_names: Sequence[str],
    title: str = "",
    ax: Axes | None = None,
    show_mask: bool = True,
    show_box: bool = True,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.5,
) -> Axes:
    """Draw ground truth in green and predictions in red, with "score / IoU" on each.

    The IoU is that with the matched object or, where nothing matched, the highest. Objects,
    predictions and thresholds as of `compute_matches`, the rest as of `display_instances`.
    Source: Matterport `visualize.display_differences`.
    """
    objects = (gt_box, gt_class_id, gt_mask)
    found = (pred_box, pred_class_id, pred_score, pred_mask)
    _, pred_match, overlaps = compute_matches(*objects, *found, iou_threshold, score_threshold)
    # compute_matches drops padding and numbers the predictions by descending score.
    gt_rows = np.flatnonzero(np.any(gt_box, axis=1))
    rows = np.flatnonzero(np.any(pred_box, axis=1))
    rows = rows[np.argsort(pred_score[rows], kind="stable")[::-1]]
    captions = [""] * len(gt_rows)
    for row, match, ious in zip(rows, pred_match, overlaps, strict=True):
        iou = ious[int(match)] if match > -1 else ious.max(initial=0.0)
        captions.append(f"{pred_score[row]:.2f} / {iou:.2f}")
    return display_instances(
        image,
        np.concatenate([gt_box[gt_rows], pred_box[rows]]),
        np.concatenate([gt_mask[..., gt_rows], pred_mask[..., rows]], axis=-1),
        np.concatenate([gt_class_id[gt_rows], pred_class_id[rows]]),
        class_names,
        ax=ax,
        show_mask=show_mask,
        show_bbox=show_box,
        colors=[(0, 1, 0, 0.8)] * len(gt_rows) + [(1, 0, 0, 1)] * len(rows),
        captions=captions,
        title=title or "Ground truth (green) and detections (red, score / IoU)",
    )


def draw_rois(
    image: np.ndarray,
    rois: np.ndarray,
    refined_rois: np.ndarray,
    mask: np.ndarray,
    class_ids: np.ndarray,
    class_names: Sequence[str],
    limit: int = 10,
) -> Axes:
    """Draw ROIs dashed and, where they hold an object, what the heads made of them.

    Args:
        image: [H, W, channels], 0..255.
        rois: [n, (y1, x1, y2, x2)] px.
        refined_rois: [n, (y1, x1, y2, x2)] px.
        mask: [n, h, w], 0..1, each over its ROI.
        class_ids: [n], 0 for background (drawn in gray).
        class_names: names by class id.
        limit: at most so many ROIs are drawn, a random choice.

    Source: Matterport `visualize.draw_rois`.
    """
    ids = np.arange(len(rois))
    if len(ids) > limit:
        ids = np.random.default_rng(0).choice(ids, limit, replace=False)
    ax, created = new_axes(None, (12, 12))
    frame(ax, image, 20, f"{len(ids)} of {len(rois)} ROIs")
    picture = as_rgb(image)
    for i, color in zip(ids, random_colors(len(ids)), strict=True):
        if class_ids[i] == 0:
            add_box(ax, rois[i], "gray", "dashed")
            continue
        add_box(ax, rois[i], color, "dashed")
        add_box(ax, refined_rois[i], color, "solid")
        add_joint(ax, rois[i], refined_rois[i], color)
        y1, x1 = rois[i][:2]
        ax.text(x1, y1 + 8, class_names[class_ids[i]], color="w", size=11)
        apply_mask(picture, unmold_mask(mask[i], rois[i], image.shape), color)
    ax.imshow(picture)
    positive = np.count_nonzero(class_ids)
    print("Positive ROIs: ", positive)
    print("Negative ROIs: ", len(class_ids) - positive)
    print(f"Positive Ratio: {positive / max(len(class_ids), 1):.2f}")
    show(created)
    return ax


def display_top_masks(
    image: np.ndarray,
    mask: np.ndarray,
    class_ids: np.ndarray,
    class_names: Sequence[str],
    limit: int = 4,
) -> Figure:
    """Show an image [H, W, channels] of 0..255 beside the masks of its `limit` largest classes.

    `mask` [H, W, N], `class_ids` [N]; places left over stay empty.
    Source: Matterport `visualize.display_top_masks`.
    """
    areas = {c: np.sum(mask[:, :, class_ids == c]) for c in np.unique(class_ids)}
    top = sorted((c for c in areas if areas[c] > 0), key=lambda c: -areas[c])[:limit]
    images = [as_rgb(image)]
    titles = [f"H x W={image.shape[0]}x{image.shape[1]}"]
    for class_id in top:
        chosen = mask[:, :, class_ids == class_id]
        # Objects of one class in different shades.
        images.append(np.sum(chosen * np.arange(1, chosen.shape[-1] + 1), axis=-1))
        titles.append(class_names[class_id])
    for _ in range(limit - len(top)):
        images.append(np.zeros(image.shape[:2], int))
        titles.append("-")
    return display_images(images, titles=titles, cols=limit + 1, cmap="Blues_r")


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray | None = None,
    refined_boxes: np.ndarray | None = None,
    masks: np.ndarray | None = None,
    captions: Sequence[str] | None = None,
    visibilities: Sequence[int] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw boxes before and after refinement.

    Boxes that are at most 2 px large are taken for normalized ones, with a warning.

    Args:
        image: [H, W, channels], 0..255.
        boxes: [n, (y1, x1, y2, x2)] px, in the line style of their visibility; an all-zero box is
            not drawn.
        refined_boxes: [n, (y1, x1, y2, x2)] px, solid, each joined to its box.
        masks: [H, W, n].
        captions: [n].
        visibilities: [n]; 0 gray and dotted, without refined box; 1 (the default) colored and
            dotted; 2 colored and solid.
        title: of the picture.
        ax: axes to draw on instead of a new figure.

    Source: Matterport `visualize.draw_boxes`.
    """
    if boxes is None and refined_boxes is None:
        raise UserError("boxes and refined_boxes are both None; give one of them.")
    boxes, refined_boxes = (_in_pixels(given, image) for given in (boxes, refined_boxes))
    count = len(boxes if boxes is not None else refined_boxes)
    ax, created = new_axes(ax, (12, 12))
    frame(ax, image, image.shape[0] // 10, title)
    picture = as_rgb(image)
    for i, color in enumerate(random_colors(count)):
        visibility = 1 if visibilities is None else visibilities[i]
        box = boxes[i] if boxes is not None else refined_boxes[i]
        if not np.any(box):
            continue
        if visibility == 0:
            color = "gray"
        if boxes is not None:
            style = "solid" if visibility == 2 else "dotted"
            add_box(ax, box, color, style, alpha=0.5 if visibility == 0 else 1.0)
        corner = box
        if refined_boxes is not None and visibility > 0:
            corner = refined_boxes[i]
            add_box(ax, corner, color, "solid")
            if boxes is not None:
                add_joint(ax, box, corner, color)
        if captions is not None:
            backing = {"facecolor": color, "alpha": 0.5, "pad": 2, "edgecolor": "none"}
            ax.text(corner[1], corner[0], captions[i], size=11, va="top", color="w", bbox=backing)
        if masks is not None and visibility > 0:
            apply_mask(picture, masks[:, :, i], color)
            add_outline(ax, masks[:, :, i], color)
    ax.imshow(picture)
    show(created)
    return ax


def _in_pixels(boxes: np.ndarray | None, image: np.ndarray) -> np.ndarray | None:
    """Boxes [n, 4] in px, also where the program that drew them expects the network to give px."""
    if boxes is None or (boxes := np.asarray(boxes)).dtype.kind != "f":
        return boxes
    real = boxes.any(axis=1)
    sides = boxes[real, 2:] - boxes[real, :2]
    if not sides.size or np.median(sides) > 2:
        return boxes
    logger.warning(
        "draw_boxes: boxes of %.2g px are taken for normalized ones. Give it "
        "utils.denorm_boxes(boxes, image.shape[:2]).",
        np.median(sides),
    )
    return denorm_boxes(boxes, image.shape[:2]) * real[:, None]
