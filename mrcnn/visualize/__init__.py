"""Pictures of images, boxes, masks and scores, under the names of Matterport's `visualize`."""

from mrcnn.visualize.display import (
    display_differences,
    display_images,
    display_instances,
    display_top_masks,
    draw_boxes,
    draw_rois,
    get_ax,
)
from mrcnn.visualize.outlines import apply_mask, draw_box, random_colors
from mrcnn.visualize.plots import (
    display_table,
    display_weight_stats,
    plot_overlaps,
    plot_precision_recall,
    plot_weight_histograms,
    weight_stats,
)

__all__ = [
    "apply_mask",
    "display_differences",
    "display_images",
    "display_instances",
    "display_table",
    "display_top_masks",
    "display_weight_stats",
    "draw_box",
    "draw_boxes",
    "draw_rois",
    "get_ax",
    "plot_overlaps",
    "plot_precision_recall",
    "plot_weight_histograms",
    "random_colors",
    "weight_stats",
]
