"""Whole coronal sections for networks that know one half: the midline, and the two halves.

A network that finds a region once cannot tell the CA1 of one side from that of the other. Sections
of a region set that is `bilateral` are therefore looked at first: one that is the same on both
sides of a line is cut there, the left half of the picture is mirrored, so that both look like what
the network was trained on, and each is segmented by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

_COARSE_PX, _FINE_PX = 128, 320  # longest side of the picture that the midline is looked for in
_MOST_TURNED, _STEP, _FINE_STEP = 24, 3.0, 0.75  # degrees of the midline from vertical
_TISSUE = 0.1  # of the usual largest difference from the ground
_FINE_SIGMA, _COARSE_SIGMA = 1.5, 8.0  # px at _COARSE_PX; structures between these are compared
# A whole section: outline and structures agree with their mirror image, and it is not as narrow
# as a half. Chosen on the 31 plates of ara_nissl, whole and cut at their midlines; the width after
# a look at halves of other laboratories' sections.
_LEAST_OUTLINE, _LEAST_INSIDE, _LEAST_WIDTH = 0.8, 0.3, 1.0


@dataclass(frozen=True)
class Midline:
    """The line that divides a section, column = `at` + `slope` x row, px of the picture."""

    at: float
    slope: float

    def right_of(self, shape: tuple[int, int]) -> np.ndarray:
        """Pixels of a picture (H, W) right of the line, bool [H, W]."""
        rows, columns = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
        return columns > (self.at + self.slope * rows)[:, None]


@dataclass(frozen=True)
class Half:
    """One side of a section.

    Attributes:
        side: of the picture, "left" or "right".
        pixels: uint8 [H, w, 3], the other side's pixels black; the midline is on the left.
        columns: of the whole picture.
        own: pixels of this side, bool [H, w], as they lie in the picture.
    """

    side: str
    pixels: np.ndarray
    columns: slice
    own: np.ndarray

    def place(self, labels: np.ndarray, whole: np.ndarray) -> None:
        """Write a label map [H, w] of `pixels` into that of the picture."""
        lying = labels[:, ::-1] if self.side == "left" else labels
        part = whole[:, self.columns]
        part[self.own] = lying[self.own]


def find_midline(picture: np.ndarray) -> Midline | None:
    """Where a section uint8 [H, W, 3] is mirrored; None if it is not the same on two sides.

    Lines up to 24 degrees from vertical are tried.
    """
    scale, band, tissue = _structures(picture, _COARSE_PX)
    turns = np.arange(-_MOST_TURNED, _MOST_TURNED + 1e-6, _STEP)
    inside, outline, angle, at = max(_agreement(band, tissue, turn) for turn in turns)
    if inside < _LEAST_INSIDE or outline < _LEAST_OUTLINE:
        return None
    turned = _turned(tissue, angle)
    rows, columns = (np.flatnonzero(turned.max(axis=axis) > 0.5) for axis in (1, 0))
    if not len(rows) or np.ptp(columns) < _LEAST_WIDTH * np.ptp(rows):
        return None
    scale, band, tissue = _structures(picture, _FINE_PX)
    near = angle + np.arange(-_STEP, _STEP + 1e-6, _FINE_STEP)
    _, _, angle, at = max(_agreement(band, tissue, turn) for turn in near)
    return _line(picture.shape[:2], scale, band.shape[0], angle, at)


def halves(picture: np.ndarray, midline: Midline) -> Iterator[Half]:
    """The left and the right side of a section uint8 [H, W, 3]; a side without pixels is left
    out."""
    right = midline.right_of(picture.shape[:2])
    for side, own in (("left", ~right), ("right", right)):
        used = np.flatnonzero(own.any(axis=0))
        if not len(used):
            continue
        columns = slice(int(used[0]), int(used[-1]) + 1)
        own = own[:, columns]
        pixels = np.where(own[..., None], picture[:, columns], 0)
        if side == "left":
            pixels = pixels[:, ::-1]
        yield Half(side, np.ascontiguousarray(pixels), columns, own)


def _structures(picture: np.ndarray, longest: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Reduction, structures and tissue of a section in a square with room to turn, [n, n]."""
    scale = longest / max(picture.shape[:2])
    size = tuple(max(1, round(n * scale)) for n in picture.shape[:2])
    small = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
    gray = small.astype(np.float32).mean(axis=-1)
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    away = np.abs(gray - np.median(border))
    full = np.percentile(away, 99)
    n = longest * 3 // 2
    square, tissue = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    y, x = ((n - length) // 2 for length in size)
    square[y : y + size[0], x : x + size[1]] = np.minimum(away, full)
    tissue[y : y + size[0], x : x + size[1]] = away > max(full * _TISSUE, 1e-6)
    blur = longest / _COARSE_PX
    fine, coarse = (
        cv2.GaussianBlur(square, (0, 0), sigma * blur) for sigma in (_FINE_SIGMA, _COARSE_SIGMA)
    )
    return scale, fine - coarse, tissue


def _turned(values: np.ndarray, angle: float) -> np.ndarray:
    n = len(values)
    turn = cv2.getRotationMatrix2D(((n - 1) / 2, (n - 1) / 2), float(angle), 1.0)
    return cv2.warpAffine(values, turn, (n, n))


def _agreement(
    band: np.ndarray, tissue: np.ndarray, angle: float
) -> tuple[float, float, float, float]:
    """How well a turned section agrees with its mirror image: structures, outline (1: wholly),
    the angle, and the column of the best axis."""
    n = len(band)

    def mirrored(values: np.ndarray) -> np.ndarray:
        # Of each row with itself turned round, at every axis; [k] is that of the column k / 2.
        turned = _turned(values, angle)
        transformed = np.fft.rfft(turned, 2 * n, axis=1)
        both = np.fft.irfft(transformed * transformed, 2 * n, axis=1).sum(axis=0)
        return both / max(float((turned * turned).sum()), 1e-9)

    inside, outline = mirrored(band), mirrored(tissue)
    k = int(np.where(outline > 0.6, inside, -1).argmax())
    return float(inside[k]), float(outline[k]), float(angle), k / 2


def _line(shape: tuple[int, int], scale: float, n: int, angle: float, at: float) -> Midline:
    """The axis of a turned square as a line of the picture."""
    middle = (n - 1) / 2
    back = np.radians(angle)
    # Points of the axis at two rows of the turned square, turned back.
    points = []
    for row in (0.0, n - 1.0):
        x, y = at - middle, row - middle
        along, down = x * np.cos(back) - y * np.sin(back), x * np.sin(back) + y * np.cos(back)
        points.append((middle + along, middle + down))
    size = tuple(max(1, round(side * scale)) for side in shape)
    top, left = ((n - length) // 2 for length in size)
    (x0, y0), (x1, y1) = (
        ((x - left + 0.5) * shape[1] / size[1], (y - top + 0.5) * shape[0] / size[0])
        for x, y in points
    )
    slope = (x1 - x0) / (y1 - y0)
    return Midline(float(x0 - slope * y0), float(slope))
