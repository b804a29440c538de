"""Which animal a predicted section is of, and what a table says of it, for `morphometry`."""

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mrcnn.errors import MissingFileError, UserError
from sebre.data.csv_tables import read_rows, read_table
from sebre.data.listing import is_picture, natural, one_form, some
from sebre.prepare.volume_header import is_volume, volume_stem

TABLE = "regions.csv"
_NEEDED = ("image", "region_id", "region", "area_px")  # others may be missing
_SUBJECTS = ("subject", "animal")  # columns that name the animal where nothing else is said
# An age in a name, as in demba_P14: days after birth.
_AGE = re.compile(r"(?<![A-Za-z0-9])(P\d+(?:\.\d+)?)(?![A-Za-z0-9])")


@dataclass(frozen=True)
class PredictedSection:
    """A section of a folder of predictions.

    Attributes:
        folder: that holds the table.
        image: name in the table, such as "brain/section_3".
        rows: of its regions, as they are in the table.
        animal: that it is of; "" where it is not known.
        facts: what is known of it, such as {"age": "P14"}.
    """

    folder: Path
    image: str
    rows: tuple[Mapping[str, str], ...]
    animal: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def brain(self) -> str:
        """The folder of brains that the picture lay in; "" for a picture without one."""
        parent = PurePosixPath(self.image).parent.as_posix()
        return "" if parent == "." else parent


def read_predictions(folders: Sequence[str | Path]) -> list[PredictedSection]:
    """The sections in the tables `regions.csv` of folders, in the natural order of names.

    Raises:
        MissingFileError: a folder without a table.
        UserError: a table that lacks a column or has no rows, or a folder that is named twice.
    """
    sections = []
    paths = [Path(folder) for folder in folders]
    places = [path.resolve() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise UserError(f"{path}: named twice. Its sections would count twice; name it once.")
    for folder in paths:
        path = folder / TABLE
        if not path.is_file():
            raise MissingFileError(
                f"{path}: not there; wanted a folder that regions were predicted to (`--out`)."
            )
        header, rows = read_rows(path)
        if missing := [name for name in _NEEDED if name not in header]:
            raise UserError(f"{path}: column {', '.join(missing)} is missing. Predict again.")
        by_image: dict[str, list[Mapping[str, str]]] = {}
        for row in rows:
            by_image.setdefault(row["image"], []).append(row)
        names = sorted(by_image, key=lambda name: natural(Path(name)))
        sections += [PredictedSection(folder, name, tuple(by_image[name])) for name in names]
    if not sections:
        raise UserError(f"{paths[0] / TABLE}: has no sections. Predict some first.")
    return sections


class FactTable:
    """A table of facts of sections: a row says which in its column `image`.

    That is the name of a section with or without its ending, the folder of its brain, the folder of
    its predictions, or a pattern of names such as `*_P14_*`; what comes first in this list counts.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        advice = "It says of which sections a row is: a name, the folder of a brain, or a pattern."
        self.rows = read_table(path, ["image"], advice)
        self.columns = [column for column in (self.rows or [{}])[0] if column != "image"]
        self.used: set[int] = set()  # rows that were of some section
        self._exact: dict[str, int] = {}
        for number, row in enumerate(self.rows):
            name = one_form(row["image"].strip())
            if self._exact.setdefault(name, number) != number:
                raise UserError(f"{path}: two rows for {name!r}. Leave one.")
        # Names in the table that end as pictures or scans do, by the same without the ending.
        self._pictures: dict[str, int] = {}
        for name, number in self._exact.items():
            if is_volume(Path(name)):
                stem = volume_stem(Path(name))
            elif is_picture(Path(name)):
                stem = name.rpartition(".")[0]
            else:
                continue
            if self._pictures.setdefault(stem, number) != number:
                raise UserError(f"{path}: two rows for {stem!r}, with two endings. Leave one.")

    def facts_of(self, section: PredictedSection) -> dict[str, str] | None:
        """The cells of the row of a section; None without any.

        Raises:
            UserError: several patterns that say different things.
        """
        whole = f"{section.folder.name}/{section.image}"
        for name in (whole, section.image, section.brain, section.folder.name):
            name = one_form(name)
            number = self._exact.get(name, self._pictures.get(name)) if name else None
            if number is not None:
                return self._row(number)
        fitting = [
            number
            for pattern, number in self._exact.items()
            if any(fnmatch.fnmatchcase(one_form(n), pattern) for n in (section.image, whole))
        ]
        found = [self._row(number) for number in fitting]
        if len({tuple(facts.items()) for facts in found}) > 1:
            patterns = ", ".join(self.rows[number]["image"] for number in fitting)
            raise UserError(
                f"{self.path}: {section.image} fits several rows ({patterns}), which say different "
                "things. Make the patterns narrower."
            )
        return found[0] if found else None

    def demand_folders(self, folders: Sequence[Path]) -> None:
        """That no row is of a folder of predictions whose name another one has.

        Raises:
            UserError: such a row.
        """
        count = Counter(one_form(folder.name) for folder in folders)
        for name in (name for name, n in count.items() if n > 1):
            if rows := [row for row in self._exact if row == name or row.startswith(f"{name}/")]:
                raise UserError(
                    f"{self.path}: {rows[0]!r} is of {count[name]} folders of that name. Rename "
                    "the folders, so that the table can tell them apart."
                )

    def _row(self, number: int) -> dict[str, str]:
        self.used.add(number)
        return {column: one_form(self.rows[number][column].strip()) for column in self.columns}

    def unused(self) -> list[str]:
        """What rows of no section say in `image`."""
        return [row["image"] for i, row in enumerate(self.rows) if i not in self.used]


def know_sections(
    sections: Sequence[PredictedSection],
    by: Sequence[str],
    table: FactTable | None = None,
    subject: str | None = None,
) -> tuple[list[PredictedSection], list[str], list[str]]:
    """Sections with their animals and facts.

    Args:
        sections: of `read_predictions`.
        by: the facts that are needed.
        table: that has them. Without a table an age is read from names (P14).
        subject: a column of the table, or a regular expression of the names whose first group (or
            the whole) is the animal. Without it, a column subject or animal; else the folder of
            the brain (in each folder of predictions another animal, which is said); else, with
            several folders of predictions, that folder.

    Returns:
        The sections of which all is known; names of those that the table does not know or that
        lack a fact; and remarks for the user.

    Raises:
        UserError: no such column, a pattern that fits no name, or nothing known of any section.
    """
    folders = list(dict.fromkeys(section.folder for section in sections))
    shared = _shared_brains(sections)
    animal_of = _animal_rule(table, subject, len(folders) > 1, shared)
    if table is not None:
        _demand_columns(table, by)
        table.demand_folders(folders)
    known, missing, alone = [], [], []
    for section in sections:
        facts = _facts_in_names(section, by) if table is None else table.facts_of(section)
        if facts is None or not all(facts.get(name) for name in by):
            missing.append(section.image)
            continue
        animal = animal_of(section, facts)
        if not animal:
            animal = f"{section.folder.name}/{section.image}"
            alone.append(section.image)
        known.append(PredictedSection(section.folder, section.image, section.rows, animal, facts))
    if not known:
        _refuse_all(sections, by, table)
    notes = []
    if found := sorted(
        {s.brain for s in known if s.brain in shared and s.animal == str(_place(s))}
    ):
        notes.append(
            f"{len(found)} brain(s) are in several folders ({some(found)}) and count as an animal "
            "in each: give --table with a column subject if they are one."
        )
    if alone:
        notes.append(
            f"{len(alone)} section(s) without a known animal count as an animal each, so that "
            f"intervals are too narrow where several are of one animal ({some(alone)}): give "
            "--subject."
        )
    if table is not None and (unused := table.unused()):
        notes.append(f"{table.path}: {len(unused)} row(s) are of no section ({some(unused)}).")
    return known, missing, notes


def _shared_brains(sections: Sequence[PredictedSection]) -> set[str]:
    """Folders of brains whose name several folders of predictions have."""
    places = {(section.folder, section.brain) for section in sections if section.brain}
    count = Counter(brain for _, brain in places)
    return {brain for brain, n in count.items() if n > 1}


def _place(section: PredictedSection) -> Path:
    return section.folder / section.brain


def _animal_rule(
    table: FactTable | None, subject: str | None, several: bool, shared: Set[str]
) -> Callable[[PredictedSection, Mapping[str, str]], str]:
    columns = [] if table is None else table.columns
    column = subject if subject in columns else None
    if subject is None:
        column = next((name for name in _SUBJECTS if name in columns), None)
    pattern = None
    if subject is not None and column is None:
        try:
            pattern = re.compile(subject)
        except re.error as error:
            raise UserError(
                f"--subject {subject!r}: neither a column of the table nor a regular expression "
                f"({error})."
            ) from error

    def animal_of(section: PredictedSection, facts: Mapping[str, str]) -> str:
        if column is not None:
            return facts[column]
        if pattern is not None:
            match = pattern.search(section.image)
            if match is None:
                raise UserError(
                    f"--subject {subject!r}: not a column of the table "
                    f"({', '.join(columns) or 'none given'}), and as a pattern it does not fit "
                    f"the name {section.image!r}."
                )
            return match[1] if match.groups() else match[0]
        if section.brain and section.brain not in shared:
            return section.brain
        return str(_place(section)) if several else ""

    return animal_of


def _demand_columns(table: FactTable, by: Sequence[str]) -> None:
    if absent := [name for name in by if name not in table.columns]:
        raise UserError(
            f"{table.path}: has no column {', '.join(absent)}; it has "
            f"{', '.join(table.columns) or 'none beside image'}. Give one of these to --by."
        )


def _facts_in_names(section: PredictedSection, by: Sequence[str]) -> dict[str, str]:
    """Ages in the name of a section, or of the folder of its predictions."""
    if "age" not in by:
        return {}
    ages = {match[1] for match in _AGE.finditer(section.image)}
    ages = ages or {match[1] for match in _AGE.finditer(section.folder.name)}
    return {"age": ages.pop()} if len(ages) == 1 else {}


def _refuse_all(
    sections: Sequence[PredictedSection], by: Sequence[str], table: FactTable | None
) -> None:
    names = some([section.image for section in sections])
    if table is None:
        facts = ",".join(by)
        raise UserError(
            f"Nothing says the {facts} of the sections ({names}). Give --table, a CSV table with "
            f"the columns image,{facts}; of names, only ages such as P14 are read."
        )
    raise UserError(
        f"{table.path}: no row is of any section ({names}) with a value for {', '.join(by)}. Its "
        "column image wants such names, the folders of the brains, or patterns."
    )
