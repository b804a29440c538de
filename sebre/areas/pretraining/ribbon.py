"""Distances along the cortex of a stack, within sections and from section to section.

Nodes are points of the cortex on a grid; edges join neighbors within a section, and each node
with those about where it lies on the next section, so that a way may lead across sections at a
slant. Patches are taken in the middle of the cortex. Only a mask of the cortex is needed, no areas.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from mrcnn.errors import UserError
from sebre.areas.atlas_prior import Neighbors
from sebre.areas.stacks import Stack

GRID_MM = 0.07
STEP_MM = 0.15  # from patch to patch along the cortex
_RIDGE = 0.85  # of the greatest depth nearby, from which a point is in the middle
_NEARBY_MM = 0.4
_REACH_MM = 0.15  # from where a node lies on the next section to nodes that it is joined with there


@dataclass(frozen=True)
class Points:
    """Points in the middle of the cortex.

    Attributes:
        section: int [n], number of the section of each.
        place: float32 [n, 2], row and column in pixels.
        position_mm: float32 [n, 3]: along the stack, row, column.
    """

    section: np.ndarray
    place: np.ndarray
    position_mm: np.ndarray

    def __len__(self) -> int:
        return len(self.section)

    def of(self, chosen: np.ndarray) -> "Points":
        """The points of an index or mask [n]."""
        return Points(self.section[chosen], self.place[chosen], self.position_mm[chosen])


def middle_points(stack: Stack, cortex: np.ndarray, step_mm: float = STEP_MM) -> Points:
    """Points in the middle of the cortex, about `step_mm` apart.

    Args:
        stack: the sections.
        cortex: bool [z, y, x].
        step_mm: from point to point.
    """
    pixel_mm = stack.pixel_um / 1000
    sections, places = [], []
    for number, mask in enumerate(cortex):
        # The cortex goes on beyond the border of the picture.
        depth = scipy.ndimage.distance_transform_edt(np.pad(mask, 50, mode="edge"))[50:-50, 50:-50]
        size = 2 * round(_NEARBY_MM / pixel_mm / 2) + 1
        ridge = mask & (depth >= _RIDGE * scipy.ndimage.maximum_filter(depth, size))
        chosen = _apart(np.argwhere(ridge), depth, step_mm / pixel_mm)
        sections.append(np.full(len(chosen), number))
        places.append(chosen)
    section, place = np.concatenate(sections), np.concatenate(places).astype(np.float32)
    if not len(section):
        raise UserError("No section of the stack shows cortex; there are no patches to take.")
    position = np.column_stack([stack.z_mm[section], place * pixel_mm]).astype(np.float32)
    return Points(section, place, position)


def geodesic_distances(
    stack: Stack,
    cortex: np.ndarray,
    points: Points,
    neighbors: Neighbors | None = None,
    sources: Sequence[int] | None = None,
) -> np.ndarray:
    """Distances between points along the cortex, in mm; infinite where nothing joins them.

    Args:
        stack: the sections.
        cortex: bool [z, y, x].
        points: in the cortex.
        neighbors: of the stack, for where a node lies on the next section; None takes the same
            place there.
        sources: numbers of the points to start from; None for all.

    Returns:
        float32 [sources, points].
    """
    nodes, graph = _graph(stack, cortex, neighbors)
    index = np.empty(len(points), int)
    for number in np.unique(points.section):
        here = np.flatnonzero(nodes[:, 0] == number)
        _, nearest = cKDTree(nodes[here, 1:]).query(points.place[points.section == number])
        index[points.section == number] = here[nearest]
    starts = index if sources is None else index[list(sources)]
    found = np.empty((len(starts), len(points)), np.float32)
    for first in range(0, len(starts), 64):  # in parts: rows of all nodes are long
        rows = dijkstra(graph, directed=False, indices=starts[first : first + 64])
        found[first : first + 64] = rows[:, index]
    return found


def _graph(
    stack: Stack, cortex: np.ndarray, neighbors: Neighbors | None
) -> tuple[np.ndarray, scipy.sparse.csr_matrix]:
    """Nodes int [n, 3] (section, row, column) and the lengths of their edges in mm."""
    pixel_mm = stack.pixel_um / 1000
    step = max(1, round(GRID_MM / pixel_mm))
    coarse = cortex[:, ::step, ::step]
    number = np.cumsum(coarse.ravel()).reshape(coarse.shape) - 1
    nodes = np.argwhere(coarse) * [1, step, step]
    heads, tails, lengths = [], [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here, there = _shifted(coarse.shape, down, right)
        both = coarse[here] & coarse[there]
        heads.append(number[here][both])
        tails.append(number[there][both])
        lengths.append(np.full(both.sum(), np.hypot(down, right) * step * pixel_mm))
    for section in range(len(stack) - 1):
        here, there = (np.flatnonzero(nodes[:, 0] == section + n) for n in (0, 1))
        if not len(here) or not len(there):
            continue
        places = nodes[here, 1:]
        if neighbors is not None:
            places = neighbors.points(section + 1, section)[tuple(places.T)]
        pairs = cKDTree(places).sparse_distance_matrix(
            cKDTree(nodes[there, 1:]), _REACH_MM / pixel_mm, output_type="ndarray"
        )
        heads.append(here[pairs["i"]])
        tails.append(there[pairs["j"]])
        gap = stack.z_mm[section + 1] - stack.z_mm[section]
        lengths.append(np.hypot(gap, pairs["v"] * pixel_mm))
    ends = np.concatenate(heads), np.concatenate(tails)
    shape = (len(nodes), len(nodes))
    return nodes, scipy.sparse.csr_matrix((np.concatenate(lengths), ends), shape=shape)


def _shifted(shape: tuple[int, ...], down: int, right: int) -> tuple[tuple, tuple]:
    rows, columns = shape[1:]
    here = slice(0, rows - down), slice(max(0, -right), columns - max(0, right))
    there = slice(down, rows), slice(max(0, right), columns - max(0, -right))
    return (slice(None), *here), (slice(None), *there)


def _apart(places: np.ndarray, depth: np.ndarray, least: float) -> np.ndarray:
    """Places at least so many pixels apart, the deepest first."""
    order = np.argsort(-depth[tuple(places.T)], kind="stable")
    kept: list[np.ndarray] = []
    for place in places[order]:
        if all(np.hypot(*(place - other)) >= least for other in kept):
            kept.append(place)
    return np.array(kept, int).reshape(-1, 2)
