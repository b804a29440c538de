"""The files that `sebre evaluate` wrote, read back and checked."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sebre.experiments import EXPERIMENTS
from sebre.weights_store import read_manifest

# Data sets, by experiment, that are the paper's own: the same images with the same labels. All
# others stand in for them.
PAPER_DATA = {"ibsr": ("ibsr",)}
PAPER_DATA_KIND, STAND_IN_KIND = "ours, on the paper's data", "ours, on stand-in data"

_TEXTS = ("experiment", "dataset", "subset", "weights")
_SCORES = ("n_sections", "map_paper", "coco_ap50", "coco_ap", "dice_mean")
_BY_REGION = ("n_per_region", "missed_per_region", "ap50_per_region", "dice_per_region")


@dataclass(frozen=True)
class Result:
    """What one file of `sebre evaluate` says.

    Attributes:
        name: of the file, without .json.
        record: its content, see `sebre.evaluate.evaluate`.
    """

    name: str
    record: Mapping[str, Any]

    @property
    def experiment(self) -> str:
        """Its name on the command line."""
        return self.record["experiment"]

    @property
    def on_paper_data(self) -> bool:
        """Whether the data are the paper's own, and no stand-in."""
        return self.record["dataset"] in PAPER_DATA.get(self.experiment, ())

    @property
    def kind(self) -> str:
        """Which of the two kinds of our numbers these are."""
        return PAPER_DATA_KIND if self.on_paper_data else STAND_IN_KIND

    @property
    def regions(self) -> list[str]:
        """Names of the regions looked for, in the order of their ids."""
        return list(self.record["n_per_region"])

    def score(self, key: str, region: str | None = None, turned: bool = False) -> Any:
        """A number of the record; None where it has none.

        Args:
            key: such as "map_paper"; with a region, such as "dice_per_region".
            region: its name.
            turned: that of the sections at random orientations.
        """
        value = ((self.record["turned"] or {}) if turned else self.record).get(key)
        return (value or {}).get(region) if region else value


def shipped_results() -> dict[str, str]:
    """Results of the shipped weights: the command that makes each, without --out, by name.

    Raises:
        ValueError: the manifest of the weights is damaged.
    """
    return {
        name: f"sebre evaluate {entry.get('experiment')} "
        f"--dataset datasets/{entry.get('dataset')} --weights {name}"
        for name, entry in read_manifest().items()
    }


def read_results(
    folder: str | Path, expected: Mapping[str, str] | None = None
) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """Every `*.json` of a folder that `sebre evaluate` wrote.

    Args:
        folder: to look in, not in its subfolders.
        expected: results that should be there: the command that makes each, without --out, by
            name of the file. None for `shipped_results`.

    Returns:
        The results, in the order of the experiments, then by data set and name; and for each
        file that is missing, damaged or not of `sebre evaluate` what is wrong and what to do.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder. Give the folder that `sebre evaluate` wrote results to."
        )
    expected = shipped_results() if expected is None else expected
    results, problems = [], []
    paths = {path.stem: path for path in sorted(folder.glob("*.json"))}
    for name, path in paths.items():
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            fault = _fault(record)
        except (OSError, ValueError, RecursionError) as error:
            fault = f"it cannot be read as JSON ({error})"
        if fault:
            cure = "Make it again with `sebre evaluate`, or move it out of the folder."
            if name in expected:
                cure = f"Make it again: {expected[name]} --out {path}"
            problems.append(f"{path}: not a whole result of `sebre evaluate`: {fault}. {cure}")
        else:
            results.append(Result(name, record))
    for name in expected.keys() - paths.keys():
        path = folder / f"{name}.json"
        problems.append(f"{path}: is not there. Make it: {expected[name]} --out {path}")
    order = {name: i for i, name in enumerate(EXPERIMENTS)}
    results.sort(
        key=lambda r: (
            order.get(r.experiment, len(order)),
            r.experiment,
            r.record["dataset"],
            r.name,
        )
    )
    return tuple(results), tuple(sorted(problems))


def with_labels(results: Iterable[Result]) -> list[tuple[str, Result]]:
    """Each result with its data set; with the weights or the file too where that is not enough."""
    results = list(results)
    labels = [result.record["dataset"] for result in results]
    for more in (
        [f"weights {result.record['weights']}" for result in results],
        [f"{result.name}.json" for result in results],
    ):
        count = Counter(labels)
        labels = [
            f"{text}, {extra}" if count[text] > 1 else text
            for text, extra in zip(labels, more, strict=True)
        ]
    return list(zip(labels, results, strict=True))


def of_experiment(results: Iterable[Result], experiment: str) -> list[tuple[str, Result]]:
    """`with_labels` of the results of one experiment."""
    return with_labels(result for result in results if result.experiment == experiment)


def _fault(record: Any) -> str:
    """What keeps a file from being a result; empty if nothing does."""
    if not isinstance(record, dict):
        return f"it holds a JSON {type(record).__name__}, not an object"
    lacks = [key for key in (*_TEXTS, "turned", "sections") if key not in record]
    if lacks:
        return f"it lacks {', '.join(lacks)}"
    for key in _TEXTS:
        if not isinstance(record[key], str):
            return f"{key} is {record[key]!r}, not text"
    if not isinstance(record["turned"], dict | None):
        return "turned is neither an object nor null"
    for name, scores in (("", record), ("turned.", record["turned"])):
        if scores is not None and (fault := _fault_of_scores(scores, name)):
            return fault
    return _fault_of_sections(record["sections"])


def _fault_of_scores(scores: Mapping[str, Any], where: str) -> str:
    lacks = [where + key for key in (*_SCORES, *_BY_REGION) if key not in scores]
    if lacks:
        return f"it lacks {', '.join(lacks)}"
    if not _is_number(scores["n_sections"]):
        return f"{where}n_sections is {scores['n_sections']!r}, not a number"
    for key in _SCORES:
        if not (scores[key] is None or _is_number(scores[key])):
            return f"{where}{key} is {scores[key]!r}, neither a number nor null"
    for key in (key for key in scores if "_per_region" in key):
        if not isinstance(scores[key], dict):
            return f"{where}{key} is not an object of numbers by region"
        for region, value in scores[key].items():
            if not (value is None or _is_number(value)):
                return f"{where}{key} of {region} is {value!r}, neither a number nor null"
    return ""


def _fault_of_sections(sections: Any) -> str:
    try:
        for section in sections:
            for region, scores in section["regions"].items():
                for key in ("score", "iou", "dice"):
                    if not _is_number(scores[key]):
                        return f"{key} of {region} in a section is {scores[key]!r}, not a number"
    except (TypeError, KeyError, AttributeError) as error:
        return f"sections do not hold the scores of each region ({error!r})"
    return ""


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
