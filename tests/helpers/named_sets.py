"""Small prepared data sets whose regions are named, and the smallest experiment for them."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from section_cases import SIDE, box_mask

from sebre.data.regions import Region, RegionSet
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import Experiment, Stage
from sebre.experiments.slicemap import SlicemapConfig


class TinyConfig(SlicemapConfig):
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    BACKBONE_WIDTH = 0.25
    TOP_DOWN_PYRAMID_SIZE = 16
    RPN_CONV_FILTERS = 16
    FPN_CLASSIF_FC_LAYERS_SIZE = 32
    MASK_CONV_FILTERS = 16
    IMAGES_PER_GPU = 1
    PRE_NMS_LIMIT = 100
    POST_NMS_ROIS_TRAINING = 20
    POST_NMS_ROIS_INFERENCE = 20
    TRAIN_ROIS_PER_IMAGE = 8
    VALIDATION_STEPS = 1
    DETECTION_MIN_CONFIDENCE = 0.0


def tiny_experiment(*stages: Stage, **changes) -> Experiment:
    """`slicemap` with the smallest network, and a schedule of one step by default."""
    variant = dataclasses.replace(
        EXPERIMENTS["slicemap"].default, config=TinyConfig, schedule=stages or (Stage("all", 1),)
    )
    return dataclasses.replace(EXPERIMENTS["slicemap"], variants={"small": variant}, **changes)


def region_set(*names: str, name: str = "mine") -> RegionSet:
    regions = (Region(i, part, part, (10 * i, 0, 0)) for i, part in enumerate(names, start=1))
    return RegionSet(name, tuple(regions))


def named_set(
    root: Path,
    names: Sequence[str],
    recorded: bool = True,
    in_files: bool = True,
    subsets: Sequence[str] = ("train", "val"),
    count: int = 2,
    ground: int = 30,
) -> Path:
    """A prepared set of sections that show each region as a box, in the order of the class ids.

    The names are in dataset.json (`recorded`) and in those of the masks (`in_files`).
    """
    for subset in subsets:
        images, masks = (root / f"mrcnn_{subset}_dataset_{part}" for part in ("images", "masks"))
        images.mkdir(parents=True)
        for k in range(count):
            folder = masks / f"section_masks_{k}"
            folder.mkdir(parents=True)
            picture = np.full((SIDE, SIDE), ground + k, np.uint8)
            for class_id, name in enumerate(names, start=1):
                mask = box_mask(3 * class_id, 2, 3 * class_id + 4, 20)
                picture[mask] = 100 + 20 * class_id
                label = f"_{name}" if in_files else ""
                Image.fromarray(mask).save(folder / f"section_masks_{k}{label}_m{class_id}.png")
            Image.fromarray(picture).save(images / f"section_img_{k}.png")
    if recorded:
        (root / "dataset.json").write_text(json.dumps(region_set(*names).to_json()))
    return root
