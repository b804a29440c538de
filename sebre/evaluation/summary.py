"""Means of the scores of many sections, by the names that result files use."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sebre.data.metadata import SetFacts
from sebre.data.regions import RegionSet
from sebre.evaluation.average_precision import DatasetAP
from sebre.evaluation.bootstrap import Tally
from sebre.evaluation.failures import FailureTable
from sebre.evaluation.section import Section
from sebre.evaluation.volumes import Volumes


def summarize(
    sections: Iterable[Section],
    regions: RegionSet,
    facts: SetFacts | None = None,
    turned: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Means over sections. Sections are taken one by one, and none is kept.

    Args:
        sections: scored; any iterable.
        regions: the region set.
        facts: of the data set; None without intervals and volumes.
        turned: these are versions of the sections, named such as "val/3#1"; they do not make
            up volumes.
        seed: of the bootstrap.

    Returns:
        - n_sections; n_regions_drawn, over all sections
        - map_paper: mean over sections of the AP of a section, all regions pooled, at mask
          IoU 0.5 (the released code)
        - coco_ap50, coco_ap: over regions, mean of ap50_per_region, and of the AP at IoU 0.5,
          0.55 ... 0.95 (`DatasetAP`)
        - dice_mean: mean of dice_per_region
        - mse: mean over sections and all regions of the set of the mean squared error;
          mse_per_region, by region name, its mean over all sections
        - by region name, None for a region that no section shows: ap50_per_region;
          dice_per_region and iou_per_region, means over the sections that show the region, 0
          where it was missed; dice_found_per_region, hausdorff_px_per_region,
          hausdorff95_px_per_region (95th percentile) and cmd_px_per_region, means over those
          where it was also found; with known pixel size the same in mm
        - counts of sections by region name: n_per_region that show it, missed_per_region
          that show it but where it was not found, extra_per_region where it was found but is
          not drawn
        - failures: counts and worst sections by kind (`FailureTable`)
        - with `facts`: intervals, of 95 %, by name of the score (`Tally`); interval_unit,
          "section" or "subject", what they vary over; n_interval_units
        - with subjects: n_subjects; dice_per_region_volume, the mean over the subjects
          that show the region of the Dice of all their sections as one volume. Sections
          count that show the region, and those where it was found only; with a known distance
          between slices the distances in space (`Volumes.distances`)
    """
    names = {region.id: region.name for region in regions}
    precision = DatasetAP(regions)
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    extra = dict.fromkeys(names, 0)
    aps, errors, count = [], [], 0
    failures = FailureTable(regions)
    tally, volumes = None, None
    if facts is not None:
        tally = Tally(regions, lambda name: _unit(name, facts))
        if facts.subjects and not turned:
            volumes = Volumes(facts.subjects, facts.slices)
    for section in sections:
        count += 1
        precision.add(section)
        failures.add(section.name, section.failures)
        if section.ap is not None:
            aps.append(section.ap)
        errors.append([section.errors.get(i, 0.0) for i in names])
        found_only = {i: v for i, v in section.dices.items() if i in section.best}
        for key, by_class in (
            ("dice", section.dices),
            ("iou", section.ious),
            ("dice_found", found_only),
            ("hausdorff_px", section.hausdorffs),
            ("hausdorff95_px", section.hausdorffs95),
            ("cmd_px", section.cmds),
            ("hausdorff_mm", section.hausdorffs_mm),
            ("hausdorff95_mm", section.hausdorffs95_mm),
            ("cmd_mm", section.cmds_mm),
        ):
            for class_id, value in by_class.items():
                values[key][class_id].append(value)
        for class_id in section.extra:
            extra[class_id] += 1
        if tally:
            tally.add(section)
        if volumes:
            volumes.add(section)

    at_50, coco = precision.result()
    dices = {i: _mean(values["dice"][i]) for i in names}
    drawn = {i: len(values["dice"][i]) for i in names}
    means = ["iou", "dice_found", "hausdorff_px", "hausdorff95_px", "cmd_px"]
    means += [key for key in ("hausdorff_mm", "hausdorff95_mm", "cmd_mm") if values[key]]
    by_class: dict[str, Mapping[int, Any]] = {
        "ap50_per_region": at_50,
        "dice_per_region": dices,
        **{f"{key}_per_region": {i: _mean(values[key][i]) for i in names} for key in means},
        "n_per_region": drawn,
        "missed_per_region": {i: drawn[i] - len(values["dice_found"][i]) for i in names},
        "extra_per_region": extra,
        "mse_per_region": {
            i: float(value) for i, value in zip(names, np.mean(errors, axis=0), strict=True)
        }
        if errors
        else dict.fromkeys(names),
    }
    summary: dict[str, Any] = {
        "n_sections": count,
        "n_regions_drawn": sum(drawn.values()),
        "map_paper": _mean(aps),
        "coco_ap50": _mean(at_50.values()),
        "coco_ap": _mean(coco.values()),
        "dice_mean": _mean(dices.values()),
        "mse": float(np.mean(errors)) if errors else None,
    }
    if volumes:
        summary["n_subjects"] = volumes.n_subjects
        by_class["dice_per_region_volume"] = {i: _mean(volumes.dices(i)) for i in names}
        for key, value in volumes.distances(names).items():
            (by_class if isinstance(value, dict) else summary)[key] = value
    for key, values_by_class in by_class.items():
        summary[key] = {name: values_by_class[i] for i, name in names.items()}
    if tally:
        summary["interval_unit"] = facts.unit
        summary["n_interval_units"] = tally.n_units
        summary["intervals"] = tally.intervals(seed)
    summary["failures"] = failures.result()
    return summary


def _unit(name: str, facts: SetFacts) -> str:
    """What a section, or a version of one, belongs to."""
    section = name.partition("#")[0]
    return facts.units.get(section, section)


def _mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not None; None without any."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
