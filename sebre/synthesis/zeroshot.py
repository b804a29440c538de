"""Scores on real sections that no training saw, of any plane, stain and laboratory.

    python -m sebre.synthesis.zeroshot --network last.keras --data DIR --out scores.json

Two collections: `zeroshot` (sections.csv, pictures, label maps) and `sagittal59` (arrays). They
are for looking at only: nothing may be chosen by them.
"""

import argparse
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np
from PIL import Image

from sebre.data.csv_tables import read_table
from sebre.data.rotation import turn_matrix
from sebre.networks.any_section import any_section_segmenter
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
    """

    name: str
    source: str
    picture: np.ndarray
    masks: dict[int, np.ndarray]
    scored: np.ndarray


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
    scores = defaultdict(list)
    for section in real_sections(data):
        changed = labels_of(_changed(section.picture, variant))
        found = _changed_back(changed, variant, section.picture.shape)
        dices = section_dices(found, section)
        if dices:
            scores[section.source].append(float(np.mean(list(dices.values()))))
    return {source: float(np.mean(values)) for source, values in sorted(scores.items())}


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
    # The loss is a class of the package, and is not needed to predict.
    model = keras.models.load_model(args.network, compile=False)
    network = any_section_segmenter(model, args.turns)
    scores = {}
    for variant in args.variants:
        scores[variant] = evaluate(network.labels, args.data, variant)
        logger.info("%s: %s", variant, {k: round(v, 3) for k, v in scores[variant].items()})
    args.out.write_text(json.dumps(scores, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
