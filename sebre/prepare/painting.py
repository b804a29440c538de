"""Drawn regions as painted overlays, to correct them in a drawing program.

What is written is what the source "colour-code" reads (`sebre.prepare.sources.color_code`):
after the correction, `sebre prepare colour-code` makes a prepared data set of it again.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from mrcnn.errors import UserError
from mrcnn.io.own_files import replace_own_text
from sebre.data.csv_tables import write_table
from sebre.data.dataset import SectionDataset
from sebre.data.regions import RegionSet
from sebre.drawing.overlay import label_map, save_png
from sebre.prepare.sources.color_code import OVERLAYS, REGIONS
from sebre.prepare.sources.image_pairs import IMAGES

_FINER = 2  # edges are smooth: drawn so much larger, then averaged
_WHITE = 255


def paint_overlays(
    dataset: SectionDataset, regions: RegionSet, raw: str | Path, scale: int = 1
) -> None:
    """Write every section as a picture and a painted overlay of the same number.

        <raw>/images/section_<k>.png    <raw>/overlays/section_<k>.png    <raw>/regions.csv

    k is the place of a section in the data set, from 0; pictures are enlarged by `scale`. The
    regions are found in the data set by name. Where masks overlap, the smaller one is seen. The
    ground is white, and pixels on an edge have mixed colors, as a drawing program exports them. An
    overlay that was corrected since is not written over.
    """
    if scale < 1:
        raise UserError(f"scale is {scale}; it must be a whole number from 1.")
    names = dataset.regions.names
    if unknown := [name for name in regions.names if name not in names]:
        raise UserError(
            f"The data set has no region {unknown[0]!r}; it has {', '.join(names)}. Use its names."
        )
    # Where each region is in the data set, from its class id there.
    renumbered = {names.index(region.name) + 1: region.id for region in regions}
    palette = np.full((len(regions) + 1, 3), _WHITE, np.uint8)
    palette[1:] = [region.color for region in regions]
    raw = Path(raw)
    for image_id in dataset.image_ids:
        image = dataset.load_image(image_id)
        masks, class_ids = dataset.load_mask(image_id)
        wanted = [i for i, class_id in enumerate(class_ids) if int(class_id) in renumbered]
        size = (image.shape[1] * scale, image.shape[0] * scale)
        name = f"section_{image_id}.png"
        picture = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
        save_png(np.asarray(picture), raw / IMAGES / name)

        large = [_enlarged(masks[..., i], size) for i in wanted]
        labels = label_map(
            np.array([renumbered[int(class_ids[i])] for i in wanted], int),
            np.zeros(len(wanted)),
            np.stack(large, axis=-1) if large else np.zeros((0, 0, 0), bool),
            (size[1] * _FINER, size[0] * _FINER),
        )
        painted = Image.fromarray(palette[labels]).resize(size, Image.Resampling.BOX)
        save_png(np.asarray(painted), raw / OVERLAYS / name)
    rows = (dict(zip("rgb", region.color, strict=True), name=region.name) for region in regions)
    write_table(raw / REGIONS, ("name", *"rgb"), rows, replace_own_text)


def _enlarged(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask with smooth edges, `_FINER` times as large as a picture of (width, height)."""
    finer = tuple(side * _FINER for side in size)
    soft = Image.fromarray(mask.astype(np.float32)).resize(finer, Image.Resampling.BICUBIC)
    return np.asarray(soft) > 0.5
