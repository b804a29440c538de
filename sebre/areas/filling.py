"""Fills the sections between annotated ones: the anatomist's tool.

After Schiffer et al. 2021 (NeuroImage 240:118327), who train a network on two annotated sections
and let it find the area on all between. Here neighbors are registered with each other, labels of
both annotated sections are carried inward, and, if wanted, a small network that is trained on the
annotated sections looks at each section with what was carried as its prior. Then sections are
smoothed along the stack. Without a network is the default: of a gap of Nissl plates that was kept
for this choice (62-70), two sections taught a network less than registration knew.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mrcnn.errors import UserError
from sebre.areas.alignment import Alignment
from sebre.areas.area_prediction import AreaNetwork, demand_stack
from sebre.areas.area_samples import Augmentation
from sebre.areas.area_scores import LEAST_PX
from sebre.areas.area_training import AreaSettings, train_areas
from sebre.areas.atlas_prior import Neighbors, PriorDraw, blurred, carry_shares
from sebre.areas.stacks import Stack

METHODS = ("carried", "shapes", "network", "combined")
# Two annotated sections teach little of how good a prior is: their own labels stand in for it.
GAP_TRAINING = AreaSettings(
    steps=250,
    batch=2,
    prior=PriorDraw(absent=0.15, wrong=0.15, own=0.5, furthest=100),
    augmentation=Augmentation(prior_um=120.0),
    precision="mixed_bfloat16",
)
_SOFT_PX = 2.0  # blur of what is carried, when it is weighed against the network
_LEAST = 1e-3  # share that no class goes below

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FillSettings:
    """How a stack is filled.

    Attributes:
        method: "carried", labels of the annotated sections by registration; "shapes", their shapes
            passing into each other; "network", the network that looks at the section with what was
            carried; "combined", network and carried together.
        weight: of the network in "combined", 0 to 1.
        smooth: share of the two neighbors in each section, 0 to 1.
        way: "chain" registers neighbors only, "direct" annotated sections with each section.
        registration: method, one of `sebre.registration.transform.METHODS`.
        training: of the network.
    """

    method: str = "carried"
    weight: float = 0.5
    smooth: float = 0.3
    way: str = "chain"
    registration: str = "elastix"
    training: AreaSettings = GAP_TRAINING

    def __post_init__(self):
        if self.method not in METHODS:
            raise UserError(f"No method {self.method!r}; there are {', '.join(METHODS)}.")


@dataclass(frozen=True)
class Filled:
    """A stack between its first and last annotated section.

    Attributes:
        stack: the sections with the labels that were found, those of annotated ones as drawn.
        annotated: numbers of annotated sections in `stack`.
        confidence: float [z], of `expected_dice`.
        certainty: float [z], mean probability of the label over the cortex found.
        next_section: number of the section to annotate next; None where all are.
    """

    stack: Stack
    annotated: tuple[int, ...]
    confidence: np.ndarray
    certainty: np.ndarray
    next_section: int | None


def fill(
    stack: Stack,
    annotated: Sequence[int],
    out: str | Path,
    settings: FillSettings = FillSettings(),
    start: Callable[[], AreaNetwork] | None = None,
    registrations: str | Path | None = None,
) -> Filled:
    """Fill the sections between annotated ones.

    What is made lies in `out`: registrations, the network in training, sections. The same call goes
    on where it was stopped.

    Args:
        stack: the sections, with labels on the annotated ones; labels of others are not looked at.
        annotated: numbers of annotated sections, at least two.
        out: folder.
        settings: how.
        start: gives a trained network to take in place of training one.
        registrations: folder where they are kept; None for `registration` in `out`.

    Raises:
        UserError: sections or settings that cannot work.
    """
    stack, annotated = between(stack, annotated)
    out = Path(out)
    alignment = Alignment(
        stack.images, registrations or out / "registration", settings.registration
    )
    neighbors = Neighbors(stack, alignment, settings.way)
    network = None
    if settings.method in ("network", "combined"):
        network = start() if start else _trained(stack, annotated, out, settings, neighbors)
        demand_stack(network, stack)
    shares = []
    for number in range(len(stack)):
        if number in annotated:
            shares.append(neighbors.own(number))
            continue
        sources = neighbors.nearest(number, annotated)
        shares.append(_found(stack, number, sources, neighbors, network, settings))
        _logger.info("Section %s: from %s", stack.names[number], [stack.names[n] for n in sources])
    shares = smoothed(shares, annotated, neighbors, settings.smooth)
    labels = np.stack([found.argmax(-1) for found in shares]).astype(np.uint8)
    certainty = np.array([_certainty(found) for found in shares])
    confidence = expected_dice(neighbors, annotated)
    others = [n for n in range(len(stack)) if n not in annotated]
    least = min(others, key=lambda n: confidence[n]) if others else None
    return Filled(replace(stack, labels=labels), tuple(annotated), confidence, certainty, least)


def between(stack: Stack, annotated: Sequence[int]) -> tuple[Stack, list[int]]:
    """The part of a stack from its first to its last annotated section, other labels removed."""
    stack.drawn()
    annotated = sorted(set(annotated))
    if len(annotated) < 2 or annotated[-1] - annotated[0] < 2:
        raise UserError(
            f"Annotated are sections {[stack.names[n] for n in annotated]}; wanted two or more "
            "with sections between them."
        )
    if empty := [stack.names[n] for n in annotated if not stack.labels[n].any()]:
        raise UserError(f"Nothing is drawn on section {', '.join(empty)}.")
    labels = np.zeros_like(stack.labels)
    labels[annotated] = stack.labels[annotated]
    first = annotated[0]
    part = replace(stack, labels=labels).sections(range(first, annotated[-1] + 1))
    return part, [n - first for n in annotated]


def smoothed(
    shares: Sequence[np.ndarray], annotated: Sequence[int], neighbors: Neighbors, share: float
) -> list[np.ndarray]:
    """Each section that is not annotated, averaged with its neighbors laid on it."""
    found = []
    for number, own in enumerate(shares):
        if number in annotated or not share:
            found.append(own)
            continue
        carried = [
            carry_shares(shares[n], neighbors.points(n, number)) for n in (number - 1, number + 1)
        ]
        found.append((1 - share) * own + share / 2 * (carried[0] + carried[1]))
    return found


def expected_dice(neighbors: Neighbors, annotated: Sequence[int]) -> np.ndarray:
    """How much to trust each section, float [z]: 1 where it is annotated, and halfway between two
    annotated sections the mean Dice over areas of what is carried from one and from the other.

    A measure of doubt, not a promise: where the two sides agree they may both be wrong.
    """
    stack, z = neighbors.stack, neighbors.stack.z_mm
    found = np.ones(len(stack))
    for number in range(len(stack)):
        sources = neighbors.nearest(number, annotated)
        if number in annotated or len(sources) < 2:
            continue
        agreed = _agreement(*(neighbors.carried(n, number) for n in sources))
        near, far = sorted(abs(z[n] - z[number]) for n in sources)
        found[number] = 1 - (1 - agreed) * 2 * near / (near + far)
    return found


def _agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Mean Dice of two label pictures over the areas that either shows; 0 where none is shown."""
    shares = []
    for n in np.union1d(first, second):
        one, other = first == n, second == n
        sizes = one.sum(), other.sum()
        if n and max(sizes) >= LEAST_PX:
            shares.append(2 * (one & other).sum() / sum(sizes))
    return float(np.mean(shares)) if shares else 0.0


def combined(carried: np.ndarray, seen: np.ndarray, weight: float) -> np.ndarray:
    """Product of two shares [y, x, classes], the second with this weight; sums to 1."""
    soft = blurred(carried, _SOFT_PX)
    product = np.maximum(soft, _LEAST) ** (1 - weight) * np.maximum(seen, _LEAST) ** weight
    return product / product.sum(-1, keepdims=True)


def _found(
    stack: Stack,
    number: int,
    sources: Sequence[int],
    neighbors: Neighbors,
    network: AreaNetwork | None,
    settings: FillSettings,
) -> np.ndarray:
    """Shares of the classes on one section, float32 [y, x, classes]."""
    if settings.method == "shapes":
        return neighbors.shapes(number, sources)
    carried = neighbors.expected(number, sources)
    if network is None:
        return carried
    seen = network.predict(stack.images[number], carried)
    return seen if settings.method == "network" else combined(carried, seen, settings.weight)


def _trained(
    stack: Stack,
    annotated: Sequence[int],
    out: Path,
    settings: FillSettings,
    neighbors: Neighbors,
) -> AreaNetwork:
    _logger.info("Training on %d annotated sections", len(annotated))
    return train_areas(stack, annotated, out / "network", settings.training, neighbors)


def _certainty(shares: np.ndarray) -> float:
    best = shares.max(-1)[shares.argmax(-1) > 0]
    return float(best.mean()) if best.size else 0.0
