"""A small drawing of what a network was shown: where its regions lie, without a picture."""

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageFilter

from sebre.data.regions import RegionSet

_GRID_PX = 96  # sides of the frame that sections are laid over each other in
_TISSUE = (70, 70, 70)
_LEAST = 0.5  # of the largest share of sections that show a region at a place


def draw_mean_regions(
    sections: Iterable[tuple[np.ndarray, np.ndarray]], regions: RegionSet, longest: int = 240
) -> np.ndarray:
    """The regions of many sections laid over each other, each in its color on gray tissue.

    Sections are scaled to the box around their tissue. A region is drawn where at least half as
    many sections show it as at its most frequent place, larger regions under smaller ones. Of the
    pictures no pixel is used.

    Args:
        sections: label map int [H, W] and tissue bool [H, W] of each.
        regions: the region set.
        longest: longest side of the drawing, px.

    Returns:
        uint8 [h, w, 3]; its sides are as those of the mean box.
    """
    shown = np.zeros((regions.num_classes, _GRID_PX, _GRID_PX))
    tissues, boxes, count = np.zeros((_GRID_PX, _GRID_PX)), [], 0
    for labels, tissue in sections:
        inside = tissue | (labels > 0)
        if not inside.any():
            continue
        rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
        place = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        fitted = _fit(labels[place])
        for region in regions:
            shown[region.id] += fitted == region.id
        tissues += _fit(inside[place].astype(np.uint8))
        boxes.append(inside[place].shape)
        count += 1
    picture = np.zeros((_GRID_PX, _GRID_PX, 3), np.uint8)
    picture[tissues >= _LEAST * max(count, 1)] = _TISSUE
    drawn = {r.id: shown[r.id] >= _LEAST * shown[r.id].max() for r in regions if shown[r.id].any()}
    for class_id in sorted(drawn, key=lambda i: -np.count_nonzero(drawn[i])):
        picture[drawn[class_id]] = regions[class_id].color
    height, width = np.mean(boxes, axis=0) if boxes else (1, 1)
    scale = longest / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    enlarged = Image.fromarray(picture).resize(size, Image.Resampling.NEAREST)
    return np.asarray(enlarged.filter(ImageFilter.ModeFilter(5)))


def _fit(labels: np.ndarray) -> np.ndarray:
    image = Image.fromarray(labels.astype(np.uint8 if labels.max() < 256 else np.int32))
    return np.asarray(image.resize((_GRID_PX, _GRID_PX), Image.Resampling.NEAREST))
