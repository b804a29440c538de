"""Which of the networks at hand knows pictures like some given ones: `sebre models suggest`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.imageio.contrast import BITS
from sebre.networks.segmenter import best_labels, load_segmenter, read_image
from sebre.networks.weights_store import NO_REGIONS, find_weights, is_here, known_networks
from sebre.place.placer import load_placer
from sebre.trust.certainty import CertaintyModel
from sebre.trust.place_doubts import doubts_at, with_place
from sebre.trust.trust_files import load_trust


@dataclass(frozen=True)
class Fit:
    """How well a network fits some pictures."""

    name: str
    distance: float  # median over the pictures; above 1 they are of no kind that it knows
    distances: tuple[float, ...]  # of each picture that could be read
    n_known: int  # pictures of which nothing says that they are of another kind
    any_kind: bool = False  # the network is meant for sections of every kind


@dataclass(frozen=True)
class Suggestion:
    """The networks at hand: those that know most of the pictures first, then the nearest."""

    fits: tuple[Fit, ...]
    n_pictures: int  # that could be read
    untold: tuple[str, ...] = ()  # networks without a trust file, and those still to be fetched
    failed: tuple[str, ...] = ()  # what is wrong with the other pictures
    # Where each picture that could be read lies, if it is a section of a mouse brain; in words.
    places: tuple[str, ...] = ()

    def verdict(self) -> str:
        """In one sentence, which to take, or that none fits."""
        fitting = [fit.name for fit in self.fits if 2 * fit.n_known > self.n_pictures]
        if fitting:
            also = f" ({', '.join(fitting[1:])} would do, too)" if fitting[1:] else ""
            why = "it was trained on pictures like these"
            if next(fit for fit in self.fits if fit.name == fitting[0]).any_kind:
                why = "it is sure of these, and none was trained on pictures like them"
            return f"Take {fitting[0]}: {why}{also}."
        if not self.fits:
            return "No network at hand says what it knows."
        return (
            "None fits: the pictures are of a kind that no network at hand was trained on. "
            "Whatever a network finds on them is not to be trusted. "
            "Train one on sections of your own (docs/own_data.md)."
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "verdict": self.verdict()}


def suggest(pictures: Sequence[str | Path]) -> Suggestion:
    """Rank the networks by how many pictures they know, then by the distance from their training
    pictures; a network for sections of every kind comes after those that were trained for these.

    Networks that are still to be fetched are not.

    Raises:
        UserError: none of the pictures can be read.
    """
    readable, failed = [], []
    for path in pictures:
        try:
            readable.append((path, read_image(path)))
        except UserError as error:
            failed.append(str(error))
    if not readable:
        raise UserError(failed[0])
    placer = load_placer()
    places = [placer.place(image) if placer else None for _, image in readable]
    fits, untold = [], []
    for name, at in known_networks().items():
        if at[1].get("network") in NO_REGIONS:
            continue
        trust = load_trust(find_weights(name)) if is_here(*at) else None
        if trust is None:
            untold.append(name)
            continue
        segmenter = load_segmenter(name)
        distances, known = [], 0
        for (path, image), place in zip(readable, places, strict=True):
            if segmenter.config.CONTRAST != BITS:
                image = read_image(path, segmenter.config.CONTRAST)
            result = segmenter.detect([image], masks="rle")[0]
            section = trust.assess(segmenter, image, result, best_labels(result, image.shape))
            said = with_place(section.warnings, place, segmenter)
            known += not said and not doubts_at(place, segmenter).warnings
            distances.append(section.distance)
        any_kind = isinstance(trust, CertaintyModel)
        fits.append(Fit(name, float(np.median(distances)), tuple(distances), known, any_kind))
    # Half of the pictures make a network fit; among these, those that were trained for them.
    fits.sort(key=lambda f: (2 * f.n_known <= len(readable), f.any_kind, -f.n_known, f.distance))
    told = tuple(place.text() for place in places if place is not None)
    return Suggestion(tuple(fits), len(readable), tuple(untold), tuple(failed), told)
