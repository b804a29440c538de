"""Pictures of a section of labels: any stain, marker, scanner and light."""

import cv2
import numpy as np

from sebre.networks.any_section import normalized
from sebre.synthesis.appearance.fields import smooth_curve, smooth_field
from sebre.synthesis.classes import StructureTable
from sebre.synthesis.curriculum import Recipe

_LEVELS = 256  # gray values of the volumes
_USUAL_SIZE = 192  # px, to which blur and texture refer


def paint(
    fine: np.ndarray, table: StructureTable, rng: np.random.Generator, recipe: Recipe
) -> np.ndarray:
    """A picture of random values by structure.

    The value of a structure is a random mixture of values of its class, its group, its layer
    and its own, so that some pictures show classes, others layers or single nuclei.

    Args:
        fine: uint16 [size, size]. Rows of the table.
        table: of the structures.
        rng: source of chance.
        recipe: gives the strength of layer edges.

    Returns:
        float32 [size, size], about 0..1 in the tissue.
    """
    weights = rng.dirichlet((1.0, 0.7, 1.0, 0.5)).astype(np.float32)
    values = np.float32(0)
    for column, weight in zip((*table.groups.T, np.arange(len(table))), weights, strict=True):
        values = values + weight * rng.random(column.max() + 1, dtype=np.float32)[column]
    shown = values[np.unique(fine)]
    low, high = shown.min(), shown.max()
    values = (values - low) / max(high - low, 1e-3)
    picture = values[fine]
    if rng.random() < 0.5 * recipe.texture:
        picture = picture + np.float32(rng.normal(0, 0.3)) * _edges(fine)
    if rng.random() < 0.6 * recipe.texture:
        picture = picture + _laminae(fine, table, rng)
    return picture


def recolor(picture: np.ndarray, rng: np.random.Generator, recipe: Recipe) -> np.ndarray:
    """A volume's own gray values, remapped at random: growing, or up and down.

    Args:
        picture: uint8 [size, size].
        rng: source of chance.
        recipe: gives the strength.

    Returns:
        float32 [size, size], 0..1.
    """
    line = np.linspace(0, 1, _LEVELS, dtype=np.float32)
    if rng.random() < 0.4 * recipe.recolor:
        curve = smooth_curve(rng, _LEVELS, int(rng.integers(4, 9)))
        curve = (curve - curve.min()) / max(np.ptp(curve), 1e-3)
    else:
        curve = line ** np.exp(0.7 * recipe.recolor * rng.standard_normal(dtype=np.float32))
    share = np.float32(rng.uniform(0, 0.25) * (1 - recipe.recolor))
    return (share * line + (1 - share) * curve).astype(np.float32)[picture]


def add_texture(
    picture: np.ndarray,
    fine: np.ndarray,
    table: StructureTable,
    rng: np.random.Generator,
    recipe: Recipe,
) -> np.ndarray:
    """Grain, fibers and cells, of a density that depends on the layer.

    Args:
        picture: float32 [size, size].
        fine: uint16 [size, size]. Rows of the table.
        table: of the structures.
        rng: source of chance.
        recipe: gives the strength.

    Returns:
        float32 [size, size].
    """
    size = picture.shape[0]
    layer = table.groups[:, 2]
    density = rng.random(layer.max() + 1, dtype=np.float32)[layer][fine]
    grain = rng.standard_normal(picture.shape, dtype=np.float32)
    if rng.random() < 0.6:
        sigma = rng.uniform(0.5, 2.5) * size / _USUAL_SIZE
        grain = cv2.GaussianBlur(grain, (0, 0), sigma) * np.float32(1 + 2.5 * sigma)
    strength = np.float32(recipe.texture * rng.uniform(0, 0.12))
    picture = picture + strength * (0.3 + density) * grain
    if rng.random() < 0.35 * recipe.texture:
        cells = grain > np.float32(rng.uniform(1.0, 2.5)) - density
        picture = picture + np.float32(rng.normal(0, 0.3)) * cells
    return picture


def sparse_cells(fine: np.ndarray, table: StructureTable, rng: np.random.Generator) -> np.ndarray:
    """A picture of marked cells on an almost dark ground, float32 [size, size]."""
    layer = table.groups[:, 2]
    density = rng.random(layer.max() + 1, dtype=np.float32)[layer] ** 2
    density[0] = 0
    cells = rng.random(fine.shape, dtype=np.float32) < np.float32(0.4) * density[fine]
    ground = np.float32(rng.uniform(0, 0.15)) * (fine > 0)
    return cells * rng.random(fine.shape, dtype=np.float32) + ground


def put_on_background(
    picture: np.ndarray, tissue: np.ndarray, rng: np.random.Generator, recipe: Recipe
) -> np.ndarray:
    """The tissue on a slide: black, white, gray, clouded or grainy, with a soft border.

    Args:
        picture: float32 [size, size].
        tissue: bool [size, size].
        rng: source of chance.
        recipe: gives the chance of backgrounds that are not plain.

    Returns:
        float32 [size, size].
    """
    size = picture.shape[0]
    ground: np.ndarray | np.float32
    if rng.random() < recipe.background:
        ground = np.float32(rng.uniform(-0.3, 1.3))
        if rng.random() < 0.6:
            clouds = smooth_field(rng, size, int(rng.integers(2, 10)))[0]
            ground = ground + np.float32(rng.uniform(0, 0.2)) * clouds
        if rng.random() < 0.4:
            grain = rng.standard_normal(picture.shape, dtype=np.float32)
            ground = ground + np.float32(rng.uniform(0, 0.1)) * grain
    else:
        ground = np.float32(rng.uniform(-0.25, 0.0) if rng.random() < 0.6 else 1.15)
    share = tissue.astype(np.float32)
    if rng.random() < recipe.halo:
        ground = _halo(picture, tissue, ground, rng)
    if rng.random() < 0.5:
        share = cv2.GaussianBlur(share, (0, 0), rng.uniform(0.4, 1.2) * size / _USUAL_SIZE)
    return picture * share + ground * (1 - share)


def _halo(
    picture: np.ndarray,
    tissue: np.ndarray,
    ground: np.ndarray | np.float32,
    rng: np.random.Generator,
) -> np.ndarray:
    """A background that comes nearer to the values of the tissue around it.

    Sections are cut out with a margin of slide, in blocks or along a smooth line; compression and
    mounting medium leave rims as well.
    """
    size = picture.shape[0]
    block = int(rng.integers(1, 7)) if rng.random() < 0.6 else 1
    reach = max(1, round(size * rng.uniform(0.01, 0.08) / block))
    round_one = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    blocks = cv2.dilate(tissue.astype(np.uint8), np.ones((block, block), np.uint8))[
        ::block, ::block
    ]
    rim = cv2.dilate(blocks, round_one).repeat(block, axis=0).repeat(block, axis=1)[:size, :size]
    near = np.float32(rng.uniform(0.1, 0.6))
    value = near * np.float32(np.median(picture[tissue])) if tissue.any() else np.float32(0)
    grain = np.float32(rng.uniform(0, 0.05)) * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.where(rim > 0, (1 - near) * ground + value + grain, ground).astype(np.float32)


def photograph(
    picture: np.ndarray, rng: np.random.Generator, recipe: Recipe, smooth_px: float = 0.0
) -> np.ndarray:
    """Light, blur, noise and inversion, then the range of `normalized`.

    Args:
        picture: float32 [size, size].
        rng: source of chance.
        recipe: gives the strengths.
        smooth_px: least deviation of the blur, which hides the voxels of a coarse volume.

    Returns:
        float32 [size, size], 0..1.
    """
    size = picture.shape[0]
    if rng.random() < 0.7:
        light = smooth_field(rng, size, int(rng.integers(2, 5)))[0]
        picture = picture * np.exp(np.float32(recipe.shading * rng.random()) * light)
    sigma = max(smooth_px, recipe.blur_px * size / _USUAL_SIZE * rng.random() ** 2)
    if sigma > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    noise = np.float32(recipe.noise * rng.random() ** 2)
    picture = picture + noise * rng.standard_normal(picture.shape, dtype=np.float32)
    if rng.random() < recipe.invert:
        picture = -picture
    return normalized(picture)


def _edges(fine: np.ndarray) -> np.ndarray:
    """Soft lines between structures, float32 [size, size], 0..1."""
    line = np.zeros(fine.shape, np.float32)
    line[1:] += fine[1:] != fine[:-1]
    line[:, 1:] += fine[:, 1:] != fine[:, :-1]
    return cv2.blur(np.minimum(line, 1), (3, 3))


def _laminae(fine: np.ndarray, table: StructureTable, rng: np.random.Generator) -> np.ndarray:
    """Bands along the surface of one to three classes, as layers of cells."""
    size = fine.shape[0]
    classes = table.classes[fine]
    shown = np.flatnonzero(np.bincount(classes.reshape(-1), minlength=256)[1:255]) + 1
    bands = np.zeros(fine.shape, np.float32)
    for class_id in rng.permutation(shown)[: rng.integers(1, 4)]:
        inside = (classes == class_id).astype(np.uint8)
        # Without a border in the picture the distance is as good as infinite.
        depth = np.minimum(cv2.distanceTransform(inside, cv2.DIST_L2, 3), size)
        depth *= np.float32(_USUAL_SIZE / size)
        wave = np.float32(rng.uniform(0.15, 0.9)) * depth + np.float32(rng.uniform(0, 6.3))
        bands += np.float32(rng.uniform(0.05, 0.3)) * np.sin(wave) * inside
    return bands
