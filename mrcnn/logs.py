"""What `verbose` prints."""

import numpy as np


def log(text: str, array: np.ndarray | None = None) -> None:
    """Print a text and, if given, an array's shape, range and type (Matterport's format)."""
    if array is not None:
        span = (f"{v:10.5f}" for v in (array.min(), array.max())) if array.size else ("", "")
        low, high = span
        text = f"{text:25}shape: {array.shape!s:20}  min: {low:10}  max: {high:10}  {array.dtype}"
    print(text)
