"""ROIs of ImageJ and Fiji, of a file or of an archive of the ROI Manager, as outlines.

Areas are read: rectangles, ovals, polygons, freehand and traced ones, and composite ones with holes
and separate parts, whose lines may be curves. Points, lines, angles and texts are none.
"""

import re
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import roifile

from mrcnn.errors import UserError
from sebre.data.listing import is_left_by_system
from sebre.prepare.drawn_outlines import Outline, OutlineFile, demand_name, demand_one_page

_UNNAMED = re.compile(r"[\d-]+")  # ImageJ calls what has no name after its place
_COPY = re.compile(r"(.+)-(\d+)")
_KINDS = roifile.ROI_TYPE
_AREAS = (_KINDS.POLYGON, _KINDS.RECT, _KINDS.OVAL, _KINDS.FREEHAND, _KINDS.TRACED)
_OVERLAYS = (roifile.ROI_SUBTYPE.TEXT, roifile.ROI_SUBTYPE.ARROW, roifile.ROI_SUBTYPE.IMAGE)
_OVAL_POINTS = 512
_CURVE_POINTS = 32  # of one curve of a composite
# Steps of a path, and how many points each has.
_MOVE, _CLOSE = 0, 4
_POINTS = {_MOVE: 1, 1: 1, 2: 2, 3: 3, _CLOSE: 0}


def read_rois(path: Path) -> OutlineFile:
    """The areas of a file of ROIs.

    Raises:
        UserError: ROIs that are not named for a region, or are of several pages.
    """
    rois = _rois(path)
    names = {roi.name for roi in rois}
    outlines, ignored, notes = [], 0, []
    pages = set()
    for roi in rois:
        if roi.roitype not in _AREAS or roi.subtype in _OVERLAYS:
            ignored += 1
            continue
        name = roi.name or ""
        first, copy = _as_copy(name, names)
        if copy:
            name = first
        elif first in names:
            notes.append(f"{name} is taken as a region of its own, not as another {first}")
        if _UNNAMED.fullmatch(name):
            raise UserError(
                f"{path}: the ROI {name!r} is not named for a region. Rename it in the ROI Manager."
            )
        name = demand_name(path, name, "a ROI")
        if roi.roitype == _KINDS.RECT and roi.rounded_rect_arc_size:
            notes.append(f"the rounded corners of {name} are read as square ones")
        stroke = roi.stroke_color
        color = tuple(stroke[1:4]) if stroke and any(stroke) else None
        outlines.append(Outline(name, color, tuple(_rings(roi))))
        if any(page := (roi.z_position, roi.t_position, roi.position)):  # 0: of all pages
            pages.add(page)
    demand_one_page(path, pages)
    stem = path.name.removesuffix(path.suffix).removesuffix("_rois")
    z, t, position = pages.pop() if pages else (0, 0, 0)
    page = z or t or position or None
    return OutlineFile(path, stem, tuple(outlines), ignored=ignored, notes=tuple(notes), page=page)


def _rois(path: Path) -> list[roifile.ImagejRoi]:
    """All ROIs of a file; of an archive without what macOS packs beside them."""
    if path.suffix.lower() != ".zip":
        found = roifile.roiread(path)
        return found if isinstance(found, list) else [found]
    with zipfile.ZipFile(path) as archive:
        names = [
            info.filename
            for info in archive.infolist()
            if not info.is_dir()
            and not any(is_left_by_system(Path(part)) for part in Path(info.filename).parts)
        ]
        return [roifile.ImagejRoi.frombytes(archive.read(name)) for name in names]


def _as_copy(name: str, names: Collection[str]) -> tuple[str, bool]:
    """The name without a number at its end, and whether that is one of the ROI Manager, which
    calls further ROIs of a name NAME-1, NAME-2: so all before it must be there."""
    if not (found := _COPY.fullmatch(name)):
        return "", False
    first, number = found[1], int(found[2])
    before = [first, *(f"{first}-{k}" for k in range(1, number))] if number < len(names) else [""]
    return first, all(one in names for one in before)


def _rings(roi: roifile.ImagejRoi) -> Iterator[np.ndarray]:
    """Closed lines [n, (x, y)] of an area."""
    if roi.multi_coordinates is not None:
        yield from path_lines(roi.multi_coordinates)
    elif roi.roitype == _KINDS.OVAL:
        yield _oval(*_box(roi))
    elif roi.roitype == _KINDS.RECT:
        x1, y1, x2, y2 = _box(roi)
        yield np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], float)
    else:
        yield np.array(roi.coordinates(), float)


def _box(roi: roifile.ImagejRoi) -> tuple[float, float, float, float]:
    """Left, top, right, bottom; as fractions of px where the ROI has them."""
    if roi.subpixelrect:
        return roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
    return roi.left, roi.top, roi.right, roi.bottom


def _oval(x1: float, y1: float, x2: float, y2: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, _OVAL_POINTS, endpoint=False)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return np.stack(
        [x + (x2 - x1) / 2 * np.cos(angles), y + (y2 - y1) / 2 * np.sin(angles)], axis=1
    )


def path_lines(path: Sequence[float]) -> Iterator[np.ndarray]:
    """Lines [n, (x, y)] of a path of Java: steps 0 (move), 1 (line), 2 and 3 (curves with one and
    two control points) and 4 (close), each before its points.

    Raises:
        ValueError: no such path.
    """
    values, place, line = np.asarray(path, float), 0, []
    while place < len(values):
        step = int(values[place])
        count = _POINTS.get(step)
        if count is None or place + 1 + 2 * count > len(values) or (step != _MOVE and not line):
            raise ValueError(f"no path of ImageJ (step {values[place]:g} at {place})")
        points = values[place + 1 : place + 1 + 2 * count].reshape(-1, 2)
        place += 1 + 2 * count
        if step in (_MOVE, _CLOSE) and len(line) > 2:
            yield np.array(line)
        if step == _MOVE:
            line = [points[0]]
        elif step == _CLOSE:
            line = line[:1]  # what follows without a move begins there
        else:
            line += _bezier(np.stack([line[-1], *points])) if count > 1 else [points[0]]
    if len(line) > 2:
        yield np.array(line)


def _bezier(controls: np.ndarray) -> list[np.ndarray]:
    """Points of a curve of Bezier after its first one."""
    t = np.linspace(0, 1, _CURVE_POINTS + 1)[1:, None]
    rows = [np.broadcast_to(point, (len(t), 2)) for point in controls]
    while len(rows) > 1:  # de Casteljau
        rows = [(1 - t) * a + t * b for a, b in zip(rows, rows[1:], strict=False)]
    return list(rows[0])
