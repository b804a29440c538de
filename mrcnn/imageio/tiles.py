"""Detection tile by tile, for pictures in which the objects are much smaller than the picture.

Not for networks trained on whole sections, as an atlas of a brain is: give those to `detect`,
however large they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.imageio.reading import open_source
from mrcnn.imageio.windows import PictureSource
from mrcnn.structures.mask_formats import (
    Rle,
    demand_format,
    rle_area,
    rle_box,
    rle_columns,
    rle_from_columns,
    rle_intersection,
    rle_to_contours,
    rle_to_mask,
    rle_union,
    to_rles,
)

Box = tuple[int, int, int, int]


def tile_boxes(shape: Sequence[int], tile: int, overlap: int) -> list[Box]:
    """Tiles (y1, x1, y2, x2) px that cover a picture (H, W, ...), row by row.

    All have one size, so that one compiled network serves them; the last ones of a row or column
    are moved back into the picture. Neighbors share at least `overlap` px; a picture smaller than
    `tile` is one tile along that side.
    """
    if tile < 1 or not 0 <= overlap < tile:
        raise UserError(
            f"Tiles of {tile} px with an overlap of {overlap} px; a tile needs at least 1 px, "
            "and the overlap is 0 or more and smaller than the tile."
        )
    starts = [
        sorted({min(start, max(side - tile, 0)) for start in range(0, side, tile - overlap)})
        for side in shape[:2]
    ]
    return [
        (y, x, min(y + tile, shape[0]), min(x + tile, shape[1]))
        for y in starts[0]
        for x in starts[1]
    ]


def detect_tiled(
    segmenter: Any,
    source: str | Path | np.ndarray | PictureSource,
    tile: int = 1024,
    overlap: int | None = None,
    masks: str = "rle",
    agreement: float = 0.5,
) -> dict[str, Any]:
    """Detect objects in overlapping tiles of a picture, and join what the borders cut.

    One tile is decoded and segmented at a time, where the source allows (`open_source`). Limits of
    the network, as DETECTION_MAX_INSTANCES, hold for each tile.

    Args:
        segmenter: has `detect(images)`, as `MaskRCNN` in inference mode.
        source: file, array [H, W, ...] such as an `np.memmap`, or an open source.
        tile: side of a tile, px.
        overlap: px that neighbors share; objects up to this size are seen whole by a tile. None
            takes a quarter of the tile.
        masks: format of the masks, see `mrcnn.structures.mask_formats`.
        agreement: see `merge_tiles`.

    Returns:
        As one result of `MaskRCNN.detect`, in px of the whole picture, best score first.
    """
    demand_format(masks)
    opened = isinstance(source, PictureSource)
    with nullcontext(source) if opened else open_source(source) as pixels:
        boxes = tile_boxes(pixels.shape, tile, tile // 4 if overlap is None else overlap)
        results = (segmenter.detect([pixels.read(*box)])[0] for box in boxes)
        return merge_tiles(results, boxes, pixels.shape, masks, agreement)


def merge_tiles(
    results: Iterator[dict[str, Any]] | Sequence[dict[str, Any]],
    boxes: Sequence[Box],
    shape: Sequence[int],
    masks: str = "rle",
    agreement: float = 0.5,
) -> dict[str, Any]:
    """Results of `detect` for tiles, whose `boxes` are in px, as one of the picture (H, W, ...).

    Two detections of one class in two tiles are one object if the IoU of their masks within the
    overlap of the tiles reaches `agreement`, above 0 up to 1; so chains of tiles join too. The mask
    of an object is the union of its parts, its score their mean weighted by their areas.
    """
    demand_format(masks)
    members, rles, class_ids, scores = [], [], [], []
    for result, box in zip(results, boxes, strict=True):
        found = [_moved(rle, box, shape) for rle in to_rles(result["masks"])]
        members.append(range(len(rles), len(rles) + len(found)))
        rles += found
        class_ids += [int(i) for i in result["class_ids"]]
        scores += [float(score) for score in result["scores"]]

    groups = list(range(len(rles)))  # the first detection of each one's object
    for first, second in combinations(range(len(boxes)), 2):
        overlap = _overlap(boxes[first], boxes[second])
        for a, b in product(members[first], members[second]) if overlap else ():
            if class_ids[a] != class_ids[b] or groups[a] == groups[b]:
                continue
            if _iou_within(rles[a], rles[b], overlap) >= agreement:
                joined, left = sorted((groups[a], groups[b]))
                groups = [joined if group == left else group for group in groups]

    objects = []
    for group in sorted(set(groups)):
        parts = [i for i, g in enumerate(groups) if g == group]
        areas = [rle_area(rles[i]) for i in parts]
        if any(areas):
            mask = rle_union([rles[i] for i in parts])
            score = np.average([scores[i] for i in parts], weights=areas)
            objects.append((score, class_ids[group], mask))
    objects.sort(key=lambda item: -item[0])
    merged = [mask for _, _, mask in objects]
    return {
        "rois": np.array([rle_box(mask) for mask in merged], np.int32).reshape(-1, 4),
        "class_ids": np.array([class_id for _, class_id, _ in objects], np.int32),
        "scores": np.array([score for score, _, _ in objects], np.float32),
        "masks": _in_format(merged, masks, shape),
    }


def _in_format(rles: list[Rle], masks: str, shape: Sequence[int]) -> Any:
    if masks == "rle":
        return rles
    if masks == "contours":
        return [rle_to_contours(rle) for rle in rles]
    full = np.zeros((len(rles), *shape[:2]), bool)
    for plane, rle in zip(full, rles, strict=True):
        plane[:] = rle_to_mask(rle)
    return np.moveaxis(full, 0, -1)


def _moved(rle: Rle, box: Box, shape: Sequence[int]) -> Rle:
    """Run lengths of a tile as those of the whole picture."""
    columns, tops, bottoms = rle_columns(rle)
    return rle_from_columns(columns + box[1], tops + box[0], bottoms + box[0], shape)


def _overlap(first: Box, second: Box) -> Box | None:
    y1, x1 = max(first[0], second[0]), max(first[1], second[1])
    y2, x2 = min(first[2], second[2]), min(first[3], second[3])
    return (y1, x1, y2, x2) if y2 > y1 and x2 > x1 else None


def _iou_within(first: Rle, second: Rle, window: Box) -> float:
    """IoU of two masks inside a window which has all they share; 0 of nothing."""
    shared = rle_area(rle_intersection([first, second]))
    union = rle_area(first, window) + rle_area(second, window) - shared
    return shared / union if union else 0.0
