"""From a color-coded overlay to a label map.

The released notebook shrinks the overlay by 16 with bilinear interpolation and then compares
colors exactly, which loses every pixel whose color was mixed: borders, and whatever lies
beside a line. Here colors are matched at full resolution, with a tolerance, and the label map
is shrunk afterwards. `match_exactly` is the notebook's way, for comparison.

What becomes of a pixel:

* within `tolerance` of a region's color in each channel: that region (the nearest, if several);
* white or transparent: background;
* a painted area of another color (blocks of 3 x 3 pixels alike, not black): background;
* the rest is ink: outlines, leader lines, letters, mixed colors at edges. Ink is filled where a
  straight run of at most `max_gap` ink pixels through it (row, column or diagonal) ends at a
  region on both sides; it joins the nearer end of the shortest such run (the upper or left end
  of two as near). So regions never grow outwards, nor across a white gap.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from skimage.transform import resize

from mrcnn.errors import UserError
from mrcnn.imageio.reading import read_header
from sebre.data.listing import some
from sebre.data.regions import Color, RegionSet
from sebre.prepare.big_pictures import check_factor, picture_size, strips

TOLERANCE = 8  # per channel; JPEG noise of flat colors is about 4
EXACT_FACTOR = 16  # of the released notebook
INK = 254  # in the map of codes: may be filled
BACKGROUND = 255  # in the map of codes: stays background, and ends every run

_MAX_REGIONS = INK - 1
_WHITE_FROM = 224  # in all channels; a JPEG darkens white beside lines
_BLACK_TO = 64  # in all channels
_OPAQUE_SHARE = 0.5  # of the usual opacity of what is painted: from here on it counts
_GAP_SHARE = 300  # the longer side divided by this is the default of max_gap ...
_MIN_GAP = 4  # ... but not less
_AXES = ((0, 1), (1, 0), (1, 1), (1, -1))
_FILL_ROWS = 512
_HALO = 2  # rows of its neighbors that a strip needs

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnlistedColor:
    """A color in an overlay that belongs to no region."""

    color: Color
    pixels: int  # that have it, within the tolerance


@dataclass(frozen=True)
class MatchedOverlay:
    """What was found in an overlay."""

    labels: np.ndarray  # uint8 [H, W], class ids, 0 is background
    unlisted: tuple[UnlistedColor, ...]  # most frequent first; not white, black or transparent
    unlisted_pixels: int  # of all such colors; edges with mixed colors are among them


def match_colors(
    path: str | Path,
    regions: RegionSet,
    tolerance: int = TOLERANCE,
    max_gap: int | None = None,
    report: int = 10,
) -> MatchedOverlay:
    """Find the regions of an overlay by their colors, at full resolution.

    Args:
        path: as for `big_pictures.strips`.
        regions: with their colors.
        tolerance: largest difference in a channel, 0..255.
        max_gap: longest run of ink that is filled, in pixels; 0 fills nothing; None takes
            1/300 of the longer side, at least 4.
        report: how many unlisted colors are named.
    """
    table = _code_table(regions, tolerance)
    height, width = picture_size(path)
    opaque = _opaque_from(path)
    codes = np.empty((height, width), np.uint8)
    counts = np.zeros(1 << 24, np.uint32)
    for top, pixels, inner in _with_neighbors(path):
        codes[top : top + inner.stop - inner.start] = _codes(
            pixels, inner, table, tolerance, counts, opaque
        )
    if max_gap is None:
        max_gap = max(_MIN_GAP, round(max(height, width) / _GAP_SHARE))
    unlisted = tuple(_most_frequent(counts, tolerance, report))
    return MatchedOverlay(fill_gaps(codes, max_gap), unlisted, int(counts.sum(dtype=np.int64)))


def _opaque_from(path: str | Path) -> int:
    """Alpha from which a pixel counts as painted: regions may be painted half transparent."""
    found = np.zeros(256, np.int64)
    if read_header(path).has_alpha:
        for _, strip in strips(path, alpha=True):
            found += np.bincount(strip[..., 3].ravel(), minlength=256)
    found[0] = 0
    if not found.any():
        return 1
    usual = int(np.searchsorted(np.cumsum(found), found.sum() / 2))
    return max(1, round(usual * _OPAQUE_SHARE))


def match_exactly(path: str | Path, regions: RegionSet, factor: int = EXACT_FACTOR) -> np.ndarray:
    """The released notebook's way: shrink with bilinear interpolation, then compare exactly.

    Alpha is not looked at, and nothing is filled. Class ids are uint8 [H // factor, W // factor].
    """
    _check_count(regions)
    height, width = picture_size(path)
    size = height // factor, width // factor
    check_factor(Path(path), size, factor)
    overlay = np.empty((height, width, 3), np.uint8)
    painted: set[int] = set()
    for top, strip in strips(path, alpha=True):
        overlay[top : top + len(strip)] = strip[..., :3]
        painted |= {r.id for r in regions if (strip[..., :3] == r.code).all(axis=-1).any()}
    # One channel after the other: as floats a channel takes 8 bytes per pixel.
    options = {"order": 1, "mode": "constant", "anti_aliasing": False}
    small = np.stack([resize(overlay[..., i], size, **options) for i in range(3)], axis=-1)
    values = (small * 255).astype(int)
    labels = np.zeros(size, np.uint8)
    for region in regions:
        labels[(values == region.code).all(axis=-1)] = region.id
    say_lost(path, painted, np.unique(labels), regions, factor)
    return labels


def say_lost(
    path: str | Path, drawn: Iterable[int], left: Iterable[int], regions: RegionSet, factor: int
) -> None:
    """Warn of regions that a drawing has, by their class ids, and that no pixel is left of where it
    is divided by a factor."""
    if lost := sorted({*map(int, drawn)} - {0, *map(int, left)}):
        _log.warning(
            "%s: %d region(s) (%s) have no pixel left once it is divided by %d. Use a smaller "
            "--downsample to keep them.",
            *(path, len(lost), some([regions[class_id].name for class_id in lost]), factor),
        )


def downsample_labels(labels: np.ndarray, factor: int) -> np.ndarray:
    """Shrink a label map uint8 [H, W]: a pixel becomes the region that covers most of it.

    It is background where regions cover less than half of it. Rows and columns left over at
    the lower and right border are dropped.
    """
    if factor == 1:
        return labels
    height, width = (side // factor for side in labels.shape)
    out = np.zeros((height, width), np.uint8)
    step = max(1, 1024 // factor)
    for y in range(0, height, step):
        n = min(step, height - y)
        strip = labels[y * factor : (y + n) * factor, : width * factor]
        blocks = strip.reshape(n, factor, width, factor)
        covered = np.zeros((n, width), np.int32)
        most = np.zeros((n, width), np.int32)
        for label in np.flatnonzero(np.bincount(strip.ravel(), minlength=1)[1:]) + 1:
            area = (blocks == label).sum(axis=(1, 3), dtype=np.int32)
            out[y : y + n][area > most] = label
            np.maximum(most, area, out=most)
            covered += area
        out[y : y + n][2 * covered < factor**2] = 0
    return out


def fill_gaps(codes: np.ndarray, max_gap: int) -> np.ndarray:
    """Fill thin ink between regions, by the rule at the top of this module.

    Codes uint8 [H, W], class ids, `INK` and `BACKGROUND`, become class ids, 0 is background. Runs
    of up to `max_gap` pixels are filled.
    """
    labels = np.where(codes < INK, codes, 0).astype(np.uint8)
    if max_gap < 1:
        return labels
    # An end of the run lies at most max_gap away.
    window = np.ones((2 * max_gap + 1,) * 2, np.uint8)
    for top in range(0, len(codes), _FILL_ROWS):
        first, stop = max(0, top - max_gap), min(len(codes), top + _FILL_ROWS + max_gap)
        near = cv2.dilate((codes[first:stop] < INK).view(np.uint8), window)
        near = near[top - first :][:_FILL_ROWS]
        y, x = np.nonzero((codes[top : top + _FILL_ROWS] == INK) & (near > 0))
        y += top
        best = np.full(len(y), max_gap + 1)
        for dy, dx in _AXES:
            far, label = _march(codes, y, x, dy, dx, max_gap)
            far_back, label_back = _march(codes, y, x, -dy, -dx, max_gap)
            run = np.where((far > 0) & (far_back > 0), far + far_back - 1, max_gap + 1)
            better = run < best
            best[better] = run[better]
            nearer = np.where(far < far_back, label, label_back)
            labels[y[better], x[better]] = nearer[better]
    return labels


def _march(
    codes: np.ndarray, y: np.ndarray, x: np.ndarray, dy: int, dx: int, max_gap: int
) -> tuple[np.ndarray, np.ndarray]:
    """From each pixel through ink to a region: steps (0 if none is reached), class id."""
    steps = np.zeros(len(y), int)
    labels = np.zeros(len(y), np.uint8)
    active = np.arange(len(y))
    for step in range(1, max_gap + 1):
        to_y, to_x = y[active] + step * dy, x[active] + step * dx
        inside = (to_y >= 0) & (to_y < codes.shape[0]) & (to_x >= 0) & (to_x < codes.shape[1])
        active = active[inside]
        found = codes[to_y[inside], to_x[inside]]
        reached = active[found < INK]
        steps[reached] = step
        labels[reached] = found[found < INK]
        active = active[found == INK]
        if not len(active):
            break
    return steps, labels


def _check_count(regions: RegionSet) -> None:
    if len(regions) > _MAX_REGIONS:
        raise UserError(
            f"Region set {regions.name!r} has {len(regions)} regions; an overlay can have at most "
            f"{_MAX_REGIONS}."
        )


def _code_table(regions: RegionSet, tolerance: int) -> np.ndarray:
    """Code of each color, uint8 [2**24], at red * 65536 + green * 256 + blue."""
    if not 0 <= tolerance <= 255:
        raise UserError(f"The tolerance is {tolerance}; it must be from 0 to 255.")
    _check_count(regions)
    table = np.full((256, 256, 256), INK, np.uint8)
    table[_WHITE_FROM:, _WHITE_FROM:, _WHITE_FROM:] = BACKGROUND
    colors = np.array([region.code for region in regions], np.int32)
    for color in colors:
        low, high = np.maximum(color - tolerance, 0), np.minimum(color + tolerance, 255) + 1
        box = tuple(slice(*ends) for ends in zip(low, high, strict=True))
        grid = np.stack(np.mgrid[box], axis=-1).astype(np.int32)
        nearest = np.full(grid.shape[:3], np.iinfo(np.int32).max)
        for class_id, other in enumerate(colors, start=1):
            if (np.abs(other - color) > 2 * tolerance).any():
                continue
            away = grid - other
            distance = (away**2).sum(axis=-1)
            closer = (np.abs(away).max(axis=-1) <= tolerance) & (distance < nearest)
            table[box][closer] = class_id
            nearest[closer] = distance[closer]
    return table.ravel()


def _with_neighbors(path: str | Path) -> Iterator[tuple[int, np.ndarray, slice]]:
    """Strips with up to two rows above and below: first row, pixels, where the strip is in them."""
    above, strip, top = None, None, 0

    def joined(below: np.ndarray | None) -> tuple[int, np.ndarray, slice]:
        start = 0 if above is None else len(above)
        parts = [part for part in (above, strip, below) if part is not None]
        return top, np.concatenate(parts), slice(start, start + len(strip))

    for next_top, following in strips(path, alpha=True):
        if strip is not None:
            yield joined(following[:_HALO])
            above = strip[-_HALO:]
        strip, top = following, next_top
    yield joined(None)


def _codes(
    pixels: np.ndarray,
    inner: slice,
    table: np.ndarray,
    tolerance: int,
    counts: np.ndarray,
    opaque: int,
) -> np.ndarray:
    """Codes of a strip, uint8 [rows, W]; adds its unlisted colors to `counts`."""
    rgb = np.ascontiguousarray(pixels[..., :3])
    wide = rgb.astype(np.uint32)
    packed = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    codes = table[packed]
    codes[pixels[..., 3] < opaque] = BACKGROUND
    unlisted = (codes == INK) & (rgb.max(axis=-1) > _BLACK_TO)
    if unlisted.any():
        colors, found = np.unique(packed[inner][unlisted[inner]], return_counts=True)
        counts[colors] += found.astype(np.uint32)
        window = np.ones((3, 3), np.uint8)
        spread = (cv2.dilate(rgb, window) - cv2.erode(rgb, window)).max(axis=-1)
        middles = unlisted & (spread <= 2 * tolerance)
        codes[unlisted & (cv2.dilate(middles.view(np.uint8), window) > 0)] = BACKGROUND
    return codes[inner]


def _most_frequent(counts: np.ndarray, tolerance: int, wanted: int) -> list[UnlistedColor]:
    """The most frequent colors, each with those within the tolerance of it."""
    packed = np.flatnonzero(counts)
    colors = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1)
    pixels = counts[packed].astype(np.int64)
    found = []
    while pixels.any() and len(found) < wanted:
        color = colors[pixels.argmax()]
        alike = (np.abs(colors - color) <= tolerance).all(axis=-1)
        found.append(UnlistedColor(tuple(color.tolist()), int(pixels[alike].sum())))
        pixels[alike] = 0
    return sorted(found, key=lambda color: -color.pixels)
