"""The nine panels of the paper's Fig. 2, of any section: from anchors to masks.

    a  drawn regions, and the anchors that the RPN learns from
    b  anchors with the highest scores
    c  the best anchors, moved by the RPN
    d  clipped to the picture
    e  after non-maximum suppression
    f  the proposals, in normalized coordinates
    g  what the heads say of them
    h  the detections: boxes refined, one per region
    i  their masks

A box has the color of the region that it is one of (IoU of at least 0.5 with the region's box;
from panel g on, the network's own opinion) and is gray and dashed if it is of none.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mrcnn.errors import UserError
from mrcnn.io.own_files import replace_own
from mrcnn.structures.boxes import apply_box_deltas
from sebre.drawing.canvas import Panel
from sebre.inspect.trace import Walk

_PANEL_IN = 4.6
_DPI = 100

# As many boxes as the released notebook draws at each stage.
TOP_ANCHORS = 100
TOP_BOXES = 50
HEAD_ROIS = 200
_NEGATIVES = 24  # of the RPN's negative anchors: enough to see what they are


def _targets(panel: Panel, walk: Walk) -> str:
    anchors = walk.pixels(walk.stages.anchors)
    negative = np.flatnonzero(walk.rpn_match < 0)
    chosen = np.random.default_rng(0).permutation(negative)[:_NEGATIVES]
    for box in anchors[chosen]:
        panel.box(box, 0, width=0.8)
    positive = np.flatnonzero(walk.rpn_match > 0)
    deltas = walk.rpn_bbox[: len(positive)] * walk.config.RPN_BBOX_STD_DEV
    moved = apply_box_deltas(anchors[positive], deltas)
    for box, region in zip(anchors[positive], walk.region_of(moved), strict=True):
        panel.box(box, region, style="dashed", width=1.6)
    for box, region in zip(walk.gt_boxes, walk.class_ids, strict=True):
        panel.box(box, region, width=2.6)
    for box, region in zip(walk.gt_boxes, walk.class_ids, strict=True):
        panel.label(box, region)
    source = "Drawn boxes" if walk.drawn else "Nothing drawn: boxes found"
    positive, negative = (np.count_nonzero(walk.rpn_match == sign) for sign in (1, -1))
    return f"{source}; {positive} positive, {negative} negative anchors"


def _scored(panel: Panel, walk: Walk) -> str:
    boxes = walk.pixels(walk.stages.pre_nms_anchors[:TOP_ANCHORS])
    panel.boxes(boxes, walk.region_of(boxes), style="dashed")
    scores = walk.stages.pre_nms_scores[:TOP_ANCHORS]
    span = f"{scores.min():.2f}-{scores.max():.2f}" if len(scores) else "-"
    return f"Top {len(scores)} of {len(walk.stages.anchors):,} anchors, score {span}"


def _refined(panel: Panel, walk: Walk) -> str:
    before = walk.pixels(walk.stages.pre_nms_anchors[:TOP_BOXES])
    after = walk.pixels(walk.stages.refined_anchors[:TOP_BOXES])
    regions = walk.region_of(after)
    for old, new, region in zip(before, after, regions, strict=True):
        panel.box(old, region, style="dotted", width=0.8)
        panel.joint(old, new, region)
    panel.boxes(after, regions)
    panel.see_all(after)
    return f"Top {len(after)} moved (dotted: before)"


def _clipped(panel: Panel, walk: Walk) -> str:
    boxes = walk.pixels(walk.stages.refined_anchors_clipped[:TOP_BOXES])
    panel.boxes(boxes, walk.region_of(boxes))
    panel.see_all(walk.pixels(walk.stages.refined_anchors[:TOP_BOXES]))  # as panel c
    return f"Top {len(boxes)} clipped to the picture"


def _suppressed(panel: Panel, walk: Walk) -> str:
    rows = walk.stages.post_nms_indices[:TOP_BOXES]
    boxes = walk.pixels(walk.stages.refined_anchors_clipped[rows])
    panel.boxes(boxes, walk.region_of(boxes))
    before, after = len(walk.stages.pre_nms_anchors), len(walk.stages.post_nms_indices)
    return f"First {min(after, TOP_BOXES)} of {after:,} left of {before:,} by NMS"


def _proposals(panel: Panel, walk: Walk) -> str:
    boxes = walk.pixels(walk.stages.proposals[walk.proposals[:TOP_BOXES]])
    panel.boxes(boxes, walk.region_of(boxes))
    panel.normalized_axes()
    count = len(walk.stages.proposals)
    return f"First {min(len(walk.proposals), TOP_BOXES)} of {count:,} proposals, normalized"


def _heads(panel: Panel, walk: Walk) -> str:
    rows, regions, scores = _opinions(walk)
    boxes = walk.pixels(walk.stages.proposals[rows])
    chosen = np.random.default_rng(0).permutation(len(rows))[:HEAD_ROIS]
    background, positive = (chosen[regions[chosen] == 0], chosen[regions[chosen] > 0])
    panel.boxes(boxes[background], regions[background], width=0.6)
    panel.boxes(boxes[positive], regions[positive], width=1.2)
    best = _best(regions, scores)
    for row in best:
        panel.box(boxes[row], regions[row], width=2.8)
    for row in best:
        panel.label(boxes[row], regions[row], scores[row])
    return f"Heads: {np.count_nonzero(regions)} of {len(regions):,} proposals are of a region"


def _final(panel: Panel, walk: Walk) -> str:
    rows, regions, scores = _opinions(walk)
    before = walk.pixels(walk.stages.proposals[rows])
    after = walk.pixels(walk.stages.refined_proposals[rows])
    for row in _best(regions, scores):
        panel.box(before[row], regions[row], style="dotted", width=1.2)
        panel.joint(before[row], after[row], regions[row])
    boxes, found, confidence = _detected(walk)
    for box, region in zip(boxes, found, strict=True):
        panel.box(box, region, width=2.8)
    for box, region, score in zip(boxes, found, confidence, strict=True):
        panel.label(box, region, score)
    return f"{len(found)} detections (dotted: the proposal), after NMS a class"


def _masks(panel: Panel, walk: Walk) -> str:
    result = walk.molded_result
    panel.masks(result["masks"], result["class_ids"], result["scores"])
    for row, region in enumerate(result["class_ids"]):
        panel.name_inside(result["masks"][..., row], region)
    return f"{len(walk.result['class_ids'])} masks"


# What each panel shows, and the function that draws it and returns its title.
_STAGES: dict[str, tuple[str, Callable[[Panel, Walk], str]]] = {
    "a": ("targets", _targets),
    "b": ("anchors", _scored),
    "c": ("refined", _refined),
    "d": ("clipped", _clipped),
    "e": ("nms", _suppressed),
    "f": ("proposals", _proposals),
    "g": ("heads", _heads),
    "h": ("detections", _final),
    "i": ("masks", _masks),
}
PANELS = tuple(_STAGES)


def draw_panel(walk: Walk, letter: str, ax: Axes) -> None:
    """Draw a panel, "a" to "i", on axes of a figure that has its final size."""
    if letter not in _STAGES:
        raise UserError(f"There is no panel {letter!r}; Fig. 2 has {', '.join(_STAGES)}.")
    panel = Panel(ax, walk.picture, walk.regions)
    _, draw = _STAGES[letter]
    panel.title(letter, draw(panel, walk))


def show(walk: Walk, letters: str = "abcdefghi", dpi: int = 75) -> None:
    """Draw panels, such as "cd", at most three a row, in a new figure (for notebooks)."""
    across, down = _grid(letters)
    figure = plt.figure(figsize=(across * _PANEL_IN, down * _PANEL_IN), dpi=dpi)
    _draw(walk, letters, figure)


def panel_paths(out: str | Path, name: str) -> list[Path]:
    """What `save_panels` writes."""
    panels = [f"{name}_{letter}_{_STAGES[letter][0]}.png" for letter in PANELS]
    return [Path(out) / file for file in (*panels, f"{name}_panels.png", f"{name}_stages.npz")]


def save_panels(walk: Walk, out: str | Path, name: str) -> list[Path]:
    """Write `<name>_<letter>_<stage>.png` of each panel, all nine together and the stages.

    Returns:
        The nine paths, `<name>_panels.png` and `<name>_stages.npz`, in the folder `out`.
    """
    paths = panel_paths(out, name)
    for letters, path in zip((*PANELS, "".join(PANELS)), paths[:-1], strict=True):
        across, down = _grid(letters)
        figure = Figure(figsize=(across * _PANEL_IN, down * _PANEL_IN), dpi=_DPI)
        FigureCanvasAgg(figure)
        _draw(walk, letters, figure)
        replace_own(path, lambda part, figure=figure: figure.savefig(part, format="png"))
    replace_own(paths[-1], walk.stages.save)
    return paths


def _grid(letters: str) -> tuple[int, int]:
    across = min(len(letters), 3)
    return across, -(-len(letters) // across)


def _draw(walk: Walk, letters: str, figure: Any) -> None:
    across, down = _grid(letters)
    for place, letter in enumerate(letters):
        row, column = divmod(place, across)
        # By hand: labels are placed by their extent, which a later layout would change.
        x, y = column / across, 1 - (row + 1) / down
        ax = figure.add_axes((x + 0.02 / across, y + 0.03 / down, 0.96 / across, 0.9 / down))
        draw_panel(walk, letter, ax)


def _opinions(walk: Walk) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every proposal that is not padding: its row, most probable class and probability."""
    probabilities = walk.stages.mrcnn_class[walk.proposals]
    return walk.proposals, probabilities.argmax(axis=1), probabilities.max(axis=1)


def _best(regions: np.ndarray, scores: np.ndarray) -> list[int]:
    """Index of the most certain proposal of each region."""
    return [
        int(np.argmax(np.where(regions == region, scores, -1)))
        for region in np.unique(regions[regions > 0])
    ]


def _detected(walk: Walk) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, class ids and scores of the detections."""
    rows = walk.stages.detections
    rows = rows[rows[:, 4] > 0]
    return walk.pixels(rows[:, :4]), rows[:, 4].astype(int), rows[:, 5]
