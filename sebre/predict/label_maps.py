"""A label map as PNG, as `sebre predict` writes it. Needs no network."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mrcnn.io.own_files import replace_own
from sebre.data.regions import RegionSet

_UM_AN_INCH = 25400.0


def save_labels(
    labels: np.ndarray,
    regions: RegionSet,
    path: Path,
    pixel_um: tuple[float, float] | None = None,
) -> None:
    """Write a label map as PNG, with the names and colors of its numbers.

    Up to class id 255 it has a palette, so that it is seen in color; its pixels are the class ids
    all the same. The text entry `regions` is a JSON object of names by class id; the size of a
    pixel is that of the file.
    """
    image = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        image.putpalette(np.concatenate([[0, 0, 0], *(region.color for region in regions)]))
    facts = PngInfo()
    names = {str(region.id): region.name for region in regions}
    facts.add_text("regions", json.dumps(names))
    an_inch = None if pixel_um is None else tuple(_UM_AN_INCH / um for um in reversed(pixel_um))
    replace_own(path, lambda part: image.save(part, format="PNG", pnginfo=facts, dpi=an_inch))
