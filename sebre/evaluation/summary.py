"""Means of the scores of many sections."""

from collections.abc import Iterable

import numpy as np

from sebre.data.metadata import SetFacts
from sebre.data.regions import RegionSet
from sebre.evaluation.average_precision import DatasetAP
from sebre.evaluation.bootstrap import Tally
from sebre.evaluation.failures import FailureTable
from sebre.evaluation.scores import RegionMeans, RegionScore, Scores
from sebre.evaluation.section import Section
from sebre.evaluation.volumes import Volumes

_OVER_DRAWN = ("dice", "iou")
_OVER_FOUND = tuple(f"{key}_{unit}" for unit in ("px", "mm") for key in (
    "hausdorff", "hausdorff95", "cmd"
))  # fmt: skip


def dices_by_region(scores: Scores) -> str:
    """A line for people: the mean Dice of each region that has one, behind its name."""
    dices = {name: means.dice for name, means in scores.regions.items()}
    return "  ".join(f"{name} {dice:.3f}" for name, dice in dices.items() if dice is not None)


def summarize(
    sections: Iterable[Section],
    regions: RegionSet,
    facts: SetFacts | None = None,
    turned: bool = False,
    seed: int = 0,
) -> Scores:
    """Means over sections. Sections are taken one by one, and none is kept.

    Args:
        sections: scored; any iterable.
        regions: the region set.
        facts: of the data set; None without intervals and volumes.
        turned: these are versions of the sections, such as "val/3#1"; they make up no volumes.
        seed: of the bootstrap.
    """
    precision, failures = DatasetAP(regions), FailureTable(regions)
    seen: dict[int, list[RegionScore]] = {region.id: [] for region in regions}
    aps, errors, count = [], [], 0
    tally = Tally(regions, facts.unit_of) if facts else None
    whole = facts is not None and facts.subjects and not turned
    volumes = Volumes(facts.subjects, facts.slices) if whole else None
    for section in sections:
        count += 1
        precision.add(section)
        failures.add(section.name, section.failures)
        if section.ap is not None:
            aps.append(section.ap)
        errors.append([section.scores.get(i, RegionScore()).error for i in seen])
        for class_id, score in section.scores.items():
            seen[class_id].append(score)
        for taker in filter(None, (tally, volumes)):
            taker.add(section)

    at_50, coco = precision.result()
    error = np.mean(errors, axis=0) if errors else [None] * len(seen)
    by_region = {
        region.name: _region_means(seen[region.id], at_50[region.id], mse)
        for region, mse in zip(regions, error, strict=True)
    }
    summary = Scores(
        n_sections=count,
        n_regions_drawn=sum(means.n for means in by_region.values()),
        map_paper=_mean(aps),
        coco_ap50=_mean(at_50.values()),
        coco_ap=_mean(coco.values()),
        dice_mean=_mean(means.dice for means in by_region.values()),
        mse=float(np.mean(errors)) if errors else None,
        regions=by_region,
        failures=failures.result(),
    )
    if volumes:
        volumes.summarize(summary, regions)
    if tally:
        summary.interval_unit, summary.n_interval_units = facts.unit, tally.n_units
        summary.intervals = tally.intervals(seed)
    return summary


def _region_means(scores: list[RegionScore], ap50: float | None, mse: float | None) -> RegionMeans:
    drawn = [score for score in scores if score.drawn]
    found = [score for score in drawn if score.found]
    return RegionMeans(
        ap50=ap50,
        dice_found=_mean(score.dice for score in found),
        n=len(drawn),
        missed=len(drawn) - len(found),
        extra=len(scores) - len(drawn),
        mse=None if mse is None else float(mse),
        **{key: _mean(getattr(score, key) for score in drawn) for key in _OVER_DRAWN},
        **{key: _mean(getattr(score, key) for score in found) for key in _OVER_FOUND},
    )


def _mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not None; None without any."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
