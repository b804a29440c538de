"""Reading picture files."""

from pathlib import Path

import imageio.v3
import numpy as np
import tifffile


def read_picture(path: str | Path) -> np.ndarray:
    """A picture as it is in the file, [H, W] or [H, W, channels]; of several the first.

    A TIFF with several pages is read whole, [pages, H, W]; one that stores its 3 or 4 colours
    plane after plane is turned.

    Raises:
        Exception: whatever a damaged file leads the decoder to.
    """
    path = Path(path)
    # The file is opened here, so that it is closed when a decoder fails.
    with path.open("rb") as file:
        if path.suffix.lower() not in (".tif", ".tiff"):
            return imageio.v3.imread(file, plugin="pillow", index=0)
        pixels = tifffile.imread(file)
    planes = pixels.ndim == 3 and pixels.shape[-1] > 4 and pixels.shape[0] in (3, 4)
    return np.moveaxis(pixels, 0, -1) if planes else pixels
