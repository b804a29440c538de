"""Failures of a network: which regions of which sections, by kind.

A region of a section counts once in each kind that holds, however many detections do it. It can
be of several: a cortex found where the hippocampus is drawn is a wrong region, and poor too if
the section shows cortex elsewhere, or extra if it shows none.

- missed: drawn, but nothing of it found
- poor: drawn and found, but its best-scoring detection has a mask IoU below 0.5
- extra: found, but not drawn
- duplicate: more than one detection of it was kept
- wrong_region: a detection of it has, of all drawn masks, most IoU with that of another
  region, and at least 0.5
- side_swap: a wrong region that is the same structure of the other side (left_x and right_x)
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mrcnn.structures.matching import compute_overlaps_masks
from sebre.data.region_masks import RegionMasks
from sebre.data.regions import RegionSet
from sebre.evaluation.scores import FailureCount

KINDS = ("missed", "poor", "extra", "duplicate", "wrong_region")
SIDE_SWAP = "side_swap"
LISTED = 10  # sections that a result names for each kind
LEAST_IOU = 0.5

_SIDES = {"left_": "right_", "right_": "left_"}


@dataclass
class Failures:
    """Failures of one section: class ids by kind, but for the side swaps, which need names.

    `instead` has the pairs (class id found, class id drawn there) of wrong regions.
    """

    kinds: dict[str, list[int]] = field(default_factory=dict)
    instead: list[tuple[int, int]] = field(default_factory=list)


def find_failures(
    drawn: RegionMasks, result: Mapping[str, Any], best: RegionMasks, ious: Mapping[int, float]
) -> Failures:
    """Failures of one section.

    Args:
        drawn: masks, none of them empty.
        result: of `MaskRCNN.detect`.
        best: the best detection of every region found.
        ious: of the best detections, by class id of every region drawn.
    """
    rows = np.flatnonzero(result["masks"].any(axis=(0, 1)))
    found = np.asarray(result["class_ids"])[rows]
    ids = [*drawn.by_class]
    instead = set()
    if len(ids) and len(rows):
        overlaps = compute_overlaps_masks(result["masks"][..., rows], drawn.stack)
        for class_id, row in zip(found, overlaps, strict=True):
            at = int(row.argmax())
            if row[at] >= LEAST_IOU and ids[at] != class_id:
                instead.add((int(class_id), ids[at]))
    counts = Counter(int(c) for c in found)
    kinds = {
        "missed": [c for c in ids if c not in best.by_class],
        "poor": [c for c in ids if c in best.by_class and ious[c] < LEAST_IOU],
        "extra": sorted(best.by_class.keys() - set(ids)),
        "duplicate": sorted(c for c, n in counts.items() if n > 1),
        "wrong_region": sorted({c for c, _ in instead}),
    }
    return Failures(kinds, sorted(instead))


def side_partners(regions: RegionSet) -> dict[int, int]:
    """Class id of the same structure of the other side, by class id; by the names."""
    ids = {region.name: region.id for region in regions}
    partners = {}
    for name, class_id in ids.items():
        for side, other in _SIDES.items():
            partner = ids.get(other + name.removeprefix(side))
            if name.startswith(side) and partner:
                partners[class_id] = partner
    return partners


class FailureTable:
    """Counts the failures of sections that come one by one."""

    def __init__(self, regions: RegionSet):
        self.regions = regions
        self._partners = side_partners(regions)
        kinds = (*KINDS, SIDE_SWAP) if self._partners else KINDS
        self._by_section: dict[str, list[tuple[str, list[int]]]] = {kind: [] for kind in kinds}

    def add(self, name: str, failures: Failures) -> None:
        """Add what `find_failures` gave for a section."""
        swapped = sorted({c for c, other in failures.instead if self._partners.get(c) == other})
        for kind, sections in self._by_section.items():
            failed = swapped if kind == SIDE_SWAP else failures.kinds[kind]
            if failed:
                sections.append((name, failed))

    def result(self) -> dict[str, FailureCount]:
        """Counts by kind, with at most `LISTED` sections each; no "side_swap" without sides."""
        return {kind: self._kind(sections) for kind, sections in self._by_section.items()}

    def _kind(self, sections: Iterable[tuple[str, list[int]]]) -> FailureCount:
        sections = list(sections)
        counts = Counter(class_id for _, failed in sections for class_id in failed)
        worst = sorted(sections, key=lambda entry: -len(entry[1]))[:LISTED]
        return FailureCount(
            total=counts.total(),
            by_region={region.name: counts[region.id] for region in self.regions},
            sections={name: [self.regions[i].name for i in failed] for name, failed in worst},
        )
