"""elastix and dipy: the only place that knows them. Both are loaded when first used."""

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
SYN = {
    "affine": {
        "start": "centres of mass",
        "transforms": ["translation", "rigid", "affine"],
        "metric": "mutual information, 32 bins, all pixels",
        "level_iters": [1000, 200, 100],
        "sigmas": [3.0, 1.0, 0.0],
        "factors": [4, 2, 1],
    },
    "syn": {"metric": "cross-correlation", "sigma_diff": 2.0, "radius": 4},
    "syn_iterations": {"level_iters": [100, 100, 25], "inv_iter": 20},
}


class RegistrationError(ValueError):
    """A method found no transform between two sections."""


@dataclass(frozen=True)
class Method:
    """A method that is loaded and set.

    Attributes:
        points: from the pictures of the moving and the fixed section, float32 [h, w] and
            [H, W], to the points of `Transform`, [H, W, 2]. Raises RegistrationError where it
            finds none.
        parameters: for the record.
        threads: used.
    """

    points: Callable[[np.ndarray, np.ndarray], np.ndarray]
    parameters: Mapping[str, Any]
    threads: int


def elastix(seed: int, threads: int) -> Method:
    """elastix: affine, then B-spline.

    Raises:
        ModuleNotFoundError: itk-elastix is not installed.
    """
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
    """dipy: affine by mutual information, then SyN by cross-correlation.

    Neither number matters: no pixels are drawn, and dipy computes in one thread.

    Raises:
        ModuleNotFoundError: dipy is not installed.
    """
    del seed, threads
    affine, warp, metrics, transforms = (
        _module(f"dipy.align.{name}", "dipy")
        for name in ("imaffine", "imwarp", "metrics", "transforms")
    )

    def points(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        static, moving = fixed.astype(np.float64), moving.astype(np.float64)
        settings = SYN["affine"]
        grid = np.eye(3)  # pixels are the unit
        grids = {"static_grid2world": grid, "moving_grid2world": grid}
        with _quiet():
            try:
                matrix = affine.transform_centers_of_mass(static, grid, moving, grid).affine
                search = affine.AffineRegistration(
                    metric=affine.MutualInformationMetric(nbins=32, sampling_proportion=None),
                    **{key: settings[key] for key in ("level_iters", "sigmas", "factors")},
                    verbosity=0,
                )
                for name in settings["transforms"]:
                    kind = getattr(transforms, f"{name.title()}Transform2D")()
                    matrix = search.optimize(
                        static, moving, kind, None, starting_affine=matrix, **grids
                    ).affine
            except (affine.AffineInversionError, affine.AffineInvalidValuesError) as error:
                raise RegistrationError(f"dipy found no affine transform ({error}).") from error
            syn = SYN["syn"]
            bend = warp.SymmetricDiffeomorphicRegistration(
                metrics.CCMetric(2, sigma_diff=syn["sigma_diff"], radius=syn["radius"]),
                **SYN["syn_iterations"],
            )
            bend.verbosity = 0
            found = bend.optimize(static, moving, prealign=matrix, **grids)
            pixels = np.moveaxis(np.indices(fixed.shape), 0, -1).reshape(-1, 2)
            there = found.transform_points(
                pixels.astype(np.float64), coord2world=grid, world2coord=grid
            )
        return np.asarray(there).reshape(*fixed.shape, 2)

    return Method(points, {**_versions("dipy"), **SYN}, 1)


def _module(name: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Registration with {package} needs the package {package} ({error}). Install it: "
            'pip install "sebre[registration]"',
            name=error.name,
        ) from error


def _versions(package: str) -> dict[str, str]:
    return {"package": f"{package} {importlib.metadata.version(package)}"}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings of the two packages to themselves.

    ITK's wrappers warn while they are loaded, at any call; where a filter makes errors of
    warnings the interpreter crashes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
