"""Regions of one's own, any number of them: an experiment that is made of a data set or of weights.

Not in the table `EXPERIMENTS`, as its regions, the size of its pictures and their mean color are
those of a prepared data set, and afterwards those that the settings beside its weights name
(CLASS_NAMES, CLASS_COLORS).
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.imageio.reading import read_header
from sebre.data.dataset import SectionDataset
from sebre.data.listing import some
from sebre.data.metadata import count_sections
from sebre.data.region_names import recorded_regions, side_of, side_pairs, sides_of
from sebre.data.regions import (
    ANY_SECTION,
    Region,
    RegionSet,
    distinct_colors,
    read_regions,
    safe_name,
)
from sebre.experiments.base import (
    Experiment,
    FromScratch,
    SeBReConfig,
    Small,
    Turn,
    variants,
)

NAME = "custom"  # on the command line, and of the settings
# Share of the training sections that `sebre train custom` holds out where nothing is said, and how
# many there must be.
HELD_OUT, FEWEST_SECTIONS = 0.2, 10

STEPS = 1600  # of the small variant, as of most experiments
SECTION_STEPS = 150  # of the network of any section
_SMALLEST, _LARGEST, _STEP = 128, 384, 64  # px, of the pictures
_SAMPLES = 50  # sections that their size and mean color are measured on
_ROIS_A_REGION = 4  # a third of them show a region

_log = logging.getLogger(__name__)


def custom_experiment(
    regions: RegionSet, side: int = SeBReConfig.IMAGE_MAX_DIM, mean_pixel: Sequence[float] = ()
) -> Experiment:
    """The experiment of a region set.

    Where a name says that a region is a left or a right one (left_caudate, caudate_r, lh_cortex,
    leftCA1; CA1L beside CA1R), pictures are not mirrored.

    Args:
        regions: to look for, each once per section.
        side: of the pictures of the small network, px.
        mean_pixel: mean color of the pictures; the network's usual one without it.
    """
    turn = Turn(20, flip=not any(sides_of(regions.names)))
    settings: dict[str, Any] = {
        "NAME": NAME,
        "NUM_CLASSES": regions.num_classes,
        "CLASS_NAMES": regions.names,
        "CLASS_COLORS": [list(region.color) for region in regions],
        "SIDE_PAIRS": side_pairs(regions.names),
        "MAX_GT_INSTANCES": len(regions),  # one instance per region
        "DETECTION_MAX_INSTANCES": len(regions),
        "TRAIN_ROIS_PER_IMAGE": max(
            SeBReConfig.TRAIN_ROIS_PER_IMAGE, _ROIS_A_REGION * len(regions)
        ),
        **({"MEAN_PIXEL": np.array(mean_pixel, float)} if len(mean_pixel) else {}),
    }
    small = {"IMAGE_MIN_DIM": side, "IMAGE_MAX_DIM": side}
    return Experiment(
        name=NAME,
        summary=f"{len(regions)} region(s) of one's own: {', '.join(regions.names)}",
        regions=regions,
        turn=turn,
        variants=variants(
            _settings("CustomConfig", (SeBReConfig,), settings),
            _settings("CustomFromScratch", (FromScratch, SeBReConfig), settings),
            _settings("CustomSmall", (Small, SeBReConfig), {**settings, **small}),
            STEPS,
            turn,
        ),
        weights=(),
        sources=("annotations", "labels", "colour_code"),
    )


def experiment_of_dataset(root: str | Path, table: str | Path | None = None) -> Experiment:
    """The experiment of a prepared data set, for a training.

    Args:
        root: its folder; of the training part up to 50 sections are read.
        table: CSV file of the regions (`read_regions`); None takes those of its dataset.json.

    Raises:
        UserError: nothing says what the regions are, or the data set has other ones.
    """
    root = Path(root)
    regions = recorded_regions(root) if table is None else read_regions(table)
    if regions is None:
        raise UserError(
            f"{root}: has no dataset.json that names its regions. Give --regions, a CSV table with "
            "the columns id,name,r,g,b, or prepare it with `sebre prepare`."
        )
    guessed = [
        f"{regions[left].name} and {regions[right].name}"
        for left, right in side_pairs(regions.names)
        if not side_of(regions[left].name)
    ]
    if guessed:
        _log.warning(
            "%s: %s are taken for left and right by their names, so pictures are not mirrored. If "
            "they are not, spell the names out.",
            *(root, some(guessed)),
        )
    sections = SectionDataset(regions).load(root, "train")
    sections.prepare()
    count = sections.num_images
    rows = np.linspace(0, count - 1, min(_SAMPLES, count)).round().astype(int)
    longest = max(max(read_header(sections.image_info[row]["path"]).shape) for row in rows)
    side = min(max(_STEP * math.ceil(longest / _STEP), _SMALLEST), _LARGEST)
    colors = [sections.load_image(row).reshape(-1, 3).mean(axis=0) for row in rows]
    return custom_experiment(regions, side, np.mean(colors, axis=0).round(1))


def experiment_of_settings(names: Sequence[str], settings: Mapping[str, Any]) -> Experiment:
    """The experiment of weights, by the names of their regions and the settings beside them.

    Regions without a color, of weights that were trained in another way, get one.
    """
    colors = settings.get("CLASS_COLORS")
    if colors is None or settings.get("CLASS_NAMES") != list(names):
        colors = distinct_colors(len(names))
    if list(names) == ANY_SECTION.names:
        return custom_experiment(ANY_SECTION)
    regions = tuple(
        Region(number, safe_name(name), name, tuple(color))
        for number, (name, color) in enumerate(zip(names, colors, strict=True), start=1)
    )
    return custom_experiment(RegionSet(str(settings.get("NAME") or NAME), regions))


def held_out_share(root: str | Path, regions: RegionSet) -> float:
    """Share of the training sections to validate on, where nothing is said: 0 of too few."""
    images = SectionDataset(regions).load(root, "train").image_info
    count = count_sections(root, (image["number"] for image in images))
    return HELD_OUT if count >= FEWEST_SECTIONS else 0.0


def _settings(name: str, bases: tuple[type, ...], settings: Mapping[str, Any]) -> type[Config]:
    text = "Settings for regions of one's own."
    return type(name, bases, {**settings, "__doc__": text, "__module__": __name__})
