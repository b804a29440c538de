"""The targets of the benchmark, and whether a record reaches them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sebre.bench.cases.catalogue import WAYS
from sebre.bench.measurements import Entry, Record
from sebre.bench.timing import slope
from sebre.bench.ways import TIMED
from sebre.bench.work_limit import over_limit

SIDES = "side/"
# A value with its quartiles, which may be unknown.
_Value = tuple[float, float | None, float | None]


def in_units(entry: Entry) -> _Value:
    """An entry's own ratio."""
    return entry.ratio, entry.q1, entry.q3


def beside_peer(entry: Entry) -> _Value | None:
    """Its time divided by the peer's."""
    return entry.peer and (entry.peer.ratio, entry.peer.q1, entry.peer.q3)


def beside_limit(entry: Entry) -> _Value | None:
    """Its time divided by the least one."""
    value = over_limit(entry)
    return value and (value, None, None)


@dataclass(frozen=True)
class Target:
    """An upper limit."""

    text: str  # what of
    limit: float  # the most that it may be
    unit: str  # empty for a plain number
    cases: Sequence[str]  # names; of those measured, the worst counts
    measure: Callable[[Entry], _Value | None] = in_units
    best: bool = False  # the best counts instead
    keeps: str = ""  # kind of networks whose scores a case must keep to count


@dataclass(frozen=True)
class Finding:
    """A target, and what was measured in the case that counts, with its quartiles."""

    target: Target
    case: str = ""
    value: float | None = None  # None when nothing was measured
    q1: float | None = None
    q3: float | None = None
    of: int = 0  # how many cases of the target were measured
    reason: str = "not measured"  # why there is no value

    @property
    def verdict(self) -> str:
        """In words."""
        if self.value is None:
            return self.reason
        excess = self.value / self.target.limit - 1
        if excess > 0:
            return f"missed by {excess:.0%}"
        asked = len(self.target.cases)
        part = self.of < asked and not self.target.best
        return f"reached in {self.of} of {asked} cases" if part else "reached"


REFERENCE = "detect/float32"
SCORE_LIMIT = 0.002  # mAP and Dice; on two data sets
_SETS = 2
_PEER = "x torchvision"
_STEP = "training step, all layers, resnet101, 384 px, 1 and 4 sections"
# Ways that pad would stand beside a torchvision that pads.
_UNPADDED = [f"detect/{name}" for name, (_, way) in WAYS.items() if "IMAGE_RESIZE_MODE" in way]
TARGETS = (
    Target(
        "detect, float32, padded to a square and not",
        0.95,
        _PEER,
        [REFERENCE, "detect/fit64"],
        beside_peer,
    ),
    Target(
        "detect, bfloat16, padded to a square and not",
        0.85,
        _PEER,
        ["detect/bfloat16", "detect/bfloat16_fit64"],
        beside_peer,
    ),
    *(
        Target(
            f"detect, the fastest way that changes no score of {kind} by {SCORE_LIMIT}, not padded",
            0.45,
            f"{_PEER} in float32",
            _UNPADDED,
            beside_peer,
            best=True,
            keeps=kind,
        )
        for kind in ("smaller networks", TIMED)
    ),
    Target(
        "detect, bfloat16, against its products alone, padded to a square and not",
        1.5,
        "x the limit",
        ["detect/bfloat16", "detect/bfloat16_fit64"],
        beside_limit,
    ),
    *(
        Target(
            f"{_STEP}, {precision}",
            1.0,
            _PEER,
            [f"train/384_{precision}", f"train/384_{precision}_batch_4"],
            beside_peer,
        )
        for precision in ("float32", "bfloat16")
    ),
    *(
        Target(
            f"step with files of 7000 x 7000 px to step with one batch repeated, {precision}",
            1.05,
            "",
            [f"feed/7000_{precision}/cached"],
        )
        for precision in ("float32", "bfloat16")
    ),
    Target("memory after 2,000 detections to memory after 20", 1.05, "", ["memory/resnet18/2000"]),
)
LINEAR = Target("exponent of the cost in pixels (1 is linear)", 1.05, "", [SIDES])


def findings(record: Record) -> list[Finding]:
    """Every target with what the record has for it."""
    found = [_finding(record, target) for target in TARGETS]
    if len(points := sides(record)) > 1:
        value = slope([side**2 for side in points], [e.ratio for e in points.values()])
        return [*found, Finding(LINEAR, f"{SIDES}*", value, of=1)]
    return [*found, Finding(LINEAR)]


def _finding(record: Record, target: Target) -> Finding:
    """A target, held against those of its cases that count."""
    there = [record.measured[name] for name in target.cases if name in record.measured]
    if target.keeps:
        there = [entry for entry in there if _may_be_fastest(record, entry, target.keeps)]
    values = [(*value, entry.name) for entry in there if (value := target.measure(entry))]
    if values:
        *value, name = (min if target.best else max)(values, key=lambda value: value[0])
        return Finding(target, name, *value, of=len(values))
    if target.keeps and _changes(record, target.keeps):
        return Finding(target, reason="missed: no way keeps the scores")
    return Finding(target)


def _may_be_fastest(record: Record, entry: Entry, kind: str) -> bool:
    """Whether a way stands beside a peer in float32, and is known to change no score of networks of
    a kind; two data sets say so."""
    changes = _changes(record, kind).get(entry.name.partition("/")[2], [])
    keeps = len(changes) >= _SETS and max(changes) < SCORE_LIMIT
    return keeps and entry.peer is not None and entry.peer.precision == "float32"


def _changes(record: Record, kind: str) -> dict[str, list[float]]:
    """Changes of scores of the networks of a kind, by way."""
    found: dict[str, list[float]] = {}
    for name, entry in record.measured.items():
        if entry.kind == "accuracy" and (entry.network == TIMED) == (kind == TIMED):
            found.setdefault(name.rpartition("/")[2], []).append(entry.ratio)
    return found


def sides(record: Record) -> dict[int, Entry]:
    """Entries of `detect` by the side of the network's input in px, ascending."""
    entries = record.measured.items()
    found = {int(name.removeprefix(SIDES)): e for name, e in entries if name.startswith(SIDES)}
    return dict(sorted(found.items()))
