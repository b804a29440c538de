"""What the network of areas sees of a section: detail, context and prior of one square."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sebre.areas.atlas_prior import BLUR_UM, Neighbors, PriorDraw, blurred
from sebre.areas.stacks import Stack

OUTPUT_STEP = 2  # pixels of the section to one of the output
CONTEXT_STEP = 4  # and to one of context and prior
_TISSUE = 9  # gray value above which there is tissue
_LEAST_SD = 4.0


@dataclass(frozen=True)
class Augmentation:
    """How squares are moved and changed in training.

    Attributes:
        degrees, scale: of rotation and size, at most.
        elastic_um: deviation of elastic shifts.
        prior_um: deviation of the shift of the prior against the section.
        gain: of the gray values, at most.
    """

    degrees: float = 8.0
    scale: float = 0.1
    elastic_um: float = 60.0
    prior_um: float = 40.0
    gain: float = 0.2


@dataclass(frozen=True)
class Square:
    """Where a square lies: points in pixels of the section, float32 [n, n, 2], row and column."""

    detail: np.ndarray
    context: np.ndarray
    output: np.ndarray


def standardized(image: np.ndarray) -> np.ndarray:
    """Gray values uint8 [y, x] less their mean over tissue, by their deviation; float32."""
    tissue = image[image > _TISSUE]
    if tissue.size == 0:
        return np.zeros(image.shape, np.float32)
    mean, sd = float(tissue.mean()), max(float(tissue.std()), _LEAST_SD)
    return np.clip((image.astype(np.float32) - mean) / sd, -4, 6)


def coarse(values: np.ndarray) -> np.ndarray:
    """Values of a section [y, x] (or [y, x, n]) blurred for the resolution of the context."""
    return cv2.GaussianBlur(values, (0, 0), 0.5 * CONTEXT_STEP)


def square(
    center: Sequence[float],
    patch: int,
    augmentation: Augmentation | None = None,
    pixel_um: float = 1.0,
    rng: np.random.Generator | None = None,
) -> Square:
    """The points of a square around a center (row, column), moved if there is an augmentation."""
    turn, shifts = np.eye(2), np.zeros((patch, patch, 2), np.float32)
    if augmentation is not None:
        angle = np.deg2rad(rng.uniform(-augmentation.degrees, augmentation.degrees))
        size = 1 + rng.uniform(-augmentation.scale, augmentation.scale)
        turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        knots = rng.normal(0, augmentation.elastic_um / pixel_um, (7, 7, 2)).astype(np.float32)
        shifts = cv2.resize(knots, (patch, patch), interpolation=cv2.INTER_CUBIC)

    def points(count: int, step: int, moved: np.ndarray) -> np.ndarray:
        offsets = (np.arange(count) - (count - 1) / 2) * step
        grid = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), -1) @ turn.T
        return (grid + np.asarray(center) + moved).astype(np.float32)

    quarter = patch // 4
    inner = shifts[quarter : patch - quarter, quarter : patch - quarter]
    finer = cv2.resize(inner, (patch, patch))
    finest = cv2.resize(inner, (2 * patch, 2 * patch))
    return Square(
        points(2 * patch, 1, finest),
        points(patch, CONTEXT_STEP, shifts),
        points(patch, OUTPUT_STEP, finer),
    )


def looked_up(values: np.ndarray, points: np.ndarray, nearest: bool = False) -> np.ndarray:
    """Values [y, x] or [y, x, n] at points [h, w, 2]; beyond the border the nearest ones."""
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return cv2.remap(
        values, points[..., 1], points[..., 0], how, borderMode=cv2.BORDER_REPLICATE
    ).reshape(*points.shape[:2], *values.shape[2:])


def looked_up_many(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """As `looked_up` for any number of channels, float32 [y, x, n]: OpenCV takes four at once."""
    parts = [
        looked_up(np.ascontiguousarray(values[..., n : n + 4]), points)
        for n in range(0, values.shape[-1], 4)
    ]
    return np.concatenate([p.reshape(*p.shape[:2], -1) for p in parts], axis=-1)


class SampleMaker:
    """Draws squares of annotated sections, with labels and priors.

    Args:
        stack: with labels.
        known: numbers of the annotated sections, to learn from.
        neighbors: carry labels; None for a network without priors.
        patch: side of the output.
        draw: how priors are drawn.
        augmentation: of the squares.
    """

    def __init__(
        self,
        stack: Stack,
        known: Sequence[int],
        neighbors: Neighbors | None,
        patch: int,
        draw: PriorDraw,
        augmentation: Augmentation,
    ):
        self.stack, self.known, self.neighbors = stack, list(known), neighbors
        self.patch, self.draw, self.augmentation = patch, draw, augmentation
        self.classes = len(stack.areas) + 1
        self._gray = {n: standardized(stack.images[n]) for n in self.known}
        self._coarse = {n: coarse(gray) for n, gray in self._gray.items()}
        self._cortex = {n: np.argwhere(stack.labels[n] > 0) for n in self.known}

    def batches(self, count: int, seed: int, step: int = 0) -> Iterator[tuple[list, np.ndarray]]:
        """Inputs (detail, context, prior) and labels uint8 [B, patch, patch], without end."""
        while True:
            rng = np.random.default_rng([seed, step])
            samples = [self._sample(rng) for _ in range(count)]
            *inputs, labels = (np.stack(part) for part in zip(*samples, strict=True))
            yield inputs, labels
            step += 1

    def _sample(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        number = int(rng.choice(self.known))
        inside = self._cortex[number]
        if len(inside) and rng.random() < 0.85:
            center = inside[rng.integers(len(inside))]
        else:
            center = rng.uniform(0, 1, 2) * self.stack.images.shape[1:]
        pixel_um, moves = self.stack.pixel_um, self.augmentation
        where = square(center, self.patch, moves, pixel_um, rng)
        gain = 1 + rng.uniform(-moves.gain, moves.gain)
        shift = rng.uniform(-moves.gain, moves.gain)
        gray, around = (
            looked_up(values[number], points) * gain + shift
            for values, points in ((self._gray, where.detail), (self._coarse, where.context))
        )
        labels = looked_up(self.stack.labels[number], where.output, nearest=True)
        prior = np.zeros((self.patch, self.patch, self.classes), np.float32)
        shares = self.neighbors and self.draw.draw(number, self.known, self.neighbors, rng)
        if shares is not None:
            moved = where.context + rng.normal(0, moves.prior_um / pixel_um, 2).astype(np.float32)
            weak = looked_up_many(shares, moved)
            sigma = BLUR_UM * rng.uniform(0.7, 1.5) / pixel_um / CONTEXT_STEP
            prior = blurred(weak, sigma)
        return gray[..., None], around[..., None], prior, labels
