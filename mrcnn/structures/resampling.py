"""Interpolation of arrays as Matterport does it; pictures and masks both use it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import skimage.transform


def resize(
    image: np.ndarray,
    output_shape: Sequence[int],
    order: int = 1,
    mode: str = "constant",
    cval: float = 0,
    clip: bool = True,
    preserve_range: bool = False,
    anti_aliasing: bool = False,
    anti_aliasing_sigma: Any = None,
) -> np.ndarray:
    """`skimage.transform.resize` with the defaults of the reference (Matterport `utils.resize`).

    Pixel centers are aligned, everything outside the picture counts as `cval`, nothing is smoothed.
    Bool arrays are taken as 0.0 and 1.0 unless `order` is 0.
    """
    image = np.asarray(image)
    if image.dtype == bool and order != 0:
        image = image.astype(np.float64)
    return skimage.transform.resize(
        image,
        output_shape,
        order=order,
        mode=mode,
        cval=cval,
        clip=clip,
        preserve_range=preserve_range,
        anti_aliasing=anti_aliasing,
        anti_aliasing_sigma=anti_aliasing_sigma,
    )
