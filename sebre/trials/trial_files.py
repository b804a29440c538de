"""Files of trials: JSON objects that say what trial they are of, and never replace other files; and
records as of `sebre evaluate`, of several networks."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mrcnn.io.own_files import demand_own, replace_own_text
from sebre.evaluation.evaluate import save_json
from sebre.evaluation.scores import Evaluation
from sebre.networks.weights_store import WeightsFile
from sebre.program import DONE, say

TRIAL = "trial"  # the key that tells these files from others


def save_trial(record: Mapping[str, Any], path: str | Path) -> None:
    """Write a record, whole or not at all."""
    replace_own_text(path, json.dumps(record, indent=1) + "\n", known=_is_trial)


def demand_trial_path(path: str | Path) -> None:
    """Raise a UserError unless a record can be written: it replaces nothing but another one."""
    demand_own([path], (), _is_trial)


def _is_trial(path: Path) -> bool:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and TRIAL in record


def joined_weights(files: Sequence[WeightsFile], labels: Sequence[str] = ()) -> WeightsFile:
    """The weights of several networks as one entry of a record, with what each is for where there
    are labels; its checksum is that of their checksums."""
    names = [one.name or one.path.name for one in files]
    if labels:
        names = [f"{label}: {name}" for label, name in zip(labels, names, strict=True)]
    digest = hashlib.sha256("".join(one.sha256 for one in files).encode()).hexdigest()
    return replace(files[0], name=", ".join(names), sha256=digest)


def save_scores(record: Evaluation, path: Path) -> int:
    """Write a record as of `sebre evaluate`, and say its means; returns the exit code."""
    save_json(record, path)
    say(f"Dice {record.scores.dice_mean:.3f}, mAP {record.scores.map_paper:.3f}: {path}")
    return DONE
