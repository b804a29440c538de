"""What stand-in data may say of a number or a statement of the paper: the one rule for all.

The rule was written down before any verdict was computed by it. `RULE` says it in words, which the
page shows; `sebre.report.claims` and `sebre.report.statements` apply it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from sebre.data.csv_tables import read_rows
from sebre.evaluation.bootstrap import paired_difference
from sebre.evaluation.scores import Interval
from sebre.networks.weights_store import read_manifest
from sebre.report.details import FEW_UNITS
from sebre.report.markdown import notes
from sebre.report.records import CUT_OFF, Result
from sebre.report.tables import split_of

CONSISTENT, NOT, OPEN = "consistent", "not", "open"
CLOSE = 0.05  # share of a published number, or of a score to compare with, that counts as reached
MARGIN = 0.10  # mean Dice that a network must be above copied labels

LEAKS, COPIED, FEW = "leak", "copied labels do nearly as well", f"fewer than {FEW_UNITS} units"

_PARTS = Path(__file__).parents[1] / "test_parts.csv"


def rule() -> tuple[str, ...]:
    """The rule in words, with its numbers."""
    values = {"share": 100 * CLOSE, "least": FEW_UNITS, "margin": MARGIN, "cut_off": CUT_OFF}
    words = {"consistent": CONSISTENT, "against": NOT, "open": OPEN}
    return notes("stand_in_rule", "stand_in_sets", "stand_in_leaks", **values, **words)


def leaking_atlases(result: Result) -> list[str]:
    """Atlases that label the test set and that the training part of the network holds."""
    atlases = _atlases()
    entry = read_manifest().get(result.record.weights or "", {})
    trained = entry.get("dataset") or result.record.dataset
    labeled = atlases.get(result.record.dataset, {}).get("labeled_by", set())
    return sorted(labeled & atlases.get(trained, {}).get("holds", set()))


def above_copied(
    result: Result, copied: Mapping[str, Result], key: str = "dice"
) -> tuple[float, Interval | None, int] | None:
    """Mean Dice of a network minus that of copied labels, on the same sections.

    Returns:
        The difference, its 95 % interval (None with fewer than FEW_UNITS units) and the number of
        sections; None without copied labels of the same split.
    """
    other = copied.get(result.record.dataset)
    if other is None or split_of(other)["rule"] != split_of(result)["rule"]:
        return None
    theirs = {section.section: section for section in other.record.sections}
    mine = [s for s in result.record.sections if s.section in theirs]
    both = [theirs[section.section] for section in mine]
    # Turned around, as the units are those of the first, and older records have none.
    difference = paired_difference(both, mine, key)
    if difference is None:
        return None
    above = -difference
    return above.value, above.interval if above.n_units >= FEW_UNITS else None, len(mine)


def excuse(result: Result, copied: Mapping[str, Result]) -> str:
    """Why a test set may decide nothing: LEAKS, FEW or COPIED; empty where it may."""
    if leaking_atlases(result):
        return LEAKS
    if (result.at().n_interval_units or 0) < FEW_UNITS:
        return FEW
    above = above_copied(result, copied)
    return COPIED if above is not None and above[0] < MARGIN else ""


def judged(value: float | None, interval: Interval | None, published: float) -> str:
    """Verdict on a score of ours, the higher the better, that stands in for a published one."""
    if value is None or interval is None:
        return OPEN
    reached = (1 - CLOSE) * published
    if interval[0] >= reached:
        return CONSISTENT
    return NOT if interval[1] < reached else OPEN


def kept(value: float, before: float) -> str:
    """Verdict on a score that something must not lower."""
    return CONSISTENT if value >= (1 - CLOSE) * before else NOT


def combined(verdicts: Iterable[str]) -> str:
    """One verdict of those of several test sets."""
    verdicts = set(verdicts)
    if NOT in verdicts:
        return NOT
    return CONSISTENT if CONSISTENT in verdicts else OPEN


def _atlases() -> dict[str, dict[str, set[str]]]:
    """Atlases that label a data set, and those that its training part holds, by its name."""
    return {
        row["data"]: {
            key: set(filter(None, row[key].split("; "))) for key in ("labeled_by", "holds")
        }
        for row in read_rows(_PARTS)[1]
    }
