"""Rules that divide sections into training and test, keeping what belongs together in one part.

A rule says what is held out for testing (subset "val"):

| rule | held out |
|---|---|
| `section[:HELD]` | sections at random, each with all its rotated versions |
| `subject[:HELD]`, `brain[:HELD]` | all sections of subjects taken at random |
| `block[:HELD]` | runs of neighboring sections, HELD sections in all |
| `image[:HELD]` | images at random after rotation; versions of a section then stand on both sides |
| `COLUMN=VALUE[,VALUE]` | rows with such a cell, as in `marker=GAD1`; `section`: its own number |
| `source` | what the source itself holds out |
| `test`, `train` | everything, nothing |

HELD is a count (`7`) or a share (`1/3`, `0.25`; rounded down, at least 1); a quarter if it is
not given.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np

from mrcnn.errors import UserError

DEFAULT_HELD = Fraction(1, 4)  # the paper trains on "3/4" (hippocampus)
_FEWEST_SUBJECTS = 5
BLOCK = 3  # neighboring sections in a block, more or less

_DRAWN = ("section", "subject", "block", "image")
_FIXED = ("source", "test", "train")
_WANTED = (
    "Rules: section, subject (or brain), block, image, each with :HELD (such as section:7 or "
    "section:1/3) or without; COLUMN=VALUE (such as marker=GAD1); source; test; train."
)


@dataclass(frozen=True)
class SplitRule:
    """What is held out: some units, by a word of the table above, or cells of a "column"."""

    unit: str
    held: int | Fraction | None = None  # units (of "block": sections), or a share; None: not drawn
    column: str = ""  # for "column", where to look
    values: tuple[str, ...] = ()  # for "column", the cells that are held out

    @classmethod
    def parse(cls, text: str) -> "SplitRule":
        """Read a rule."""
        column, equals, cells = text.strip().partition("=")
        if equals:
            values = tuple(dict.fromkeys(v.strip() for v in cells.split(",") if v.strip()))
            if not column.strip() or not values:
                raise UserError(f"Split rule {text!r}: wanted COLUMN=VALUE[,VALUE]. {_WANTED}")
            return cls("column", column=column.strip(), values=values)
        name, colon, amount = text.strip().partition(":")
        unit = {"brain": "subject"}.get(name, name)
        if unit in _FIXED and not colon:
            return cls(unit)
        if unit not in _DRAWN:
            raise UserError(f"Split rule {text!r} is not known. {_WANTED}")
        return cls(unit, _amount(amount, text) if colon else DEFAULT_HELD)

    def count(self, n: int) -> int:
        """How many of `n` are held out: neither none nor all."""
        if self.held is None:
            raise UserError(f"Split rule {self.unit!r} draws nothing.")
        held = self.held if isinstance(self.held, int) else max(1, floor(self.held * n))
        if held >= n:
            what = {"block": "section"}.get(self.unit, self.unit)
            raise UserError(
                f"Split rule '{self}' holds out {held} of {n} {what}(s), which leaves none to "
                "train on. Hold out fewer, split by something smaller, or use the rule test."
            )
        return held

    def __str__(self) -> str:
        if self.unit == "column":
            return f"{self.column}={','.join(self.values)}"
        return self.unit if self.held is None else f"{self.unit}:{self.held}"


def assign(rows: Sequence[Mapping[str, Any]], rule: SplitRule | str, seed: int = 0) -> list[str]:
    """Say "train" or "val" for each row: whether it is for training or held out.

    Args:
        rows: one per section, or one per image (after rotation). "section" must tell the source
            sections apart; all rows with one value go to one side, except by the rule
            "image". Other cells as the rule needs: "subject", "part" (rule "source") or the
            column that it names. For "block", sections are in anatomical order within each
            subject (rows without a subject are taken for one).
        rule: the rule, or its text.
        seed: of NumPy's default generator.
    """
    rule = SplitRule.parse(rule) if isinstance(rule, str) else rule
    if not rows:
        raise UserError(f"Split rule '{rule}': there is no section to divide.")
    if rule.unit in ("test", "train"):
        return ["train" if rule.unit == "train" else "val"] * len(rows)
    if rule.unit == "source":
        return _as_the_source(rows)
    if rule.unit == "column":
        return _by_cells(rows, rule)
    if rule.unit == "image":
        keys: list[Hashable] = list(range(len(rows)))
    else:
        keys = _cells(rows, "subject" if rule.unit == "subject" else "section", rule)
    groups = list(dict.fromkeys(keys))
    count = rule.count(len(groups))
    if rule.unit == "block":
        subject = {k: str(row.get("subject", "")) for k, row in zip(keys, rows, strict=True)}
        runs: dict[str, list] = {}
        for group in groups:
            runs.setdefault(subject[group], []).append(group)
        held = _blocks(list(runs.values()), count, seed)
    else:
        held = {groups[i] for i in _drawn(len(groups), count, seed)}
    return ["val" if key in held else "train" for key in keys]


def inner_rule(rows: Sequence[Mapping[str, Any]], share: float) -> SplitRule:
    """The rule by which a share of training sections is held out to choose settings by.

    Whole subjects where all rows name theirs and there are at least 5 of them, for of fewer a share
    is a large part; else runs of neighboring sections, which are alike.

    Args:
        rows: as for `assign`.
        share: above 0 and below 1.
    """
    subjects = {row.get("subject", "") for row in rows}
    named = "" not in subjects and len(subjects) >= _FEWEST_SUBJECTS
    groups = subjects if named else {row["section"] for row in rows}
    return SplitRule("subject" if named else "block", held_groups(len(groups), share))


def held_groups(n: int, share: float) -> int:
    """How many of `n` groups are a share of them, neither none nor all."""
    if not 0 < share < 1:
        raise UserError(f"The share held out is {share}; it must be above 0 and below 1.")
    if n < 2:
        raise UserError(f"{n} group(s) cannot be divided into two parts.")
    return min(max(round(share * n), 1), n - 1)


def _drawn(n: int, count: int, seed: int) -> set[int]:
    return set(np.random.default_rng(seed).permutation(n)[:count].tolist())


def _amount(text: str, rule: str) -> int | Fraction:
    try:
        held = int(text) if text.strip().isdigit() else Fraction(text)
    except (ValueError, ZeroDivisionError):
        held = 0
    if held <= 0 or (isinstance(held, Fraction) and held >= 1):
        raise UserError(
            f"Split rule {rule!r}: {text!r} must be a count from 1, or a share above 0 and below "
            "1, such as 7, 1/3 or 0.25."
        )
    return held


def _cells(rows: Sequence[Mapping[str, Any]], column: str, rule: SplitRule) -> list[str]:
    """A column that every row must have."""
    cells = ["" if row.get(column) is None else str(row[column]).strip() for row in rows]
    if empty := cells.count(""):
        there = sorted(
            {key for row in rows for key, value in row.items() if value not in ("", None)}
        )
        raise UserError(
            f"Split rule '{rule}' needs the column {column!r} in every row; {empty} of "
            f"{len(rows)} lack it. Columns with values: {', '.join(there) or 'none'}."
        )
    return cells


def _as_the_source(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    parts = [row.get("part", "") for row in rows]
    lacking = sum(part not in ("train", "val") for part in parts)
    if lacking:
        raise UserError(
            f"Split rule 'source': the source does not say for {lacking} of {len(rows)} sections "
            "whether they are for training. Use another rule, such as section:1/4 or subject:1/4."
        )
    return parts


def _by_cells(rows: Sequence[Mapping[str, Any]], rule: SplitRule) -> list[str]:
    # The number of a section is the one that it has at its source.
    column = "source_row" if rule.column == "section" else rule.column
    cells = _cells(rows, column, rule)
    found = sorted(set(cells), key=_natural)
    unknown = [value for value in rule.values if value not in found]
    if unknown:
        raise UserError(
            f"Split rule '{rule}': no section has the {rule.column} {', '.join(unknown)}. "
            f"There are: {', '.join(found)}."
        )
    if set(rule.values) == set(found):
        raise UserError(
            f"Split rule '{rule}' holds out all sections, which leaves none to train on. Name "
            f"fewer of {', '.join(found)}, or use the rule test."
        )
    return ["val" if cell in rule.values else "train" for cell in cells]


def _natural(cell: str) -> tuple[bool, int, str]:
    """Key that puts 2 before 10, and numbers before names."""
    return (not cell.isdecimal(), int(cell) if cell.isdecimal() else 0, cell)


def _blocks(runs: Sequence[Sequence[str]], count: int, seed: int) -> set[str]:
    """Hold out neighbors together: `count` sections of `runs` (one per subject, in order).

    Each run is cut into blocks of about 3. Blocks are taken at even distances from a random
    start, so that the held sections cover the whole brain and training lacks no level of it;
    of each block as many sections as needed, from its beginning. So no held section has both
    its neighbors in training.
    """
    if count == 1:  # at an end, with one neighbor
        return {runs[0][0]}
    blocks = [
        [run[place] for place in part]
        for run in runs
        for part in np.array_split(np.arange(len(run)), max(1, round(len(run) / BLOCK)))
    ]
    taken = min(len(blocks), count // 2, math.ceil(count / BLOCK))
    distance = len(blocks) / taken
    start = np.random.default_rng(seed).random() * distance
    chosen = [int(start + i * distance) for i in range(taken)]
    sizes = [len(part) for part in np.array_split(np.arange(count), taken)]
    held: set[str] = set()
    for index, size in zip(chosen, sizes, strict=True):
        held |= set(blocks[index][:size])
    # Blocks may be shorter than what was wanted of them.
    while len(held) < count:
        held.add(_beside(runs, held))
    return held


def _beside(runs: Sequence[Sequence[str]], held: set[str]) -> str:
    """First section next to a held one that is not held itself; else the first of all."""
    for run in runs:
        for one, other in zip(run, run[1:], strict=False):
            if (one in held) != (other in held):
                return other if one in held else one
    return next(one for run in runs for one in run if one not in held)
