"""Leaks of a split: subjects and sections in both parts, which make scores look too good.

`sebre prepare` writes them to the card of a data set, `sebre check` warns of them.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

_NAMED = 5  # subjects that are named at most

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Audit:
    """Leaks between the training and the test part of a data set; None if not known."""

    subjects: tuple[str, ...] | None  # in both parts
    n_subjects: int  # of the test part
    sections: tuple[str, ...] | None  # source sections of which versions are in both parts
    n_sections: int  # source sections, before rotation, of the test part
    neighbors: int | None  # plates of the test part next to one of the same subject in training

    @property
    def clean(self) -> bool:
        """Whether subjects and sections are known, and none is in both parts."""
        return self.subjects == () and self.sections == ()

    def __str__(self) -> str:
        parts = []
        if self.sections is None:
            parts.append("source sections are not recorded")
        elif self.sections:
            parts.append(
                f"{len(self.sections)} of {self.n_sections} test sections have versions in training"
            )
        if self.subjects is None:
            parts.append("subjects are not recorded")
        elif self.subjects:
            named = ", ".join(self.subjects[:_NAMED])
            more = ", ..." if len(self.subjects) > _NAMED else ""
            parts.append(
                f"{len(self.subjects)} of {self.n_subjects} test subjects are in training too "
                f"({named}{more})"
            )
        if self.neighbors:
            parts.append(f"{self.neighbors} test plates lie next to a plate in training")
        return f"Leaks: {'; '.join(parts) or 'none, no subject and no section is in both parts'}."


def audit(rows: Sequence[Row]) -> Audit:
    """Look for what is in both parts of a prepared data set.

    Neighbors are plates of a subject whose numbers ("plate", else "slice") differ by one step;
    the step is the usual one of that subject, as sources may leave out every other plate.

    Args:
        rows: of sections.csv: "subset" ("train" is for training, all else is held out),
            "subject", "source_row", "plate" or "slice"; missing and empty cells are unknown.
    """
    train = [row for row in rows if row.get("subset") == "train"]
    test = [row for row in rows if row.get("subset") != "train"]
    subjects, n_subjects = _both(train, test, _subject)
    sections, n_sections = _both(train, test, _section)
    return Audit(
        subjects=None if subjects is None else tuple(sorted(map(str, subjects))),
        n_subjects=n_subjects,
        sections=None if sections is None else tuple(" ".join(filter(None, s)) for s in sections),
        n_sections=n_sections,
        neighbors=_neighbors(train, test),
    )


def _cell(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _subject(row: Row) -> str | None:
    return _cell(row, "subject") or None


def _section(row: Row) -> tuple[str, ...] | None:
    """What tells source sections apart: the row of the source, within a brain."""
    if not _cell(row, "source_row"):
        return None
    return tuple(_cell(row, c) for c in ("subject", "marker", "age", "source_row"))


def _plate(row: Row) -> float | None:
    try:
        return float(_cell(row, "plate") or _cell(row, "slice"))
    except ValueError:
        return None


def _both(
    train: Sequence[Row], test: Sequence[Row], key: Callable[[Row], Hashable | None]
) -> tuple[list | None, int]:
    """Keys of both parts (None: some are unknown), and how many the test part has."""
    seen = {key(row) for row in train}
    held = list(dict.fromkeys(key(row) for row in test))
    if train and test and (None in seen or None in held):
        return None, len(held)
    return [k for k in held if k in seen], len(held)


def _neighbors(train: Sequence[Row], test: Sequence[Row]) -> int | None:
    plates: dict[str, tuple[set[float], set[float]]] = {}
    for side, rows in enumerate((train, test)):
        for row in rows:
            subject, plate = _subject(row), _plate(row)
            if subject is None or plate is None:
                return None
            plates.setdefault(subject, (set(), set()))[side].add(plate)
    found = 0
    for kept, held in plates.values():
        every = sorted(kept | held)
        steps = [b - a for a, b in zip(every, every[1:], strict=False)]
        reach = median(steps) * 1.01 if steps else 0.0
        found += sum(any(0 < abs(a - b) <= reach for b in kept) for a in held)
    return found
