"""Atlas registration, the older way to label a section: paper, Fig. 8 and Supp. 7.

A labeled section, the atlas, is laid on an unlabeled one, and its labels are carried over.
Which section is the atlas, `sebre.registration.atlas_choice` chooses; `sebre.registration.scoring`
scores the result with the metrics of SeBRe.

Methods:
    none: the atlas is only stretched to the size of the section: what any registration must
        improve on.
    elastix: affine, then B-spline, by mutual information.
    dipy: affine by mutual information, from the best of several turns, then symmetric
        diffeomorphic (SyN) by local cross-correlation.
    lddmm: the same affine transform, then LDDMM, which is what ndreg does, the paper's second
        method. ndreg itself cannot be installed on today's Python; numbers are not those of it.

elastix and dipy, which finds the affine transform of both, are extra packages: `pip install
"sebre[registration]"`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mrcnn.errors import UserError
from sebre.data.rotation import border_median
from sebre.registration import methods as registration_methods
from sebre.registration.methods import RegistrationError

# Longest side, in px, at which sections are registered, smaller ones enlarged: parameters in
# pixels then mean the same for every data set.
WORKING_PX = 256

_METHODS: Mapping[str, Callable[[int, int], registration_methods.Method]] = {
    "elastix": registration_methods.elastix,
    "dipy": registration_methods.dipy_syn,
    "lddmm": registration_methods.affine_lddmm,
}
METHODS = ("none", *_METHODS)


@dataclass(frozen=True)
class Transform:
    """Where each pixel of the fixed section lies on the moving one, the atlas.

    Attributes:
        method: one of `METHODS`.
        points: float32 [H, W, 2], row and column in the moving section, at whole numbers in
            the middle of a pixel. H and W are those of the fixed section.
        moving_shape: (height, width) of the moving section.
        parameters: everything that was set, with the versions of the packages.
        seconds: processor seconds, of all threads, of the registration alone, without loading
            packages. Unlike wall time they hardly depend on what else the machine does.
        threads: that it was allowed to use.
    """

    method: str
    points: np.ndarray
    moving_shape: tuple[int, int]
    parameters: Mapping[str, Any]
    seconds: float
    threads: int

    def labels(self, label_map: np.ndarray) -> np.ndarray:
        """Carry labels [h, w] of the moving section over to the fixed one, [H, W] of the same
        dtype.

        Each pixel takes the nearest one, so that no new ids arise; 0 beyond the moving section.
        """
        label_map = np.asarray(label_map)
        if label_map.shape != self.moving_shape:
            raise UserError(
                f"The label map has the shape {label_map.shape}, the moving section that was "
                f"registered {self.moving_shape}; give labels drawn on that section."
            )
        nearest = np.rint(self.points).astype(np.int64)
        inside = ((nearest >= 0) & (nearest < self.moving_shape)).all(axis=-1)
        carried = np.zeros(inside.shape, label_map.dtype)
        carried[inside] = label_map[tuple(nearest[inside].T)]
        return carried


def settings(method: str, threads: int = 1) -> tuple[dict[str, Any], int]:
    """The parameters and the threads of one of `METHODS`, as its transforms have them."""
    run = _loaded(method, 0, threads)
    return (_parameters(run), run.threads) if run else ({}, 1)


def register(
    method: str, moving: np.ndarray, fixed: np.ndarray, seed: int = 0, threads: int = 1
) -> Transform:
    """Lay one section on another.

    Args:
        method: one of `METHODS`.
        moving: the atlas, uint8 [h, w] or [h, w, 3].
        fixed: the section that gets labels, uint8 [H, W] or [H, W, 3].
        seed: of the pixels that elastix draws; the other methods draw none. The same seed
            gives the same transform with one thread.
        threads: of elastix; dipy computes in one.

    Raises:
        RegistrationError: the method found no transform.
    """
    run = _loaded(method, seed, threads)
    grays = [gray(moving), gray(fixed)]
    shape = grays[1].shape
    if run is None:
        rows, columns = (
            (np.arange(size, dtype=np.float32) + 0.5) * other / size - 0.5
            for size, other in zip(shape, grays[0].shape, strict=True)
        )
        points = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
        return Transform(method, points, grays[0].shape, {}, 0.0, 1)
    for picture, what in zip(grays, ("moving", "fixed"), strict=True):
        if np.ptp(picture) == 0:
            raise RegistrationError(
                f"The {what} section has one gray value only; {method} needs more."
            )
    start = time.process_time()
    scale = WORKING_PX / max(shape)
    small = [resized(picture, scale) for picture in grays]
    points = _full_size(run.points(*small), [g.shape for g in grays], [s.shape for s in small])
    seconds = time.process_time() - start
    return Transform(method, points, grays[0].shape, _parameters(run), seconds, run.threads)


def gray(image: np.ndarray) -> np.ndarray:
    """A section, uint8 [H, W] or [H, W, 3], as float32 [H, W], 0 to 1, on a dark background.

    Pictures whose border is bright are inverted: centers of mass are then those of tissue.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise UserError(
            f"The section is {image.dtype} {image.shape}; registration wants uint8 [H, W] or "
            "[H, W, 3]."
        )
    if min(image.shape[:2]) < 2:
        raise UserError(f"The section has {image.shape[0]} x {image.shape[1]} px; too few.")
    picture = image if image.ndim == 2 else image.mean(axis=-1)
    picture = picture.astype(np.float32) / 255
    return 1 - picture if background(picture) > 0.5 else picture


def background(picture: np.ndarray) -> float:
    """Median along the border of a picture [H, W]."""
    return float(border_median(picture))


def resized(picture: np.ndarray, scale: float) -> np.ndarray:
    """A picture, float32 [H, W], with both sides `scale` times as long, at least 2 px."""
    size = [max(2, round(side * scale)) for side in picture.shape[::-1]]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(picture, size, interpolation=how)


def _loaded(method: str, seed: int, threads: int) -> registration_methods.Method | None:
    """A method, set; None for "none"."""
    if method not in METHODS:
        raise UserError(f"{method!r} is not a registration method; wanted {', '.join(METHODS)}.")
    if threads < 1 or seed < 0:
        raise UserError(
            f"threads is {threads} and seed {seed}; wanted at least 1 thread, and a seed from 0."
        )
    return None if method == "none" else _METHODS[method](seed, threads)


def _parameters(run: registration_methods.Method) -> dict[str, Any]:
    return {"working_px": WORKING_PX, **run.parameters}


def _full_size(points: np.ndarray, shapes: list, small: list) -> np.ndarray:
    """Points between two resized sections as points between the sections themselves.

    `points` is [h, w, 2] from the fixed to the moving one; `shapes` and `small` are of the moving
    and the fixed section, as they are and resized.
    """
    ratio = np.divide(shapes[0], small[0])
    points = ((points + 0.5) * ratio - 0.5).astype(np.float32)
    # Linear between the middles of the small pixels, and beyond the outermost ones as well:
    # cv2.resize would repeat their values there.
    rows, columns = (
        (np.arange(size) + 0.5) * few / size - 0.5
        for size, few in zip(shapes[1], small[1], strict=True)
    )
    return _extended(_extended(points, rows, 0), columns, 1).astype(np.float32)


def _extended(values: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Values along an axis at fractional indices, linear, also beyond the ends."""
    low = np.clip(np.floor(at).astype(int), 0, values.shape[axis] - 2)
    shape = [1] * values.ndim
    shape[axis] = len(at)
    share = (at - low).reshape(shape)
    return values.take(low, axis) * (1 - share) + values.take(low + 1, axis) * share
