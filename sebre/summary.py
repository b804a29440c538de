"""Means of the scores of many sections, by the names that result files use."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sebre.average_precision import DatasetAP
from sebre.regions import RegionSet
from sebre.scores import Section


def summarize(
    sections: Iterable[Section], regions: RegionSet, subjects: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Means over sections. Sections are taken one by one, and none is kept.

    Args:
        sections: scored; any iterable.
        regions: the region set.
        subjects: of sections that are slices of volumes: the subject by name of the section.

    Returns:
        - n_sections; n_regions_drawn, over all sections
        - map_paper: mean over sections of the AP of a section, all regions pooled, at mask
          IoU 0.5 (the released code)
        - coco_ap50, coco_ap: over regions, mean of ap50_per_region, and of the AP at IoU 0.5,
          0.55 ... 0.95 (`DatasetAP`)
        - dice_mean: mean of dice_per_region
        - mse: mean over sections and all regions of the set of the mean squared error
        - by region name, None for a region that no section shows: ap50_per_region;
          dice_per_region and iou_per_region, means over the sections that show the region, 0
          where it was missed; dice_found_per_region, hausdorff_px_per_region and
          cmd_px_per_region, means over those where it was also found; with known pixel size
          hausdorff_mm_per_region and cmd_mm_per_region
        - counts of sections by region name: n_per_region that show it, missed_per_region
          that show it but where it was not found, extra_per_region where it was found but is
          not drawn
        - with `subjects`: n_subjects; dice_per_region_volume, the mean over the subjects
          that show the region of the Dice of all their sections as one volume. Sections
          count that show the region, and those where it was found only.
    """
    names = {region.id: region.name for region in regions}
    precision = DatasetAP(regions)
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    extra = dict.fromkeys(names, 0)
    aps, errors, count = [], [], 0
    volumes = _Volumes() if subjects else None
    for section in sections:
        count += 1
        precision.add(section)
        if section.ap is not None:
            aps.append(section.ap)
        errors.append(sum(section.errors.values()) / len(regions))
        found_only = {i: v for i, v in section.dices.items() if i in section.best}
        for key, by_class in (
            ("dice", section.dices),
            ("iou", section.ious),
            ("dice_found", found_only),
            ("hausdorff_px", section.hausdorffs),
            ("cmd_px", section.cmds),
            ("hausdorff_mm", section.hausdorffs_mm),
            ("cmd_mm", section.cmds_mm),
        ):
            for class_id, value in by_class.items():
                values[key][class_id].append(value)
        for class_id in section.extra:
            extra[class_id] += 1
        if volumes and section.name in subjects:
            volumes.add(subjects[section.name], section)

    at_50, coco = precision.result()
    dices = {i: _mean(values["dice"][i]) for i in names}
    drawn = {i: len(values["dice"][i]) for i in names}
    means = ["iou", "dice_found", "hausdorff_px", "cmd_px"]
    means += [key for key in ("hausdorff_mm", "cmd_mm") if values[key]]
    by_class: dict[str, Mapping[int, Any]] = {
        "ap50_per_region": at_50,
        "dice_per_region": dices,
        **{f"{key}_per_region": {i: _mean(values[key][i]) for i in names} for key in means},
        "n_per_region": drawn,
        "missed_per_region": {i: drawn[i] - len(values["dice_found"][i]) for i in names},
        "extra_per_region": extra,
    }
    summary: dict[str, Any] = {
        "n_sections": count,
        "n_regions_drawn": sum(drawn.values()),
        "map_paper": _mean(aps),
        "coco_ap50": _mean(at_50.values()),
        "coco_ap": _mean(coco.values()),
        "dice_mean": _mean(dices.values()),
        "mse": _mean(errors),
    }
    if volumes:
        summary["n_subjects"] = len(volumes.subjects)
        by_class["dice_per_region_volume"] = {i: _mean(volumes.dices(i)) for i in names}
    for key, values_by_class in by_class.items():
        summary[key] = {name: values_by_class[i] for i, name in names.items()}
    return summary


class _Volumes:
    """Counts pixels of subjects whose sections come one by one."""

    def __init__(self) -> None:
        # Drawn, found and both, by class id.
        self.subjects: dict[str, dict[int, np.ndarray]] = {}

    def add(self, subject: str, section: Section) -> None:
        counts = self.subjects.setdefault(subject, defaultdict(lambda: np.zeros(3, np.int64)))
        drawn = {int(c): section.masks[..., i] for i, c in enumerate(section.class_ids)}
        found = {c: section.result["masks"][..., row] for c, row in section.best.items()}
        nothing = np.zeros(section.image.shape[:2], bool)
        for class_id in drawn.keys() | found.keys():
            a, b = drawn.get(class_id, nothing), found.get(class_id, nothing)
            counts[class_id] += [np.count_nonzero(m) for m in (a, b, a & b)]

    def dices(self, class_id: int) -> list[float]:
        """Dice of each subject that shows the region."""
        counts = [by_class[class_id] for by_class in self.subjects.values()]
        return [float(2 * both / (a + b)) for a, b, both in counts if a]


def _mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not None; None without any."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
