"""Structure trees of the Allen atlases, and which of their structures make up which region."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import MissingFileError, UserError
from sebre.data.csv_tables import read_table
from sebre.data.regions import MOUSE, RegionSet

Rules = Sequence[tuple[str, Sequence[str]]]

# Region -> acronyms in the structure tree. A structure belongs to the first row that names it or
# an ancestor of it.
#
# Developing mouse atlas: the structures whose colors the authors' drawings show, and which are
# printed in their plates (16.jpg: DPall, MPall, TelA, CSPall, p3A, r1A). So "hindbrain" is the
# cerebellum, and "telencephalic vesicle" what is left of its alar plate. p2A and m1A are
# inferred from where their colors lie.
DEVELOPING_RULES: Rules = (
    ("cortex", ("DPall",)),
    ("hippocampus", ("MPall",)),
    ("basal_ganglia", ("CSPall",)),
    ("telencephalic_vesicle", ("TelA",)),
    ("thalamus", ("p2A",)),
    ("prethalamus", ("p3A",)),
    ("midbrain", ("m1A",)),
    ("hindbrain", ("r1A",)),
)
# Adult atlas. The prethalamus lies in the thalamus and the hypothalamus of this tree, so it
# comes first; the arbor vitae (arb) fills the cerebellum.
ADULT_RULES: Rules = (
    ("prethalamus", ("RT", "GENv", "ZI")),
    ("thalamus", ("TH",)),
    ("cortex", ("Isocortex",)),
    ("hippocampus", ("HPF",)),
    ("basal_ganglia", ("STR", "PAL")),
    ("midbrain", ("MB",)),
    ("hindbrain", ("CB", "arb", "HB")),
    ("telencephalic_vesicle", ("OLF", "CTXsp", "CH")),
)
FILE = "structure_tree_safe_2017.csv"
_COLUMNS = ("id", "acronym", "structure_id_path")
_COLOR_TOLERANCE = 1  # the released code and the authors' plates differ by 1


@dataclass(frozen=True)
class Tree:
    """A structure tree."""

    path: Path  # its file
    paths: Mapping[int, tuple[int, ...]]  # ids from the root to the structure itself, by its id
    ids: Mapping[str, int]  # by acronym
    colors: Mapping[int, tuple[int, int, int]]  # red, green, blue by id

    @property
    def rules(self) -> Rules:
        """The rules for the eight regions that fit the tree."""
        return ADULT_RULES if "Isocortex" in self.ids else DEVELOPING_RULES


def read_tree(path: Path) -> Tree:
    """Read a structure graph as the Allen API gives it (structure_graph_download, JSON)."""
    paths: dict[int, tuple[int, ...]] = {}
    ids: dict[str, int] = {}
    colors: dict[int, tuple[int, int, int]] = {}

    def walk(nodes: Sequence[Mapping[str, Any]], above: tuple[int, ...]) -> None:
        for node in nodes:
            number = int(node["id"])
            paths[number] = (*above, number)
            ids.setdefault(node["acronym"], number)
            color = bytes.fromhex(node.get("color_hex_triplet") or "")
            if len(color) == 3:
                colors[number] = (color[0], color[1], color[2])
            walk(node.get("children") or [], paths[number])

    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
        walk(answer["msg"] if isinstance(answer, dict) else answer, ())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: not a structure graph of the Allen API ({error!r}). Remove it, and "
            "download it again."
        ) from error
    if not paths:
        raise UserError(f"{path}: the structure graph is empty. Remove it; download it again.")
    return Tree(path, paths, ids, colors)


def structure_classes(
    tree: Tree, regions: RegionSet, rules: Rules, by_color: bool = True
) -> dict[int, int]:
    """Class id of every structure of a tree that belongs to a region.

    Args:
        tree: the structures.
        regions: the region set.
        rules: acronyms of each region, the first that fits wins.
        by_color: where a tree has no structure under the acronyms of a region, take those in
            the region's color (the colors of the mouse regions are those of the developing
            mouse atlas); else every acronym must be in the tree.
    """
    class_of = {region.name: region.id for region in regions}
    ancestors: list[tuple[int, int]] = []
    for name, acronyms in rules:
        absent = [acronym for acronym in acronyms if acronym not in tree.ids]
        roots = [tree.ids[acronym] for acronym in acronyms if acronym in tree.ids]
        if by_color and not roots:
            color = regions[class_of[name]].code
            apart = {i: np.abs(np.subtract(c, color)).max() for i, c in tree.colors.items()}
            roots = [i for i, difference in apart.items() if difference <= _COLOR_TOLERANCE]
        if not roots or (absent and not by_color):
            some = ", ".join(list(tree.ids)[:20])
            raise UserError(
                f"{tree.path}: no structure {' or '.join(absent)} for the region {name}. Name "
                "the structures in a table: --regions FILE.csv with the columns "
                f"name,r,g,b,structures (acronyms divided by spaces). The tree has: {some}, ..."
            )
        ancestors += [(root, class_of[name]) for root in roots]
    # The first whose structure is in a path decides, so that classes never overlap.
    found = {
        number: next((class_id for root, class_id in ancestors if root in path), 0)
        for number, path in tree.paths.items()
    }
    return {number: class_id for number, class_id in found.items() if class_id}


def read_structures(path: str | Path) -> Tree:
    """Read a structure table: columns id, acronym, structure_id_path (as /997/8/567/)."""
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(
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
        raise UserError(f"{path}: an id is not a number ({error}).") from error
    return Tree(path, paths, ids, {})


def structure_table(raw: Path, given: Path | None) -> Path:
    """The table of the structures: the one given, else in the raw folder or in `ccf` beside it."""
    places = (raw / FILE, raw.resolve().parent / "ccf" / FILE)
    return given or next((path for path in places if path.is_file()), places[0])


def mouse_classes(table: Path) -> dict[int, int]:
    """Class id in MOUSE of every structure of the adult atlas that belongs to one."""
    return structure_classes(read_structures(table), MOUSE, ADULT_RULES, by_color=False)
