"""Whose sections are whose: animals of a source by a table or by the names of its pictures."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mrcnn.errors import UserError
from sebre.data.csv_tables import read_table
from sebre.data.listing import one_form, some
from sebre.prepare.raw import RawSection, RawSet

SPLIT = "subject:1/3"  # of a source whose animals are named, where nothing else is said
_IMAGE = "source_image"
_WRITTEN = {"section", "subset", "angle", "flipped", "source_row", "regions", _IMAGE}


def name_subjects(
    raw_set: RawSet, table: str | Path | None = None, pattern: str | None = None
) -> RawSet:
    """A source with the animal of each section, and split by animals.

    Args:
        raw_set: of a source of pictures.
        table: CSV file with the columns `image`, the name of a picture with or without its ending,
            and `subject`; further columns, such as age, are taken too.
        pattern: regular expression whose first group, or the whole, is the animal in the name of a
            picture. A section that the table names too is of the animal of the table.

    Raises:
        UserError: a section whose animal is not said, or a source that is no set of pictures.
    """
    known = {} if table is None else _read(Path(table))
    finder = None if pattern is None else _compiled(pattern)
    sections, unknown = [], []
    for section in raw_set.sections:
        if _IMAGE not in section.facts:
            raise UserError(
                f"{raw_set.name}: its sections have animals of their own, or no pictures with "
                "names. Leave --subjects and --subject-pattern out."
            )
        facts = _facts_of(str(section.facts[_IMAGE]), known, finder)
        if facts is None:
            unknown.append(str(section.facts[_IMAGE]))
        else:
            sections.append(RawSection(section.read, {**section.facts, **facts}, section.part))
    count = Counter(str(section.facts[_IMAGE]) for section in sections)
    if table and (twice := sorted(name for name, n in count.items() if n > 1)):
        raise UserError(
            f"{table}: {some(twice)} are names of two pictures each, in the two parts, which the "
            "table cannot tell apart. Rename the pictures."
        )
    if unknown:
        where = " and ".join(
            [*([str(table)] if table else []), *([f"the pattern {pattern!r}"] if pattern else [])]
        )
        raise UserError(
            f"{where}: no animal for {len(unknown)} of {len(raw_set.sections)} sections "
            f"({some(unknown)}). Name them in a table with the columns image,subject, or make the "
            "pattern fit."
        )
    read = [*raw_set.also_read, *([Path(table)] if table else [])]
    named = {"sections": sections, "also_read": read}
    return replace(raw_set, **named, split=SPLIT, animals_named=True)


def _compiled(pattern: str) -> re.Pattern:
    try:
        return re.compile(one_form(pattern))
    except re.error as error:
        raise UserError(
            f"--subject-pattern {pattern!r}: not a regular expression ({error})."
        ) from error


def _read(path: Path) -> dict[str, dict[str, str]]:
    """Facts by name of the picture."""
    found: dict[str, dict[str, str]] = {}
    for line, row in enumerate(read_table(path, ["image", "subject"]), start=2):
        name = one_form(row["image"].strip())
        if name in found:
            raise UserError(f"{path}, line {line}: {name} has a row already. Keep one of them.")
        cells = {key.strip().lower(): one_form(cell.strip()) for key, cell in row.items()}
        if not cells["subject"]:
            raise UserError(f"{path}, line {line}: the subject of {name} is missing.")
        found[name] = {k: v for k, v in cells.items() if k != "image" and k not in _WRITTEN}
    return found


def _facts_of(
    name: str, known: Mapping[str, dict[str, str]], finder: re.Pattern | None
) -> Mapping[str, str] | None:
    name = one_form(name)
    facts = known.get(name) or known.get(Path(name).stem)
    if facts is not None or finder is None:
        return facts
    match = finder.search(Path(name).stem)
    if match is None:
        return None
    return {"subject": match[1] if match.groups() else match[0]}
