"""How far the trust model of a network can be trusted itself: scores on a test part."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.io.own_files import replace_own_text
from sebre.data.dataset import SectionDataset
from sebre.experiments.base import Turn
from sebre.networks.segmenter import Segmenter, best_labels, read_image
from sebre.trust.trust_files import AnyTrust
from sebre.trust.trust_fitting import disturb, found_dices
from sebre.trust.trust_model import SectionTrust
from sebre.trust.turned import detect_turned

SECTIONS = 100  # of a test part that are scored, spread over it
_BINS = 10  # of the reliability curve, with equal numbers of regions
_SEED = 1  # of disturbances; those of the fit have another


@dataclass(frozen=True)
class ScoredRegion:
    """A region found on a test section: what was expected of it, and what it is."""

    expected: float
    flagged: bool
    dice: float  # 0 where none is drawn


def score_trust(
    model: AnyTrust,
    segmenter: Segmenter,
    sections: SectionDataset,
    turn: Turn,
    turned: bool = True,
) -> dict[str, Any]:
    """Measure a trust model on a test part (`SECTIONS` of it at most), and return the record as
    plain JSON values.

    Keys: "as_they_lie", "with_turned" (with the agreement of turned pictures) and "disturbed" (each
    section once, as `disturb` makes it with a strength from 0 to 1), each with `n_sections`,
    `n_warned` (sections of which it says that they are of another kind), `n_regions` (found),
    `correlation` of expected and measured Dice, `error` (mean of their difference without sign),
    `flagged` and `not_flagged` (`n` and mean `dice` of the regions), `gap` between the two, and
    `curve`: tenths of the regions by expected Dice, with mean expected and measured Dice.
    """
    kinds = {
        "as_they_lie": (False, False),
        "with_turned": (True, False),
        "disturbed": (False, True),
    }
    if not turned:
        del kinds["with_turned"]
    record = {}
    for key, (with_turned, disturbed) in kinds.items():
        rng = np.random.default_rng(_SEED) if disturbed else None
        found = list(_assessed(model, segmenter, sections, with_turned, turn, rng))
        record[key] = summary(found)
    return record


def _assessed(
    model: AnyTrust,
    segmenter: Segmenter,
    sections: SectionDataset,
    with_turned: bool,
    turn: Turn,
    rng: np.random.Generator | None,
) -> Iterator[tuple[SectionTrust, list[ScoredRegion]]]:
    sections.contrast = segmenter.config.CONTRAST
    count = min(SECTIONS, len(sections.image_ids))
    for place in np.linspace(0, len(sections.image_ids) - 1, count).round().astype(int):
        image_id = sections.image_ids[place]
        picture, (masks, ids) = sections.load_image(image_id), sections.load_mask(image_id)
        if rng is not None:
            picture, masks = disturb(picture, masks, turn, rng.random(), rng)
        result = segmenter.detect([picture])[0]
        labels = best_labels(result, picture.shape)
        tta = detect_turned(segmenter, picture) if with_turned else None
        trust = model.assess(segmenter, picture, result, labels, tta)
        dices = found_dices(result, masks, ids)
        regions = [
            ScoredRegion(one.expected_dice, bool(one.flags), dices[class_id])
            for class_id, one in trust.regions.items()
        ]
        yield trust, regions


def summary(found: Sequence[tuple[SectionTrust, list[ScoredRegion]]]) -> dict[str, Any]:
    """A part of the record of `score_trust`, of sections and the regions found on them."""
    regions = [region for _, some in found for region in some]
    expected = np.array([region.expected for region in regions])
    dices = np.array([region.dice for region in regions])
    flagged = np.array([region.flagged for region in regions], bool)
    record: dict[str, Any] = {
        "n_sections": len(found),
        "n_warned": sum(bool(trust.warnings) for trust, _ in found),
        "n_regions": len(regions),
    }
    if not regions:
        return record
    varied = expected.std() > 0 and dices.std() > 0
    record["correlation"] = float(np.corrcoef(expected, dices)[0, 1]) if varied else None
    record["error"] = float(np.abs(expected - dices).mean())
    for key, chosen in (("flagged", flagged), ("not_flagged", ~flagged)):
        mean = float(dices[chosen].mean()) if chosen.any() else None
        record[key] = {"n": int(chosen.sum()), "dice": mean}
    both = record["flagged"]["dice"], record["not_flagged"]["dice"]
    record["gap"] = None if None in both else both[1] - both[0]
    parts = np.array_split(np.argsort(expected, kind="stable"), min(_BINS, len(regions)))
    record["curve"] = [
        {"n": len(p), "expected": float(expected[p].mean()), "dice": float(dices[p].mean())}
        for p in parts
    ]
    return record


def count_told(model: AnyTrust, segmenter: Segmenter, pictures: Sequence[Path]) -> dict[str, Any]:
    """How many pictures of other kinds are told from the network's own, by the folder they are in.

    Returns:
        `n`, `n_told` and `missed` (names), of all, and `folders`: `n` and `n_told` of each.
    """
    missed: list[str] = []
    folders: dict[str, dict[str, int]] = {}
    for path in pictures:
        picture = read_image(path, segmenter.config.CONTRAST)
        result = segmenter.detect([picture])[0]
        labels = best_labels(result, picture.shape)
        told = bool(model.assess(segmenter, picture, result, labels).warnings)
        counts = folders.setdefault(path.parent.name, {"n": 0, "n_told": 0})
        counts["n"] += 1
        counts["n_told"] += told
        missed += [] if told else [f"{path.parent.name}/{path.name}"]
    return {
        "n": len(pictures),
        "n_told": len(pictures) - len(missed),
        "missed": missed,
        "folders": dict(sorted(folders.items())),
    }


def add_record(path: Path, name: str, record: dict[str, Any]) -> None:
    """Write the record of a network to a file, beside those that it has of other networks."""
    try:
        records = dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path}: not a file of such records ({error}). Choose another --results."
        ) from error
    if any(not isinstance(one, dict) or "weights_sha256" not in one for one in records.values()):
        raise UserError(f"{path}: not a file of such records. Choose another --results.")
    records[name] = record
    text = json.dumps(records, indent=1) + "\n"
    replace_own_text(path, text, known=lambda _: True)
