"""What the place of a section in the brain says against the results of a network: `find_place`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mrcnn.imageio.reduced import ReducedPicture, held_pixels
from sebre.networks.segmenter import Segmenter
from sebre.place.placer import SPECIES, load_placer
from sebre.place.section_place import SectionPlace
from sebre.trust.certainty import UNSURE
from sebre.trust.remarks import Remark

NOT_IN_PLANE = "not in this plane"
ANY_PLANE = "any"  # of the manifest: a network for sections of every plane
_NO_PLANE_DEG = 45.0  # an error above it tells no plane from another


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


def with_place(
    warnings: Sequence[Remark], place: SectionPlace | None, segmenter: Segmenter
) -> tuple[Remark, ...]:
    """Warnings of a section of a network for sections of any plane, where its place is known too.

    Whether the plane can be told says more of a picture than how sure the network is of its pixels:
    a section with a plane is not called unsure, and one without is.

    Args:
        warnings: of `CertaintyModel.assess`, or of another model, which stay as they are.
        place: of the section; None where nobody looked.
        segmenter: the network.
    """
    if place is None or _entry(segmenter).get("plane") != ANY_PLANE:
        return tuple(warnings)
    others = tuple(remark for remark in warnings if remark.kind != UNSURE)
    if place.angle_error_deg <= _NO_PLANE_DEG:
        return others
    text = (
        "its plane in the brain cannot be told within {limit:.0f} degrees: perhaps no section of a "
        "mouse brain, a small piece of one, or a damaged one"
    )
    return *others, Remark(UNSURE, text, {"limit": _NO_PLANE_DEG})


def _entry(segmenter: Segmenter) -> dict[str, Any]:
    """What the manifest says of the weights of a network."""
    return getattr(getattr(segmenter, "weights", None), "entry", {})
