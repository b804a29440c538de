"""Reading a picture file, whole or in windows, whatever its format.

`read_picture` and `open_source` agree pixel by pixel; `mrcnn.imageio.reduced` reads at a
fraction of the size. Data sets and everything that takes files from the user call these.
"""

from pathlib import Path

import numpy as np
import tifffile

from mrcnn.imageio.pillow_files import PillowSource, is_for_pillow, open_pillow, opened
from mrcnn.imageio.tiff_files import NotOnePicture, TiffSource
from mrcnn.imageio.windows import ArraySource, PictureSource


def read_picture(path: str | Path) -> np.ndarray:
    """A picture as it is in the file, [H, W] or [H, W, channels]; of several the first.

    A TIFF with several pages is read whole, [pages, H, W]; one that stores its 3 or 4 colors plane
    after plane is turned. A damaged file raises whatever its decoder does.
    """
    path = Path(path)
    if is_for_pillow(path):
        with opened(path, any_size=False) as image:
            source = PillowSource(path, image)
            return source.read_raw(0, 0, *source.shape[:2]).copy()
    # The file is opened here, so that it is closed when the decoder fails.
    with path.open("rb") as file:
        pixels = tifffile.imread(file)
    planes = pixels.ndim == 3 and pixels.shape[-1] > 4 and pixels.shape[0] in (3, 4)
    return np.moveaxis(pixels, 0, -1) if planes else pixels


def open_source(
    source: str | Path | np.ndarray | PictureSource, max_side: int | None = None
) -> PictureSource:
    """Open a file, or an array [H, W] or [H, W, channels], to read windows of it.

    TIFF files of strips or tiles are read in parts, and of an `np.memmap` what is asked for. Other
    files are decoded once, as a whole. With `max_side` a reduced form of the file (a level of a
    pyramid, JPEG, JPEG 2000) may be taken whose longer side has at least this many px; `step` says
    which.
    """
    if isinstance(source, PictureSource):
        return source
    if isinstance(source, np.ndarray):
        return ArraySource(source)
    path = Path(source)
    if is_for_pillow(path):
        return open_pillow(path, max_side)
    try:
        return TiffSource(path, max_side)
    except NotOnePicture:
        return ArraySource(read_picture(path), path)
