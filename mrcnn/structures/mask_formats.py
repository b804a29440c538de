"""Masks of large pictures without a picture-sized array each.

Three formats: "full", a bool stack [H, W, N]; "rle", a list of N run lengths as COCO has them;
"contours", a list of N sets of polygons. A mask of 7000 x 7000 px takes 49 MB in the first and
some 30 kB in the others.

* Run lengths: {"size": [H, W], "counts": bytes}, the compressed form of `pycocotools.mask`,
  column after column from the top left; what that package makes is taken here and the other
  way round. They have the very pixels of the full mask.
* Contours: {"size": [H, W], "polygons": [float32 [n, 2], ...]}, corners (y, x) in px, where
  (0, 0) is the center of the first pixel; closed, last corner = first. A pixel is inside if
  its center lies within an odd number of polygons, so that a polygon in another one is a hole.
  (For software whose origin is the corner of the first pixel add 0.5 to both.)
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pycocotools.mask
import skimage.measure

from mrcnn.errors import UserError
from mrcnn.structures.masks import inside_box, spans, values_in_box, visible_box

FORMATS = ("full", "rle", "contours")
_SOFT_SAMPLES = 512  # along a side, where the contour of a network's mask is traced
_HARD_SAMPLES = 2048  # the same for masks of pixels; a larger mask is traced at some of them

Rle = dict[str, Any]
Contours = dict[str, Any]
Masks = np.ndarray | Sequence[Rle] | Sequence[Contours]


# --- From the network -----------------------------------------------------------------


def demand_format(masks: str) -> None:
    """Raise an error unless it is one of FORMATS."""
    if masks not in FORMATS:
        raise UserError(f"masks is {masks!r}; it must be one of {', '.join(map(repr, FORMATS))}.")


def paste_rle(mask: np.ndarray, bbox: Sequence[int], image_shape: Sequence[int]) -> Rle:
    """`unmold_mask` as run lengths, made strip by strip inside the box; arguments as there."""
    return _encode(partial(inside_box, mask, bbox), visible_box(bbox, image_shape), image_shape)


def paste_contours(mask: np.ndarray, bbox: Sequence[int], image_shape: Sequence[int]) -> Contours:
    """`unmold_mask` as contours: where the resized mask is one half; arguments as there.

    Traced at up to 512 x 512 points of the box.
    """
    box = visible_box(bbox, image_shape)
    return _trace(partial(values_in_box, mask, bbox), box, image_shape, _SOFT_SAMPLES)


# --- Any format -----------------------------------------------------------------------


def count_masks(masks: Masks) -> int:
    """How many masks there are."""
    return masks.shape[-1] if isinstance(masks, np.ndarray) else len(masks)


def select_masks(masks: Masks, rows: Sequence[int]) -> Masks:
    """Some of the masks, in the same format."""
    if isinstance(masks, np.ndarray):
        return masks[..., list(rows)]
    return [masks[row] for row in rows]


def one_mask(masks: Masks, row: int) -> np.ndarray | Rle | Contours:
    """One of the masks: bool [H, W], run lengths, or contours."""
    return masks[..., row] if isinstance(masks, np.ndarray) else masks[row]


def mask_areas(masks: Masks) -> np.ndarray:
    """Number of px of each mask, int64 [N]."""
    if isinstance(masks, np.ndarray):
        return np.array([np.count_nonzero(masks[..., i]) for i in range(masks.shape[-1])], int)
    return np.array([rle_area(_as_rle(mask)) for mask in masks], int)


def to_rles(masks: Masks) -> list[Rle]:
    """Run lengths of masks in any format."""
    if isinstance(masks, np.ndarray):
        return [mask_to_rle(masks[..., i]) for i in range(masks.shape[-1])]
    return [_as_rle(mask) for mask in masks]


def paint_mask(labels: np.ndarray, mask: np.ndarray | Rle | Contours, value: int) -> None:
    """Set the pixels of one mask in an array [H, W], in place and run by run."""
    if isinstance(mask, np.ndarray):
        labels[mask] = value
        return
    columns, tops, bottoms = rle_columns(_as_rle(mask))
    for column, top, bottom in zip(columns.tolist(), tops.tolist(), bottoms.tolist(), strict=True):
        labels[top:bottom, column] = value


def _as_rle(mask: Rle | Contours) -> Rle:
    return contours_to_rle(mask) if "polygons" in mask else mask


# --- Run lengths ----------------------------------------------------------------------


def mask_to_rle(mask: np.ndarray) -> Rle:
    """Run lengths of a mask bool [H, W].

    Example:
        >>> mask = np.zeros((10, 10), bool)
        >>> mask[2:5, 3:9] = True
        >>> rle = mask_to_rle(mask)
        >>> rle_area(rle), rle_box(rle)
        (18, (2, 3, 5, 9))
        >>> bool((rle_to_mask(rle) == mask).all())
        True
    """
    box = (0, 0, *mask.shape)
    return _encode(lambda w: mask[w[0] : w[2], w[1] : w[3]].astype(bool), box, mask.shape)


def enlarged_rle(mask: np.ndarray, image_shape: Sequence[int]) -> Rle:
    """Run lengths of a mask bool [h, w] resized to a picture (H, W) px.

    Each pixel is as the one of the mask that its center lies in. No array of the picture's size is
    made.
    """
    size = [int(side) for side in image_shape[:2]]
    places = [
        ((np.arange(large) + 0.5) * (small / large)).astype(int)
        for small, large in zip(mask.shape, size, strict=True)
    ]
    shown = [np.flatnonzero(mask.any(axis=1 - axis)[places[axis]]) for axis in (0, 1)]
    if not all(len(some) for some in shown):
        return _encode(lambda w: np.zeros((0, 0), bool), (0, 0, 0, 0), size)
    box = (shown[0][0], shown[1][0], shown[0][-1] + 1, shown[1][-1] + 1)

    def inside(window: tuple[int, int, int, int]) -> np.ndarray:
        y1, x1, y2, x2 = window
        return mask[np.ix_(places[0][y1:y2], places[1][x1:x2])]

    return _encode(inside, box, size)


def rle_to_mask(rle: Rle, window: Sequence[int] | None = None) -> np.ndarray:
    """Mask of run lengths, or a window (y1, x1, y2, x2) px of it: bool [H, W]."""
    y1, x1, y2, x2 = (0, 0, *rle["size"]) if window is None else window
    columns, tops, bottoms = _cut(*rle_columns(rle), (y1, x1, y2, x2))
    mask = np.zeros((x2 - x1, y2 - y1), bool)
    changes = np.zeros((min(x2 - x1, _columns_at_once(y2 - y1)), y2 - y1 + 1), np.int8)
    for left, right in spans(x1, x2, y2 - y1):
        here = slice(*np.searchsorted(columns, (left, right)))
        part = changes[: right - left]
        part[:] = 0
        # Two runs of a column do not touch, so that no place is counted twice.
        part[columns[here] - left, tops[here] - y1] = 1
        part[columns[here] - left, bottoms[here] - y1] = -1
        np.cumsum(part[:, :-1], axis=1, out=part[:, :-1])
        mask[left - x1 : right - x1] = part[:, :-1]
    return mask.T


def _columns_at_once(height: int) -> int:
    first, last = next(spans(0, 2**31, height))
    return last - first


def rle_area(rle: Rle, window: Sequence[int] | None = None) -> int:
    """Number of px, of a window (y1, x1, y2, x2) px if one is given."""
    if window is None:
        starts, stops = _runs(rle)
    else:
        _, starts, stops = _cut(*rle_columns(rle), window)
    return int((stops - starts).sum())


def is_whole(rle: Rle) -> bool:
    """Whether its runs, zeros and ones, are as many pixels as its size says: those of a damaged
    file are not, and decoders take what lies in memory for the rest."""
    edges = _edges(rle)
    filled = int(edges[-1]) if edges.size else 0
    return bool((np.diff(edges, prepend=0) >= 0).all()) and filled == math.prod(rle["size"])


def rle_box(rle: Rle) -> tuple[int, int, int, int]:
    """Tight box (y1, x1, y2, x2) px; all 0 of an empty mask, as `extract_bboxes` gives."""
    columns, tops, bottoms = rle_columns(rle)
    if not columns.size:
        return 0, 0, 0, 0
    return int(tops.min()), int(columns[0]), int(bottoms.max()), int(columns[-1]) + 1


def rle_union(rles: Sequence[Rle]) -> Rle:
    """Run lengths of what is in any of the masks, which have one size."""
    return pycocotools.mask.merge(list(rles), intersect=False)


def rle_intersection(rles: Sequence[Rle]) -> Rle:
    """Run lengths of what is in all of the masks, which have one size."""
    return pycocotools.mask.merge(list(rles), intersect=True)


def rle_iou(first: Sequence[Rle], second: Sequence[Rle]) -> np.ndarray:
    """IoU of every pair, float64 [n, m]; 0 of two empty masks."""
    if not (first and second):
        return np.zeros((len(first), len(second)))
    iou = pycocotools.mask.iou(list(first), list(second), [0] * len(second))
    return np.nan_to_num(np.asarray(iou))


def rle_to_text(rle: Rle) -> dict[str, Any]:
    """The same with counts as str, for JSON."""
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def rle_from_text(text: dict[str, Any]) -> Rle:
    """Inverse of `rle_to_text`."""
    return {"size": list(text["size"]), "counts": text["counts"].encode("ascii")}


def rle_columns(rle: Rle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The runs of each column: column, first row, row after the last; int64 [n] each."""
    height = rle["size"][0]
    starts, stops = _runs(rle)
    first, last = starts // height, (stops - 1) // height
    pieces = last - first + 1  # a run may go on at the top of the next column
    piece = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    columns = np.repeat(first, pieces) + piece
    tops = np.where(piece == 0, np.repeat(starts, pieces) - columns * height, 0)
    end = np.repeat(stops, pieces) - columns * height
    return columns, tops, np.minimum(end, height)


def rle_from_columns(
    columns: np.ndarray, tops: np.ndarray, bottoms: np.ndarray, image_shape: Sequence[int]
) -> Rle:
    """Inverse of `rle_columns`; columns in rising order, runs of a column from the top."""
    height, width = (int(side) for side in image_shape[:2])
    if height * width >= 2**32:
        raise UserError(
            f"A picture of {height} x {width} px: run lengths are counted up to 2**32 px. "
            "Use contours, or a smaller picture."
        )
    starts, stops = columns * height + tops, columns * height + bottoms
    apart = starts[1:] > stops[:-1]
    starts = starts[np.concatenate([[True], apart])] if starts.size else starts
    stops = stops[np.concatenate([apart, [True]])] if stops.size else stops
    edges = np.stack([starts, stops], axis=-1).ravel()
    counts = np.diff(edges, prepend=0, append=height * width)
    counts = counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts  # as in COCO
    uncompressed = {"size": [height, width], "counts": counts}
    return pycocotools.mask.frPyObjects(uncompressed, height, width)


def _encode(
    inside: Callable[[tuple[int, int, int, int]], np.ndarray],
    box: tuple[int, int, int, int],
    image_shape: Sequence[int],
) -> Rle:
    """Run lengths from `inside(window)`, bool, asked for windows of whole columns of the box."""
    y1, x1, y2, x2 = box
    found = [np.zeros((3, 0), int)]
    for left, right in spans(x1, x2 if y2 > y1 else x1, y2 - y1):
        padded = np.zeros((right - left, y2 - y1 + 2), bool)
        padded[:, 1:-1] = inside((y1, left, y2, right)).T
        columns, rows = np.nonzero(padded[:, 1:] != padded[:, :-1])
        found.append(np.stack([columns[::2] + left, rows[::2] + y1, rows[1::2] + y1]))
    return rle_from_columns(*np.concatenate(found, axis=1), image_shape)


def _runs(rle: Rle) -> tuple[np.ndarray, np.ndarray]:
    """First pixel and pixel after the last of each run, int64, column after column."""
    edges = _edges(rle)
    return edges[0::2][: len(edges) // 2], edges[1::2]


def _edges(rle: Rle) -> np.ndarray:
    """Pixel after the last of each run of zeros or ones, int64, column after column.
    Source: `rleFrString` of the COCO API (maskApi.c)."""
    coded = rle["counts"]
    coded = coded.encode("ascii") if isinstance(coded, str) else coded
    digits = np.frombuffer(coded, np.uint8).astype(np.int64) - 48  # 5 bits and "more follows"
    ends = np.flatnonzero((digits & 0x20) == 0)
    begins = np.concatenate([[0], ends[:-1] + 1]).astype(int)
    if not ends.size:
        return np.zeros(0, int)
    place = np.arange(len(digits)) - np.repeat(begins, ends - begins + 1)
    counts = np.add.reduceat((digits & 0x1F) << (5 * place), begins)
    negative = (digits[ends] & 0x10) != 0
    counts -= np.where(negative, 1 << (5 * (ends - begins + 1)), 0)
    # From the fourth on, a count is the difference to the one before the last.
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return np.cumsum(counts)


def _cut(
    columns: np.ndarray, tops: np.ndarray, bottoms: np.ndarray, window: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The parts of runs inside a window (y1, x1, y2, x2) px."""
    y1, x1, y2, x2 = window
    tops, bottoms = np.maximum(tops, y1), np.minimum(bottoms, y2)
    inside = (columns >= x1) & (columns < x2) & (bottoms > tops)
    return columns[inside], tops[inside], bottoms[inside]


# --- Contours -------------------------------------------------------------------------


def mask_to_contours(mask: np.ndarray) -> Contours:
    """Contours of a mask bool [H, W], half a pixel outside of its outermost pixels' centers.

    The very pixels of masks whose box has up to 2048 px a side; a larger one is traced at some.
    """
    return rle_to_contours(mask_to_rle(mask))


def rle_to_contours(rle: Rle) -> Contours:
    """Contours of run lengths; see `mask_to_contours`."""
    box = y1, x1, _, _ = rle_box(rle)
    mask = rle_to_mask(rle, box)
    return _trace(lambda y, x: mask[np.ix_(y - y1, x - x1)], box, rle["size"], _HARD_SAMPLES)


def contours_to_mask(contours: Contours) -> np.ndarray:
    """Mask of contours, bool [H, W]."""
    return rle_to_mask(contours_to_rle(contours))


def contours_to_rle(contours: Contours) -> Rle:
    """Run lengths of contours: the pixels whose center is inside; see the top of this file."""
    height, width = contours["size"]
    edges = [np.stack([line, np.roll(line, -1, axis=0)]) for line in contours["polygons"]]
    edges = np.concatenate([np.zeros((2, 0, 2)), *edges], axis=1).astype(np.float64)
    # Where each edge crosses the centers of columns.
    first = np.ceil(edges[..., 1].min(axis=0)).clip(0, width).astype(int)
    crossed = np.ceil(edges[..., 1].max(axis=0)).clip(0, width).astype(int) - first
    edge = np.repeat(np.arange(len(first)), crossed)
    columns = first[edge] + np.arange(len(edge)) - (np.cumsum(crossed) - crossed)[edge]
    (ya, xa), (yb, xb) = edges[0, edge].T, edges[1, edge].T
    rows = ya + (columns - xa) * (yb - ya) / (xb - xa)
    order = np.lexsort((rows, columns))
    columns = columns[order][::2]
    rows = np.ceil(rows[order]).clip(0, height).astype(int)
    tops, bottoms = rows[::2], rows[1::2]
    some = bottoms > tops
    return rle_from_columns(columns[some], tops[some], bottoms[some], (height, width))


def _trace(
    values: Callable[[np.ndarray, np.ndarray], np.ndarray],
    box: tuple[int, int, int, int],
    image_shape: Sequence[int],
    samples: int,
) -> Contours:
    """Contours from `values(rows, columns)` at up to `samples` rows and columns of the box."""
    size = [int(side) for side in image_shape[:2]]
    y1, x1, y2, x2 = box
    if y2 <= y1 or x2 <= x1:
        return {"size": size, "polygons": []}
    places = [
        np.unique(np.linspace(first, last - 1, min(last - first, samples)).round().astype(int))
        for first, last in ((y1, y2), (x1, x2))
    ]
    # Zeros a pixel outside of the box close the contours there.
    padded = np.pad(np.asarray(values(*places), np.float64), 1)
    lines = skimage.measure.find_contours(padded, 0.5)
    axes = [np.concatenate([[p[0] - 1], p, [p[-1] + 1]]) for p in places]
    polygons = [
        np.stack(
            [np.interp(line[:, i], np.arange(len(axes[i])), axes[i]) for i in (0, 1)], axis=-1
        ).astype(np.float32)
        for line in lines
    ]
    return {"size": size, "polygons": polygons}
