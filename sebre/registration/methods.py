"""elastix and dipy: the only place that knows them. Both are loaded when first used.

LDDMM (`sebre.registration.lddmm`) starts from dipy's affine transform.
"""

import contextlib
import importlib
import importlib.metadata
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import scipy.ndimage

from mrcnn.errors import MissingPackageError, UserError
from sebre.registration import lddmm

_COMMON = {
    "FixedInternalImagePixelType": "float",
    "MovingInternalImagePixelType": "float",
    "Registration": "MultiResolutionRegistration",
    "FixedImagePyramid": "FixedSmoothingImagePyramid",
    "MovingImagePyramid": "MovingSmoothingImagePyramid",
    "Interpolator": "LinearInterpolator",
    "ResampleInterpolator": "FinalBSplineInterpolator",
    "Resampler": "DefaultResampler",
    "HowToCombineTransforms": "Compose",
    "Metric": "AdvancedMattesMutualInformation",
    "NumberOfHistogramBins": "32",
    "Optimizer": "AdaptiveStochasticGradientDescent",
    "ImageSampler": "RandomCoordinate",
    "NewSamplesEveryIteration": "true",
    "NumberOfSpatialSamples": "2048",
    "NumberOfResolutions": "4",
    "WriteResultImage": "false",
}
AFFINE = {
    **_COMMON,
    "Transform": "AffineTransform",
    "AutomaticScalesEstimation": "true",
    "AutomaticTransformInitialization": "true",
    "AutomaticTransformInitializationMethod": "CenterOfGravity",
    "MaximumNumberOfIterations": "500",
}
B_SPLINE = {
    **_COMMON,
    "Transform": "RecursiveBSplineTransform",
    "FinalGridSpacingInPhysicalUnits": "16",
    "MaximumNumberOfIterations": "500",
}
_BINS = 32
_MUTUAL_INFORMATION = f"mutual information, {_BINS} bins, all pixels"
SYN = {
    # Gradient descent finds the nearest optimum only, and sections may be turned.
    "start": {
        "rule": "centers of mass; of these turns, in degrees, the one whose fit has the most "
        "mutual information",
        "turns": [-30, -20, -10, 0, 10, 20, 30],
        "transforms": ["rigid"],
        "metric": _MUTUAL_INFORMATION,
        "level_iters": [100],
        "sigmas": [3.0],
        "factors": [4],
    },
    "affine": {
        "transforms": ["translation", "rigid", "affine"],
        "metric": _MUTUAL_INFORMATION,
        "level_iters": [1000, 200, 100],
        "sigmas": [3.0, 1.0, 0.0],
        "factors": [4, 2, 1],
    },
    "syn": {"metric": "cross-correlation", "sigma_diff": 2.0, "radius": 4},
    "syn_iterations": {"level_iters": [100, 100, 25], "inv_iter": 20},
}
_PIXELS = np.eye(3)  # pixels are dipy's unit of length
_GRIDS = {"static_grid2world": _PIXELS, "moving_grid2world": _PIXELS}


class RegistrationError(UserError):
    """A method found no transform between two sections."""


@dataclass(frozen=True)
class Method:
    """A method that is loaded and set, its parameters (for the record) and the threads that it
    uses.

    `points` takes the pictures of the moving and the fixed section, float32 [h, w] and [H, W], to
    the points of `Transform`, [H, W, 2]; it raises RegistrationError where it finds none.
    """

    points: Callable[[np.ndarray, np.ndarray], np.ndarray]
    parameters: Mapping[str, Any]
    threads: int


def elastix(seed: int, threads: int) -> Method:
    """elastix: affine, then B-spline."""
    with _quiet():
        itk = _module("itk", "itk-elastix")
        # Its parts are loaded at their first use, which takes seconds.
        for name in ("elastix_registration_method", "transformix_deformation_field"):
            getattr(itk, name)
        itk.ParameterObject.New()
        itk.image_view_from_array(np.zeros((2, 2), np.float32))

    def points(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        with _quiet():
            wanted = itk.ParameterObject.New()
            for stage in (AFFINE, B_SPLINE):
                values = {key: [value] for key, value in stage.items()}
                wanted.AddParameterMap({**values, "RandomSeed": [str(seed)]})
            images = [itk.image_view_from_array(picture) for picture in (fixed, moving)]
            try:
                _, found = itk.elastix_registration_method(
                    *images,
                    parameter_object=wanted,
                    number_of_threads=threads,
                    log_to_console=False,
                )
                # It writes a copy of the field, into the working directory if not elsewhere.
                with tempfile.TemporaryDirectory() as folder:
                    field = itk.transformix_deformation_field(
                        images[1], found, output_directory=folder
                    )
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[-1]
                raise RegistrationError(f"elastix found no transform ({reason}).") from error
            # Columns come first in ITK.
            shifts = np.asarray(field)[..., ::-1]
        return np.moveaxis(np.indices(fixed.shape), 0, -1) + shifts

    parameters = {**_versions("itk-elastix"), "affine": AFFINE, "b_spline": B_SPLINE}
    return Method(points, parameters, threads)


def dipy_syn(seed: int, threads: int) -> Method:
    """dipy: affine by mutual information, from several turns, then SyN by cross-correlation.

    Neither number matters: no pixels are drawn, and dipy computes in one thread.
    """
    del seed, threads
    fitted = _affine_of_dipy()
    warp, metrics = (_module(f"dipy.align.{name}", "dipy") for name in ("imwarp", "metrics"))

    def points(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        static, moving = fixed.astype(np.float64), moving.astype(np.float64)
        with _quiet():
            matrix = fitted(static, moving)
            syn = SYN["syn"]
            bend = warp.SymmetricDiffeomorphicRegistration(
                metrics.CCMetric(2, sigma_diff=syn["sigma_diff"], radius=syn["radius"]),
                **SYN["syn_iterations"],
            )
            bend.verbosity = 0
            found = bend.optimize(static, moving, prealign=matrix, **_GRIDS)
            pixels = np.moveaxis(np.indices(fixed.shape), 0, -1).reshape(-1, 2)
            there = found.transform_points(
                pixels.astype(np.float64), coord2world=_PIXELS, world2coord=_PIXELS
            )
        return np.asarray(there).reshape(*fixed.shape, 2)

    return Method(points, {**_versions("dipy"), **SYN}, 1)


def affine_lddmm(seed: int, threads: int) -> Method:
    """Affine by dipy, as of `dipy_syn`, then LDDMM. Neither number matters, as there."""
    del seed, threads
    fitted = _affine_of_dipy()

    def points(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        with _quiet():
            matrix = fitted(fixed.astype(np.float64), moving.astype(np.float64))
        placed = scipy.ndimage.affine_transform(
            moving, matrix[:2, :2], matrix[:2, 2], fixed.shape, order=1
        )
        return lddmm.lddmm_points(placed, fixed) @ matrix[:2, :2].T + matrix[:2, 2]

    chosen = {key: SYN[key] for key in ("start", "affine")}
    return Method(points, {**_versions("dipy"), **chosen, "lddmm": dict(lddmm.SETTINGS)}, 1)


def _affine_of_dipy() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """What gives the matrix of a fixed and a moving section; see `_affine`."""
    affine, transforms = (
        _module(f"dipy.align.{name}", "dipy") for name in ("imaffine", "transforms")
    )

    def fitted(static: np.ndarray, moving: np.ndarray) -> np.ndarray:
        try:
            return _affine(affine, transforms, static, moving)
        except (affine.AffineInversionError, affine.AffineInvalidValuesError) as error:
            raise RegistrationError(f"dipy found no affine transform ({error}).") from error

    return fitted


def _affine(
    affine: ModuleType, transforms: ModuleType, static: np.ndarray, moving: np.ndarray
) -> np.ndarray:
    """Matrix [3, 3] from a fixed to a moving section: row, column, 1."""

    def fitted(settings: Mapping[str, Any], matrix: np.ndarray) -> tuple[float, np.ndarray]:
        search = affine.AffineRegistration(
            metric=affine.MutualInformationMetric(nbins=_BINS, sampling_proportion=None),
            **{key: settings[key] for key in ("level_iters", "sigmas", "factors")},
            verbosity=0,
        )
        for name in settings["transforms"]:
            kind = getattr(transforms, f"{name.title()}Transform2D")()
            found, _, distance = search.optimize(
                static, moving, kind, None, starting_affine=matrix, ret_metric=True, **_GRIDS
            )
            matrix = found.affine
        return distance, matrix

    here, there = (np.array(scipy.ndimage.center_of_mass(p)) for p in (static, moving))
    starts = []
    for turn in np.deg2rad(SYN["start"]["turns"]):
        start = np.eye(3)
        start[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        start[:2, 2] = there - start[:2, :2] @ here
        starts.append(fitted(SYN["start"], start))
    # The distance is the negative mutual information.
    _, nearest = min(starts, key=lambda start: start[0])
    return fitted(SYN["affine"], nearest)[1]


def _module(name: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"Registration with {package} needs the package {package} ({error}). Install it: "
            'pip install "sebre[registration]"'
        ) from error


def _versions(package: str) -> dict[str, str]:
    return {"package": f"{package} {importlib.metadata.version(package)}"}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings of the two packages to themselves.

    ITK's wrappers warn while they are loaded; where that is an error the interpreter crashes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
