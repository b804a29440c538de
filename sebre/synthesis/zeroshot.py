"""Scores on real sections that no training saw, of any plane, stain and laboratory.

    python -m sebre.synthesis.zeroshot --network last.keras --data DIR --out scores.json

Two collections: `zeroshot` (sections.csv, pictures, label maps) and `sagittal59` (arrays). They
are for looking at only: nothing may be chosen by them.
"""

import argparse
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import keras
import numpy as np
from PIL import Image

from mrcnn.errors import UserError
from mrcnn.io.own_files import demand_own, replace_own_text
from sebre.data.csv_tables import read_table
from sebre.data.dataset import SectionDataset
from sebre.data.region_names import recorded_regions
from sebre.data.regions import RegionSet
from sebre.data.rotation import turn_matrix
from sebre.data.section_files import part_folder
from sebre.networks.any_section import any_section_segmenter
from sebre.program import run_module
from sebre.synthesis.classes import IGNORE, NUM_CLASSES

logger = logging.getLogger(__name__)

_LEAST_SHARE = 0.001  # of the picture: smaller drawn parts are not scored
# File name and class of the drawings of sagittal59. Masks may overlap by a few pixels.
_SAGITTAL = {"cx": 1, "hp": 2, "th": 4, "mb": 6, "bs": 7, "cb": 8}
# Changes of a picture that must not matter: turns by degrees, mirrored, inverted.
VARIANTS = (
    *("as it is", "turned by 30", "turned by 45", "turned by 90", "turned by 180"),
    *("mirrored", "inverted"),
)


@dataclass(frozen=True)
class RealSection:
    """A real section with labels.

    Attributes:
        name: of the picture.
        source: that it is from.
        picture: [H, W]. Gray values of any range.
        masks: bool [H, W] by class id.
        scored: bool [H, W]. Pixels that count.
        joined: class ids that count as another one, where the drawing makes no difference.
    """

    name: str
    source: str
    picture: np.ndarray
    masks: dict[int, np.ndarray]
    scored: np.ndarray
    joined: Mapping[int, int] = field(default_factory=dict)


# Classes of regions of prepared data sets, by their names there. Drawn parts of the hippocampus are
# one class together; those of regions that are not here have none.
_CLASSES = {
    **{"cortex": 1, "hippocampus": 2, "CA1": 2, "CA2": 2, "CA3": 2, "DG": 2, "basal_ganglia": 3},
    **{"thalamus": 4, "midbrain": 6, "hindbrain": 7, "brainstem": 7, "cerebellum": 8},
}
_HIND, _CEREBELLUM = 7, 8
# In the figures, what is drawn as hindbrain is the cerebellum alone.
_OTHERWISE = {"sebre_figures": {"hindbrain": _CEREBELLUM}}


def classes_of(root: Path, regions: RegionSet) -> tuple[dict[int, int], dict[int, int]]:
    """Classes of the network of any section for the regions of a prepared data set.

    Returns:
        Class by id of the region, of those that have one by their name; and classes that count as
        another one: the cerebellum as hindbrain, where that is drawn and the cerebellum is not.
    """
    classes = {**_CLASSES, **_OTHERWISE.get(root.name, {})}
    known = {region.id: classes[region.name] for region in regions if region.name in classes}
    joins = _HIND in known.values() and _CEREBELLUM not in known.values()
    return known, {_CEREBELLUM: _HIND} if joins else {}


def prepared_sections(root: Path, most: int) -> Iterator[RealSection]:
    """Sections of the test part of a prepared data set, at most so many, spread evenly; of a set
    of fewer than that all sections, as nothing is trained on them.

    The classes are those of the regions of the same names (`cortex` is more than the isocortex in
    some sets); where the hindbrain is drawn and the cerebellum is not, it is taken as part of it.

    Raises:
        UserError: no prepared data set that names its regions.
    """
    regions = recorded_regions(root)
    if regions is None:
        raise UserError(f"{root}: has no dataset.json that names its regions. Prepare it again.")
    known, joined = classes_of(root, regions)
    there = [part for part in ("val", "train") if part_folder(root, part, "images").is_dir()]
    parts = [SectionDataset(regions).load(root, part) for part in there]
    chosen = [(part, row) for part in parts for row in range(len(part.image_info))]
    if len(chosen) > most:
        chosen = [(parts[0], row) for row in range(len(parts[0].image_info))]
    for part in parts:
        part.prepare()
    for place in np.linspace(0, len(chosen) - 1, min(most, len(chosen))).round().astype(int):
        sections, row = chosen[place]
        picture = sections.load_image(row).mean(axis=-1, dtype=np.float32)
        drawn, ids = sections.load_mask(row)
        masks: dict[int, np.ndarray] = {}
        for k, number in enumerate(int(i) for i in ids):
            if number in known:
                before = masks.get(known[number], np.zeros(picture.shape, bool))
                masks[known[number]] = before | drawn[..., k]
        everywhere = np.ones(picture.shape, bool)
        name = sections.image_reference(row)
        yield RealSection(name, root.name, picture, masks, everywhere, joined)


def real_sections(data: Path) -> Iterator[RealSection]:
    """Labeled sections of the collections `zeroshot` and `sagittal59` in a folder.

    Raises:
        FileNotFoundError: files are missing.
    """
    folder = data / "zeroshot"
    for row in read_table(folder / "sections.csv", ("image", "labels", "source")):
        if not row["labels"]:
            continue
        with Image.open(folder / row["image"]) as image:
            picture = np.asarray(image.convert("RGB"), np.float32).mean(axis=-1)
        with Image.open(folder / row["labels"]) as image:
            labels = np.asarray(image)
        masks = {i: labels == i for i in range(1, NUM_CLASSES)}
        yield RealSection(row["image"], row["source"], picture, masks, labels != IGNORE)
    folder = data / "sagittal59"
    pictures = np.load(folder / "features.npy")
    drawn = {i: np.load(folder / f"labels_{name}.npy") > 0 for name, i in _SAGITTAL.items()}
    for row, picture in enumerate(pictures):
        masks = {i: mask[row] for i, mask in drawn.items()}
        everywhere = np.ones(picture.shape, bool)
        # The values are very dark: the root makes the tissue visible.
        yield RealSection(f"{row}", "sagittal59", np.sqrt(picture), masks, everywhere)


def section_dices(found: np.ndarray, section: RealSection) -> dict[int, float]:
    """Dice of each drawn region, over the pixels that count, by class id.

    Args:
        found: uint8 [H, W]. Classes.
        section: with the drawing.
    """
    scores = {}
    for part, whole in section.joined.items():
        found = np.where(found == part, whole, found)
    for class_id, mask in section.masks.items():
        drawn = mask & section.scored
        if np.count_nonzero(drawn) < _LEAST_SHARE * mask.size:
            continue
        own = (found == class_id) & section.scored
        both = np.count_nonzero(own & drawn)
        scores[class_id] = 2 * both / (np.count_nonzero(own) + np.count_nonzero(drawn))
    return scores


def evaluate(
    labels_of: Callable[[np.ndarray], np.ndarray], data: Path, variant: str = VARIANTS[0]
) -> dict[str, float]:
    """Mean Dice of each source: over the drawn regions of a section, then over sections.

    Args:
        labels_of: makes classes uint8 [H, W] of a gray picture [H, W].
        data: folder of the collections.
        variant: one of VARIANTS, a change of the pictures that should not matter.

    Raises:
        ValueError: no such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"No variant {variant!r}. There are {', '.join(VARIANTS)}.")

    def label(picture: np.ndarray) -> np.ndarray:
        changed = labels_of(_changed(picture, variant))
        return _changed_back(changed, variant, picture.shape)

    found = score_sections(label, real_sections(data))
    return {source: score.dice for source, score in found.items()}


@dataclass(frozen=True)
class SourceScore:
    """Mean Dice of a source: over the drawn regions of a section, then over its n sections."""

    dice: float
    n: int


def score_sections(
    label: Callable[[np.ndarray], np.ndarray], sections: Iterable[RealSection]
) -> dict[str, SourceScore]:
    """Score whatever labels pictures, by source.

    Args:
        label: takes a picture [H, W] to class ids uint8 [H, W].
        sections: to score; those without a drawn region do not count.
    """
    scores = defaultdict(list)
    for section in sections:
        dices = section_dices(label(section.picture), section)
        if dices:
            scores[section.source].append(float(np.mean(list(dices.values()))))
    return {
        source: SourceScore(float(np.mean(values)), len(values))
        for source, values in sorted(scores.items())
    }


def _changed(picture: np.ndarray, variant: str) -> np.ndarray:
    if variant.startswith("turned"):
        matrix, size = turn_matrix(picture.shape, _angle(variant))
        border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        picture = np.asarray(picture, np.float32)
        return cv2.warpAffine(picture, matrix, size, borderValue=float(np.median(border)))
    if variant == "mirrored":
        return picture[:, ::-1]
    return -picture if variant == "inverted" else picture


def _changed_back(labels: np.ndarray, variant: str, shape: tuple[int, int]) -> np.ndarray:
    if variant.startswith("turned"):
        matrix, _ = turn_matrix(shape, _angle(variant))
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(labels, matrix, shape[::-1], flags=flags)
    return labels[:, ::-1] if variant == "mirrored" else labels


def _angle(variant: str) -> float:
    return float(variant.split()[-1])


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, score, and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", type=Path, required=True, help="file that a training wrote")
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--turns", type=int, default=8, help="of each picture, 1 to 8")
    parser.add_argument("--variants", nargs="*", default=[VARIANTS[0]], choices=VARIANTS)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    demand_own([args.out])
    # The loss is a class of the package, and is not needed to predict.
    model = keras.models.load_model(args.network, compile=False)
    network = any_section_segmenter(model, args.turns)
    scores = {}
    for variant in args.variants:
        scores[variant] = evaluate(network.labels, args.data, variant)
        logger.info("%s: %s", variant, {k: round(v, 3) for k, v in scores[variant].items()})
    replace_own_text(args.out, json.dumps(scores, indent=2) + "\n")


if __name__ == "__main__":
    run_module(main)
