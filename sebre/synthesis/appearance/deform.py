"""How brains and sections differ in shape: growth, proportions, smooth bending."""

from collections.abc import Sequence

import numpy as np

from sebre.synthesis.appearance.fields import monotone_curve, smooth_field
from sebre.synthesis.curriculum import Recipe
from sebre.synthesis.labeled_volume import Volume

_CELLS = (3, 8)  # control points of the slow and the fast part of the bending
_FAST_SHARE = 0.25  # of the fast part, beside the slow one
_GROWTH_PLACES, _GROWTH_CELLS = 65, 6


def bend(
    places: Sequence[np.ndarray], reach_mm: float, rng: np.random.Generator, recipe: Recipe
) -> list[np.ndarray]:
    """Bend a section smoothly, in its plane and out of it.

    Args:
        places: 3 float32 [size, size]. Places of the pixels, mm.
        reach_mm: half the side of the tissue in the picture.
        rng: source of chance.
        recipe: gives the strength.

    Returns:
        3 float32 [size, size].
    """
    size = places[0].shape[0]
    strength = np.float32(recipe.bend * reach_mm)
    slow = smooth_field(rng, size, _CELLS[0], 3)
    slow += np.float32(_FAST_SHARE) * smooth_field(rng, size, _CELLS[1], 3)
    return [place + strength * moved for place, moved in zip(places, slow, strict=True)]


def grow(
    volume: Volume, places: Sequence[np.ndarray], rng: np.random.Generator, recipe: Recipe
) -> tuple[np.ndarray, ...]:
    """Voxels of the places in a brain whose parts have grown differently.

    Along each axis of the volume, a random growing curve takes the place of the straight line:
    bulb, forebrain, midbrain and cerebellum get other proportions, as between ages.

    Args:
        volume: the brain.
        places: 3 float32 arrays. Places from the middle of the volume, mm.
        rng: source of chance.
        recipe: gives the strength.

    Returns:
        3 float32 arrays, coordinates in voxels; those beyond the volume are at its faces.
    """
    voxels = []
    for k, size in enumerate(volume.labels.shape):
        curve = monotone_curve(rng, _GROWTH_PLACES, _GROWTH_CELLS, recipe.growth)
        share = places[k] * np.float32(1 / (size * volume.voxel_mm)) + np.float32(0.5)
        steps = np.clip(share, 0, 1) * np.float32(_GROWTH_PLACES - 1)
        low = np.minimum(steps.astype(np.int32), _GROWTH_PLACES - 2)
        steps -= low
        slopes = np.diff(curve)
        voxels.append((curve[low] + slopes[low] * steps) * np.float32(size) - np.float32(0.5))
    return tuple(voxels)
