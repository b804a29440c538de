"""The endless stream of training patches.

Patch number i of a seed is always the same, whoever makes it and whatever came before: a training
goes on where it stopped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mrcnn.errors import UserError
from sebre.neurites.affinity_graph import Offset, affinities_of
from sebre.neurites.learning.section_defects import DEFECTS, damage_sections

GEOMETRY = ("flip", "transpose", "rotate", "elastic")
AUGMENTATIONS = (*GEOMETRY, "intensity", *DEFECTS)
_BENT = 0.4  # chance of a rotation by any angle, and of an elastic deformation
_CELL_PX, _MOVE_PX = 24, 2.5  # of the elastic deformation: distance and size of its moves


@dataclass(frozen=True)
class Labeled:
    """A volume to learn from.

    Attributes:
        gray: float32 [z, y, x], standardized.
        labels: integers [z, y, x]; 0 is no neurite.
    """

    gray: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class PatchRecipe:
    """How patches are made.

    Attributes:
        shape: of a patch, voxels along z, y, x.
        offsets: of the affinities.
        augmentations: those that are on, of `AUGMENTATIONS`.
        any_axis: turn z into y or x, too: for even voxels.
        in_plane: erode labels within sections only.
        zero_is_border: label 0 is membrane.
        severity: of the defects of sections, of `SEVERITIES`.
    """

    shape: tuple[int, int, int]
    offsets: tuple[Offset, ...]
    augmentations: frozenset[str] = frozenset(AUGMENTATIONS)
    any_axis: bool = True
    in_plane: bool = False
    zero_is_border: bool = False
    severity: str = "mild"


def patches(
    volumes: Sequence[Labeled], recipe: PatchRecipe, seed: int, start: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Patches number start, start + 1, ... of a seed, without an end.

    Volumes are chosen by their size.

    Yields:
        Gray values float32 [1, z, y, x, 1] and affinities uint8 [1, z, y, x, edges].
    """
    sizes = np.array([volume.labels.size for volume in volumes], float)
    while True:
        rng = np.random.default_rng((seed, start))
        volume = volumes[rng.choice(len(volumes), p=sizes / sizes.sum())]
        gray, affinities = make_patch(volume, rng, recipe)
        yield gray[None, ..., None], np.moveaxis(affinities, 0, -1)[None]
        start += 1


def make_patch(
    volume: Labeled, rng: np.random.Generator, recipe: PatchRecipe
) -> tuple[np.ndarray, np.ndarray]:
    """One patch: gray values float32 [z, y, x] and affinities uint8 [edges, z, y, x].

    Args:
        volume: to cut it from.
        rng: source of chance.
        recipe: how.

    Raises:
        UserError: the volume is smaller than a patch.
    """
    on = recipe.augmentations
    order = _axes(volume.labels.shape, rng, recipe)
    wanted = [recipe.shape[order.index(axis)] for axis in range(3)]
    room = [have - want for have, want in zip(volume.labels.shape, wanted, strict=True)]
    if min(room) < 0:
        raise UserError(
            f"A training volume of {volume.labels.shape} voxels is smaller than a patch of "
            f"{recipe.shape}. Give a larger volume, or smaller patches (--patch)."
        )
    corner = [int(rng.integers(space + 1)) for space in room]
    cut = tuple(slice(low, low + want) for low, want in zip(corner, wanted, strict=True))
    gray, labels = (part[cut].transpose(order) for part in (volume.gray, volume.labels))
    if "flip" in on:
        flipped = tuple(slice(None, None, int(rng.choice((1, -1)))) for _ in range(3))
        gray, labels = gray[flipped], labels[flipped]
    gray = np.array(gray, np.float32, order="C")  # a copy, in this order: it is changed
    if {"rotate", "elastic"} & on and rng.random() < _BENT:
        gray, labels = bend(gray, labels, rng, "rotate" in on, "elastic" in on)
    if "intensity" in on:
        gray *= np.float32(rng.uniform(0.75, 1.3))
        gray += np.float32(rng.uniform(-0.35, 0.35))
    damage_sections(gray, rng, on, recipe.severity)
    affinities = affinities_of(
        labels,
        recipe.offsets,
        erode=True,
        in_plane=recipe.in_plane,
        zero_is_border=recipe.zero_is_border,
    )
    return gray, affinities


def _axes(shape: Sequence[int], rng: np.random.Generator, recipe: PatchRecipe) -> tuple[int, ...]:
    """Which axes of the volume become those of the patch, among the orders that fit."""
    orders = [(0, 1, 2)]
    if "transpose" in recipe.augmentations:
        orders += [(0, 2, 1)]
        if recipe.any_axis:
            orders += [(1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    fitting = [
        o for o in orders if all(shape[a] >= n for a, n in zip(o, recipe.shape, strict=True))
    ]
    return fitting[rng.integers(len(fitting))] if fitting else orders[0]


def bend(
    gray: np.ndarray, labels: np.ndarray, rng: np.random.Generator, rotate: bool, elastic: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a patch about its first axis and move its pixels smoothly, all sections alike.

    What comes in from beyond the patch is its mirror image.

    Args:
        gray: float32 [z, y, x].
        labels: integers [z, y, x].
        rng: source of chance.
        rotate: turn it.
        elastic: move its pixels.
    """
    height, width = gray.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    if rotate:
        angle = rng.uniform(-np.pi / 4, np.pi / 4)  # quarter turns are flips and transpositions
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        y0, x0 = np.float32((height - 1) / 2), np.float32((width - 1) / 2)
        y, x = y0 + cos * (y - y0) + sin * (x - x0), x0 - sin * (y - y0) + cos * (x - x0)
    if elastic:
        cells = (max(3, height // _CELL_PX), max(3, width // _CELL_PX))
        for places in (y, x):
            moves = rng.standard_normal(cells, np.float32) * np.float32(_MOVE_PX)
            places += cv2.resize(moves, (width, height), interpolation=cv2.INTER_CUBIC)
    ids, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(labels.shape).astype(np.uint16 if len(ids) < 2**16 else np.float32)
    how = {"borderMode": cv2.BORDER_REFLECT}
    bent = [cv2.remap(section, x, y, cv2.INTER_LINEAR, **how) for section in gray]
    moved = [cv2.remap(section, x, y, cv2.INTER_NEAREST, **how) for section in numbers]
    return np.stack(bent), ids[np.stack(moved).astype(np.intp)]
