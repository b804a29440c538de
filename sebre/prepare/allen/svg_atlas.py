"""Atlas drawings as masks: SVG files whose paths carry structure ids, as the Allen atlases'.

Coordinates of pictures are (u, v): u to the right, v down, in pixels, (0, 0) the upper left
CORNER, so that the center of the pixel in column c and row r is (c + 0.5, r + 0.5). Placements
are 2 x 3 matrices from picture to drawing: [X, Y] = M @ [u, v, 1].
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import ParseError

import numpy as np
import svgelements

from mrcnn.errors import MissingFileError, UserError
from sebre.data.region_masks import masks_of_labels

# Chords that curves are drawn with; in the atlases they leave the curve by a fraction of a pixel.
_CHORDS = 12
_ARC_CHORDS = 96  # an arc can be a whole circle

_MOST_BYTES = 50_000_000  # the largest drawings of the Allen atlases have a few million
# Both can make a small file expand to any size; entities can also read other files.
_EXPANDING = re.compile(rb"<!ENTITY|<(\w+:)?use\b")
_FAULTS = (ParseError, ValueError, AttributeError, IndexError, TypeError, RecursionError)

Contours = list[np.ndarray]


@dataclass(frozen=True)
class Drawing:
    """The filled paths of a drawing, in the order in which they are painted."""

    structures: list[int]  # structure id of every path; 0 if it names none
    paths: list[Contours]  # contours, closed, each float64 [n, 2] as (X, Y), transforms applied
    nonzero: list[bool]  # whether the fill rule of a path is "nonzero" (else "evenodd")


def read_drawing(path: str | Path) -> Drawing:
    """Read the filled shapes of an SVG file.

    Nested transforms and the viewBox are applied; without a viewBox, coordinates are the
    numbers of the path data. Shapes take their structure id from the attribute
    `structure_id`. What is not painted (`fill:none`, `display:none`) is left out, and so are
    lines drawn around shapes.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file.")
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise UserError(
            f"{path}: {size / 1e6:.0f} MB; drawings of an atlas have less than "
            f"{_MOST_BYTES // 1_000_000} MB. Wanted one section as SVG."
        )
    # Without zero bytes, so that it is found in UTF-16 too.
    if found := _EXPANDING.search(path.read_bytes().replace(b"\0", b"")):
        raise UserError(
            f"{path}: the drawing has {found[0].decode()}, which is not read. Save it as plain SVG."
        )
    try:
        # The library leaves files open when the XML is broken.
        with path.open("rb") as file:
            svg = svgelements.SVG.parse(file, on_error="raise")
            shapes = [e for e in svg.elements() if isinstance(e, svgelements.Shape)]
        drawing = Drawing([], [], [])
        for shape in shapes:
            if shape.fill.value is None or shape.values.get("visibility") == "hidden":
                continue
            contours = list(_contours(svgelements.Path(shape)))
            if contours:
                drawing.structures.append(_structure(shape))
                drawing.paths.append(contours)
                drawing.nonzero.append(shape.values.get("fill-rule") != "evenodd")
    except _FAULTS as error:
        raise UserError(
            f"{path}: not an SVG drawing ({type(error).__name__}: {error}). Fetch it again."
        ) from error
    if not any(drawing.structures):
        raise UserError(
            f"{path}: none of its {len(drawing.paths)} filled shapes has a structure_id. Wanted an "
            "atlas drawing as the Allen Institute's API gives it (svg_download)."
        )
    return drawing


def svg_labels(
    path: str | Path,
    classes: Mapping[int, int],
    shape: tuple[int, int],
    matrix: np.ndarray | None = None,
) -> dict[int, np.ndarray]:
    """Masks bool [H, W] by class id of the structures of a drawing on a picture of that shape.

    Paths are painted in the order of the file, those of other structures over those below them as
    well; a pixel belongs to what is on top at its center. `classes` has the class id by structure
    id. Without a placement [2, 3] the drawing is in the coordinates of the picture.
    """
    return masks_of_labels(paint(read_drawing(path), classes, shape, matrix))


def paint(
    drawing: Drawing,
    classes: Mapping[int, int],
    shape: tuple[int, int],
    matrix: np.ndarray | None = None,
) -> np.ndarray:
    """Class ids uint16 [height, width] of a drawing on a picture; see `svg_labels`."""
    labels = np.zeros(shape, np.uint16)
    if matrix is not None:
        matrix = np.asarray(matrix, float)
        back = np.linalg.inv(matrix[:, :2])
    for structure, contours, nonzero in zip(
        drawing.structures, drawing.paths, drawing.nonzero, strict=True
    ):
        class_id = classes.get(structure, 0)
        if matrix is not None:
            contours = [(points - matrix[:, 2]) @ back.T for points in contours]
        _fill(labels, contours, nonzero, class_id)
    return labels


def _structure(shape: svgelements.Shape) -> int:
    text = str(shape.values.get("structure_id", "")).strip()
    return int(text) if text.isascii() and text.isdigit() else 0


def _contours(path: svgelements.Path) -> Iterator[np.ndarray]:
    """Contours of a path, one for each of its parts, open ones too: filling closes them."""
    points: list[np.ndarray] = []
    for segment in path:
        if isinstance(segment, svgelements.Move | svgelements.Close):
            yield from _contour(points)
            points = []
            continue
        # After a part was closed, the next may go on from there without a Move.
        points += [] if points else [_ends(segment.start)]
        if isinstance(segment, svgelements.Line):
            points.append(_ends(segment.end))
        else:
            chords = _ARC_CHORDS if isinstance(segment, svgelements.Arc) else _CHORDS
            points.append(segment.npoint(np.linspace(0, 1, chords + 1)[1:]))
    yield from _contour(points)


def _ends(point: svgelements.Point) -> np.ndarray:
    return np.array([[point.x, point.y]])


def _contour(points: list[np.ndarray]) -> Iterator[np.ndarray]:
    if not points:
        return
    contour = np.concatenate(points)
    if not np.isfinite(contour).all():
        raise UserError("a coordinate is not finite")
    if len(contour) > 2:
        yield contour


def _fill(labels: np.ndarray, contours: Contours, nonzero: bool, class_id: int) -> None:
    """Paint the inside of contours, given as (u, v) of the picture, in place."""
    everything = np.concatenate(contours)
    (left, top), (right, bottom) = (
        np.clip(f(edge), 0, labels.shape[::-1]).astype(int)
        for f, edge in ((np.floor, everything.min(axis=0)), (np.ceil, everything.max(axis=0)))
    )
    if left >= right or top >= bottom:
        return
    # From corners to centers of the pixels of the box around it.
    shape = bottom - top, right - left
    winding = _winding([points - (left + 0.5, top + 0.5) for points in contours], shape)
    filled = winding != 0 if nonzero else winding % 2 == 1
    labels[top:bottom, left:right][filled] = class_id


def _winding(contours: Contours, shape: tuple[int, int]) -> np.ndarray:
    """How often contours run around the points (0..width - 1, 0..height - 1), int32.

    Every row is followed from the left: an edge that crosses it adds or takes away a turn for
    all points on its right.
    """
    height, width = shape
    start = np.concatenate(contours)
    end = np.concatenate([np.roll(points, -1, axis=0) for points in contours])
    # Half-open, so that a row through a corner meets only one of its two edges.
    first = np.ceil(np.minimum(start[:, 1], end[:, 1])).clip(0, height).astype(int)
    last = np.ceil(np.maximum(start[:, 1], end[:, 1])).clip(0, height).astype(int)
    counts = last - first
    edge = np.repeat(np.arange(len(start)), counts)
    row = np.arange(len(edge)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    (x0, y0), (x1, y1) = start[edge].T, end[edge].T
    column = np.ceil(x0 + (row - y0) / (y1 - y0) * (x1 - x0)).clip(0, width).astype(int)
    winding = np.zeros((height, width + 1), np.int32)
    np.add.at(winding, (row, column), np.where(y1 > y0, 1, -1))
    return winding[:, :-1].cumsum(axis=1, dtype=np.int32)
