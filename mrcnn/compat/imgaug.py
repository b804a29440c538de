"""Lets imgaug 0.4.0, its last release, run on NumPy 2.

Its import looks up `numpy.sctypes`, which NumPy 2 removed; importing this first puts it back.
"""

import functools
import threading
import warnings
from typing import Any

import numpy as np

_ELASTIC_FIXED = "_shifts_are_float32"
_lock = threading.Lock()

if not hasattr(np, "sctypes"):
    np.sctypes = {
        "int": [np.int8, np.int16, np.int32, np.int64],
        "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
        "float": [np.float16, np.float32, np.float64],
        "complex": [np.complex64, np.complex128],
        "others": [bool, object, bytes, str, np.void],
    }


def is_imgaug(augmentation: Any) -> bool:
    """Whether this is an imgaug augmenter."""
    return hasattr(augmentation, "to_deterministic") and hasattr(augmentation, "augment_image")


def prepare_imgaug() -> Any:
    """Import imgaug, mend what NumPy 2 broke and silence its deprecated calls.

    ElasticTransformation hands OpenCV float64 maps under NumPy 2's promotion rules, which
    `cv2.convertMaps` refuses whatever the version of OpenCV; float32 is what it meant.
    """
    with _lock:
        for kind in (DeprecationWarning, FutureWarning, SyntaxWarning):
            warnings.filterwarnings("ignore", category=kind, module=r"imgaug\.")
        # JpegCompression, from inside imageio.
        warnings.filterwarnings("ignore", "`pilmode` is deprecated", DeprecationWarning)
        try:
            import imgaug
            from imgaug.augmenters.geometric import ElasticTransformation
        except ImportError as error:
            raise ImportError(
                f"Cannot import imgaug ({error}). Install it without its dependencies, "
                "`pip install --no-deps imgaug==0.4.0`, and `pip install "
                "opencv-python-headless imageio six`."
            ) from error
        if not hasattr(ElasticTransformation, _ELASTIC_FIXED):
            original = ElasticTransformation._map_coordinates.__func__

            @functools.wraps(original)
            def map_coordinates(cls, image, dx, dy, *args, **kwargs):
                dx, dy = (np.asarray(shift, np.float32) for shift in (dx, dy))
                return original(cls, image, dx, dy, *args, **kwargs)

            ElasticTransformation._map_coordinates = classmethod(map_coordinates)
            setattr(ElasticTransformation, _ELASTIC_FIXED, True)
    return imgaug
