"""Outlines that were drawn on a picture, whatever program drew them.

Coordinates count from the upper left corner of the picture, so that the center of its first pixel
lies at (0.5, 0.5). A pixel is of a region if its center is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.structures.mask_formats import contours_to_mask, is_whole
from sebre.data.regions import Color

ENDINGS = (".geojson", ".json", ".roi", ".zip")  # of files of outlines
AREA_PX = "Area px^2"  # measurement of a region in the GeoJSON of `sebre predict`
_CORNER = 0.5  # from the corner of a pixel to its center
_SLIP_PX = 2.0


@dataclass(frozen=True)
class Outline:
    """One drawn shape.

    Attributes:
        region: name.
        color: red, green, blue, if the file has one.
        rings: closed lines [n, (x, y)] in px from the corner of the picture; one inside another is
            a hole.
        rle: instead of lines, run lengths of COCO's kind.
    """

    region: str
    color: Color | None = None
    rings: tuple[np.ndarray, ...] = ()
    rle: Mapping[str, Any] | None = None

    def mask(self, size: tuple[int, int]) -> np.ndarray:
        """Its pixels, bool [H, W], on a picture of `size`; run lengths must be of that size."""
        if self.rle is not None:
            return _decoded(self.rle)
        lines = [ring[:, ::-1] - _CORNER for ring in self.rings]
        return contours_to_mask({"size": list(size), "polygons": lines})

    def lies_outside(self, size: tuple[int, int]) -> bool:
        """Whether nothing of it is in a picture of this size, (height, width) px."""
        left, top, right, bottom = self._box()
        return left >= size[1] or top >= size[0] or right <= 0 or bottom <= 0

    def reaches_beyond(self, size: tuple[int, int]) -> bool:
        """Whether it crosses the right or lower border by more than a hand that slips there."""
        _, _, right, bottom = self._box()
        return right > size[1] + _SLIP_PX or bottom > size[0] + _SLIP_PX

    def runs_of(self) -> tuple[int, int] | None:
        """Size, (height, width) px, that its run lengths are of; None of lines."""
        return None if self.rle is None else tuple(map(int, self.rle["size"]))

    def _box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in px; of run lengths, which have a size, the first pixel."""
        if not self.rings:
            return 0.0, 0.0, 1.0, 1.0
        points = np.concatenate(self.rings)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return left, top, right, bottom


@dataclass(frozen=True)
class OutlineFile:
    """The outlines of one picture.

    Attributes:
        path: of the file.
        image: name of the picture, with or without its ending.
        outlines: drawn on it.
        size: (height, width) px of the picture as the file says, if it does.
        ignored: how many things it has that are no areas, such as points.
        notes: what was read otherwise than it was drawn.
        page: of the stack that was drawn on, from 1, if the file says one.
        predicted: whether every outline has as many pixels as when `sebre predict` wrote it.
    """

    path: Path
    image: str
    outlines: tuple[Outline, ...]
    size: tuple[int, int] | None = None
    ignored: int = 0
    notes: tuple[str, ...] = ()
    page: int | None = None
    predicted: bool = False


def demand_name(path: Path, name: Any, what: str) -> str:
    """The name of a region; a UserError where there is none."""
    text = "" if name is None else str(name).strip()
    if not text:
        raise UserError(
            f"{path}: {what} has no name of a region. Name it (QuPath: set its class), or remove "
            "it."
        )
    return text


def demand_one_page(path: Path, pages: Collection[Any]) -> None:
    """Raise a UserError if outlines are of several pages of a stack."""
    if len(pages) > 1:
        raise UserError(
            f"{path}: its outlines are on {len(pages)} pages of a stack; wanted those of one, as a "
            "section is one picture. Save the page as a picture of its own, with its outlines."
        )


def _decoded(rle: Mapping[str, Any]) -> np.ndarray:
    from pycocotools import mask as coco

    if isinstance(rle["counts"], list):
        rle = coco.frPyObjects(dict(rle), *rle["size"])
    if not is_whole(rle):
        raise ValueError(f"the run lengths do not fill {rle['size'][0]} x {rle['size'][1]} px")
    return coco.decode(dict(rle)).astype(bool)
