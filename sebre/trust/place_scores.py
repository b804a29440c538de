"""What the place of sections adds to trust: false alarms on a test part, other kinds told.

python -m sebre.trust.place_scores --weights NAME --dataset DIR --others DIR --results FILE
"""

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from sebre.data.dataset import SectionDataset
from sebre.data.listing import is_picture, natural
from sebre.networks.environment import environment
from sebre.networks.segmenter import (
    Segmenter,
    best_labels,
    find_network,
    load_segmenter,
    read_image,
)
from sebre.program import run_module
from sebre.trust.place_doubts import PlaceDoubts, doubts_at, find_place
from sebre.trust.trust_files import AnyTrust, load_trust
from sebre.trust.trust_fitting import found_dices
from sebre.trust.trust_model import SectionTrust
from sebre.trust.trust_scores import SECTIONS, add_record

logger = logging.getLogger(__name__)


def score_places(model: AnyTrust, segmenter: Segmenter, sections: SectionDataset) -> dict[str, Any]:
    """Doubts on a test part (`SECTIONS` of it at most), without and with the place of the section.

    Returns:
        Plain JSON: `n_sections`; `n_warned` without and `n_warned_with_place` with it; `n_regions`
        found; `flagged` and `flagged_with_place`, and of the regions that are said not to be in
        the plane, `found` (`n`, mean `dice`, 0 where none is drawn) and `not_found` (`n`, and how
        many of them are `drawn` all the same).
    """
    counts = dict.fromkeys(
        ("n_sections", "n_warned", "n_warned_with_place", "n_regions", "flagged"), 0
    )
    flagged_too, dices, missed, drawn_too = 0, [], 0, 0
    for picture, masks, ids in _spread(sections, segmenter.config.CONTRAST):
        trust, doubts, result = _judged(model, segmenter, picture)
        counts["n_sections"] += 1
        counts["n_warned"] += bool(trust.warnings)
        counts["n_warned_with_place"] += bool(trust.warnings or doubts.warnings)
        counts["n_regions"] += len(trust.regions)
        flagged = {i for i, region in trust.regions.items() if region.flags}
        counts["flagged"] += len(flagged)
        found = found_dices(result, masks, ids)
        lacking = doubts.lacking & set(trust.regions)
        flagged_too += len(flagged | lacking)
        dices += [found[class_id] for class_id in lacking]
        absent = doubts.lacking - set(trust.regions)
        missed += len(absent)
        drawn_too += len(absent & {int(i) for i in ids})
    return {
        **counts,
        "flagged_with_place": flagged_too,
        "found": {"n": len(dices), "dice": float(np.mean(dices)) if dices else None},
        "not_found": {"n": missed, "drawn": drawn_too},
    }


def _spread(
    sections: SectionDataset, contrast: str
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    sections.contrast = contrast
    count = min(SECTIONS, len(sections.image_ids))
    for place in np.linspace(0, len(sections.image_ids) - 1, count).round().astype(int):
        image_id = sections.image_ids[place]
        yield sections.load_image(image_id), *sections.load_mask(image_id)


def _judged(
    model: AnyTrust, segmenter: Segmenter, picture: np.ndarray
) -> tuple[SectionTrust, PlaceDoubts, dict[str, Any]]:
    result = segmenter.detect([picture])[0]
    trust = model.assess(segmenter, picture, result, best_labels(result, picture.shape))
    return trust, doubts_at(find_place(segmenter, picture), segmenter), result


def count_others(model: AnyTrust, segmenter: Segmenter, pictures: Sequence[Path]) -> dict[str, Any]:
    """How many pictures of other kinds are told, without and with their place, by folder."""
    folders: dict[str, dict[str, int]] = {}
    for path in pictures:
        trust, doubts, _ = _judged(model, segmenter, read_image(path, segmenter.config.CONTRAST))
        counts = folders.setdefault(path.parent.name, {"n": 0, "told": 0, "told_with_place": 0})
        counts["n"] += 1
        counts["told"] += bool(trust.warnings)
        counts["told_with_place"] += bool(trust.warnings or doubts.warnings)
    total = {
        key: sum(one[key] for one in folders.values()) for key in ("n", "told", "told_with_place")
    }
    return {**total, "folders": dict(sorted(folders.items()))}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", required=True, help="name of a network with a trust file")
    parser.add_argument("--dataset", type=Path, required=True, help="prepared, with a test part")
    parser.add_argument("--part", default="val", help="of the data set")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="folders of pictures")
    parser.add_argument("--results", type=Path, required=True, help="JSON file of records")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    found, experiment, _ = find_network(args.weights)
    model = load_trust(found)
    if model is None:
        raise UserError(f"{args.weights}: it has no trust file. Calibrate it first.")
    segmenter = load_segmenter(args.weights)
    sections = experiment.load(args.dataset, args.part)
    inside = [p for folder in args.others for p in sorted(folder.rglob("*"), key=natural)]
    record = {
        "command": "python -m sebre.trust.place_scores",
        "dataset": args.dataset.name,
        "part": args.part,
        "weights_sha256": segmenter.weights.sha256,
        "test_part": score_places(model, segmenter, sections),
        "other_kinds": count_others(model, segmenter, [p for p in inside if is_picture(p)]),
        "environment": environment(),
    }
    logger.info("%s: %s %s", args.weights, record["test_part"], record["other_kinds"])
    add_record(args.results, args.weights, record)


if __name__ == "__main__":
    run_module(main)
