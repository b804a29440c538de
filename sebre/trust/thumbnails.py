"""A small picture of what a network knows, for the list of networks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from sebre.data.dataset import SectionDataset
from sebre.data.metadata import read_facts
from sebre.drawing.mean_regions import draw_mean_regions
from sebre.drawing.overlay import drawn_labels, overlay
from sebre.experiments.base import Experiment
from sebre.networks.tissue import tissue_mask

LARGEST = 20_000  # bytes of the file
_SIDE_PX = 240
_SECTIONS = 60
_MAY_BE_SHOWN = ("Apache-2.0", "MIT", "CC0", "CC BY 4.0", "BSD")


def drawing_of(experiment: Experiment, root: str | Path) -> np.ndarray:
    """What a network was shown in the training part of its data set: uint8 [h, w, 3].

    Where the license of the data lets pictures be shown, one section with its regions; else the
    regions of many sections laid over each other, without a pixel of any picture.
    """
    sections = experiment.load(root, "train")
    license_name = str(read_facts(root).record.get("licence") or "")
    if license_name.startswith(_MAY_BE_SHOWN) and ";" not in license_name:
        return _one(sections)
    return draw_mean_regions(_some(sections), experiment.regions, _SIDE_PX)


def _one(sections: SectionDataset) -> np.ndarray:
    """The first of the sections that show most regions."""
    shown = {i: len(sections.image_info[i]["masks"]) for i in sections.image_ids}
    image_id = max(shown, key=lambda i: (shown[i], -i))
    masks, ids = sections.load_mask(image_id)
    picture = overlay(sections.load_image(image_id), drawn_labels(ids, masks), sections.regions)
    image = Image.fromarray(picture)
    image.thumbnail((_SIDE_PX, _SIDE_PX))
    return np.asarray(image)


def _some(sections: SectionDataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    count = min(_SECTIONS, len(sections.image_ids))
    for place in np.linspace(0, len(sections.image_ids) - 1, count).round().astype(int):
        image_id = sections.image_ids[place]
        masks, ids = sections.load_mask(image_id)
        yield drawn_labels(ids, masks), tissue_mask(sections.load_image(image_id))


def save_small(picture: np.ndarray, path: Path) -> None:
    """Write a PNG with as many colors as fit into 20 kB (`LARGEST`)."""
    image = Image.fromarray(picture)
    for colors in (256, 64, 32, 16, 8):
        image.quantize(colors).save(path, format="PNG", optimize=True)
        if path.stat().st_size <= LARGEST:
            return
