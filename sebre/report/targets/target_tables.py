"""Targets as tables: met, missed by how much, not measured; and what was tried where missed."""

import math
from collections.abc import Sequence

from sebre.report.markdown import NONE, Table, notes
from sebre.report.targets.target_measures import Measured, Sources, measured
from sebre.report.targets.target_rows import Target, Way, read_targets, read_ways
from sebre.report.trials.stand_in_rule import leaking_atlases

MET, MISSED, NOT_MEASURED, TOO_FEW = "met", "missed", "not measured", "too few to tell"
_WAYS = 3  # that a missed target should have


def target_tables(
    sources: Sources, targets: Sequence[Target] | None = None, ways: Sequence[Way] | None = None
) -> tuple[Table, ...]:
    """The targets; ways that were tried where one is missed; and those that nothing answers.

    Without rows where no result that a target names is there. `targets` and `ways` are those of
    the package by default.
    """
    targets = read_targets() if targets is None else targets
    ways = read_ways() if ways is None else ways
    found = [(target, measured(target, target.file, sources)) for target in targets]
    if all(value is None for _, value in found):
        return ()
    return (_targets(found, sources), _tried(found, ways, sources), _unanswered(found))


def verdict(target: Target, found: Measured | None) -> str:
    """MET, MISSED by how much, what the target allows otherwise, TOO_FEW or NOT_MEASURED."""
    if found is None:
        return NOT_MEASURED
    short = target.short_of(found.value)
    if short <= 0:
        return TOO_FEW if found.too_few else MET
    if math.isinf(short):
        return MISSED
    by = f"{short:.{found.digits}f}"
    if not float(by):  # missed by less than the digits show
        by = f"{short:.1g}"
    return f"{target.otherwise}, {by} short" if target.otherwise else f"{MISSED} by {by}"


def _targets(found: Sequence[tuple[Target, Measured | None]], sources: Sources) -> Table:
    rows, strict_verdicts = [], []
    for target, value in found:
        strict = measured(target, target.strict_file, sources)
        at_paper = f"{strict.text}: {verdict(target, strict)}" if strict else NONE
        if strict:
            strict_verdicts.append(verdict(target, strict))
        text, n, file = (value.text, value.n, target.file) if value else (NONE,) * 3
        rows.append((target.name, target.wanted, text, verdict(target, value), at_paper, n, file))
    header = ("target", "wanted", "ours", "verdict", "at 0.9", "n", "file")
    said = [row[3] for row in rows]
    below = notes("targets", counts=_counts(said), strict=_counts(strict_verdicts))
    leaks = {
        target.data: ", ".join(leaking_atlases(result))
        for target, _ in found
        if (result := sources.results.get(target.file)) and leaking_atlases(result)
    }
    if leaks:
        below += notes("target_leaks", data="; ".join(f"{k} ({v})" for k, v in leaks.items()))
    return Table("Targets", header, tuple(rows), notes=below)


def _counts(verdicts: Sequence[str]) -> str:
    """How many verdicts are of which kind, in words."""
    known = (MET, MISSED, TOO_FEW, NOT_MEASURED)
    kinds = {kind: sum(v.startswith(kind) for v in verdicts) for kind in known}
    kinds["otherwise as the target allows"] = len(verdicts) - sum(kinds.values())
    return ", ".join(f"{n} {kind}" for kind, n in kinds.items() if n) + f" of {len(verdicts)}"


def _tried(
    found: Sequence[tuple[Target, Measured | None]], ways: Sequence[Way], sources: Sources
) -> Table:
    rows, few = [], []
    for target, value in found:
        if not verdict(target, value).startswith(MISSED):
            continue
        tried = 0
        for way in (way for way in ways if way.ways == target.ways):
            got = measured(target, way.file, sources)
            if way.file and got is None:  # its result does not measure this
                continue
            tried += 1
            said = (got.text, verdict(target, got)) if got else (NONE, NONE)
            rows.append((target.name, way.link, *said))
        if tried < _WAYS:
            few.append(f"{target.name} ({tried or 'none'})")
    header = ("missed target", "way", "then", "verdict")
    below = notes("ways", least=_WAYS) if rows else ()
    below += notes("few_ways", least=_WAYS, few="; ".join(few)) if few else ()
    return Table("What was tried where a target is missed", header, tuple(rows), notes=below)


def _unanswered(found: Sequence[tuple[Target, Measured | None]]) -> Table:
    rows = tuple(
        (target.name, target.wanted, target.why_not or f"results/{target.file} is not there")
        for target, value in found
        if value is None
    )
    return Table("Targets that no result answers", ("target", "wanted", "why"), rows)
