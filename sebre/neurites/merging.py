"""Fragments into segments: by any edge that joins, or by mean affinity, the strongest first."""

import heapq
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def join_all(count: int, ends: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Segments of fragments that edges join.

    Args:
        count: fragments are 0 to count - 1.
        ends: integers [edges]. One end.
        others: integers [edges]. The other end.

    Returns:
        int64 [count]: of each fragment, the lowest fragment of its segment.
    """
    graph = coo_array((np.ones(len(ends), bool), (ends, others)), shape=(count, count))
    _, found = connected_components(graph, directed=False)
    first = np.full(found.max(initial=-1) + 1, count, np.int64)
    np.minimum.at(first, found, np.arange(count))
    return first[found]


def merge_by_mean(
    count: int,
    ends: np.ndarray,
    others: np.ndarray,
    sums: np.ndarray,
    counts: np.ndarray,
    thresholds: Sequence[float],
) -> list[np.ndarray]:
    """Merge fragments by the mean affinity between them, the highest first (Lee et al. 2017).

    The mean is over all voxels of the contact, taken again after each merger.

    Args:
        count: fragments are 0 to count - 1.
        ends: integers [edges]. One end.
        others: integers [edges]. The other end; each pair of ends is there once.
        sums: integers [edges]. Sum of the affinities of a contact, of 255 each.
        counts: integers [edges]. How many they are.
        thresholds: 0..1, falling. Mergers end when no mean reaches it.

    Returns:
        For each threshold int64 [count]: of each fragment, the one that stands for its segment.
    """
    around: list[dict[int, tuple[int, int]]] = [{} for _ in range(count)]
    heap = []
    rows = zip(*(part.tolist() for part in (ends, others, sums, counts)), strict=True)
    for a, b, total, number in rows:
        around[a][b] = around[b][a] = (total, number)
        heap.append((-total / number, min(a, b), max(a, b), total, number))
    heapq.heapify(heap)
    parent = np.arange(count)
    found = []
    for threshold in thresholds:
        limit = -255 * threshold
        while heap and heap[0][0] <= limit:
            _, a, b, total, number = heapq.heappop(heap)
            if around[a].get(b) != (total, number):
                continue  # merged or changed since
            _merge(a, b, around, parent, heap)
        found.append(_roots(parent))
    return found


def _merge(
    a: int, b: int, around: list[dict[int, tuple[int, int]]], parent: np.ndarray, heap: list
) -> None:
    """Make b a part of a, or the other way round: what has fewer contacts moves."""
    if len(around[a]) < len(around[b]):
        a, b = b, a
    parent[b] = a
    del around[a][b]
    for other, (total, number) in around[b].items():
        if other == a:
            continue
        del around[other][b]
        old = around[a].get(other, (0, 0))
        new = (old[0] + total, old[1] + number)
        around[a][other] = around[other][a] = new
        heapq.heappush(heap, (-new[0] / new[1], min(a, other), max(a, other), *new))
    around[b] = {}


def _roots(parent: np.ndarray) -> np.ndarray:
    roots = parent
    while True:
        higher = roots[roots]
        if np.array_equal(higher, roots):
            return higher
        roots = higher
