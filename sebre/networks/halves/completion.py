"""Half sections, mirrored at the cut so that they look whole.

A section that was cut in two along the midline ends in a straight line. The network of any section
knows such halves badly; with their mirror image beside them they are what it knows.
`sebre.networks.any_section` looks at both and takes what it is surer of.
"""

from dataclasses import dataclass

import cv2
import numpy as np

# Of what the tissue measures along it: length of a straight side that may be a cut. A whole section
# can have a flat side, too, but bulges beyond its ends.
_LEAST_LENGTH = 0.75
# Of the diameter of the tissue: what is left out in finding straight sides, and how far the tissue
# may lie from one.
_STRAIGHT, _NEAR = 0.012, 0.03
_LEAST_SHARE = 0.6  # of the side, that has tissue so near
_SAMPLES, _DEPTHS = 64, 4
_MOST_CUTS = 2  # that are tried
_LEAST_TISSUE = 0.01  # of the picture


@dataclass(frozen=True)
class Cut:
    """A straight line where a section ends.

    Attributes:
        point: (row, column) on it, px of the picture.
        normal: (row, column), unit vector away from the tissue.
    """

    point: tuple[float, float]
    normal: tuple[float, float]

    def beyond(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """How far places lie beyond the line, px; negative on the side of the tissue."""
        return (rows - self.point[0]) * self.normal[0] + (columns - self.point[1]) * self.normal[1]

    def scaled(self, factor: float) -> "Cut":
        """The same line in the picture at another size."""
        return Cut((self.point[0] * factor, self.point[1] * factor), self.normal)


def find_cuts(tissue: np.ndarray, shape: tuple[int, int]) -> list[Cut]:
    """Long straight sides of the tissue, the longest first; none where it has none.

    Args:
        tissue: bool [h, w].
        shape: (H, W) of the picture that the lines are for.
    """
    if tissue.mean() < _LEAST_TISSUE:
        return []
    rows, columns = np.nonzero(tissue)
    hull = cv2.convexHull(np.stack([columns, rows], axis=1).astype(np.int32))
    diameter = 2 * cv2.minEnclosingCircle(hull)[1]
    corners = cv2.approxPolyDP(hull, _STRAIGHT * diameter, True)[:, 0, ::-1].astype(float)
    middle = np.array([rows.mean(), columns.mean()])
    outline = hull[:, 0, ::-1].astype(float)
    found = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length = float(np.linalg.norm(end - start))
        if length < _LEAST_LENGTH * np.ptp(outline @ (end - start)) / length:
            continue
        normal = np.array([end[1] - start[1], start[0] - end[0]]) / length
        normal *= -1 if normal @ (middle - start) > 0 else 1
        if _touched(tissue, start, end, normal, _NEAR * diameter) >= _LEAST_SHARE:
            found.append((length, (start + end) / 2, normal))
    scale = np.array(shape) / tissue.shape
    cuts = []
    for _, point, normal in sorted(found, key=lambda one: -one[0])[:_MOST_CUTS]:
        # The corners are middles of the outermost pixels.
        place = (point + 0.5 + 0.5 * normal) * scale
        across = normal / scale
        across /= np.linalg.norm(across)
        cuts.append(Cut(tuple(place.tolist()), tuple(across.tolist())))
    return cuts


def _touched(
    tissue: np.ndarray, start: np.ndarray, end: np.ndarray, normal: np.ndarray, near: float
) -> float:
    """Share of a side that has tissue near it."""
    along = start + np.linspace(0.02, 0.98, _SAMPLES)[:, None] * (end - start)
    hit = np.zeros(_SAMPLES, bool)
    for depth in np.linspace(0, near, _DEPTHS):
        places = np.rint(along - depth * normal).astype(int)
        places = np.clip(places, 0, np.array(tissue.shape) - 1)
        hit |= tissue[places[:, 0], places[:, 1]]
    return float(hit.mean())


def completed(picture: np.ndarray, cut: Cut) -> tuple[np.ndarray, tuple[int, int]]:
    """A picture with its mirror image beyond a line.

    Args:
        picture: gray values, float32 [H, W].
        cut: the line.

    Returns:
        The picture, float32 [H', W'], and the row and column of its corner in that of the half.
        Around it the gray is the median of the border of the half.
    """
    height, width = picture.shape
    corners = np.array([(0, 0), (0, width), (height, 0), (height, width)], float)
    normal = np.array(cut.normal)
    kept = corners[(corners - cut.point) @ normal <= 0]
    mirrored = kept - 2 * ((kept - cut.point) @ normal)[:, None] * normal
    places = np.concatenate([kept, mirrored])
    low, high = np.floor(places.min(axis=0)).astype(int), np.ceil(places.max(axis=0)).astype(int)
    rows, columns = (np.arange(a, b) + 0.5 for a, b in zip(low, high, strict=True))
    rows, columns = np.meshgrid(rows, columns, indexing="ij")
    back = 2 * np.maximum(cut.beyond(rows, columns), 0)
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    whole = cv2.remap(
        picture,
        (columns - back * normal[1] - 0.5).astype(np.float32),
        (rows - back * normal[0] - 0.5).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float(np.median(border)),
    )
    return whole, (int(low[0]), int(low[1]))
