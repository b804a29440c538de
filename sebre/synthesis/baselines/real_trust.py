"""How far what is said of trust in the network of any section holds on real sections.

    python -m sebre.synthesis.baselines.real_trust --data DATA --others DIR --results trust.json

Its trust file was made of synthetic sections alone (`sebre models calibrate`). Here its warnings
and expected Dice are counted on labeled real sections (`sebre.synthesis.zeroshot`), and written
beside the record of the network.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.io.files import replace_text
from sebre.data.regions import ANY_SECTION
from sebre.evaluation.mask_metrics import dice
from sebre.networks.segmenter import Segmenter, best_labels, load_segmenter, read_image
from sebre.program import run_module
from sebre.synthesis import zeroshot
from sebre.trust.place_doubts import find_place, with_place
from sebre.trust.trust_files import AnyTrust, trust_of
from sebre.trust.trust_scores import ScoredRegion, summary

logger = logging.getLogger(__name__)

_KEY = "real_sections"  # of the record


def assess_section(
    section: zeroshot.RealSection, segmenter: Segmenter, model: AnyTrust
) -> tuple[Any, list[ScoredRegion], float]:
    """What is said of a real section, and what is true.

    Returns:
        Its `SectionTrust`; each region found, where some pixels of it count; and the mean Dice of
        the drawn regions.
    """
    values = section.picture - section.picture.min()
    gray = np.rint(values * (255 / max(float(values.max()), 1e-6))).astype(np.uint8)
    picture = np.repeat(gray[..., None], 3, axis=-1)
    (result,) = segmenter.detect([picture])
    labels = best_labels(result, picture.shape)
    trust = model.assess(segmenter, picture, result, labels)
    said = with_place(trust.warnings, find_place(segmenter, picture), segmenter)
    trust = replace(trust, warnings=said)
    regions = []
    for class_id, one in trust.regions.items():
        own = (labels == class_id) & section.scored
        # What nobody drew in a collection is no mistake of the network.
        if own.any() and class_id in section.masks:
            drawn = section.masks[class_id] & section.scored
            regions.append(ScoredRegion(one.expected_dice, bool(one.flags), dice(own, drawn)))
    dices = zeroshot.section_dices(labels, section)
    return trust, regions, float(np.mean(list(dices.values()))) if dices else np.nan


def measure(segmenter: Segmenter, data: Path) -> dict[str, Any]:
    """The record: as of `score_trust`, and of each source `n`, `n_warned`, and the mean Dice of
    sections that were warned of and of the others.

    Args:
        segmenter: the network of any section.
        data: folder of the collections of real sections.

    Raises:
        UserError: it has no trust file.
    """
    model = trust_of(segmenter)
    if model is None:
        raise UserError(
            f"{segmenter.weights.path}: no trust file is beside it. Make one with `sebre models "
            "calibrate`."
        )
    found: dict[str, list[tuple[Any, list[ScoredRegion], float]]] = {}
    for section in zeroshot.real_sections(data):
        found.setdefault(section.source, []).append(assess_section(section, segmenter, model))
    every = [one for some in found.values() for one in some]
    record = summary([(trust, regions) for trust, regions, _ in every])
    record["sections"] = {name: _of_sections(some) for name, some in sorted(found.items())}
    record["sections"]["all"] = _of_sections(every)
    return record


def count_others(segmenter: Segmenter, folder: Path) -> dict[str, dict[str, int]]:
    """Of pictures of other kinds, by the folder they are in, `n` and `n_told`."""
    model = trust_of(segmenter)
    counts: dict[str, dict[str, int]] = {}
    for path in sorted(folder.rglob("*.png")):
        picture = read_image(path, segmenter.config.CONTRAST)
        (result,) = segmenter.detect([picture])
        warnings = model.assess(segmenter, picture, result, best_labels(result, picture.shape))
        said = with_place(warnings.warnings, find_place(segmenter, picture), segmenter)
        row = counts.setdefault(path.parent.name, {"n": 0, "n_told": 0})
        row["n"] += 1
        row["n_told"] += bool(said)
    return counts


def _of_sections(found: Sequence[tuple[Any, list[ScoredRegion], float]]) -> dict[str, Any]:
    warned = np.array([bool(trust.warnings) for trust, _, _ in found])
    dices = np.array([value for _, _, value in found])
    parts = {"dice_warned": dices[warned], "dice_others": dices[~warned]}
    means = {
        name: float(np.nanmean(values)) if np.isfinite(values).any() else None
        for name, values in parts.items()
    }
    return {"n": len(found), "n_warned": int(warned.sum()), **means}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, measure, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--others", type=Path, required=True, help="folder of other pictures")
    parser.add_argument("--results", type=Path, required=True, help="JSON file of trust records")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    records = json.loads(args.results.read_text("utf-8"))
    if ANY_SECTION.name not in records:
        raise UserError(
            f"{args.results}: has no record of {ANY_SECTION.name}. Make it first: `sebre models "
            "calibrate --results`."
        )
    segmenter = load_segmenter(ANY_SECTION.name)
    records[ANY_SECTION.name][_KEY] = {
        "command": "python -m sebre.synthesis.baselines.real_trust --data DATA --others PICTURES "
        "--results results/trust.json",
        **measure(segmenter, args.data),
        "other_kinds_with_place": count_others(segmenter, args.others),
    }
    text = json.dumps(records, indent=1) + "\n"
    replace_text(args.results, text)  # in the repository; others write to it as well
    logger.info("%s", records[ANY_SECTION.name][_KEY]["sections"])


if __name__ == "__main__":
    run_module(main)
