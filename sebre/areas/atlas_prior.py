"""The weak atlas prior: which areas annotated neighbors let expect on a section.

Labels of annotated sections are carried to the section by registration with its neighbors, one
after the other, averaged by nearness and blurred. In training a prior is often taken from further
away, left out, or wrong, so that a network learns to look at the section first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import scipy.ndimage
import scipy.special

from sebre.areas.alignment import Alignment, carry_labels, carry_values, chained
from sebre.areas.stacks import Stack

BLUR_UM = 100.0
_BORDER_PX = 4.0  # width over which one area passes into the next


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
                found = chained(
                    [self.alignment.points(toward, target), self.points(source, toward)]
                )
            self._points[pair] = found.astype(np.float32)
        return self._points[pair]

    def carried(self, source: int, target: int) -> np.ndarray:
        """Labels uint8 [y, x] of one section on another."""
        return carry_labels(self.stack.labels[source], self.points(source, target))

    def own(self, number: int) -> np.ndarray:
        """The drawn labels of a section as shares, float32 [y, x, classes]."""
        return one_hot(self.stack.labels[number], self.classes)

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

    def shapes(self, target: int, sources: Sequence[int]) -> np.ndarray:
        """Share of each class by shapes that pass into each other, float32 [y, x, classes].

        Where cortex is, the mean of the sources says, by nearness. Which area it is, signed
        distances say: to the borders between areas, which are drawn on through what is no cortex,
        so that the edge of the cortex does not count.
        """
        z = self.stack.z_mm
        weights = np.array([1 / max(abs(z[n] - z[target]), 1e-3) for n in sources])
        cortex = np.zeros(self.stack.images.shape[1:], np.float32)
        depth = np.zeros((*cortex.shape, self.classes), np.float32)
        for source, weight in zip(sources, weights / weights.sum(), strict=True):
            labels = self.carried(source, target)
            cortex += weight * (labels > 0)
            depth += weight * signed_distances(drawn_on(labels), self.classes)
        depth[..., 0] = -np.inf
        areas = scipy.special.softmax(depth / _BORDER_PX, axis=-1)
        cortex = cv2.GaussianBlur(cortex, (0, 0), 1.0)[..., None]
        areas *= cortex
        areas[..., :1] = 1 - cortex
        return areas


def carry_shares(shares: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Shares [y, x, classes] at points [h, w, 2] (row, column), linear."""
    return np.dstack([carry_values(part, points) for part in np.moveaxis(shares, -1, 0)])


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """float32 [y, x, classes] of labels [y, x]."""
    return (labels[..., None] == np.arange(classes)).astype(np.float32)


def drawn_on(labels: np.ndarray) -> np.ndarray:
    """Labels [y, x] with the nearest label where there is 0; without any, as they are."""
    if not labels.any():
        return labels
    nearest = scipy.ndimage.distance_transform_edt(
        labels == 0, return_distances=False, return_indices=True
    )
    return labels[tuple(nearest)]


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
    parts = np.moveaxis(shares, -1, 0)  # OpenCV takes few channels at once
    return np.dstack([cv2.GaussianBlur(part, (0, 0), sigma_px) for part in parts])


@dataclass(frozen=True)
class PriorDraw:
    """How priors of a training are drawn.

    Attributes:
        absent: share of the samples without a prior.
        wrong: share with a wrong one.
        own: share of the section's own labels, which only the shift and blur of samples make
            weak: where annotated sections are too far apart to teach how good a prior is.
        furthest: sections away that a right one comes from, at most.
        wrong_from: sections away that a wrong one comes from, at least.
    """

    absent: float = 0.2
    wrong: float = 0.2
    own: float = 0.0
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
        if kind < self.absent or not (others or self.own):
            return None
        if kind > 1 - self.own or not others:
            return neighbors.own(target)
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
