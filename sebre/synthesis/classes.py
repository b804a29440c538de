"""The nine classes of synthetic sections, and the structures of an atlas that make them up.

`sebre.synthesis.sources` calls `read_tree` and `structure_table` for volumes with Allen labels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sebre.data.csv_tables import read_table
from sebre.data.regions import ANY_SECTION

NAMES = tuple(ANY_SECTION.names)
NUM_CLASSES = ANY_SECTION.num_classes  # with the outside, 0
IGNORE = 255  # tissue of no class: fiber tracts, ventricles, cortical subplate, unlabeled tissue
# (red, green, blue) of the outside and the classes, in pictures.
COLORS = ((0, 0, 0), *(region.color for region in ANY_SECTION))
# Class of every structure at or below these of the Allen tree; none lies below another.
ANCESTORS = {number: region.id for region in ANY_SECTION for number in region.atlas_ids}
# Of weights that learned from synthetic sections.
LICENSE = (
    "MIT for the code; trained on sections made from atlases under their own terms (Allen CCFv3, "
    "DeMBA, Scalable Brain Atlas) and scans under GPL-3, not for commercial use"
)
_FIBER_TRACTS, _VENTRICLES = 1009, 73
_GROUP_DEPTH = 5  # of the path: about the level of "thalamus, polymodal association part"


@dataclass(frozen=True)
class Structure:
    """One structure of the Allen tree.

    Attributes:
        id: its number.
        acronym: as in the tree.
        name: in words.
        path: numbers from the root to the structure.
    """

    id: int
    acronym: str
    name: str
    path: tuple[int, ...]

    @property
    def class_id(self) -> int:
        """Its class, or IGNORE."""
        return next((ANCESTORS[part] for part in self.path if part in ANCESTORS), IGNORE)

    @property
    def layer(self) -> str:
        """Name shared with the same layer of other areas of the class; the acronym without any.

        Layers 2 and 3, and the parts of layer 6, count as one. All fiber tracts are one, and
        all ventricles.
        """
        for tissue in (_FIBER_TRACTS, _VENTRICLES):
            if tissue in self.path and 728 not in self.path:
                return str(tissue)
        head, found, tail = self.name.lower().rpartition("layer ")
        if not found or not head:
            return self.acronym
        return f"{self.class_id} layer {tail[:1].replace('3', '2')}"


@dataclass(frozen=True)
class StructureTable:
    """What is known of the fine structures of a volume, by row number; row 0 is the outside.

    Attributes:
        classes: uint8 [K]. Class ids; 255 for tissue of no class.
        groups: int32 [K, 3]. Numbers of the class, the group of nuclei or areas, and the layer
            that a structure belongs to; structures with the same number look alike.
        ids: int64 [K]. Numbers of the structures in the Allen atlas, or in the label scheme of
            the volume where it is another.
    """

    classes: np.ndarray
    groups: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)


def read_tree(path: Path) -> dict[int, Structure]:
    """Structures by number, of a table with the columns id, acronym, name, structure_id_path.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a structure table.
    """
    rows = read_table(path, ("id", "acronym", "name", "structure_id_path"))
    found = {}
    for row in rows:
        parts = tuple(int(part) for part in row["structure_id_path"].split("/") if part)
        found[int(row["id"])] = Structure(int(row["id"]), row["acronym"], row["name"], parts)
    return found


def structure_table(ids: Iterable[int], tree: Mapping[int, Structure]) -> StructureTable:
    """Table of structures of the Allen tree.

    Args:
        ids: numbers in the order of the rows, the outside 0 first; one that the tree lacks is
            tissue of no class.
        tree: of `read_tree`.
    """
    ids = list(ids)
    classes, keys = [], []
    for number in ids:
        known = tree.get(number)
        if number == 0 or known is None:
            classes.append(IGNORE if number else 0)
            keys.append((f"none {number}",) * 3)
            continue
        classes.append(known.class_id)
        division = known.path[: _GROUP_DEPTH + 1]
        keys.append((known.class_id, division, known.layer))
    return StructureTable(np.array(classes, np.uint8), _numbered(keys), np.array(ids, np.int64))


def plain_table(classes: Iterable[int]) -> StructureTable:
    """Table of structures that have a class only; each is its own group and layer."""
    ids = np.array(list(classes), np.uint8)
    rows = np.arange(len(ids), dtype=np.int32)
    groups = np.stack([ids.astype(np.int32), rows, rows], axis=1)
    return StructureTable(ids, groups, rows.astype(np.int64))


def _numbered(keys: list[tuple]) -> np.ndarray:
    """Each column of keys as numbers from 0, int32 [K, columns]."""
    columns = []
    for column in zip(*keys, strict=True):
        number = {key: i for i, key in enumerate(dict.fromkeys(column))}
        columns.append([number[key] for key in column])
    return np.array(columns, np.int32).T
