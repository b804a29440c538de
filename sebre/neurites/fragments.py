"""Fragments of a cell, and the edges of the region graph that joins them.

Two kinds: components of the affinity graph above a threshold, as in the article, which are exactly
those of the whole volume once they are joined over the faces of the cells; and basins of a
watershed that are joined later by their mean affinity. Both can be made section by section, for
stacks that are badly aligned.
"""

import numpy as np
import scipy.ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.segmentation import watershed

from sebre.neurites.affinity_graph import NEAREST, edge_ends

_SEED_AFFINITY = 128  # mean affinity, of 255, below which a voxel counts as border for the seeds
_SEED_SMOOTHING = 1.0  # of the distance from borders, voxels


def as_level(threshold: float) -> int:
    """A threshold, 0..1, among affinities of uint8: the lowest value that reaches it."""
    return max(1, int(np.ceil(255 * threshold - 1e-9)))


def component_fragments(
    near: np.ndarray, following: list[np.ndarray], level: int, flat: bool = False
) -> np.ndarray:
    """Components of the edges of a cell that reach a level.

    Args:
        near: uint8 [3, z, y, x]. The nearest affinities of the cell.
        following: for each axis the first plane of the nearest affinities along it of the next
            cell, uint8 [plane]; empty at the face of the volume.
        level: least affinity of an edge that joins, of 255.
        flat: only edges within a section.

    Returns:
        int32 [z, y, x]: components from 1; 0 for voxels without such an edge, also over faces.
    """
    shape = near.shape[1:]
    numbers = np.arange(near[0].size, dtype=np.int32).reshape(shape)
    linked = np.zeros(shape, bool)
    ends: list[tuple[np.ndarray, np.ndarray]] = []
    for axis in range(flat, 3):
        joined = near[axis] >= level
        linked |= joined
        own, other = edge_ends(shape, NEAREST[axis])
        inside = joined[own]
        linked[other] |= inside
        if following[axis].size:
            last = (slice(None),) * axis + (-1,)
            linked[last] |= following[axis] >= level
        ends.append((numbers[own][inside], numbers[other][inside]))
    rows, columns = (np.concatenate(part) for part in zip(*ends, strict=True))
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(numbers.size,) * 2)
    _, found = connected_components(graph, directed=False)
    found = found.reshape(shape)
    # Numbers by first voxel, so that they follow from the cell alone.
    kept, first = np.unique(found[linked], return_index=True)
    order = np.zeros(found.max() + 1, np.int32)
    order[kept[np.argsort(first)]] = np.arange(1, len(kept) + 1)
    return np.where(linked, order[found], 0).astype(np.int32)


def watershed_fragments(near: np.ndarray, flat: bool = False) -> np.ndarray:
    """Basins of a watershed from the middles of what is inside borders.

    Args:
        near: uint8 [3, z, y, x]. The nearest affinities of the cell.
        flat: each section on its own, by the affinities within it.

    Returns:
        int32 [z, y, x]: basins from 1; every voxel is in one.
    """
    if flat:
        found = np.zeros(near.shape[1:], np.int32)
        for number in range(len(found)):
            basins = _basins(near[1:, number].mean(axis=0, dtype=np.float32))
            found[number] = basins + found[: number + 1].max(initial=0)
        return found
    return _basins(near.mean(axis=0, dtype=np.float32))


def _basins(mean: np.ndarray) -> np.ndarray:
    inside = mean >= _SEED_AFFINITY
    # The first and the last voxel of a cell are as far from a border as those beside them.
    depth = scipy.ndimage.distance_transform_edt(inside).astype(np.float32)
    depth = scipy.ndimage.gaussian_filter(depth, _SEED_SMOOTHING)
    tops = (depth == scipy.ndimage.maximum_filter(depth, size=5)) & inside
    seeds, count = scipy.ndimage.label(tops, np.ones((3,) * mean.ndim))
    if not count:
        return np.ones(mean.shape, np.int32)
    return watershed(-depth - mean / 255, seeds).astype(np.int32)


def region_edges(
    near: np.ndarray, own: np.ndarray, before: np.ndarray, axis: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Edges between the fragments of two planes or boxes that lie beside one another.

    Args:
        near: uint8, shape of `own`. Nearest affinities along the axis.
        own: integers. Fragments at the voxels that have the edges.
        before: integers, the same shape. Fragments at their other ends.
        axis: of the edges, for the message alone.

    Returns:
        Fragments of both ends, sum of the affinities between them and how many, all int64.
    """
    if own.shape != before.shape or near.shape != own.shape:
        raise ValueError(f"Shapes along axis {axis}: {near.shape}, {own.shape}, {before.shape}")
    between = (own != before) & (own > 0) & (before > 0)
    return sum_edges(own[between], before[between], near[between], np.ones(between.sum(), int))


def sum_edges(
    ends: np.ndarray, others: np.ndarray, sums: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Edges of the same two fragments as one, all int64 [edges]."""
    pairs, which = np.unique(np.stack([ends, others]).astype(np.int64), axis=1, return_inverse=True)
    total = np.bincount(which, sums, pairs.shape[1]).astype(np.int64)
    number = np.bincount(which, counts, pairs.shape[1]).astype(np.int64)
    return pairs[0], pairs[1], total, number
