"""A table of text, for Markdown, CSV, HTML and the terminal, and the numbers in its cells.

`sebre.report` and `sebre.bench` print with it.
"""

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import groupby, zip_longest
from pathlib import Path

from mrcnn.errors import UserError
from sebre.evaluation.bootstrap import Difference

NONE = "-"  # a cell without a number

# 0.5; +0.012 [-0.003, +0.020].
WIDE = 7  # columns: more than a phone shows
_WIDEST = 48  # letters of a column in the terminal
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?( \[[-+.\d]+, [-+.\d]+\])?")


@dataclass(frozen=True)
class Table:
    """A table of text that a notebook shows.

    Attributes:
        title: over the table.
        header: of every column.
        rows: cells, as many in each row as columns.
        groups: heading over neighboring columns that have the same, one for every column, ""
            for none; empty for a table without.
        notes: below the table.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        lengths = {len(row) for row in (self.header, self.groups or self.header, *self.rows)}
        if len(lengths) > 1:
            raise UserError(
                f"Table {self.title!r}: header, groups and rows have {sorted(lengths)} cells; "
                "all must have as many."
            )

    def headings(self) -> list[str]:
        """A heading for each column, with that of its group before it."""
        groups = self.groups or [""] * len(self.header)
        pairs = zip(groups, self.header, strict=True)
        return [": ".join(filter(None, pair)) for pair in pairs]

    @property
    def wide(self) -> bool:
        """Whether it has more columns than a small screen shows."""
        return len(self.header) > WIDE

    @property
    def stem(self) -> str:
        """Its title as the name of a file."""
        return re.sub(r"\W+", "_", self.title.lower()).strip("_")

    def csv(self) -> str:
        """The table as CSV, without its notes."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.headings(), *self.rows])
        return text.getvalue()

    def transposed(self) -> "Table":
        """A column for each row; cells of the first column become the header."""
        first, *columns = zip(self.headings(), *self.rows, strict=True)
        return Table(self.title, first, tuple(columns), notes=self.notes)

    def markdown(self, titled: bool = True) -> str:
        """The table in GitHub's Markdown, below its title or without; groups are written before
        the headers."""
        header = self.headings()
        rule = ["---:" if right else "---" for right in self._numeric()]
        lines = [" | ".join(map(_plain, row)) for row in (header, rule, *self.rows)]
        # Notes are our own words: what is code in them is to be shown as code.
        notes = ["\n" + _plain(note).replace("\\`", "`") for note in self.notes]
        table = [f"| {line} |" for line in lines]
        title = [f"**{_plain(self.title)}**", ""] if titled else []
        return "\n".join([*title, *table, *notes]) + "\n"

    def text(self) -> str:
        """The table for a terminal: numbers to the right, long cells in several lines."""
        lines = [line for row in (self.header, *self.rows) for line in _wrapped(row)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        heads, column = [], 0
        for group, same in groupby(self.groups):
            count = len(list(same))
            last = column + count - 1
            room = sum(widths[column : last + 1]) + 2 * (count - 1)
            widths[last] += max(0, len(group) - room)
            heads.append(group.ljust(max(room, len(group))))
            column += count
        right = self._numeric()
        texts = (
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, number in zip(line, widths, right, strict=True)
            )
            for line in lines
        )
        top = ["  ".join(heads)] if heads else []
        return "\n".join(line.rstrip() for line in (self.title, "", *top, *texts)) + "\n"

    def html(self) -> str:
        """The table in HTML."""
        style = [f"text-align: {'right' if right else 'left'}" for right in self._numeric()]

        def cells(tag: str, row: Iterable[str]) -> str:
            pairs = zip(style, row, strict=True)
            return "".join(f'<{tag} style="{s}">{escape(cell)}</{tag}>' for s, cell in pairs)

        top = ""
        if self.groups:
            spans = [(group, len(list(same))) for group, same in groupby(self.groups)]
            heads = (
                f'<th colspan="{n}" style="text-align: center">{escape(group)}</th>'
                for group, n in spans
            )
            top = f"<tr>{''.join(heads)}</tr>"
        rows = "".join(f"<tr>{cells('td', row)}</tr>" for row in self.rows)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return (
            f"<p><b>{escape(self.title)}</b></p><table><thead>{top}"
            f"<tr>{cells('th', self.header)}</tr></thead><tbody>{rows}</tbody></table>{notes}"
        )

    _repr_markdown_ = markdown
    _repr_html_ = html

    def _numeric(self) -> list[bool]:
        """For each column: whether its cells are numbers, or none."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.header)
        return [
            any(cell != NONE for cell in column)
            and all(_NUMBER.fullmatch(cell) or cell == NONE for cell in column)
            for column in columns
        ]


def notes(*names: str, **values: object) -> tuple[str, ...]:
    """Texts of `notes.md`, each in one line, by heading, with values for their {fields}."""
    return tuple(_notes()[name].format(**values) for name in names)


@cache
def _notes() -> dict[str, str]:
    text = Path(__file__).with_name("notes.md").read_text(encoding="utf-8")
    parts = (part.partition("\n") for part in text.removeprefix("## ").split("\n## "))
    return {name: " ".join(body.split()) for name, _, body in parts}


def number(value: float | None, digits: int = 3) -> str:
    """A number of ours in a cell."""
    return NONE if value is None else f"{value:.{digits}f}"


def count(value: int | None) -> str:
    """A count in a cell."""
    return NONE if value is None else str(value)


def with_interval(value: float | None, interval: Sequence[float] | None, digits: int = 3) -> str:
    """A number with its 95 % interval, "0.972 [0.931, 1.000]"; alone where there is none."""
    if value is None or interval is None:
        return number(value, digits)
    low, high = (number(bound, digits) for bound in interval)
    return f"{number(value, digits)} [{low}, {high}]"


def signed(difference: Difference | None, digits: int = 3) -> str:
    """A difference with its sign and 95 % interval, "+0.012 [-0.003, +0.020]"."""
    if difference is None:
        return NONE
    text = f"{difference.value:+.{digits}f}"
    if difference.interval:
        low, high = difference.interval
        text += f" [{low:+.{digits}f}, {high:+.{digits}f}]"
    return text


def units(n: int | None, unit: str | None) -> str:
    """How many of what, "7 subjects"; as what an interval varies over."""
    return f"{n} {unit}{'' if n == 1 else 's'}" if unit and n is not None else NONE


def _wrapped(row: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Lines of a row, each with as many cells."""
    cells = (textwrap.wrap(cell, _WIDEST, break_long_words=False) for cell in row)
    return zip_longest(*cells, fillvalue="")


def _plain(text: str) -> str:
    """Markdown that shows a text as it is, in one line."""
    for mark in "\\|*`<":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())
