"""Plots and tables of `mrcnn.visualize.display`: precision and recall, overlaps, weights."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mrcnn.errors import UserError
from mrcnn.visualize.outlines import show

_HISTOGRAM_IN = (2.25, 1.3)  # width and height of one


def plot_precision_recall(AP: float, precisions: np.ndarray, recalls: np.ndarray) -> Axes:
    """Plot precision over recall, both [k] as of `compute_ap`; `AP` is at an IoU of 0.5.
    Source: Matterport `visualize.plot_precision_recall`."""
    _, ax = plt.subplots(1)
    ax.set(title=f"Precision-Recall Curve. AP@50 = {AP:.3f}", xlabel="Recall", ylabel="Precision")
    ax.set(xlim=(0, 1.1), ylim=(0, 1.1))
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
    """Draw the IoU of every prediction with every object, `overlaps` [m, n], as a grid.

    Class ids [n] and [m] may be zero padded at the end, `pred_scores` is [m]; cells above
    `threshold` say "match" (same class) or "wrong". Source: Matterport `visualize.plot_overlaps`.
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
    ax.set(xlabel="Ground Truth", ylabel="Predictions")
    return ax


def display_table(table: Iterable[Iterable[Any]]) -> str:
    """Show rows of cells, each by its `str` as HTML, as a table in a notebook; returns the HTML.
    Source: Matterport `visualize.display_table`."""
    rows = ("".join(f"<td>{cell}</td>" for cell in row) for row in table)
    html = "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
    try:
        import IPython.display
    except ImportError:
        return html
    IPython.display.display(IPython.display.HTML(html))
    return html


def display_weight_stats(model: Any) -> str:
    """Show `weight_stats` of a `MaskRCNN` as a table in a notebook; returns the HTML.
    Source: Matterport `visualize.display_weight_stats`."""
    return display_table(weight_stats(model))


def weight_stats(model: Any, layers: str = ".*") -> list[list[str]]:
    """Name, shape, minimum, maximum and deviation of the weights of a `MaskRCNN`, below headings.

    Marks weights that are all equal ("dead?"; biases of convolutions may be) and those beyond 1000
    ("Overflow?"), in HTML behind the name. `layers` is a regular expression for whole names.
    """
    table = [["WEIGHT NAME", "SHAPE", "MIN", "MAX", "STD"]]
    for layer in _matching(model, layers):
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
    return table


def plot_weight_histograms(model: Any, layers: str = ".*", bins: int = 50) -> Figure:
    """Draw a histogram of each weight: a row for each layer, a column for each of its weights.

    Arguments as of `weight_stats`. Source: Matterport's notebook `inspect_weights`.
    """
    chosen = _matching(model, layers)
    columns = max(len(layer.weights) for layer in chosen)
    size = (_HISTOGRAM_IN[0] * columns, _HISTOGRAM_IN[1] * len(chosen))
    figure, axes = plt.subplots(len(chosen), columns, figsize=size, squeeze=False)
    for row, layer in zip(axes, chosen, strict=True):
        for ax in row[len(layer.weights) :]:
            ax.set_axis_off()
        for ax, weight in zip(row, layer.weights, strict=False):
            values = np.asarray(weight).ravel()
            ax.hist(values, bins=bins)
            ax.set_title(f"{layer.name}  {weight.name}, {values.size:,}", fontsize=8)
            ax.set_yticks([])
            ax.locator_params(axis="x", nbins=4)
            ax.tick_params(labelsize=7)
            ax.spines[["left", "top", "right"]].set_visible(False)
    figure.tight_layout()
    show(created=True)
    return figure


def _matching(model: Any, layers: str) -> list[keras.Layer]:
    """The layers with weights whose whole names match a regular expression."""
    found = model.get_trainable_layers()
    try:
        pattern = re.compile(layers)
    except re.error as error:
        raise UserError(f"layers={layers!r} is no regular expression: {error}.") from error
    chosen = [layer for layer in found if pattern.fullmatch(layer.name)]
    if not chosen:
        names = ", ".join(layer.name for layer in found[:8])
        raise UserError(
            f"layers={layers!r} matches no layer with weights; their names are {names}, ... Give "
            "a regular expression that matches whole names, such as 'rpn_.*'."
        )
    return chosen
