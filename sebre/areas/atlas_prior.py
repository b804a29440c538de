"""The weak atlas prior: which areas annotated neighbors let expect on a section.

Labels of annotated sections are carried to the section by registration with its neighbors, one
after the other, averaged by nearness and blurred. In training a prior is often taken from further
away, left out, or wrong, so that a network learns to look at the section first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sebre.areas.alignment import Alignment, carry_labels, chained
from sebre.areas.stacks import Stack

BLUR_UM = 100.0
WAYS = ("chain", "direct")


class Neighbors:
    """Labels of a stack carried from section to section.

    Args:
        stack: with labels.
        alignment: of its sections.
        way: "chain" goes from neighbor to neighbor, "direct" registers the two sections.
    """

    def __init__(self, stack: Stack, alignment: Alignment, way: str = "chain"):
        self.stack, self.alignment, self.way = stack, alignment, way
        self.classes = len(stack.areas) + 1
        self._points: dict[tuple[int, int], np.ndarray] = {}

    def points(self, source: int, target: int) -> np.ndarray:
        """Where each pixel of the target section lies on the source, float32 [y, x, 2]."""
        pair = (source, target)
        if pair not in self._points:
            if abs(source - target) <= 1 or self.way == "direct":
                found = self.alignment.points(source, target)
            else:
                toward = target + (1 if source > target else -1)
                found = chained([self.alignment.points(toward, target), self.points(source, toward)])
            self._points[pair] = found.astype(np.float32)
        return self._points[pair]

    def carried(self, source: int, target: int) -> np.ndarray:
        """Labels uint8 [y, x] of one section on another."""
        return carry_labels(self.stack.labels[source], self.points(source, target))

    def nearest(self, target: int, known: Sequence[int], both: bool = True) -> list[int]:
        """The annotated sections next to one: the nearest on either side, or of all."""
        z = self.stack.z_mm
        others = [n for n in known if n != target]
        sides = [
            min(side, key=lambda n: abs(z[n] - z[target]))
            for side in ([n for n in others if n < target], [n for n in others if n > target])
            if side
        ]
        return sides if both else sides and [min(sides, key=lambda n: abs(z[n] - z[target]))]

    def expected(self, target: int, sources: Sequence[int]) -> np.ndarray:
        """Share of each class that sources expect, by nearness, float32 [y, x, classes]."""
        z = self.stack.z_mm
        weights = np.array([1 / max(abs(z[n] - z[target]), 1e-3) for n in sources])
        shares = np.zeros((*self.stack.images.shape[1:], self.classes), np.float32)
        for source, weight in zip(sources, weights / weights.sum(), strict=True):
            shares += weight * one_hot(self.carried(source, target), self.classes)
        return shares

    def blended(self, target: int, sources: Sequence[int]) -> np.ndarray:
        """Labels uint8 [y, x] between sources: the class whose border is furthest outside.

        Signed distances to the border of each class are averaged by nearness: shapes pass into
        each other. One source gives its own labels.
        """
        if len(sources) == 1:
            return self.carried(sources[0], target)
        z = self.stack.z_mm
        weights = np.array([1 / max(abs(z[n] - z[target]), 1e-3) for n in sources])
        total = sum(
            weight * signed_distances(self.carried(source, target), self.classes)
            for source, weight in zip(sources, weights / weights.sum(), strict=True)
        )
        return total.argmax(-1).astype(np.uint8)


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """float32 [y, x, classes] of labels [y, x]."""
    return (labels[..., None] == np.arange(classes)).astype(np.float32)


def signed_distances(labels: np.ndarray, classes: int, most: float = 40.0) -> np.ndarray:
    """Distance in pixels to the border of each class, positive inside, float32 [y, x, classes].

    A class that is not there is `most` away everywhere; distances end there.
    """
    found = np.full((*labels.shape, classes), -most, np.float32)
    for number in np.unique(labels):
        mask = (labels == number).astype(np.uint8)
        inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
        outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
        found[..., number] = np.clip(inside - outside, -most, most)
    return found


def blurred(shares: np.ndarray, sigma_px: float) -> np.ndarray:
    """Shares float32 [y, x, classes] blurred by a Gaussian; they still sum to 1."""
    if sigma_px <= 0:
        return shares
    return np.dstack([cv2.GaussianBlur(shares[..., n], (0, 0), sigma_px) for n in range(shares.shape[-1])])


@dataclass(frozen=True)
class PriorDraw:
    """How priors of a training are drawn.

    Attributes:
        absent: share of the samples without a prior.
        wrong: share with a wrong one.
        furthest: sections away that a right one comes from, at most.
        wrong_from: sections away that a wrong one comes from, at least.
    """

    absent: float = 0.2
    wrong: float = 0.2
    furthest: int = 4
    wrong_from: int = 8

    def draw(
        self, target: int, known: Sequence[int], neighbors: Neighbors, rng: np.random.Generator
    ) -> np.ndarray | None:
        """A prior for an annotated section, as `Neighbors.expected` gives it, or None.

        A wrong one is that of a section far away, laid on this one, or has its areas renamed.
        """
        others = [n for n in known if n != target]
        kind = rng.random()
        if kind < self.absent or not others:
            return None
        far = [n for n in others if abs(n - target) >= self.wrong_from]
        near = [n for n in others if abs(n - target) <= self.furthest]
        if kind < self.absent + self.wrong:
            if far and rng.random() < 0.5:
                return neighbors.expected(target, [int(rng.choice(far))])
            shares = neighbors.expected(target, [int(rng.choice(near or others))])
            return renamed(shares, rng)
        if not near:
            near = [min(others, key=lambda n: abs(n - target))]
        if rng.random() < 0.5:
            return neighbors.expected(target, [int(rng.choice(near))])
        return neighbors.expected(target, neighbors.nearest(target, near))


def renamed(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A prior whose areas are named by others; the background stays."""
    return shares[..., [0, *(1 + rng.permutation(shares.shape[-1] - 1))]]
