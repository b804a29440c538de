"""Sets of regions with ids, names and colors; see `sebre.data.regions`."""

from sebre.data.regions import (
    HIPPOCAMPUS,
    MOUSE,
    SLICEMAP,
    SUBCORTICAL,
    Color,
    Region,
    RegionSet,
    read_regions,
)

__all__ = [
    "Color",
    "HIPPOCAMPUS",
    "MOUSE",
    "Region",
    "RegionSet",
    "SLICEMAP",
    "SUBCORTICAL",
    "read_regions",
]
