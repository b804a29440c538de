"""Small volumes of made-up neurites: cells around random points, with dark borders."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from sebre.neurites.affinity_graph import NEAREST, affinities_of, eroded
from sebre.neurites.volume_files import EmVolume


def made_up(shape, bodies=14, seed=0, voxel_nm=(10.0, 10.0, 10.0)) -> EmVolume:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (bodies, 3)) * shape
    places = np.stack(np.indices(shape), axis=-1).reshape(-1, 3)
    labels = cKDTree(points).query(places)[1].reshape(shape).astype(np.uint16) + 1
    gray = np.where(eroded(labels) > 0, 170.0, 70.0) + rng.normal(0, 8, shape)
    raw = np.clip(gaussian_filter(gray, 0.5), 0, 255).astype(np.uint8)
    return EmVolume("made_up.npz", raw, voxel_nm, labels)


@pytest.fixture(scope="session")
def volume() -> EmVolume:
    return made_up((40, 44, 52))


@pytest.fixture(scope="session")
def sure(volume) -> np.ndarray:
    """Affinities uint8 [3, z, y, x] of the volume, far from right, but never at a border."""
    true = affinities_of(volume.labels, NEAREST, erode=True)
    rng = np.random.default_rng(1)
    high = rng.uniform(0.93, 1.0, true.shape)
    low = rng.uniform(0.0, 0.3, true.shape)
    return np.where(true == 1, 255 * high, np.where(true == 0, 255 * low, 0)).astype(np.uint8)
