"""What is stored of the network of any section: files read back, and the scores that its tables and
figures share.

Of `synthesis` in a folder of results: real sections, an atlas alone, a Mask R-CNN of the same
stream, where sections lie, settings, speed, and the log of the training.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sebre.data.csv_tables import read_table

FOLDER = "synthesis"
LEARNING = "learning"  # rows of a CSV file
LYING = "as it is"  # the condition that is none
SAGITTAL = "sagittal59"  # beside the sources of the collection `zeroshot`
REGISTERED = "all with a registered plane"
# What makes each file; those of the first say which weights all others are of.
_MADE_BY = {
    "any_section": "release",
    "baselines": "baselines.measure",
    "mask_rcnn": "mask_rcnn",
    "place": "placing.measure_place",
    "any_section_settings": "settings_table",
    "stream": "stream_speed",
}
_SIZE, _SEEN, _SYNTHETIC = "size", "sections", ("dice_easy", "dice_hard")
_REAL = "real_"


def read_files(
    folder: str | Path, check: Callable[[Mapping[str, Any]], None]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the files of a folder of results hold, by name, and what is wrong with which.

    Args:
        folder: of results.
        check: is called with what was read so far, and raises where that cannot be used.
    """
    found: dict[str, Any] = {}
    problems = []
    inside = Path(folder) / FOLDER
    files = {name: inside / f"{name}.json" for name in _MADE_BY}
    files[LEARNING] = inside / f"{LEARNING}.csv"
    for name, path in files.items():
        if not path.is_file():
            continue
        try:
            record = _rows(path) if name == LEARNING else json.loads(path.read_text("utf-8"))
            check({**found, name: record})
            _demand_same_weights(record, found)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            cure = f"python -m sebre.synthesis.{_MADE_BY.get(name, 'learn')}"
            problems.append(f"{path}: not what it should be ({error!r}). Make it again: {cure}")
            continue
        found[name] = record
    return found, tuple(problems)


def _rows(path: Path) -> list[dict[str, float]]:
    rows = read_table(path, (_SIZE, _SEEN, *_SYNTHETIC))
    return [{name: float(cell) for name, cell in row.items()} for row in rows]


def _demand_same_weights(record: Any, found: Mapping[str, Any]) -> None:
    """Raise where a record is of other weights than the scores on real sections."""
    if not isinstance(record, dict) or "any_section" not in found:
        return
    wanted = found["any_section"]["weights_sha256"]
    own = record.get("shipped", record).get("weights_sha256", wanted)
    if own != wanted:
        raise ValueError(f"it is of weights {own[:8]}, the scores on real sections of {wanted[:8]}")


def lying(found: Mapping[str, Any]) -> dict[str, tuple[float, int]]:
    """Mean Dice as they lie, and number of sections, of each source and prepared data set."""
    if "any_section" not in found:
        return {}
    record = found["any_section"]
    scores = {
        name: (dice, record["n_by_source"][name]) for name, dice in record["scores"][LYING].items()
    }
    return scores | {name: (one["dice"], one["n"]) for name, one in record["prepared"].items()}


def over_copied(found: Mapping[str, Any]) -> dict[str, float]:
    """How far the network is above labels copied from an atlas, by source."""
    atlas = found.get("baselines", {}).get("scores", {})
    return {
        name: dice - atlas[name]["copied"]["dice"]
        for name, (dice, _) in lying(found).items()
        if name in atlas
    }


def by_condition(found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Mean Dice by source, then by condition, in the order of the record."""
    record = found.get("any_section")
    if record is None:
        return {}
    scores = record["scores"]
    return {name: {how: scores[how][name] for how in scores} for name in record["n_by_source"]}


def spreads(found: Mapping[str, Any]) -> dict[str, float]:
    """The highest minus the lowest mean Dice over the conditions, by source."""
    return {
        name: max(scores.values()) - min(scores.values())
        for name, scores in by_condition(found).items()
    }


def mean_of_sources(scores: Mapping[str, float]) -> float:
    """Mean over the sources of `zeroshot`, each alike."""
    return float(np.mean([value for name, value in scores.items() if name != SAGITTAL]))


def seen_and_scores(found: Mapping[str, Any]) -> dict[int, list[dict[str, float]]]:
    """Scores at the checks of each training, by the side of its pictures: sections seen by then
    (`seen`), those of the trainings before included, and mean Dice."""
    trainings: dict[int, list[dict[str, float]]] = {}
    before = 0.0
    for row in found.get(LEARNING, ()):
        size = int(row[_SIZE])
        if size not in trainings:
            before = max((r["seen"] for rows in trainings.values() for r in rows), default=0.0)
            trainings[size] = []
        real = {n.removeprefix(_REAL): v for n, v in row.items() if n.startswith(_REAL)}
        scores = {name: row[name] for name in _SYNTHETIC}
        if real:
            scores |= {"zeroshot": mean_of_sources(real), SAGITTAL: real[SAGITTAL]}
        trainings[size].append({"seen": before + row[_SEEN], **scores})
    return trainings


def per_section(seconds: Mapping[str, Sequence[float]], count: int, clock: str) -> float:
    """Median seconds of a section, of rounds of so many; `clock` is "cpu_s" or "wall_s"."""
    return float(np.median(seconds[clock])) / count
