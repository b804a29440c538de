"""The targets of the benchmark, and whether a record reaches them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sebre.bench.cases.catalogue import WAYS
from sebre.bench.measurements import Entry, Record
from sebre.bench.timing import slope

SIDES = "side/"


@dataclass(frozen=True)
class Target:
    """An upper limit."""

    text: str  # what of
    limit: float  # the most that it may be
    unit: str  # empty for a plain number
    cases: Sequence[str]  # names; the best of those measured counts


@dataclass(frozen=True)
class Finding:
    """A target and what was measured, with its quartiles."""

    target: Target
    case: str = ""  # that counts
    value: float | None = None  # None when nothing was measured
    q1: float | None = None
    q3: float | None = None

    @property
    def verdict(self) -> str:
        """In words."""
        if self.value is None:
            return "not measured"
        excess = self.value / self.target.limit - 1
        return "reached" if excess <= 0 else f"missed by {excess:.0%}"


REFERENCE = "detect/float32"
SCORE_LIMIT = 0.002  # mAP and Dice; on two data sets
_SETS = 2
_STEP = "training step, all layers, resnet101, 384 px"
_FASTEST = Target(
    f"detect, the fastest way that changes no score by {SCORE_LIMIT}",
    0.55,
    "R",
    [REFERENCE, *(f"detect/{name}" for name in WAYS)],
)
TARGETS = (
    Target("detect, float32, as the reference", 1.75, "R", [REFERENCE]),
    Target("detect, bfloat16", 0.85, "R", ["detect/bfloat16"]),
    _FASTEST,
    Target(f"{_STEP}, float32", 5.0, "R", ["train/384_float32"]),
    Target(f"{_STEP}, bfloat16", 3.0, "R", ["train/384_bfloat16"]),
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
    entries = record.measured
    found = []
    for target in TARGETS:
        there = [entries[name] for name in target.cases if name in entries]
        if target is _FASTEST:
            there = [entry for entry in there if keeps_scores(record, entry.name)]
        best = min(there, key=lambda entry: entry.ratio, default=None)
        known = () if best is None else (best.name, best.ratio, best.q1, best.q3)
        found.append(Finding(target, *known))
    if len(points := sides(record)) > 1:
        value = slope([side**2 for side in points], [e.ratio for e in points.values()])
        return [*found, Finding(LINEAR, f"{SIDES}*", value)]
    return [*found, Finding(LINEAR)]


def keeps_scores(record: Record, name: str) -> bool:
    """Whether a way to detect, "detect/...", is known to change no score; two data sets say so."""
    way = name.partition("/")[2]
    changes = [
        entry.ratio
        for entry in record.measured.values()
        if entry.kind == "accuracy" and entry.name.endswith(f"/{way}")
    ]
    return name == REFERENCE or (len(changes) >= _SETS and max(changes) < SCORE_LIMIT)


def sides(record: Record) -> dict[int, Entry]:
    """Entries of `detect` by the side of the network's input in px, ascending."""
    entries = record.measured.items()
    found = {int(name.removeprefix(SIDES)): e for name, e in entries if name.startswith(SIDES)}
    return dict(sorted(found.items()))
