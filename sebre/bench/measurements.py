"""Records of `python -m sebre.bench`: read, looked up, and held against an earlier one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from sebre.bench.run import FORMAT
from sebre.bench.worker import MEASURED

TOLERANCE = 0.15
SLOWER, FASTER, SAME = "slower", "faster", "same"


def read_record(path: str | Path) -> dict[str, Any]:
    """A record that `--out` wrote.

    Raises:
        ValueError: the file is damaged, or none of `python -m sebre.bench`.
        OSError: it cannot be read.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}). {_CURE}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise UserError(f"{path}: not a benchmark of format {FORMAT}, but {found!r}. {_CURE}")
    fault = _fault(record)
    if fault:
        raise UserError(f"{path}: {fault}. {_CURE}")
    return record


_CURE = "Give a file that `python -m sebre.bench --out FILE.json` wrote."
_NUMBERS = ("ratio", "q1", "q3", "n")


def _fault(record: Mapping[str, Any]) -> str:
    """What is wrong with a record; empty if nothing is."""
    if not isinstance(record.get("machine"), dict) or not isinstance(record.get("cases"), list):
        return "machine or cases are missing"
    for entry in record["cases"]:
        if (
            not isinstance(entry, dict)
            or not {"name", "kind", "status", "unit", "title"} <= entry.keys()
        ):
            return "a case lacks its name, kind, title, unit or status"
        if entry["status"] == MEASURED:
            for key in _NUMBERS:
                if not isinstance(entry.get(key), int | float):
                    return f"{entry['name']} has no number under {key}"
        elif not isinstance(entry.get("reason"), str):
            return f"{entry['name']} is not measured, and no reason is given"
    return ""


def measured(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Entries with a result, by name."""
    return {entry["name"]: entry for entry in record["cases"] if entry["status"] == MEASURED}


@dataclass(frozen=True)
class Change:
    """An entry against that of an earlier record.

    Attributes:
        before: the earlier ratio.
        change: relative, above 0 is slower.
        verdict: SLOWER or FASTER when it is more than the tolerance and the quartiles of
            neither reach the ratio of the other; else SAME.
    """

    before: float
    change: float
    verdict: str


def compare(
    entry: Mapping[str, Any], baseline: Mapping[str, Any], tolerance: float = TOLERANCE
) -> Change | None:
    """Hold an entry against the one of the same name in an earlier record.

    Args:
        entry: of this record.
        baseline: the earlier record.
        tolerance: relative change that is none.

    Returns:
        None when one of both is not measured, or the unit has changed; and for changes of
        scores, which are no costs.
    """
    earlier = measured(baseline).get(entry["name"])
    if entry["status"] != MEASURED or earlier is None or earlier["unit"] != entry["unit"]:
        return None
    if entry["kind"] == "accuracy":
        return None
    now, before = entry["ratio"], earlier["ratio"]
    change = now / before - 1
    verdict = SAME
    if change > tolerance and now > earlier["q3"] and before < entry["q1"]:
        verdict = SLOWER
    elif change < -tolerance and now < earlier["q1"] and before > entry["q3"]:
        verdict = FASTER
    return Change(before, change, verdict)
