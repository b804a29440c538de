"""What `sebre.trust.trust_model` looks at: features of a picture, and measures of regions on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import keras
import numpy as np

from mrcnn.data.molding import mold_inputs
from mrcnn.errors import UserError
from mrcnn.structures.mask_formats import mask_areas
from sebre.data import region_names
from sebre.data.region_masks import count_labels
from sebre.data.regions import RegionSet
from sebre.drawing.overlay import reduced_labels
from sebre.networks.segmenter import Segmenter, best_labels, best_per_region
from sebre.networks.tissue import reduced

_PREFIXES = (("res3", "_out"), ("res4", "_out")), (("down3", "b_relu"), ("down4", "b_relu"))
_LEAST_CELLS = 0.5  # of tissue in a feature map; with less the whole window is pooled
OVERSIZE = 2  # a picture is reduced to this many times the input of the network at first

# What a picture looks like, in this order (`measure_looks`).
LOOKS = ("background", "contrast", "color")
# Measures of a region, in this order (`measure_regions`).
MEASURES = ("size", "down", "across", "apart", "solidity")


class PictureFeatures:
    """Features of a picture, as the network itself sees it.

    Mean and deviation over the tissue of every channel of two stages of its backbone: C3 and C4
    of a Mask R-CNN, the two lowest levels of a U-Net.
    """

    def __init__(self, segmenter: Segmenter):
        try:
            model = segmenter.keras_model
            layers = [_last_layer(model, *ends) for ends in _ends_of(model)]
        except (AttributeError, ValueError) as error:
            raise UserError(
                f"{segmenter.weights.path}: of this network no features can be read. Give weights "
                "of a Mask R-CNN with a ResNet, or of a U-Net, not an exported file."
            ) from error
        self.config = segmenter.config
        outputs = [model.get_layer(name).output for name in layers]
        self._model = keras.Model(model.inputs[0], outputs)

    def __call__(self, picture: np.ndarray, tissue: np.ndarray) -> np.ndarray:
        """Features float32 [n] of a picture uint8 [H, W, 3] with its `small_tissue`."""
        picture = reduced(picture, OVERSIZE * self.config.IMAGE_MAX_DIM)
        molded, _, windows = mold_inputs([picture], self.config)
        y1, x1, y2, x2 = (int(v) for v in windows[0])
        inside = np.zeros(molded.shape[1:3], np.float32)
        inside[y1:y2, x1:x2] = _as_size(tissue, (x2 - x1, y2 - y1))
        window = np.zeros_like(inside)
        window[y1:y2, x1:x2] = 1
        pooled = []
        for maps in self._model.predict_on_batch(molded):
            cells = np.asarray(maps, np.float32)[0]
            share = _as_size(inside, cells.shape[1::-1])
            if share.sum() < _LEAST_CELLS:
                share = _as_size(window, cells.shape[1::-1])
            share = share[..., None] / share.sum()
            mean = (cells * share).sum((0, 1))
            deviation = np.sqrt((np.square(cells - mean) * share).sum((0, 1)))
            pooled += [mean, deviation]
        return np.concatenate(pooled)


def _ends_of(model: keras.Model) -> tuple[tuple[str, str], ...]:
    names = [layer.name for layer in model.layers]
    return _PREFIXES["down0a" in names]


def _last_layer(model: keras.Model, start: str, end: str) -> str:
    names = [name.name for name in model.layers if name.name.startswith(start)]
    return max(name for name in names if name.endswith(end))


def _as_size(mask: np.ndarray, size: Sequence[int]) -> np.ndarray:
    return cv2.resize(mask.astype(np.float32), tuple(size), interpolation=cv2.INTER_AREA)


def measure_looks(picture: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Brightness of the background, how much brighter the tissue is (below 0: darker), and how
    colored it is, in gray values: float [3], see LOOKS.

    Args:
        picture: uint8 [H, W, 3].
        tissue: its `small_tissue`, bool [h, w].
    """
    small = cv2.resize(picture, tissue.shape[::-1], interpolation=cv2.INTER_AREA)
    gray = small.astype(np.float32).mean(-1)
    color = (small.max(-1) - small.min(-1))[tissue]
    if not tissue.any() or tissue.all():
        return np.array([float(np.median(gray)), 0.0, float(color.mean()) if color.size else 0.0])
    ground = float(np.median(gray[~tissue]))
    return np.array([ground, float(np.median(gray[tissue])) - ground, float(color.mean())])


def measure_regions(labels: np.ndarray, tissue: np.ndarray) -> dict[int, np.ndarray]:
    """Measures of every region of a label map, by class id: float [5], see MEASURES.

    "size" is the logarithm of its share of the tissue; "down" and "across" are its center in the
    box around the tissue, 0 to 1; "apart" is its distance from the center of the tissue, in square
    roots of the area of the tissue; "solidity" is its share of its convex hull.

    Args:
        labels: class ids [H, W].
        tissue: `small_tissue` of the picture, bool [h, w].
    """
    labels = reduced_labels(labels, tissue.shape)
    inside = tissue | (labels > 0)
    if not inside.any():
        return {}
    area = np.count_nonzero(inside)
    center = np.array([np.flatnonzero(inside) // inside.shape[1], np.nonzero(inside)[1]]).mean(1)
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    found = {}
    for class_id in np.unique(labels[labels > 0]):
        pixels = np.argwhere(labels == class_id)
        middle = pixels.mean(0)
        found[int(class_id)] = np.array(
            [
                np.log(len(pixels) / area),
                (middle[0] - rows[0] + 0.5) / (rows[-1] - rows[0] + 1),
                (middle[1] - columns[0] + 0.5) / (columns[-1] - columns[0] + 1),
                np.hypot(*(middle - center)) / np.sqrt(area),
                len(pixels) / _hull_area(pixels),
            ]
        )
    return found


def _hull_area(pixels: np.ndarray) -> float:
    """Pixels inside the convex hull of some [N, 2]."""
    hull = cv2.convexHull(pixels[:, ::-1].astype(np.int32))
    low = hull.min((0, 1))
    width, height = hull.max((0, 1)) - low + 1
    drawn = cv2.fillConvexPoly(np.zeros((height, width), np.uint8), hull - low, 1)
    return float(max(np.count_nonzero(drawn), len(pixels)))


@dataclass(frozen=True)
class FoundRegions:
    """What there is to judge the regions by that were found on a picture, by class id."""

    measures: dict[int, np.ndarray]  # of `measure_regions`
    scores: dict[int, float]  # of the best detection
    kept: dict[int, float]  # share of its mask that the label map gives it
    agreed: dict[int, float]  # of `agreement`; empty without turned pictures


def describe_regions(
    result: Mapping[str, Any],
    labels: np.ndarray,
    tissue: np.ndarray,
    turned: Sequence[Mapping[str, Any]] | None = None,
) -> FoundRegions:
    """Describe the regions that were found on a picture.

    Args:
        result: of `detect`.
        labels: label map of it, class ids [H, W].
        tissue: `small_tissue` of the picture, bool [h, w].
        turned: results on the same picture turned, turned back; None or empty without any.
    """
    best = best_per_region(dict(result))
    measures = measure_regions(labels, tissue)
    measures = {i: values for i, values in measures.items() if i in best}
    areas, counts = mask_areas(result["masks"]), count_labels(labels, max(best, default=0) + 1)
    kept = {i: float(min(1.0, counts[i] / max(1, areas[best[i]]))) for i in measures}
    scores = {i: float(result["scores"][best[i]]) for i in measures}
    agreed = agreement(labels, turned, list(measures)) if turned else {}
    return FoundRegions(measures, scores, kept, agreed)


def agreement(
    labels: np.ndarray, turned: Sequence[Mapping[str, Any]], class_ids: Sequence[int]
) -> dict[int, float]:
    """How well each region agrees with those found on turned pictures: mean Dice, 0 to 1.

    Args:
        labels: class ids [H, W] as found.
        turned: results of `detect` on turned pictures, turned back.
        class_ids: of the regions wanted.
    """
    others = [best_labels(dict(result), labels.shape) for result in turned]
    found = {}
    for class_id in class_ids:
        mask = labels == class_id
        dices = []
        for other in others:
            same = other == class_id
            total = np.count_nonzero(mask) + np.count_nonzero(same)
            dices.append(2 * np.count_nonzero(mask & same) / total if total else 0.0)
        found[class_id] = float(np.mean(dices)) if dices else 0.0
    return found


def side_pairs(regions: RegionSet) -> dict[int, int]:
    """For each region of the left or the right side, by its name, the class id of the other."""
    pairs = region_names.side_pairs(regions.names)
    return dict([*pairs, *(pair[::-1] for pair in pairs)])
