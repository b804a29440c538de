"""The nine regions of any section in the drawings of the Allen Reference Atlas's Nissl plates."""

from pathlib import Path

from sebre.data.regions import ANY_SECTION
from sebre.prepare.allen.structure_tree import read_structures, structure_table
from sebre.prepare.raw import RawSet, card
from sebre.prepare.sources.ara_areas import plates_set


def region_set(raw: Path) -> RawSet:
    """Right halves of the plates, with the regions that `any_section` finds.

    The structure tree of the Allen adult mouse atlas says what lies in which region; it is looked
    for in the raw folder, and in `ccf` beside it.
    """
    root_class = {number: region.id for region in ANY_SECTION for number in region.atlas_ids}
    classes = {
        number: root_class[part]
        for number, path in read_structures(structure_table(raw, None)).paths.items()
        for part in path
        if part in root_class  # none lies below another
    }
    return plates_set(raw, "ara_nissl_regions", ANY_SECTION, classes, card("ara_regions"))
