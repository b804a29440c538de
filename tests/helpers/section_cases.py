"""Sections with boxes for regions, results of `detect`, and a segmenter that gives them."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from sebre.data.dataset import SectionDataset
from sebre.data.region_masks import RegionMasks
from sebre.data.regions import SLICEMAP
from sebre.evaluation.section import Section, score_section
from sebre.networks.weights_store import WeightsFile

SIDE = 32
Box = tuple[int, int, int, int]


def box_mask(y1: int, x1: int, y2: int, x2: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def square(side: int, start: int, stop: int, value: int = 255) -> np.ndarray:
    """A square on the diagonal of a picture, uint8 [side, side]."""
    mask = np.zeros((side, side), np.uint8)
    mask[start:stop, start:stop] = value
    return mask


def stack(boxes: list[Box]) -> np.ndarray:
    return np.stack([box_mask(*b) for b in boxes], -1) if boxes else np.zeros((SIDE, SIDE, 0), bool)


def result_of(*found: tuple[int, float, Box]) -> dict:
    """A result of `detect` from (class id, score, box)."""
    return {
        "rois": np.array([box for _, _, box in found], np.int32).reshape(-1, 4),
        "class_ids": np.array([i for i, _, _ in found], np.int32),
        "scores": np.array([s for _, s, _ in found], np.float32),
        "masks": stack([box for _, _, box in found]),
    }


def section_of(drawn: dict[int, Box], *found, name: str = "val/0", **options) -> Section:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    ids = np.array(list(drawn), int)
    masks = RegionMasks(stack(list(drawn.values())), ids)
    return score_section(name, image, masks, result_of(*found), **options)


def drawn_of(section: Section, field: str) -> dict:
    """A field of the scores of the regions drawn, by class id, where it is known."""
    values = {i: getattr(score, field) for i, score in section.drawn_scores.items()}
    return {i: value for i, value in values.items() if value is not None}


class Scripted:
    """Stands for a segmenter: gives prepared results in turn, and keeps what it was shown."""

    config = SimpleNamespace(CONTRAST="bits")
    regions = SLICEMAP
    network = "scripted"
    weights = WeightsFile(Path("w.h5"), "0" * 64)

    def __init__(self, *results: dict):
        self.results = results
        self.shown: list[np.ndarray] = []

    def detect(self, images, masks="full"):
        out = [self.results[(len(self.shown) + i) % len(self.results)] for i in range(len(images))]
        self.shown += images
        return out


def prepared(
    root: Path,
    drawn: list[dict[int, Box]],
    facts: dict | None = None,
    cells: list[dict] | None = None,
    ground: int = 0,
) -> SectionDataset:
    """A prepared set: sections with boxes at 200 on a ground, with or without its tables."""
    images, masks = root / "mrcnn_val_dataset_images", root / "mrcnn_val_dataset_masks"
    images.mkdir(parents=True)
    for k, boxes in enumerate(drawn):
        (masks / f"m_{k}").mkdir(parents=True)
        picture = np.full((SIDE, SIDE), ground, np.uint8)
        for class_id, box in boxes.items():
            picture[box_mask(*box)] = 200
            Image.fromarray(box_mask(*box)).save(masks / f"m_{k}" / f"m{class_id}.png")
        Image.fromarray(picture).save(images / f"i_{k}.png")
    if facts is not None:
        (root / "dataset.json").write_text(json.dumps(facts))
    if cells is not None:
        columns = ["section", "subset", *cells[0]]
        rows = [[str(k), "val", *map(str, row.values())] for k, row in enumerate(cells)]
        (root / "sections.csv").write_text("\n".join(map(",".join, [columns, *rows])) + "\n")
    dataset = SectionDataset(SLICEMAP).load(root, "val")
    dataset.prepare()
    return dataset


WHOLE, HALF = (4, 4, 12, 12), (4, 4, 12, 8)
