"""Synthetic sections with the truth of where they are cut."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sebre.place.atlas_frame import ADULT_DAYS, CENTER_MM, UNIT_MM
from sebre.place.place_network import GRID
from sebre.synthesis.curriculum import HARD, Recipe
from sebre.synthesis.labeled_volume import Volume
from sebre.synthesis.placing.common_frame import CommonFrame
from sebre.synthesis.stream import SyntheticSection, sections


@dataclass(frozen=True)
class PlacedSection:
    """A synthetic section and where its pixels lie.

    Attributes:
        section: with picture and labels.
        places: float32 [size, size, 3]. Place of each pixel in the frame of the atlas, mm, with
            the side: right of the middle plane is positive.
        tissue: bool [size, size].
        age_days: of the brain.
    """

    section: SyntheticSection
    places: np.ndarray
    tissue: np.ndarray
    age_days: float


def age_of(volume: str) -> float:
    """Age in days of a volume, by its name: "demba_P14" is 14; those that do not say are adult."""
    tail = volume.rpartition("_P")[2]
    return min(float(tail), ADULT_DAYS) if tail.isdigit() else ADULT_DAYS


def placed_sections(
    volumes: Sequence[Volume],
    frames: Mapping[str, CommonFrame],
    seed: int,
    start: int = 0,
    recipe: Recipe | Callable[[int], Recipe] = HARD,
    size: int = 160,
) -> Iterator[PlacedSection]:
    """The stream of `sebre.synthesis.stream.sections`, with places.

    Args:
        volumes: to cut.
        frames: from each volume, by its name, to the frame of the atlas.
        seed: of the stream.
        start: number of the first section.
        recipe: of all, or of each by its number.
        size: side of the pictures, px.
    """
    by_name = {volume.name: volume for volume in volumes}
    for section in sections(volumes, seed, start, recipe=recipe, size=size):
        volume = by_name[section.volume]
        voxels = np.stack(np.unravel_index(section.index.ravel(), volume.labels.shape), axis=1)
        places = frames[volume.name].places(voxels).astype(np.float32)
        yield PlacedSection(
            section, places.reshape(size, size, 3), section.labels > 0, age_of(volume.name)
        )


def cell_targets(placed: PlacedSection) -> tuple[np.ndarray, np.ndarray]:
    """What the network should say of the cells.

    Returns:
        float32 [GRID, GRID, 3]: mean place of the tissue of each cell without its side, in units
        of the network; float32 [GRID, GRID]: share of tissue.
    """
    places = np.concatenate([placed.places[..., :2], np.abs(placed.places[..., 2:])], axis=-1)
    scaled = (places - CENTER_MM.astype(np.float32)) / np.float32(UNIT_MM)
    step = placed.tissue.shape[0] // GRID
    tissue = placed.tissue.astype(np.float32)
    sums = _cells(scaled * tissue[..., None], step)
    share = _cells(tissue[..., None], step)
    return sums / np.maximum(share, 1), share[..., 0] / step**2


def _cells(values: np.ndarray, step: int) -> np.ndarray:
    """Sums over cells of step x step pixels, of values [size, size, C]."""
    return values.reshape(GRID, step, GRID, step, -1).sum((1, 3))
