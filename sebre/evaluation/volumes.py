"""Scores of volumes whose slices are sections that come one by one."""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from sebre.data.metadata import Slice
from sebre.data.regions import RegionSet
from sebre.evaluation.mask_metrics import largest, mean_distance, surface_distances
from sebre.evaluation.scores import RegionMeans, Scores
from sebre.evaluation.section import Section

_DRAWN, _FOUND = 0, 1
_OUTER = 2  # slices at either end of a structure, where it is smallest


class Volumes:
    """Collects the drawn and found masks of volumes, compressed, and scores them in space.

    Overlap is by subject, of all its sections. Distances are by volume, of which a subject can
    have several. They are those of masks stacked with the spacing of the slices, and are
    measured only if the distance between slices is known and the sections are all the
    prepared slices of the volume, one next to the other: across a gap contours are not known.
    Slices outside the prepared ones show no region; they count as outside.

    Args:
        subjects: by name of the section.
        slices: places of sections, by name.
    """

    def __init__(self, subjects: Mapping[str, str], slices: Mapping[str, Slice] | None = None):
        self._subject_of = subjects
        self._slices = slices or {}
        # Pixels of each subject: drawn, found and both, by class id.
        self._pixels: dict[str, dict[int, np.ndarray]] = {}
        # Compressed masks of each volume, by index of the slice.
        self._masks: dict[tuple[str, str], dict[int, dict[tuple[int, int], bytes]]] = {}
        self._shapes: dict[tuple[str, str], set[tuple[int, ...]]] = defaultdict(set)
        # Dice of each region in each slice that shows it, by volume, class id and index.
        self._dices: dict[tuple[tuple[str, str], int], dict[int, float]] = defaultdict(dict)

    def add(self, section: Section) -> None:
        """Add a section; its arrays are not kept. One of no subject is passed over."""
        subject = self._subject_of.get(section.name)
        if subject is None:
            return
        counts = self._pixels.setdefault(subject, defaultdict(lambda: np.zeros(3, np.int64)))
        drawn, found = section.drawn.by_class, section.found.by_class
        nothing = np.zeros(section.image.shape[:2], bool)
        for class_id in drawn.keys() | found.keys():
            a, b = drawn.get(class_id, nothing), found.get(class_id, nothing)
            counts[class_id] += [np.count_nonzero(m) for m in (a, b, a & b)]
        place = self._slices.get(section.name)
        if place is None or place.spacing_mm is None:
            return
        self._masks.setdefault(place.volume, {})[place.index] = {
            (class_id, which): zlib.compress(np.packbits(mask).tobytes(), 1)
            for which, masks in ((_DRAWN, drawn), (_FOUND, found))
            for class_id, mask in masks.items()
        }
        self._shapes[place.volume].add(nothing.shape)
        for class_id, dice in section.dices.items():
            self._dices[place.volume, class_id][place.index] = dice

    def summarize(self, scores: Scores, regions: RegionSet) -> None:
        """Add the scores of volumes to those of sections.

        Dice is the mean over the subjects that show the region. Distances are the means over
        subjects, of the mean over the volumes of a subject in which the region was found; there
        are none if no distance between slices is known.
        """
        scores.n_subjects = len(self._pixels)
        spacings = self._whole()
        if self._masks:
            scores.n_volumes, scores.n_volumes_measured = len(self._masks), len(spacings)
        for region in regions:
            means = scores.regions[region.name]
            counts = [by_class[region.id] for by_class in self._pixels.values()]
            dices = [float(2 * both / (a + b)) for a, b, both in counts if a]
            means.dice_volume = float(np.mean(dices)) if dices else None
            if self._masks:
                self._add_distances(means, region.id, spacings)
                inner = self._inner(region.id, spacings)
                means.dice_inner, means.n_inner = (
                    float(np.mean(inner)) if inner else None,
                    len(inner),
                )

    def _inner(self, class_id: int, whole: Iterable[tuple[str, str]]) -> list[float]:
        """Dice of a region in all but its first and last slices, of volumes without a gap."""
        rows = (sorted(self._dices[volume, class_id].items()) for volume in whole)
        return [dice for row in rows for _, dice in row[_OUTER : max(_OUTER, len(row) - _OUTER)]]

    def _add_distances(
        self,
        means: RegionMeans,
        class_id: int,
        spacings: Mapping[tuple[str, str], tuple[float, float, float]],
    ) -> None:
        """Add the distances of a region in space, and in how many volumes it is."""
        means.n_volume = means.missed_volume = 0
        by_subject: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        for volume, spacing in spacings.items():
            masks = [self._stack(volume, class_id, which) for which in (_DRAWN, _FOUND)]
            if not masks[_DRAWN].any():
                continue
            means.n_volume += 1
            directed = surface_distances(*masks, spacing)
            if directed is None:
                means.missed_volume += 1
                continue
            by_subject[volume[0]].append(
                (largest(directed), largest(directed, 95), mean_distance(directed))
            )
        if by_subject:
            means.hausdorff_mm_volume, means.hausdorff95_mm_volume, means.cmd_mm_volume = (
                float(np.mean([np.mean([v[k] for v in values]) for values in by_subject.values()]))
                for k in range(3)
            )

    def _whole(self) -> dict[tuple[str, str], tuple[float, float, float]]:
        """Spacing of each volume that can be stacked."""
        places: dict[tuple[str, str], list[Slice]] = defaultdict(list)
        for place in self._slices.values():
            places[place.volume].append(place)
        spacings = {}
        for volume, come in self._masks.items():
            indices = sorted(place.index for place in places[volume])
            contiguous = indices == list(range(indices[0], indices[0] + len(indices)))
            spacing = {place.spacing_mm for place in places[volume]}
            if (
                contiguous
                and len(come) == len(indices)
                and 1 == len(spacing) == len(self._shapes[volume])
            ):
                spacings[volume] = spacing.pop()
        return spacings

    def _stack(self, volume: tuple[str, str], class_id: int, which: int) -> np.ndarray:
        """Mask of a region, bool [slices, H, W]."""
        (shape,) = self._shapes[volume]
        slices = sorted(self._masks[volume].items())
        stack = np.zeros((len(slices), *shape), bool)
        for i, (_, coded) in enumerate(slices):
            if (class_id, which) in coded:
                packed = np.frombuffer(zlib.decompress(coded[class_id, which]), np.uint8)
                stack[i].flat = np.unpackbits(packed, count=stack[i].size)
        return stack
