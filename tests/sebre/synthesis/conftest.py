import numpy as np
import pytest

from sebre.synthesis.classes import plain_table
from sebre.synthesis.labeled_volume import Volume, make_volume


def phantom(name: str = "phantom", source: str = "phantoms", with_image: bool = True) -> Volume:
    """An ellipsoid in nine blocks from front to back, and a core of no class."""
    a, d, m = np.meshgrid(*(np.linspace(-1, 1, n) for n in (45, 30, 36)), indexing="ij")
    inside = a**2 + d**2 + m**2 < 1
    labels = np.where(inside, np.clip(((a + 1) * 4.5).astype(int), 0, 8) + 1, 0)
    labels[a**2 + d**2 + m**2 < 0.05] = 10
    images = (1000.0 * inside * (2 + d),) if with_image else ()
    table = plain_table([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255])
    return make_volume(name, source, labels, table, images, 0.25)


@pytest.fixture(scope="session")
def volume() -> Volume:
    return phantom()


@pytest.fixture(scope="session")
def volumes(volume: Volume) -> list[Volume]:
    return [volume, phantom("bare", "others", with_image=False)]
