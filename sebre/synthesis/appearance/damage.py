"""What happens to sections on the way to the slide, and on it."""

from collections.abc import Callable

import cv2
import numpy as np

from sebre.synthesis.appearance.fields import smooth_curve, smooth_field
from sebre.synthesis.curriculum import Recipe

_BUBBLES, _CUT_MARGIN = 4, 0.2


def cut(fine: np.ndarray, middle: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """A half, or a piece: what lies on one side of one or two straight cuts.

    Args:
        fine: uint16 [size, size]. Structures.
        middle: float32 [size, size]. Distance from the middle plane of the brain, signed, any
            unit; None if the plane has none to show, and the cut is anywhere.
        rng: source of chance.

    Returns:
        uint16 [size, size]; 0 where nothing is left. The section itself, should little be left.
    """
    keep = np.ones(fine.shape, bool)
    if middle is not None and rng.random() < 0.6:
        keep = middle * rng.choice((-1, 1)) > np.float32(rng.normal(0, 0.1))
    else:
        for _ in range(int(rng.integers(1, 3))):
            keep &= _side(fine.shape[0], rng) > np.float32(rng.uniform(-0.35, 0.1))
    tissue = fine > 0
    if np.count_nonzero(tissue & keep) < _CUT_MARGIN * np.count_nonzero(tissue):
        return fine
    return np.where(keep, fine, 0).astype(np.uint16)


def damage(
    fine: np.ndarray, picture: np.ndarray, rng: np.random.Generator, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray]:
    """Tears, folds, holes and missing pieces; they change what can be seen, and the labels.

    Args:
        fine: uint16 [size, size]. Structures; 0 where there is no tissue.
        picture: float32 [size, size].
        rng: source of chance.
        recipe: gives the chance of each kind.

    Returns:
        Both, damaged.
    """
    for kind in (fold, tear, holes, missing_piece):
        if rng.random() < recipe.damage:
            fine, picture = kind(fine, picture, rng)
    return fine, picture


def dirt(
    picture: np.ndarray, tissue: np.ndarray, rng: np.random.Generator, recipe: Recipe
) -> np.ndarray:
    """Bubbles, edges of the glass and pieces of other tissue; the labels stay.

    Args:
        picture: float32 [size, size].
        tissue: bool [size, size].
        rng: source of chance.
        recipe: gives the chance of each kind.
    """
    kinds: tuple[Callable[..., np.ndarray], ...] = (neighbors, bubbles, glass_edge)
    for kind in kinds:
        if rng.random() < recipe.damage:
            picture = kind(picture, tissue, rng)
    return picture


def tear(
    fine: np.ndarray, picture: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A curved gap that opens toward one end."""
    size = fine.shape[0]
    across, along = _line(size, rng)
    width = np.float32(rng.uniform(0.01, 0.04)) * np.clip(along + rng.uniform(-0.2, 0.4), 0, 1)
    return np.where(np.abs(across) < width, 0, fine).astype(np.uint16), picture


def fold(
    fine: np.ndarray, picture: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A strip where the tissue lies on itself: the rest moves up, the strip looks thicker."""
    size = fine.shape[0]
    angle = rng.uniform(0, 2 * np.pi)
    across, _ = _line(size, rng, angle)
    width = rng.uniform(0.02, 0.06)
    moved = np.clip(across / width, 0, 1).astype(np.float32) * np.float32(width * size)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    rows += moved * np.float32(np.sin(angle))
    columns += moved * np.float32(np.cos(angle))
    fine = cv2.remap(fine, columns, rows, cv2.INTER_NEAREST, borderValue=0)
    picture = cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    strip = (across > 0) & (across < width)
    return fine, picture + np.float32(rng.normal(0, 0.4)) * strip


def holes(
    fine: np.ndarray, picture: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Round holes here and there."""
    field = smooth_field(rng, fine.shape[0], int(rng.integers(6, 20)))[0]
    return np.where(field > rng.uniform(1.5, 2.5), 0, fine).astype(np.uint16), picture


def missing_piece(
    fine: np.ndarray, picture: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A piece at the border that is gone, with a ragged edge."""
    size = fine.shape[0]
    edge = _side(size, rng) + np.float32(0.05) * smooth_field(rng, size, 8)[0]
    return np.where(edge > -rng.uniform(0.15, 0.35), fine, 0).astype(np.uint16), picture


def bubbles(picture: np.ndarray, tissue: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bubbles of air: dark or bright rings, a little brighter or darker inside."""
    size = picture.shape[0]
    rings, insides = np.zeros_like(picture), np.zeros_like(picture)
    for _ in range(int(rng.integers(1, _BUBBLES + 1))):
        center = tuple(int(v) for v in rng.integers(0, size, 2))
        radius = int(size * rng.uniform(0.02, 0.12))
        cv2.circle(insides, center, radius, 1.0, -1)
        cv2.circle(rings, center, radius, 1.0, int(rng.integers(1, 3)), cv2.LINE_AA)
    return (
        picture + np.float32(rng.normal(0, 0.4)) * rings + np.float32(rng.normal(0, 0.1)) * insides
    )


def glass_edge(picture: np.ndarray, tissue: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The edge of a slide or cover glass: a line, and another brightness behind it."""
    distance = _side(picture.shape[0], rng) + np.float32(rng.uniform(0.2, 0.45))
    line = np.abs(distance) < rng.uniform(0.004, 0.012)
    behind = (distance < 0) * np.float32(rng.normal(0, 0.15))
    return picture + behind + np.float32(rng.normal(0, 0.5)) * line


def neighbors(picture: np.ndarray, tissue: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tissue of another section at the border of the picture, where there is room.

    It is the picture itself, turned and shifted, so that it looks like the same stain.
    """
    size = picture.shape[0]
    angle, turn = rng.uniform(0, 2 * np.pi), rng.uniform(0, 360)
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), turn, rng.uniform(0.8, 1.2))
    matrix[:, 2] += rng.uniform(0.6, 0.9) * size * np.array([np.cos(angle), np.sin(angle)])
    other = cv2.warpAffine(tissue.astype(np.uint8), matrix, (size, size)) > 0
    moved = cv2.warpAffine(picture, matrix, (size, size))
    wide = cv2.dilate(tissue.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.where(other & ~wide, moved, picture)


def _line(
    size: int, rng: np.random.Generator, angle: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distances across and along a random bent line, shares of the side, float32 [size, size].

    The distance across grows in the direction (column, row) = (cos, sin) of the angle.
    """
    angle = rng.uniform(0, 2 * np.pi) if angle is None else angle
    steps = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    y0, x0 = rng.uniform(-0.25, 0.25, 2)
    rows, columns = (steps - np.float32(y0))[:, None], (steps - np.float32(x0))[None]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    across, along = columns * cos + rows * sin, columns * -sin + rows * cos
    bent = np.float32(0.04) * smooth_curve(rng, size, 5)
    places = np.clip((along + 0.5) * size, 0, size - 1).astype(np.int32)
    return across + bent[places], along


def _side(size: int, rng: np.random.Generator) -> np.ndarray:
    """Signed distance from a straight line through the middle, share of the side."""
    steps = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    return np.float32(np.sin(angle)) * steps[:, None] + np.float32(np.cos(angle)) * steps[None]
