"""Outlines along the edges of pixels: of any mask, exactly, and in whole numbers.

Contours (`mask_formats`) cut the corners of pixels, and follow large masks at some of their pixels.
These outlines go around every pixel. Two pixels that touch at a corner alone have outlines of their
own. Files for other programs are made of them, because programs differ in how they fill a shape,
but not for one whose edges are those of pixels.
"""

from collections.abc import Iterator

import numpy as np

from mrcnn.structures.mask_formats import Rle, rle_columns

_BELOW, _ABOVE = 1, -1  # where the mask lies, seen from an edge


def pixel_outlines(rle: Rle) -> list[np.ndarray]:
    """Outlines of a mask in the form of run lengths; no array of its size is made.

    Returns:
        Closed lines int64 [n, (y, x)], last point = first, in px from the upper left corner of the
        picture, clockwise around pixels and counterclockwise around holes. None crosses another or
        itself; two may touch at a point.

    Example:
        >>> from mrcnn.structures.mask_formats import mask_to_rle
        >>> [line.tolist() for line in pixel_outlines(mask_to_rle(np.eye(2, dtype=bool)[:1]))]
        [[[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]]
    """
    rows, first, last, sides = _level_edges(rle)
    if not len(rows):
        return []
    ahead = sides == _BELOW  # clockwise around pixels
    starts = np.stack([rows, np.where(ahead, first, last)], axis=1)
    ends = np.stack([rows, np.where(ahead, last, first)], axis=1)
    # Along a column, the corners one after the other are the ends of its upright edges. Where two
    # corners are at one place, pixels touch there: the edge below the upper pixel comes first.
    corners = np.concatenate([starts, ends])
    order = np.lexsort((np.tile(sides, 2), corners[:, 0], corners[:, 1]))
    partner = np.empty(len(corners), int)
    partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    following = partner[len(rows) :]  # the level edge that begins where the upright one ends
    return [*_rings(starts, ends, following)]


def _level_edges(rle: Rle) -> tuple[np.ndarray, ...]:
    """Edges along the rows, from corner to corner: row, first and last column, and side, int64 [N]
    each."""
    columns, tops, bottoms = rle_columns(rle)
    rows, columns = np.concatenate([tops, bottoms]), np.tile(columns, 2)
    sides = np.repeat([_BELOW, _ABOVE], len(tops))
    order = np.lexsort((columns, sides, rows))
    rows, columns, sides = rows[order], columns[order], sides[order]
    begins = np.ones(len(rows), bool)
    same = (np.diff(rows) == 0) & (np.diff(sides) == 0) & (np.diff(columns) == 1)
    begins[1:] = ~same
    stops = np.append(begins[1:], True)[: len(rows)]
    return rows[begins], columns[begins], columns[stops] + 1, sides[begins]


def _rings(starts: np.ndarray, ends: np.ndarray, following: np.ndarray) -> Iterator[np.ndarray]:
    """Closed lines of edges, each followed by another one."""
    left, steps = np.ones(len(following), bool), following.tolist()
    for first in range(len(steps)):
        ring, edge = [], first
        while left[edge]:
            left[edge] = False
            ring.append(edge)
            edge = steps[edge]
        if ring:
            points = np.stack([starts[ring], ends[ring]], axis=1).reshape(-1, 2)
            yield np.concatenate([points, points[:1]])
