"""The entries of a record as tables, on the terminal and in PERFORMANCE.md."""

from collections.abc import Iterable, Sequence

from sebre.bench.measurements import MEASURED, SAME, Change, Entry
from sebre.bench.targets import SCORE_LIMIT, Finding
from sebre.report.markdown import NONE, Table, number, with_interval

GROUPS = {
    "detect": "Detection",
    "side": "Size of the input",
    "train": "Training step",
    "input": "Input of the training",
    "feed": "Does the input keep up?",
    "memory": "Memory",
    "accuracy": "Accuracy",
}


def line(entry: Entry, change: Change | None = None) -> str:
    """An entry in words, with its change if there is one."""
    if entry.status != MEASURED:
        return f"{entry.name}: {entry.status}: {entry.reason}"
    ratio = _with_quartiles(entry.ratio, entry.q1, entry.q3)
    text = f"{entry.name}: {ratio} {entry.unit}, {entry.n} rounds"
    if change is None:
        return text
    verdict = "" if change.verdict == SAME else change.verdict
    return f"{text}; before {change.before:.3f} {change.change:+.1%} {verdict}".rstrip()


def targets_table(found: Iterable[Finding]) -> Table:
    """Every target, what was measured for it, and the verdict."""
    rows = [
        (
            f.target.text,
            f"at most {f.target.limit:g} {f.target.unit}".strip(),
            NONE if f.value is None else _with_quartiles(f.value, f.q1, f.q3),
            f.case or NONE,
            f.verdict,
        )
        for f in found
    ]
    header = ("what", "target", "measured [quartiles]", "case", "verdict")
    return Table("Targets", header, tuple(rows))


def _with_quartiles(value: float, q1: float | None, q3: float | None) -> str:
    return with_interval(value, None if q1 is None or q1 == q3 else (q1, q3))


def group_table(group: str, entries: Sequence[Entry]) -> Table:
    """The measured entries of a group, a name of GROUPS; columns that all lack are left out."""
    if group == "accuracy":
        return _accuracy(entries)
    columns = {
        "case": [entry.name for entry in entries],
        "what": [_what(entry) for entry in entries],
        f"in units of {entries[0].unit} [quartiles]": [
            _with_quartiles(entry.ratio, entry.q1, entry.q3) for entry in entries
        ],
        "rounds": [str(entry.n) for entry in entries],
        "s": [number(entry.seconds) for entry in entries],
        "sections/s": [
            number(1 / entry.seconds if group == "input" else None, 1) for entry in entries
        ],
        "first call, s": [number(entry.first_call_s, 1) for entry in entries],
        "peak memory, MiB": [number(entry.peak_mib, 0) for entry in entries],
        "resident, MiB": [number(entry.resident_mib, 0) for entry in entries],
    }
    kept = {name: cells for name, cells in columns.items() if set(cells) != {NONE}}
    notes = tuple(dict.fromkeys(entry.note for entry in entries if entry.note))
    rows = tuple(zip(*kept.values(), strict=True))
    return Table(GROUPS.get(group, group), tuple(kept), rows, notes=notes)


def _accuracy(entries: Sequence[Entry]) -> Table:
    """Scores of each way beside those of the reference."""
    header = ("case", "sections", "mAP", "change", "mean Dice", "change", "verdict")
    rows = tuple(
        (
            e.name,
            str(e.sections),
            number(e.map, 4),
            f"{e.map - e.map_before:+.4f}",
            number(e.dice, 4),
            f"{e.dice - e.dice_before:+.4f}",
            "holds" if e.ratio < SCORE_LIMIT else "does not hold",
        )
        for e in entries
    )
    note = f"A way holds when both scores change by less than {SCORE_LIMIT}."
    return Table(GROUPS["accuracy"], header, rows, notes=(note,))


def _what(entry: Entry) -> str:
    facts = [entry.epoch, entry.format if entry.kind == "input" else None]
    size = entry.image_px
    if entry.kind == "detect" and size:
        facts.append(f"section of {size[0]} x {size[1]} px")
    return ", ".join([entry.title, *filter(None, facts)])
