"""What the place of a section in the brain says against the results of a network: `find_place`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mrcnn.imageio.reduced import ReducedPicture, held_pixels
from sebre.networks.segmenter import Segmenter
from sebre.place.placer import SPECIES, load_placer
from sebre.place.section_place import SectionPlace

NOT_IN_PLANE = "not in this plane"


@dataclass(frozen=True)
class PlaceDoubts:
    """What a place says against results; nothing, where it is not known."""

    warnings: tuple[str, ...] = ()  # of the section as a whole
    lacking: frozenset[int] = frozenset()  # class ids of regions that do not occur there


def find_place(
    segmenter: Segmenter, picture: np.ndarray | ReducedPicture, wanted: bool | None = None
) -> SectionPlace | None:
    """Where the section lies that a network segments; None where nobody looks, or nothing is seen.

    Args:
        segmenter: the network.
        picture: uint8 [H, W, 3], or at reduced scale.
        wanted: whether to look; None if the network is of mice, by the manifest.

    Raises:
        UserError: a damaged file of places.
    """
    if not (_entry(segmenter).get("species") == SPECIES if wanted is None else wanted):
        return None
    placer = load_placer()
    return None if placer is None else placer.place(held_pixels(picture), picture.shape)


def doubts_at(place: SectionPlace | None, segmenter: Segmenter) -> PlaceDoubts:
    """Hold the place of a section against the plane that a network knows and the regions that it
    looks for.

    Args:
        place: None if it is not known.
        segmenter: the network. What the manifest says of its species and plane counts, and of
            its regions those with numbers of the Allen atlas.
    """
    entry = _entry(segmenter)
    if place is None or entry.get("species") != SPECIES:
        return PlaceDoubts()
    warnings, plane = (), entry.get("plane") or ""
    if place.differs_from(plane):
        warnings = (f"{NOT_IN_PLANE}: it looks {place.text()}; the network knows {plane} sections",)
    lacking = [r.id for r in segmenter.regions if r.atlas_ids and place.lacks(r.atlas_ids)]
    return PlaceDoubts(warnings, frozenset(lacking))


def _entry(segmenter: Segmenter) -> dict[str, Any]:
    """What the manifest says of the weights of a network."""
    return getattr(getattr(segmenter, "weights", None), "entry", {})
