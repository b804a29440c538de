"""The structure tree of the Allen mouse atlas as a table (CSV)."""

from pathlib import Path

from sebre.prepare.allen_structures import ADULT_RULES, Tree, structure_classes
from sebre.regions import MOUSE
from sebre.tables import read_table

FILE = "structure_tree_safe_2017.csv"
_COLUMNS = ("id", "acronym", "structure_id_path")


def read_structures(path: str | Path) -> Tree:
    """Read a structure table: columns id, acronym, structure_id_path (as /997/8/567/).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a structure table.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file. It is the structure tree of the Allen mouse atlas (columns "
            f"{', '.join(_COLUMNS)}); `sebre prepare ccf --download` fetches it. Give its "
            "place with --structures."
        )
    rows = read_table(path, _COLUMNS)
    try:
        paths = {
            int(row["id"]): tuple(int(part) for part in row["structure_id_path"].split("/") if part)
            for row in rows
        }
        ids = {row["acronym"]: int(row["id"]) for row in rows}
    except ValueError as error:
        raise ValueError(f"{path}: an id is not a number ({error}).") from error
    return Tree(path, paths, ids, {})


def mouse_classes(raw: Path, given: Path | None) -> dict[int, int]:
    """Class id in MOUSE of every structure of the adult atlas that belongs to one.

    Args:
        raw: folder of raw data; the table is looked for there and in a folder `ccf` beside it.
        given: the table; None looks for it.
    """
    if given is None:
        places = (raw / FILE, raw.resolve().parent / "ccf" / FILE)
        given = next((path for path in places if path.is_file()), places[0])
    return structure_classes(read_structures(given), MOUSE, ADULT_RULES, by_color=False)
