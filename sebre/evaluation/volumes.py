"""Scores of volumes whose slices are sections that come one by one."""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sebre.data.metadata import Slice
from sebre.evaluation.mask_metrics import largest, mean_distance, surface_distances
from sebre.evaluation.section import Section

MEASURES = ("hausdorff_mm", "hausdorff95_mm", "cmd_mm")
_DRAWN, _FOUND = 0, 1


class Volumes:
    """Collects the drawn and found masks of volumes, and scores them in space.

    Overlap is by subject, of all its sections. Distances are by volume, of which a subject can
    have several. They are those of masks stacked with the spacing of the slices, and are
    measured only if the distance between slices is known and the sections are all the
    prepared slices of the volume, one next to the other: across a gap contours are not known.
    Slices outside the prepared ones show no region; they count as outside. Masks are kept
    compressed.

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

    @property
    def n_subjects(self) -> int:
        """Subjects so far."""
        return len(self._pixels)

    def add(self, section: Section) -> None:
        """Add a section; its arrays are not kept. One of no subject is passed over."""
        subject = self._subject_of.get(section.name)
        if subject is None:
            return
        counts = self._pixels.setdefault(subject, defaultdict(lambda: np.zeros(3, np.int64)))
        drawn = {int(c): section.masks[..., i] for i, c in enumerate(section.class_ids)}
        found = {c: section.result["masks"][..., row] for c, row in section.best.items()}
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

    def dices(self, class_id: int) -> list[float]:
        """Dice of each subject that shows the region."""
        counts = [by_class[class_id] for by_class in self._pixels.values()]
        return [float(2 * both / (a + b)) for a, b, both in counts if a]

    def distances(self, class_ids: Iterable[int]) -> dict[str, Any]:
        """Distances in space.

        Args:
            class_ids: of the regions.

        Returns:
            "n_volumes", and "n_volumes_measured", those without a gap; and by class id
            "n_per_region_volume", how many of these show the region, "missed_per_region_volume",
            in how many of them nothing of it was found, and `MEASURES`: the means over
            subjects, of the mean over the volumes of a subject in which it was found; None
            without any. Empty if no distance between slices is known.
        """
        if not self._masks:
            return {}
        spacings = self._whole()
        values: dict[str, dict[int, dict[str, list[float]]]] = {
            key: {i: defaultdict(list) for i in class_ids} for key in MEASURES
        }
        shown, missed = dict.fromkeys(class_ids, 0), dict.fromkeys(class_ids, 0)
        for volume, spacing in spacings.items():
            for class_id in shown:
                masks = [self._stack(volume, class_id, which) for which in (_DRAWN, _FOUND)]
                if not masks[_DRAWN].any():
                    continue
                shown[class_id] += 1
                directed = surface_distances(*masks, spacing)
                if directed is None:
                    missed[class_id] += 1
                    continue
                scores = (largest(directed), largest(directed, 95), mean_distance(directed))
                for key, score in zip(MEASURES, scores, strict=True):
                    values[key][class_id][volume[0]].append(score)
        return {
            "n_volumes": len(self._masks),
            "n_volumes_measured": len(spacings),
            "n_per_region_volume": shown,
            "missed_per_region_volume": missed,
            **{
                f"{key}_per_region_volume": {
                    i: float(np.mean([np.mean(v) for v in by_subject.values()]))
                    if by_subject
                    else None
                    for i, by_subject in by_class.items()
                }
                for key, by_class in values.items()
            },
        }

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
