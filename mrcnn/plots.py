"""Plots and tables of `mrcnn.visualize`: precision and recall, overlaps, weights."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes


def plot_precision_recall(AP: float, precisions: np.ndarray, recalls: np.ndarray) -> Axes:
    """Plot precision over recall.

    Args:
        AP: average precision at an IoU of 0.5, for the title.
        precisions: [k], of `compute_ap`.
        recalls: [k], of `compute_ap`.

    Returns:
        The axes.

    Source: Matterport `visualize.plot_precision_recall`.
    """
    _, ax = plt.subplots(1)
    ax.set_title(f"Precision-Recall Curve. AP@50 = {AP:.3f}")
    ax.set_xlabel("Recall")
    ax.set_ylabel("Precision")
    ax.set_xlim(0, 1.1)
    ax.set_ylim(0, 1.1)
    ax.plot(recalls, precisions)
    return ax


def plot_overlaps(
    gt_class_ids: np.ndarray,
    pred_class_ids: np.ndarray,
    pred_scores: np.ndarray,
    overlaps: np.ndarray,
    class_names: Sequence[str],
    threshold: float = 0.5,
) -> Axes:
    """Draw the IoU of every prediction with every object as a grid.

    Args:
        gt_class_ids: [n], zero padding allowed at the end.
        pred_class_ids: [m], zero padding allowed at the end.
        pred_scores: [m].
        overlaps: [m, n] IoU.
        class_names: names by class id.
        threshold: cells of a higher IoU say "match" (same class) or "wrong".

    Returns:
        The axes.

    Source: Matterport `visualize.plot_overlaps`.
    """
    gt_class_ids = gt_class_ids[gt_class_ids != 0]
    pred_class_ids = pred_class_ids[pred_class_ids != 0]
    overlaps = overlaps[: len(pred_class_ids), : len(gt_class_ids)]
    _, ax = plt.subplots(figsize=(12, 10))
    ax.imshow(overlaps, interpolation="nearest", cmap="Blues", vmin=0, vmax=1)
    names = [
        f"{class_names[c]} ({score:.2f})"
        for c, score in zip(pred_class_ids, pred_scores, strict=False)
    ]
    ax.set_yticks(np.arange(len(pred_class_ids)), names)
    gt_names = [class_names[c] for c in gt_class_ids]
    ax.set_xticks(np.arange(len(gt_class_ids)), gt_names, rotation=90)
    for (i, j), iou in np.ndenumerate(overlaps):
        text = ""
        if iou > threshold:
            text = "match" if gt_class_ids[j] == pred_class_ids[i] else "wrong"
        color = "white" if iou > threshold else "black"
        ax.text(j, i, f"{iou:.3f}\n{text}", ha="center", va="center", fontsize=9, color=color)
    ax.set_xlabel("Ground Truth")
    ax.set_ylabel("Predictions")
    return ax


def display_table(table: Iterable[Iterable[Any]]) -> str:
    """Show rows of cells as a table in a notebook.

    Args:
        table: rows of cells; a cell is shown by its `str`, as HTML.

    Returns:
        The table in HTML (all that happens where IPython is not installed).

    Source: Matterport `visualize.display_table`.
    """
    rows = ("".join(f"<td>{cell}</td>" for cell in row) for row in table)
    html = "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
    try:
        import IPython.display
    except ImportError:
        return html
    IPython.display.display(IPython.display.HTML(html))
    return html


def display_weight_stats(model: Any) -> str:
    """Show name, shape, minimum, maximum and deviation of every weight of a model.

    Marks weights that are all equal ("dead?"; biases of convolutions may be) and those
    beyond 1000 ("Overflow?").

    Args:
        model: a `MaskRCNN`.

    Returns:
        The table in HTML.

    Source: Matterport `visualize.display_weight_stats`.
    """
    table = [["WEIGHT NAME", "SHAPE", "MIN", "MAX", "STD"]]
    for layer in model.get_trainable_layers():
        for weight in layer.weights:
            values = np.asarray(weight)
            low, high = values.min(), values.max()
            is_bias = isinstance(layer, keras.layers.Conv2D) and weight is layer.bias
            alert = ""
            if low == high and not is_bias:
                alert += "<span style='color:red'>*** dead?</span>"
            if max(abs(low), abs(high)) > 1000:
                alert += "<span style='color:red'>*** Overflow?</span>"
            numbers = [f"{number:+9.4f}" for number in (low, high, values.std())]
            table.append([weight.path + alert, str(tuple(weight.shape)), *numbers])
    return display_table(table)
