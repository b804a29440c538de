"""Records of `python -m sebre.bench`: their form on disk, and one held against an earlier one."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from sebre.evaluation.stored import RecordFault, Stored

FORMAT = 1
MEASURED, NOT_AVAILABLE, FAILED = "measured", "not available", "failed"
TOLERANCE = 0.15
SLOWER, FASTER, SAME = "slower", "faster", "same"
_CURE = "Give a file that `python -m sebre.bench --out FILE.json` wrote."


@dataclass(kw_only=True)
class Entry(Stored):
    """What one case, or one of its tasks, gave. Further facts of its kind are kept.

    Attributes:
        name: of the case, and of the task after a slash.
        kind: of measurement, a name of `sebre.bench.worker.KINDS`.
        title: in words.
        note: what a reader must know.
        unit: what the ratio is to.
        status: MEASURED, NOT_AVAILABLE or FAILED.
        reason: why it is not measured.
        ratio, q1, q3: with quartiles; of `accuracy` the larger change of the two scores.
        n: rounds.
        seconds, r_seconds: medians of the rounds and of the reference around them.
        gflops: GFLOP/s of the matrix product.
        first_call_s: seconds of the first call, which compiles.
        peak_mib, resident_mib: memory of the process.
        image_px: height and width of the section.
        epoch, format: what was read.
        sections: whose scores were compared: map, dice, and both before.
    """

    name: str
    kind: str
    title: str
    unit: str
    status: str
    note: str = ""
    reason: str = ""
    ratio: float | None = None
    q1: float | None = None
    q3: float | None = None
    n: int | None = None
    seconds: float | None = None
    r_seconds: float | None = None
    gflops: float | None = None
    first_call_s: float | None = None
    peak_mib: float | None = None
    resident_mib: float | None = None
    image_px: list[int] | None = None
    epoch: str | None = None
    format: str | None = None
    sections: int | None = None
    map: float | None = None
    map_before: float | None = None
    dice: float | None = None
    dice_before: float | None = None

    def __post_init__(self):
        if self.status != MEASURED and not self.reason:
            raise RecordFault(f"{self.name} is not measured, and no reason is given")
        if self.status == MEASURED and None in (self.ratio, self.q1, self.q3, self.n):
            raise RecordFault(f"{self.name} is measured, and lacks ratio, q1, q3 or n")


@dataclass(kw_only=True)
class Record(Stored):
    """A run of the benchmark.

    Attributes:
        format: FORMAT.
        command: how to repeat it.
        seed: of weights and pictures.
        rounds: of each case, unless it allows fewer.
        machine: see `sebre.bench.machine.facts`.
        cases: what came out, in the order of the run.
    """

    format: int = FORMAT
    command: str = ""
    seed: int
    rounds: int
    machine: dict[str, Any]
    cases: list[Entry]

    @property
    def measured(self) -> dict[str, Entry]:
        """Entries with a result, by name."""
        return {entry.name: entry for entry in self.cases if entry.status == MEASURED}


def read_record(path: str | Path) -> Record:
    """A record that `--out` wrote.

    Raises:
        ValueError: the file is damaged, or not one of `python -m sebre.bench`.
        OSError: it cannot be read.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        found = value.get("format") if isinstance(value, dict) else type(value).__name__
        if found != FORMAT:
            raise RecordFault(f"not a benchmark of format {FORMAT}, but {found!r}")
        return Record.from_json(value)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: {error}. {_CURE}") from error


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


def compare(entry: Entry, baseline: Record, tolerance: float = TOLERANCE) -> Change | None:
    """Hold an entry against the one of the same name in an earlier record.

    Args:
        entry: of this record.
        baseline: the earlier record.
        tolerance: relative change that still counts as none.

    Returns:
        None when one of the two is not measured, or the unit has changed; and for changes of
        scores, which are no costs.
    """
    earlier = baseline.measured.get(entry.name)
    if entry.status != MEASURED or earlier is None or earlier.unit != entry.unit:
        return None
    if entry.kind == "accuracy":
        return None
    now, before = entry.ratio, earlier.ratio
    change = now / before - 1
    verdict = SAME
    if change > tolerance and now > earlier.q3 and before < entry.q1:
        verdict = SLOWER
    elif change < -tolerance and now < earlier.q1 and before > entry.q3:
        verdict = FASTER
    return Change(before, change, verdict)
