"""LDDMM: its gradient is that of its energy, and its flows can be undone."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage

from sebre.registration.lddmm import SETTINGS, _Level, _volume_change, lddmm_points

SIDE = 64


def blobs(seed: int = 0) -> np.ndarray:
    """A smooth picture on a dark ground, float32 [SIDE, SIDE], 0 to 1."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((SIDE, SIDE)) - SIDE / 2 + 0.5
    picture = scipy.ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 4)
    picture = (picture - picture.min()) / np.ptp(picture)
    disk = scipy.ndimage.gaussian_filter((np.hypot(rows, columns) < 22).astype(float), 3)
    return (picture * disk).astype(np.float32)


def bent(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture bent smoothly by up to 3 px, and where each pixel of it comes from."""
    rows, columns = np.indices(picture.shape, np.float32)
    points = np.stack([rows + 3 * np.sin(columns / 12), columns + 3 * np.cos(rows / 14)], axis=-1)
    carried = scipy.ndimage.map_coordinates(picture, np.moveaxis(points, -1, 0), order=1)
    return carried.astype(np.float32), points


def looked_up(level: _Level, values: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """What `_Level._at` gives, but not only to a 32nd of a pixel."""
    there = np.moveaxis(level.grid + shift / level.factor, -1, 0)
    planes = np.atleast_3d(values)
    found = [
        scipy.ndimage.map_coordinates(planes[..., k], there, order=1, mode="nearest")
        for k in range(planes.shape[-1])
    ]
    return np.stack(found, axis=-1).reshape(values.shape)


@pytest.mark.parametrize("start", [0, 1])
def test_the_gradient_is_that_of_the_energy(start, monkeypatch):
    monkeypatch.setattr(_Level, "_at", looked_up)
    level = _Level(blobs(), bent(blobs())[0], 1, {**SETTINGS, "smooth_px": 6.0})
    rng = np.random.default_rng(5)

    def smooth(noise):
        waves = scipy.fft.rfft2(noise, axes=(1, 2)) * level.kernel
        found = scipy.fft.irfft2(waves, level.shape, axes=(1, 2))
        return (found / np.abs(found).max()).astype(np.float32), np.abs(found).max()

    velocity = start * smooth(rng.normal(size=(level.moments, SIDE, SIDE, 2)))[0]
    noise = rng.normal(size=velocity.shape)
    along, size = smooth(noise)
    ends = [level._energy(velocity + step * along) for step in (0.05, -0.05)]
    # The product in the norm of velocities; `along` is the kernel on `noise` / `size`.
    wanted = (level._gradient(velocity) * noise / size).sum() / level.moments
    assert (ends[0] - ends[1]) / 0.1 == pytest.approx(wanted, rel=0.1)


def test_a_picture_stays_where_it_fits():
    found = lddmm_points(blobs(), blobs())
    assert found.shape == (SIDE, SIDE, 2) and found.dtype == np.float32
    np.testing.assert_array_equal(found, np.moveaxis(np.indices((SIDE, SIDE)), 0, -1))


def test_a_bent_picture_is_found_by_a_flow_that_folds_nowhere():
    picture = blobs()
    fixed, points = bent(picture)
    found = lddmm_points(picture, fixed)
    before = np.moveaxis(np.indices(fixed.shape), 0, -1)
    shown = fixed > 0.1
    errors = [np.linalg.norm(at - points, axis=-1)[shown].mean() for at in (before, found)]
    assert errors[0] > 2 and errors[1] < 0.6
    assert _volume_change(found - before, 1).min() > 0.2


def test_flows_to_both_ends_undo_each_other():
    level = _Level(blobs(), blobs(1), 2, SETTINGS)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(level.moments, *level.shape, 2))
    waves = scipy.fft.rfft2(noise, axes=(1, 2)) * level.kernel
    velocity = scipy.fft.irfft2(waves, level.shape, axes=(1, 2)).astype(np.float32)
    velocity *= 8 / np.abs(velocity).max()
    back, on = level.shifts_back(velocity)[-1], level._shifts_on(velocity)[0]
    around = level._at(back, on) + on
    middle = slice(6, -6)
    assert np.abs(on[middle, middle]).max() > 1
    assert np.abs(around[middle, middle]).max() < 0.35
