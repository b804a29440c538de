"""The entries of a record as tables, on the terminal and in PERFORMANCE.md."""

from collections.abc import Iterable, Sequence

from sebre.bench.measurements import MEASURED, SAME, Change, Entry
from sebre.bench.peer import NAME as PEER
from sebre.bench.targets import SCORE_LIMIT, Finding
from sebre.bench.work_limit import over_limit
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

_BESIDE_PEER, _BESIDE_LIMIT = f"divided by {PEER} [quartiles]", "divided by the limit"
# Columns that are there even if all cells lack: what is not measured shall be seen.
_ALWAYS = {"detect": (_BESIDE_PEER, _BESIDE_LIMIT), "train": (_BESIDE_PEER,)}


def line(entry: Entry, change: Change | None = None) -> str:
    """An entry in words, with its change if there is one."""
    if entry.status != MEASURED:
        return f"{entry.name}: {entry.status}: {entry.reason}"
    ratio = _with_quartiles(entry.ratio, entry.q1, entry.q3)
    text = f"{entry.name}: {ratio} {entry.unit}, {entry.n} rounds"
    if entry.peer:
        text += f"; {_beside_peer(entry)} x {PEER} in {entry.peer.precision}"
    elif entry.peer_reason:
        text += f"; no {PEER}: {entry.peer_reason}"
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


def _beside_peer(entry: Entry) -> str:
    peer = entry.peer
    return NONE if peer is None else _with_quartiles(peer.ratio, peer.q1, peer.q3)


def group_table(group: str, entries: Sequence[Entry]) -> Table:
    """The measured entries of a group, a name of GROUPS; a column that all lack is left out, unless
    a reader expects it."""
    if group == "accuracy":
        return _accuracy(entries)
    columns = {
        "case": [entry.name for entry in entries],
        "what": [_what(entry) for entry in entries],
        f"in units of {entries[0].unit} [quartiles]": [
            _with_quartiles(entry.ratio, entry.q1, entry.q3) for entry in entries
        ],
        _BESIDE_PEER: [_beside_peer(entry) for entry in entries],
        _BESIDE_LIMIT: [number(over_limit(entry), 2) for entry in entries],
        "rounds": [str(entry.n) for entry in entries],
        "s": [number(entry.seconds) for entry in entries],
        "sections/s": [
            number(1 / entry.seconds if group == "input" else None, 1) for entry in entries
        ],
        "first call, s": [number(entry.first_call_s, 1) for entry in entries],
        "peak memory, MiB": [number(entry.peak_mib, 0) for entry in entries],
        "resident, MiB": [number(entry.resident_mib, 0) for entry in entries],
    }
    always = _ALWAYS.get(group, ())
    kept = {
        name: cells for name, cells in columns.items() if name in always or set(cells) != {NONE}
    }
    notes = tuple(dict.fromkeys(entry.note for entry in entries if entry.note))
    rows = tuple(zip(*kept.values(), strict=True))
    return Table(GROUPS.get(group, group), tuple(kept), rows, notes=notes)


def _accuracy(entries: Sequence[Entry]) -> Table:
    """What each way changes in the scores of every network, a row for a way."""
    names = [entry.name.split("/") for entry in entries]
    networks = list(dict.fromkeys(network for _, network, _ in names))
    rows = []
    for way in dict.fromkeys(way for *_, way in names):
        found = {n: e for e, (_, n, w) in zip(entries, names, strict=True) if w == way}
        holds = all(entry.ratio < SCORE_LIMIT for entry in found.values())
        cells = [way]
        for network in networks:
            e = found.get(network)
            scores = e and ((e.map, e.map_before), (e.dice, e.dice_before))
            cells += [f"{now - before:+.4f}" for now, before in scores] if e else [NONE, NONE]
        rows.append((*cells, "holds" if holds else "does not hold"))
    header = ["way"]
    for network in networks:
        e = next(e for e, (_, n, _) in zip(entries, names, strict=True) if n == network)
        before = f"{network}, {e.sections} sections"
        header += [f"{before}: mAP {e.map_before:.4f}", f"mean Dice {e.dice_before:.4f}"]
    note = f"A way holds when no score changes by {SCORE_LIMIT} or more."
    return Table(GROUPS["accuracy"], (*header, "verdict"), tuple(rows), notes=(note,))


def _what(entry: Entry) -> str:
    facts = [entry.epoch, entry.format if entry.kind == "input" else None]
    size = entry.image_px
    if entry.kind == "detect" and size:
        facts.append(f"section of {size[0]} x {size[1]} px")
    return ", ".join([entry.title, *filter(None, facts)])
