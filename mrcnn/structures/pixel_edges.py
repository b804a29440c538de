"""Outlines along the edges of pixels: of any mask, exactly, and in whole numbers.

Contours (`mask_formats`) cut the corners of pixels, and follow large masks at some of their pixels.
These outlines go around every pixel. Two pixels that touch at a corner alone have outlines of their
own. Files for other programs are made of them, because programs differ in how they fill a shape,
but not for one whose edges are those of pixels.
"""

from collections.abc import Iterator

import numpy as np

from mrcnn.structures.mask_formats import Rle, rle_box, rle_to_mask

_STRIP_PX = 2**24  # pixels that are looked at at once


def pixel_outlines(rle: Rle) -> list[np.ndarray]:
    """Outlines of a mask in the form of run lengths.

    Returns:
        Closed lines int64 [n, (y, x)], last point = first, in px from the upper left corner of the
        picture, clockwise around pixels and counterclockwise around holes. None crosses another or
        itself; two may touch at a point.

    Example:
        >>> from mrcnn.structures.mask_formats import mask_to_rle
        >>> [line.tolist() for line in pixel_outlines(mask_to_rle(np.eye(2, dtype=bool)[:1]))]
        [[[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]]
    """
    y1, x1, y2, x2 = rle_box(rle)
    if y2 <= y1:
        return []
    box = (y1, x1, y2, x2)
    level, upright = (_Edges(rle, box, upright=upright) for upright in (False, True))
    # From a level edge to the upright one that it ends at, and on to the next level one. Where two
    # begin at one point, pixels touch at a corner: the edges of the same pixel go together.
    after = upright.beginning_at(level.ends, level.sides, same=False)
    following = level.beginning_at(upright.ends[:, after], upright.sides[after], same=True)
    return [*_rings(level, following)]


class _Edges:
    """Straight edges of a mask from corner to corner, level or upright.

    Attributes:
        starts, ends: corners (y, x), int64 [2, N].
        sides: 1 where the mask lies below or right of the edge, -1 where above or left, [N].
    """

    def __init__(self, rle: Rle, box: tuple[int, int, int, int], upright: bool):
        line, first, last, self.sides = np.concatenate([*_runs(rle, box, upright)], axis=1)
        low, high = ((first, line), (last, line)) if upright else ((line, first), (line, last))
        # Clockwise around pixels.
        ahead = self.sides == (-1 if upright else 1)
        self.starts, self.ends = np.where(ahead, low, high), np.where(ahead, high, low)
        keys = self._key(self.starts, self.sides)
        self._order = np.argsort(keys)
        self._sorted = keys[self._order]

    @staticmethod
    def _key(points: np.ndarray, sides: np.ndarray) -> np.ndarray:
        return (points[0] << 32) + (points[1] << 1) + (sides > 0)

    def beginning_at(self, points: np.ndarray, sides: np.ndarray, same: bool) -> np.ndarray:
        """The edge that begins at each point [2, N]; where there are two, that of the same side as
        the edges that end there, or of the other."""
        wanted = sides if same else -sides
        place = np.searchsorted(self._sorted, self._key(points, wanted))
        place = np.minimum(place, len(self._sorted) - 1)
        missing = self._sorted[place] != self._key(points, wanted)
        other = np.searchsorted(self._sorted, self._key(points, -wanted))
        return self._order[np.where(missing, other, place)]


def _runs(rle: Rle, box: tuple[int, int, int, int], upright: bool) -> Iterator[np.ndarray]:
    """Edges of strips of a mask: the line between two rows (or columns) that they lie on, first
    and last place on it, and side; int64 [4, n]."""
    y1, x1, y2, x2 = box
    low, high, length = (x1, x2, y2 - y1) if upright else (y1, y2, x2 - x1)
    step = max(1, _STRIP_PX // length)
    for first in range(low, high + 1, step):
        last = min(first + step, high + 1)  # lines first..last-1, each between two rows
        inside = (max(first - 1, low), min(last, high))
        window = (y1, inside[0], y2, inside[1]) if upright else (inside[0], x1, inside[1], x2)
        part = rle_to_mask(rle, window)
        part = part.T if upright else part
        before, after = inside[0] - (first - 1), last - inside[1]
        part = np.pad(part.astype(np.int8), ((before, after), (0, 0)))
        changes = np.pad(np.diff(part, axis=0), ((0, 0), (1, 1)))  # [lines, length + 2]
        lines, places = np.nonzero(changes[:, 1:] != changes[:, :-1])
        # Runs of one side: each place where it changes ends one run, begins another, or both.
        begins = changes[lines, places + 1] != 0
        stops = changes[lines, places] != 0
        sides = changes[lines[begins], places[begins] + 1].astype(np.int64)
        offset = y1 if upright else x1
        yield np.stack(
            [lines[begins] + first, places[begins] + offset, places[stops] + offset, sides]
        )


def _rings(level: _Edges, following: np.ndarray) -> Iterator[np.ndarray]:
    starts, ends = level.starts.T, level.ends.T
    left = np.ones(len(following), bool)
    steps = following.tolist()
    for first in range(len(steps)):
        if not left[first]:
            continue
        ring, edge = [], first
        while left[edge]:
            left[edge] = False
            ring.append(edge)
            edge = steps[edge]
        points = np.stack([starts[ring], ends[ring]], axis=1).reshape(-1, 2)
        yield np.concatenate([points, points[:1]])
