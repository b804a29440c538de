"""The endless stream of training sections.

Section number i of a seed is always the same, whoever makes it and whatever came before: a
training goes on where it stopped, and any number of workers makes one stream.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sebre.synthesis.appearance import damage, intensity
from sebre.synthesis.appearance.deform import bend, grow
from sebre.synthesis.curriculum import HARD, Recipe
from sebre.synthesis.labeled_volume import Volume
from sebre.synthesis.planes import Plane, random_plane

_TRIES = 8  # for a section that shows enough tissue
_LEAST_TISSUE = 0.04  # share of the picture
_VOXEL_BLUR = 0.4  # of a voxel, in pictures of coarse volumes
_ACROSS = 2  # axis of the volumes


@dataclass(frozen=True)
class SyntheticSection:
    """One section, ready to learn from.

    Attributes:
        picture: float32 [size, size], 0..1.
        labels: uint8 [size, size]. Classes; 255 is tissue that is not scored.
        volume: name of the volume.
        plane: where it was cut.
        painted: whether its values were random by structure.
        index: int32 [size, size]. Voxel of the volume that each pixel shows, in its flat array;
            before folds, which move some of the pixels by a few.
    """

    picture: np.ndarray
    labels: np.ndarray
    volume: str
    plane: Plane
    painted: bool
    index: np.ndarray


def make_section(
    volumes: Sequence[Volume],
    rng: np.random.Generator,
    recipe: Recipe = HARD,
    size: int = 192,
) -> SyntheticSection:
    """One section of one of the volumes.

    Sources are equally likely, and so are the volumes of a source.

    Args:
        volumes: to cut.
        rng: source of chance.
        recipe: how hard it is.
        size: side of the picture, px.
    """
    sources = sorted({volume.source for volume in volumes})
    source = sources[rng.integers(len(sources))]
    own = [volume for volume in volumes if volume.source == source]
    volume = own[rng.integers(len(own))]
    for _ in range(_TRIES):
        plane, voxels, fine = _cut_out(volume, rng, recipe, size)
        if np.count_nonzero(fine) >= _LEAST_TISSUE * fine.size:
            break
    picture, painted = _picture(volume, voxels, fine, rng, recipe)
    fine, picture = damage.damage(fine, picture, rng, recipe)
    tissue = fine > 0
    picture = intensity.put_on_background(picture, tissue, rng, recipe)
    picture = damage.dirt(picture, tissue, rng, recipe)
    smooth = 0.0 if painted else _VOXEL_BLUR * volume.voxel_mm * size / plane.side_mm
    picture = intensity.photograph(picture, rng, recipe, smooth)
    labels, index = volume.table.classes[fine], voxels.astype(np.int32)
    return SyntheticSection(picture, labels, volume.name, plane, painted, index)


def sections(
    volumes: Sequence[Volume],
    seed: int,
    start: int = 0,
    step: int = 1,
    recipe: Recipe | Callable[[int], Recipe] = HARD,
    size: int = 192,
) -> Iterator[SyntheticSection]:
    """Sections number start, start + step, ... of a seed, without an end.

    Args:
        volumes: to cut.
        seed: of the stream.
        start: number of the first.
        step: from one to the next; worker w of n takes start + w and step n.
        recipe: of all, or of each by its number.
        size: side of the pictures, px.
    """
    number = start
    while True:
        rng = np.random.default_rng((seed, number))
        how = recipe(number) if callable(recipe) else recipe
        yield make_section(volumes, rng, how, size)
        number += step


def batches(
    stream: Iterator[SyntheticSection], batch_size: int, label_step: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Sections in batches.

    Args:
        stream: of `sections`.
        batch_size: B.
        label_step: labels are of every such pixel, for networks that answer at a lower scale.

    Yields:
        Pictures float32 [B, size, size, 1] and labels uint8 [B, size / step, size / step].
    """
    first = label_step // 2
    while True:
        several = [next(stream) for _ in range(batch_size)]
        labels = [s.labels[first::label_step, first::label_step] for s in several]
        yield np.stack([s.picture for s in several])[..., None], np.stack(labels)


def _cut_out(
    volume: Volume, rng: np.random.Generator, recipe: Recipe, size: int
) -> tuple[Plane, np.ndarray, np.ndarray]:
    """A plane, the flat index of the voxel of each pixel, and the structures it shows."""
    plane = random_plane(volume, rng, recipe)
    places = bend(plane.grid(size), plane.side_mm / 2, rng, recipe)
    index = volume.at(grow(volume, places, rng, recipe))
    fine = volume.labels.reshape(-1)[index]
    if rng.random() < recipe.partial:
        across = abs(plane.frame[2, _ACROSS]) < 0.7  # the middle plane is seen from the side
        fine = damage.cut(fine, places[_ACROSS] if across else None, rng)
    return plane, index, fine


def _picture(
    volume: Volume,
    index: np.ndarray,
    fine: np.ndarray,
    rng: np.random.Generator,
    recipe: Recipe,
) -> tuple[np.ndarray, bool]:
    """Values of the tissue, float32 [size, size], and whether they are by structure only."""
    if rng.random() < recipe.sparse:
        return intensity.sparse_cells(fine, volume.table, rng), True
    painted = not volume.images or rng.random() < recipe.painted
    if painted:
        picture = intensity.paint(fine, volume.table, rng, recipe)
    if volume.images and (not painted or rng.random() < 0.25):
        image = volume.images[rng.integers(len(volume.images))]
        own = intensity.recolor(image.reshape(-1)[index], rng, recipe)
        share = np.float32(rng.uniform(0.3, 0.7)) if painted else np.float32(1)
        picture = share * own + (1 - share) * picture if painted else own
    return intensity.add_texture(picture, fine, volume.table, rng, recipe), painted
