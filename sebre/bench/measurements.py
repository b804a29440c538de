"""Records of `python -m sebre.bench`: their form on disk, and one held against an earlier one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from sebre.evaluation.stored import RecordFault, Stored, stored

FORMAT = 1
MEASURED, NOT_AVAILABLE, FAILED = "measured", "not available", "failed"
TOLERANCE = 0.15
SLOWER, FASTER, SAME = "slower", "faster", "same"
_CURE = "Give a file that `python -m sebre.bench --out FILE.json` wrote."


@dataclass(kw_only=True)
class PeerEntry(Stored):
    """The peer's time for the same work, in the same rounds. Further facts of it are kept."""

    precision: str
    versions: dict[str, str]
    ratio: float  # our time divided by the peer's, of the medians
    q1: float  # quartiles of the rounds' ratios
    q3: float
    seconds: float  # of the peer, median


@dataclass(kw_only=True)
class Entry(Stored):
    """What one case, or one of its tasks, gave. Further facts of its kind are kept.

    For the first ones see `sebre.bench.cases.catalogue.Case`, for the numbers up to `r_seconds`
    `sebre.bench.timing.Ratio`; the ratio of `accuracy` is the larger change of the two scores.
    """

    name: str
    kind: str
    title: str
    unit: str
    status: str  # MEASURED, NOT_AVAILABLE or FAILED
    note: str = ""
    reason: str = ""  # why it is not measured
    ratio: float | None = None
    q1: float | None = None
    q3: float | None = None
    n: int | None = None
    seconds: float | None = None
    r_seconds: float | None = None
    gflops: float | None = None  # per second, of the matrix product in float32
    gflops_bfloat16: float | None = stored(omit=True, default=None)
    peer: PeerEntry | None = stored(omit=True, default=None)
    peer_reason: str = stored(omit=True, default="")  # why there is none
    first_call_s: float | None = None  # which compiles
    peak_mib: float | None = None
    resident_mib: float | None = None
    image_px: list[int] | None = None  # height and width of the section
    proposals: int | None = None  # that boxes are computed of
    epoch: str | None = None  # what was read
    format: str | None = None
    sections: int | None = None  # whose scores were compared
    network: str | None = stored(omit=True, default=None)  # the kind of the one that has them
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
    """A run of the benchmark; see `sebre.bench.run.run_cases`."""

    format: int = FORMAT
    command: str = ""
    seed: int
    rounds: int
    machine: dict[str, Any]  # `sebre.bench.machine.facts`
    cases: list[Entry]

    @property
    def measured(self) -> dict[str, Entry]:
        """Entries with a result, by name."""
        return {entry.name: entry for entry in self.cases if entry.status == MEASURED}


def joined(records: Sequence[Record]) -> Record:
    """The first record, with the cases of later ones added, or in place of those of their names."""
    cases = {entry.name: entry for record in records for entry in record.cases}
    return replace(records[0], cases=list(cases.values()))


def read_record(path: str | Path) -> Record:
    """A record that `--out` wrote."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        found = value.get("format") if isinstance(value, dict) else type(value).__name__
        if found != FORMAT:
            raise RecordFault(f"not a benchmark of format {FORMAT}, but {found!r}")
        return Record.from_json(value)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: {error}. {_CURE}") from error


def is_record(path: Path) -> bool:
    """Whether a file is a record that `read_record` reads."""
    try:
        read_record(path)
    except (OSError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class Change:
    """An entry against that of an earlier record."""

    before: float  # the earlier ratio
    change: float  # relative, above 0 is slower
    verdict: str  # SLOWER or FASTER beyond tolerance and quartiles of both, else SAME


def compare(entry: Entry, baseline: Record, tolerance: float = TOLERANCE) -> Change | None:
    """Hold an entry against the one of the same name in an earlier record.

    A relative change up to the tolerance counts as none. None when one of the two is not
    measured, or the unit has changed; and for changes of scores, which are no costs.
    """
    earlier = baseline.measured.get(entry.name)
    if entry.status != MEASURED or entry.kind == "accuracy":
        return None
    if earlier is None or earlier.unit != entry.unit:
        return None
    now, before = entry.ratio, earlier.ratio
    change = now / before - 1
    verdict = SAME
    if change > tolerance and now > earlier.q3 and before < entry.q1:
        verdict = SLOWER
    elif change < -tolerance and now < earlier.q1 and before > entry.q3:
        verdict = FASTER
    return Change(before, change, verdict)
