"""What `sebre check` finds, and the text that it prints."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_SHOWN = 5  # findings of one kind that are written out


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    An "error" is what cannot be used as it is, a "warning" what is probably not meant, a "note"
    what is good to know. Those of one kind are printed together.
    """

    severity: Severity
    kind: str
    path: Path  # file or folder
    problem: str  # what is wrong, or how it is
    cure: str = ""  # how to mend it; empty if nothing needs to be done


def render(findings: Sequence[Finding], root: Path) -> str:
    """Findings as text, errors first, the first few of each kind; paths are relative to `root`."""

    def rank(finding: Finding) -> tuple[int, str]:
        return SEVERITIES.index(finding.severity), finding.kind

    lines = []
    for (level, kind), group in groupby(sorted(findings, key=rank), rank):
        same = list(group)
        lines.append(f"{SEVERITIES[level]}: {kind} ({len(same)})")
        for finding in same[:_SHOWN]:
            inside = finding.path != root and finding.path.is_relative_to(root)
            path = finding.path.relative_to(root) if inside else finding.path
            lines.append(f"  {path.as_posix()}: {finding.problem} {finding.cure}".rstrip())
        if len(same) > _SHOWN:
            lines.append(f"  ... and {len(same) - _SHOWN} more")
    counts = [sum(f.severity == severity for f in findings) for severity in SEVERITIES]
    lines.append("{} error(s), {} warning(s), {} note(s)".format(*counts))
    return "\n".join(lines)
