"""How well areas are found on sections that were left out, beside copies of their neighbors.

The rows of each table: what a copy of the nearest annotated section gives, as it lies and
registered; the network without a prior, with priors from near and from further away, and with
wrong ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from sebre.areas.area_prediction import AreaNetwork
from sebre.areas.area_scores import AreaScore, score_areas, summary
from sebre.areas.atlas_prior import Neighbors, renamed
from sebre.areas.filling import combined
from sebre.areas.stacks import Stack

OTHER = "other"  # areas without a name of their own; they have no Dice
NEAREST = "copy of the nearest"  # a row of `measure`; "registered ..." is another
GIVEN = "cortex given"  # end of rows that are told where the cortex is, and asked which area
AWAY = 3  # sections
FAR = 10  # sections from which a prior is wrong
_SEED = 5  # of wrong priors


@dataclass(frozen=True)
class Split:
    """Sections to learn from and to test on, by number."""

    known: tuple[int, ...]
    tested: tuple[int, ...]


def split_of(text: str, stack: Stack) -> Split:
    """A split: "every:4:2" tests each fourth section from number 2 on, "block:83:87" the sections
    from one name to another, "names:66,70" those named.

    Raises:
        UserError: another rule, or nothing left to learn from.
    """
    kind, *rest = text.split(":")
    everything = range(len(stack))
    if kind == "every" and len(rest) == 2 and all(part.isdecimal() for part in rest):
        step, first = map(int, rest)
        tested = [n for n in everything if step and n % step == first]
    elif kind == "block" and len(rest) == 2:
        first, last = stack.numbers_of(rest)
        tested = list(range(first, last + 1))
    elif kind == "names" and len(rest) == 1:
        tested = stack.numbers_of(rest[0].split(","))
    else:
        raise UserError(
            f"{text!r} is no split; wanted every:STEP:FIRST, block:FROM:TO or names:NAME,NAME."
        )
    known = [n for n in everything if n not in tested and stack.labels[n].any()]
    tested = [n for n in tested if stack.labels[n].any()]
    if not known or not tested:
        raise UserError(
            f"{text!r} leaves {len(known)} sections to learn from, {len(tested)} to test."
        )
    return Split(tuple(known), tuple(tested))


def score_tested(stack: Stack, split: Split, labels: Mapping[int, np.ndarray]) -> list[AreaScore]:
    """Scores of labels [y, x] found on the tested sections, by number."""
    counted, places = set(stack.areas) - {OTHER}, stack.z_mm
    scores = []
    for n in split.tested:
        near = min(abs(places[n] - places[k]) for k in split.known)
        args = (labels[n], stack.labels[n], stack.areas, stack.names[n], float(near), counted)
        scores.append(score_areas(*args))
    return scores


def measure(
    stack: Stack, split: Split, neighbors: Neighbors, network: AreaNetwork | None = None
) -> dict[str, dict[str, Any]]:
    """Summaries of all rows by name; those of a network are left out without one.

    Differences ("more_dice") of a copy are from the plain copy of the nearest section; of a network
    with a prior from the same network without; of wrong priors likewise.
    """
    scored = partial(score_tested, stack, split)
    nearest = {n: neighbors.nearest(n, split.known, both=False) for n in split.tested}
    both = {n: neighbors.nearest(n, split.known) for n in split.tested}
    away = {n: [_away(n, split.known)] for n in split.tested}
    copy = scored({n: stack.labels[found[0]] for n, found in nearest.items()})
    rows = {
        NEAREST: summary(copy),
        f"registered {NEAREST}": summary(scored(_carried(neighbors, nearest)), copy),
        "registered copies of both sides": summary(scored(_carried(neighbors, both)), copy),
        f"registered {NEAREST}, {GIVEN}": summary(scored(_copied_within(neighbors, nearest)), copy),
        f"copy of the one {AWAY} away": summary(
            scored({n: stack.labels[found[0]] for n, found in away.items()}), copy
        ),
        f"registered copy of the one {AWAY} away": summary(scored(_carried(neighbors, away)), copy),
    }
    if network is None:
        return rows
    priors = {
        "network, prior of both sides": both,
        "network, prior of the nearest": nearest,
        f"network, prior of the one {AWAY} away": away,
    }
    alone = scored({n: network.predict(stack.images[n]).argmax(-1) for n in split.tested})
    rows["network without prior"] = summary(alone, copy)
    for name, sources in priors.items():
        expected = {n: neighbors.expected(n, found) for n, found in sources.items()}
        seen = {n: network.predict(stack.images[n], prior) for n, prior in expected.items()}
        rows[name] = summary(scored({n: s.argmax(-1) for n, s in seen.items()}), alone)
        joined = {n: combined(expected[n], s, 0.5) for n, s in seen.items()}
        both_found = scored({n: shares.argmax(-1) for n, shares in joined.items()})
        rows[name.replace("network", "network and copy")] = summary(both_found, alone)
        if sources is nearest:
            given = {n: _within(shares, stack.labels[n]) for n, shares in joined.items()}
            rows[f"network and copy, prior of the nearest, {GIVEN}"] = summary(scored(given), alone)
    for name, wrong in _wrong_priors(split, neighbors).items():
        seen = {n: network.predict(stack.images[n], prior) for n, prior in wrong.items()}
        labels = {n: s.argmax(-1) for n, s in seen.items()}
        followed = [
            _followed(labels[n], stack.labels[n], wrong[n].argmax(-1)) for n in split.tested
        ]
        rows[name] = summary(scored(labels), alone) | {
            "right_where_wrong": float(np.mean([right for right, _ in followed])),
            "followed_where_wrong": float(np.mean([follows for _, follows in followed])),
        }
    return rows


def _carried(neighbors: Neighbors, sources: dict[int, Sequence[int]]) -> dict[int, np.ndarray]:
    return {n: neighbors.expected(n, found).argmax(-1) for n, found in sources.items()}


def _copied_within(
    neighbors: Neighbors, sources: dict[int, Sequence[int]]
) -> dict[int, np.ndarray]:
    """Carried labels where the cortex is known."""
    found = {}
    for n, known in sources.items():
        shares = neighbors.expected(n, known)
        # Where nothing of the cortex was carried to, what lies near counts.
        near = combined(shares, np.ones_like(shares), 0.0)
        found[n] = _within(near, neighbors.stack.labels[n])
    return found


def _within(shares: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The likeliest area of each pixel of the drawn cortex, and none elsewhere."""
    return np.where(drawn > 0, shares[..., 1:].argmax(-1) + 1, 0)


def _away(number: int, known: Sequence[int]) -> int:
    """The annotated section that is nearest to `AWAY` sections away, the earlier of two."""
    return min(known, key=lambda k: (abs(abs(k - number) - AWAY), k))


def _wrong_priors(split: Split, neighbors: Neighbors) -> dict[str, dict[int, np.ndarray]]:
    rng = np.random.default_rng(_SEED)
    far, named = {}, {}
    for n in split.tested:
        others = [k for k in split.known if abs(k - n) >= FAR]
        if others:
            far[n] = neighbors.expected(n, [int(rng.choice(others))])
        named[n] = renamed(neighbors.expected(n, neighbors.nearest(n, split.known)), rng)
    wrong = {"network, wrong prior: areas renamed": named}
    if len(far) == len(split.tested):  # else a stack too short for such priors
        wrong = {f"network, wrong prior: {FAR} or more away": far, **wrong}
    return wrong


def _followed(found: np.ndarray, drawn: np.ndarray, prior: np.ndarray) -> tuple[float, float]:
    """Of the cortex where the prior expects another area: share that is right, and share that is
    as the prior has it."""
    wrong = (drawn > 0) & (prior > 0) & (prior != drawn)
    if not wrong.any():
        return float("nan"), float("nan")
    return float((found == drawn)[wrong].mean()), float((found == prior)[wrong].mean())
