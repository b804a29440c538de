"""A record as a table on the terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from sebre.bench.measurements import SAME, Change
from sebre.bench.targets import Finding
from sebre.bench.worker import MEASURED

_HEADER = (
    f"{'case':32} {'ratio':>8} {'quartiles':>17} {'n':>3} {'s':>8} {'R, s':>7} "
    f"{'GFLOP/s':>8} {'first, s':>8} {'peak MiB':>8}"
)


def header(compared: bool = False) -> str:
    """The names of the columns."""
    return _HEADER + (f" {'before':>8} {'change':>7}" if compared else "")


def row(entry: Mapping[str, Any], change: Change | None = None) -> str:
    """An entry as a line, with its change if there is one."""
    if entry["status"] != MEASURED:
        return f"{entry['name']:32} {entry['status']}: {entry['reason']}"
    quartiles = f"{entry['q1']:.3f} - {entry['q3']:.3f}"
    text = (
        f"{entry['name']:32} {entry['ratio']:8.3f} {quartiles:>17} {entry['n']:3d} "
        f"{_number(entry.get('seconds'), 3):>8} {_number(entry.get('r_seconds'), 3):>7} "
        f"{_number(entry.get('gflops'), 0):>8} {_number(entry.get('first_call_s'), 1):>8} "
        f"{_number(entry.get('peak_mib'), 0):>8}"
    )
    if change is None:
        return text
    verdict = "" if change.verdict == SAME else change.verdict
    return f"{text} {change.before:8.3f} {change.change:+7.1%} {verdict}".rstrip()


def targets(found: Iterable[Finding]) -> str:
    """Lines that say which targets are reached; those without a measurement are left out."""
    return "\n".join(
        f"{f.target.text}: {f.value:.3f}, at most {f.target.limit:g} {f.target.unit}".rstrip()
        + f": {f.verdict}"
        for f in found
        if f.value is not None
    )


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
