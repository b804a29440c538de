"""Files of `sebre.trials`, read back: copied labels, changed and unseen sections, other scans."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sebre.data.listing import visible
from sebre.evaluation.scores import Evaluation
from sebre.evaluation.stored import RecordFault
from sebre.report.records import Result

COPIED_FOLDER, CHANGED_FOLDER, SCANS_FOLDER = "copied", "changed", "cross_dataset"
PICTURES_FOLDER, ALL_MASKS_FOLDER, UNSEEN_FOLDER = "pictures", "all_masks", "unseen"
PLAIN = "as they lie"  # the kind of change that is none

_MODULE = "python -m sebre.trials."
_COPIED, _CHANGED, _UNLABELED = "copied_labels", "changed_sections", "unlabeled_scans"
# What makes the files of other folders again.
_ALL_MASKS = "`sebre evaluate`, of a set prepared with --smallest 1"
_UNSEEN = "`sebre evaluate`, of a network that has not learned from the set, or its ages"
_NEEDED = {
    _CHANGED: ("experiment", "dataset", "network", "weights", "command", "kinds"),
    _UNLABELED: ("experiment", "dataset", "weights", "command", "scans"),
}


@dataclass(frozen=True)
class Trials:
    """All trials of a folder of results.

    Attributes:
        copied: labels of the most similar training section, by name of the data set.
        changed: networks on changed sections, in the order of the files.
        scans: networks on scans of other sources, with labels of other definitions.
        unlabeled: the same without labels of the regions.
        all_masks: networks on test parts that keep the smallest masks.
        unseen: networks on ages or modalities that they have not learned from, and labels copied
            from the one age.
        pictures: captions by name of the file, of pictures that show single sections.
    """

    copied: Mapping[str, Result] = field(default_factory=dict)
    changed: Sequence[Mapping[str, Any]] = ()
    scans: Sequence[Result] = ()
    unlabeled: Sequence[Mapping[str, Any]] = ()
    all_masks: Sequence[Result] = ()
    unseen: Sequence[Result] = ()
    pictures: Mapping[str, str] = field(default_factory=dict)


def read_trials(folder: str | Path) -> tuple[Trials, tuple[str, ...]]:
    """Trials of a folder of results, and what is wrong with which file."""
    folder, problems = Path(folder), []
    copied = _evaluations(folder / COPIED_FOLDER, _MODULE + _COPIED, problems)
    changed = _plain(folder / CHANGED_FOLDER, _CHANGED, problems)
    scans = _evaluations(folder / SCANS_FOLDER, _MODULE + "labeled_scans", problems)
    unlabeled = _plain(folder / SCANS_FOLDER, _UNLABELED, problems)
    all_masks = _evaluations(folder / ALL_MASKS_FOLDER, _ALL_MASKS, problems)
    unseen = _evaluations(folder / UNSEEN_FOLDER, _UNSEEN, problems)
    pictures = folder / PICTURES_FOLDER / "captions.json"
    captions: dict[str, str] = {}
    if pictures.is_file():
        captions = json.loads(pictures.read_text(encoding="utf-8"))
    found = Trials(
        {result.record.dataset: result for result in copied},
        tuple(changed),
        tuple(sorted(scans, key=_place)),
        tuple(unlabeled),
        tuple(sorted(all_masks, key=_place)),
        tuple(sorted(unseen, key=_place)),
        {name: text for name, text in captions.items() if (pictures.parent / name).is_file()},
    )
    return found, tuple(problems)


def _place(scan: Result) -> tuple[str, float]:
    return scan.record.dataset, scan.record.detection_min_confidence or 0.0


def _read(path: Path, problems: list[str], command: str) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        problems.append(f"{path}: it cannot be read as JSON ({error}). {_cure(command)}")
        return None


def _evaluations(folder: Path, command: str, problems: list[str]) -> list[Result]:
    """Records of the form of `sebre evaluate`."""
    found = []
    for path in visible(folder, "*.json") if folder.is_dir() else ():
        content = _read(path, problems, command)
        if content is None or "trial" in content:
            continue
        try:
            found.append(Result(path.stem, Evaluation.from_json(content)))
        except RecordFault as error:
            problems.append(f"{path}: not a whole record of scores: {error}. {_cure(command)}")
    return found


def _plain(folder: Path, module: str, problems: list[str]) -> list[dict[str, Any]]:
    """Records of a trial of its own."""
    found = []
    for path in visible(folder, "*.json") if folder.is_dir() else ():
        content = _read(path, problems, _MODULE + module)
        if content is None or content.get("trial") != module.replace("_", " "):
            continue
        if lacks := [key for key in _NEEDED[module] if key not in content]:
            problems.append(f"{path}: it lacks {', '.join(lacks)}. {_cure(_MODULE + module)}")
        else:
            found.append(content)
    return found


def _cure(command: str) -> str:
    return f"Make it again: {command}"
