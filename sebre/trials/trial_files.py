"""Files of trials: JSON objects that say what trial they are of, and never replace other files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrcnn.io.own_files import demand_own, replace_own_text

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
