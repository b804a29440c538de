"""A small stack of made-up sections: a quarter of a ring of cortex with three areas."""

import numpy as np
import pytest

from sebre.areas.alignment import Alignment
from sebre.areas.atlas_prior import Neighbors
from sebre.areas.stacks import Stack

COUNT, SHAPE, PIXEL_UM = 7, (96, 80), 50.0
AREAS = ("A", "B", "C")


def made_up(count: int = COUNT, seed: int = 0) -> Stack:
    """Borders of areas move by 3 degrees from section to section; areas differ in gray."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(SHAPE)
    away = np.hypot(rows - 88, columns)
    angle = np.degrees(np.arctan2(88 - rows, columns + 1e-6))
    ring = (away >= 48) & (away < 72) & (rows < 88)
    labels = np.zeros((count, *SHAPE), np.uint8)
    images = np.zeros_like(labels)
    for n in range(count):
        borders = (25 + 3 * n, 55 + 3 * n)
        labels[n] = np.where(ring, 1 + np.digitize(angle, borders), 0)
        gray = np.array([40, 90, 140, 190])[labels[n]] * (away < 72)
        images[n] = np.clip(gray + rng.normal(0, 8, SHAPE) * (away < 72), 0, 255)
    layers = np.where(ring, 1 + (away >= 60), 0).astype(np.uint8)
    return Stack(
        tuple(str(60 + n) for n in range(count)),
        images,
        6.0 + 0.1 * np.arange(count),
        PIXEL_UM,
        labels,
        AREAS,
        np.repeat(layers[None], count, axis=0),
    )


@pytest.fixture(scope="session")
def stack() -> Stack:
    return made_up()


@pytest.fixture(scope="session")
def neighbors(stack) -> Neighbors:
    """Sections stay as they lie."""
    return Neighbors(stack, Alignment(stack.images, method="none"))
