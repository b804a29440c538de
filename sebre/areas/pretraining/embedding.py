"""What an encoder learned without labels: distances, nearest neighbors, clusters, borders."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree

from sebre.areas.area_unet import encode_detail
from sebre.areas.pretraining.ribbon import Points
from sebre.areas.pretraining.siamese import PatchMaker

NEIGHBORS = 7
_PAIR_MM = (0.2, 0.6)  # of patches whose codes are compared across and within areas


def distance_scores(
    told: np.ndarray, true: np.ndarray, section: np.ndarray, window: int
) -> dict[str, float]:
    """How well distances of pairs are told, of sections at most `window` apart.

    Args:
        told: float [n, n] in mm.
        true: float [n, n] in mm.
        section: int [n], of each point.
        window: sections.

    Returns:
        mean absolute error in mm, correlation, the error of always telling the median, and the
        number of pairs.
    """
    first, second = np.triu_indices(len(section), 1)
    near = np.abs(section[first] - section[second]) <= window
    told, true = (values[first, second][near] for values in (told, true))
    known = np.isfinite(true)
    told, true = told[known], true[known]
    return {
        "error_mm": float(np.abs(told - true).mean()),
        "correlation": float(np.corrcoef(told, true)[0, 1]),
        "median_error_mm": float(np.abs(np.median(true) - true).mean()),
        "pairs": int(known.sum()),
    }


def probe(
    codes: np.ndarray,
    areas: np.ndarray,
    learned: np.ndarray,
    tested: np.ndarray,
    count: int = NEIGHBORS,
) -> dict[str, float]:
    """Accuracy of the commonest area among the nearest codes.

    Args:
        codes: float [n, k].
        areas: int [n]; 0 counts nowhere.
        learned: bool [n], whose areas are known.
        tested: bool [n].
        count: neighbors.

    Returns:
        accuracy, share of the commonest area of those tested, and their number.
    """
    learned, tested = learned & (areas > 0), tested & (areas > 0)
    _, nearest = cKDTree(codes[learned]).query(codes[tested], k=count)
    votes = areas[learned][nearest]
    # Of a tie, the nearest one among those that lead.
    found = np.array([max(row.tolist(), key=row.tolist().count) for row in votes])
    truth = areas[tested]
    return {
        "accuracy": float((found == truth).mean()),
        "commonest": float(np.bincount(truth).max() / len(truth)),
        "patches": len(truth),
    }


def random_codes(maker: PatchMaker, widths: Sequence[int], seed: int = 0) -> np.ndarray:
    """Codes of the same encoder with random weights: means of its features over the patch."""
    keras.utils.set_random_seed(seed)
    patch = keras.Input((maker.side, maker.side, 1))
    pooled = [keras.layers.GlobalAveragePooling2D()(x) for x in encode_detail(patch, widths)]
    model = keras.Model(patch, keras.layers.Concatenate()(pooled))
    patches = [maker.patch(n) for n in range(len(maker.points))]
    parts = [
        keras.ops.convert_to_numpy(model(np.stack(patches[n : n + 64]), training=False))
        for n in range(0, len(patches), 64)
    ]
    codes = np.concatenate(parts)
    return (codes - codes.mean(axis=0)) / (codes.std(axis=0) + 1e-6)


def clusters(codes: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Cluster of each code by k-means, int [n]."""
    scaled = (codes - codes.mean(axis=0)) / (codes.std(axis=0) + 1e-6)
    _, found = kmeans2(scaled, count, minit="++", seed=seed)
    return found


def shared_information(first: np.ndarray, second: np.ndarray) -> float:
    """Mutual information of two labelings by the mean of their entropies, 0 to 1."""
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1)
    joint = table / table.sum()
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    seen = joint > 0
    mutual = (joint[seen] * np.log(joint[seen] / np.outer(rows, columns)[seen])).sum()
    entropy = -sum((p[p > 0] * np.log(p[p > 0])).sum() for p in (rows, columns)) / 2
    return float(mutual / entropy) if entropy > 0 else 0.0


def border_scores(
    codes: np.ndarray, areas: np.ndarray, distances: np.ndarray, points: Points
) -> dict[str, Any]:
    """Whether codes of near patches differ more across a border of areas than within an area.

    Pairs lie on one section, 0.2 to 0.6 mm apart along the cortex; what distance alone explains
    is taken out by a straight line.
    """
    first, second = np.triu_indices(len(areas), 1)
    true = distances[first, second]
    chosen = (points.section[first] == points.section[second]) & (areas[first] > 0)
    chosen &= (areas[second] > 0) & (true >= _PAIR_MM[0]) & (true <= _PAIR_MM[1])
    first, second, true = first[chosen], second[chosen], true[chosen]
    apart = np.linalg.norm(codes[first] - codes[second], axis=1)
    rest = apart - np.polyval(np.polyfit(true, apart, 1), true)
    across = (areas[first] != areas[second]).astype(float)
    return {
        "correlation": float(np.corrcoef(rest, across)[0, 1]),
        "pairs": len(apart),
        "across": int(across.sum()),
    }
