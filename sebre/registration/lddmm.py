"""LDDMM: large deformation diffeomorphic metric mapping of one picture onto another.

Source: Beg, Miller, Trouve and Younes, "Computing large deformation metric mappings via geodesic
flows of diffeomorphisms", International Journal of Computer Vision 61, 2005. A velocity for each
moment between 0 and 1 carries the moving picture; gradient descent makes it smooth, in the norm of
`(gamma - alpha * Laplacian)`, and the carried picture like the fixed one. ndreg, the paper's second
method, is an implementation for volumes that can no longer be installed; of the living ones (FSHS
and metamorphosis in torch) none is of pictures on NumPy alone, so it is written anew here.

What differs from ndreg: gray values are matched by histogram and compared by their squares (ndreg
can do either that or mutual information), pictures have two axes, and the settings are ours,
chosen on training sections (docs/experiments.md).
"""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import scipy.fft
from skimage.exposure import match_histograms

SETTINGS: Mapping[str, Any] = {
    "moments": 6,
    "smooth_px": 8.0,  # sqrt(alpha / gamma)
    "sigma": 0.2,  # of the gray values, 0 to 1: lower is a closer fit and a rougher flow
    "factors": [4, 2, 1],
    "iterations": [100, 60, 30],
    "margin": 0.125,  # of the longer side, around both: velocities repeat at the borders
    "least_gain": 1e-4,  # of the energy, below which a level ends
}
_FIRST_STEP = 0.5  # pixels of a level that the first update moves at most
_MORE, _LESS = 1.2, 0.5  # factors on the step behind an update that helped, and one that did not
_SMALLEST = 1e-3  # of the first step


def lddmm_points(
    moving: np.ndarray, fixed: np.ndarray, settings: Mapping[str, Any] = SETTINGS
) -> np.ndarray:
    """Where each pixel of the fixed picture lies on the moving one.

    Args:
        moving: float32 [H, W], 0 to 1, roughly in place already.
        fixed: the same shape.
        settings: as `SETTINGS`; lengths are in pixels of these pictures.

    Returns:
        float32 [H, W, 2], row and column.
    """
    margin = int(np.ceil(settings["margin"] * max(fixed.shape)))
    matched = match_histograms(moving, fixed).astype(np.float32)
    pair = [np.pad(p.astype(np.float32), margin, mode="edge") for p in (matched, fixed)]
    velocity = None
    for factor, iterations in zip(settings["factors"], settings["iterations"], strict=True):
        level = _Level(*pair, factor, settings)
        velocity = level.descend(level.resampled(velocity), iterations)
    inside = slice(margin, -margin or None)
    whole = _enlarged(level.shifts_back(velocity)[-1], pair[0].shape)[inside, inside]
    return np.moveaxis(np.indices(fixed.shape), 0, -1).astype(np.float32) + whole


class _Level:
    """The two pictures at a size. Lengths are in pixels of the whole pictures."""

    def __init__(
        self, moving: np.ndarray, fixed: np.ndarray, factor: int, settings: Mapping[str, Any]
    ):
        self.factor, self.moments = factor, settings["moments"]
        self.weight = 1 / settings["sigma"] ** 2
        self.least_gain = settings["least_gain"]
        size = tuple(max(8, round(side / factor)) for side in moving.shape[::-1])
        self.moving, self.fixed = (
            cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (moving, fixed)
        )
        self.shape = self.fixed.shape
        self.grid = np.moveaxis(np.indices(self.shape, np.float32), 0, -1)
        waves = [
            (2 - 2 * np.cos(2 * np.pi * frequencies)) / factor**2
            for frequencies in (scipy.fft.fftfreq(self.shape[0]), scipy.fft.rfftfreq(self.shape[1]))
        ]
        squares = settings["smooth_px"] ** 2 * (waves[0][:, None] + waves[1][None])
        kernel = 1 / (1 + squares) ** 2
        # Its peak is 1 in space, and a pixel counts by its area, at every size: so `sigma` means
        # the same.
        peak = scipy.fft.irfft2(kernel, self.shape)[0, 0]
        self.kernel = (kernel * (factor**2 / peak))[..., None]

    def resampled(self, velocity: np.ndarray | None) -> np.ndarray:
        """The velocity [moments, h, w, 2] of a coarser level at this one; at rest without."""
        if velocity is None:
            return np.zeros((self.moments, *self.shape, 2), np.float32)
        return np.stack([_enlarged(one, self.shape) for one in velocity])

    def descend(self, velocity: np.ndarray, iterations: int) -> np.ndarray:
        """The velocity behind gradient descent."""
        energy, gradient = self._energy(velocity), self._gradient(velocity)
        first = step = _FIRST_STEP * self.factor / max(float(np.abs(gradient).max()), 1e-12)
        for _ in range(iterations):
            tried = velocity - step * gradient
            found = self._energy(tried)
            if found >= energy:
                step *= _LESS
                if step < _SMALLEST * first:
                    break
                continue
            gain, velocity, energy = energy - found, tried, found
            if gain < self.least_gain * energy:
                break
            step, gradient = step * _MORE, self._gradient(velocity)
        return velocity

    def shifts_back(self, velocity: np.ndarray) -> list[np.ndarray]:
        """At each moment from 0 to 1: how far from a point what is there lay at 0 [h, w, 2]."""
        shifts = [np.zeros((*self.shape, 2), np.float32)]
        for one in velocity / self.moments:
            shifts.append(self._at(shifts[-1], -one) - one)
        return shifts

    def _shifts_on(self, velocity: np.ndarray) -> list[np.ndarray]:
        """At each moment from 0 to 1: how far from a point what is there lies at 1."""
        shifts = [np.zeros((*self.shape, 2), np.float32)]
        for one in velocity[::-1] / self.moments:
            shifts.append(self._at(shifts[-1], one) + one)
        return shifts[::-1]

    def _at(self, values: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Values [h, w] or [h, w, 2] at each pixel moved by a shift, to a 32nd of a pixel."""
        there = self.grid + shift / self.factor
        return cv2.remap(
            values,
            there[..., 1],
            there[..., 0],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def _energy(self, velocity: np.ndarray) -> float:
        waves = scipy.fft.rfft2(velocity, axes=(1, 2))
        # Columns but the first (and the last of an even number) stand for two.
        twice = np.full(self.kernel.shape[1], 2.0)
        twice[0] = 1
        if self.shape[1] % 2 == 0:
            twice[-1] = 1
        squares = np.abs(waves) ** 2 / self.kernel * twice[:, None]
        roughness = squares.sum() / np.prod(self.shape) / self.moments
        carried = self._at(self.moving, self.shifts_back(velocity)[-1])
        unlike = self.weight * float(((carried - self.fixed) ** 2).sum())
        return float(roughness + unlike) * self.factor**2

    def _gradient(self, velocity: np.ndarray) -> np.ndarray:
        """Of the energy, in the norm of velocities: Beg et al. 2005, theorem 2.1."""
        back, on = self.shifts_back(velocity), self._shifts_on(velocity)
        forces = np.empty_like(velocity)
        for moment in range(self.moments):
            carried = self._at(self.moving, back[moment])
            wanted = self._at(self.fixed, on[moment])
            slopes = np.stack(np.gradient(carried, self.factor), axis=-1)
            pull = _volume_change(on[moment], self.factor) * (carried - wanted)
            forces[moment] = pull[..., None] * slopes
        waves = scipy.fft.rfft2(forces, axes=(1, 2)) * self.kernel
        smooth = scipy.fft.irfft2(waves, self.shape, axes=(1, 2)).astype(np.float32)
        return 2 * velocity - 2 * self.weight * smooth


def _volume_change(shift: np.ndarray, spacing: float) -> np.ndarray:
    """Determinant of the derivative of pixels moved by a shift [h, w, 2]."""
    row = np.gradient(shift[..., 0], spacing)
    column = np.gradient(shift[..., 1], spacing)
    return (1 + row[0]) * (1 + column[1]) - row[1] * column[0]


def _enlarged(field: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(field, shape[::-1], interpolation=cv2.INTER_LINEAR)
