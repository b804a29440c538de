"""What targets are held against: numbers of stored results, with their text and their n."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sebre.evaluation.scores import AngleScores
from sebre.report.markdown import number, units, with_interval
from sebre.report.published import PublishedScore
from sebre.report.records import Result, interval_of
from sebre.report.tables import published_dice, sections_of
from sebre.report.targets.target_rows import Target
from sebre.report.trials.stand_in_rule import above_copied
from sebre.report.trials.trial_tables import above_cell

LEFT_OUT = "left_out_ap"  # the measure whose files are of `sebre.evaluation.leave_one_out`
_TURN = 20  # degrees
_PRETRAINED = "any_section"  # the start whose training has synthetic sections of the age


@dataclass(frozen=True)
class Sources:
    """Stored results that targets may name.

    Attributes:
        results: by the path of the file under `results`.
        left_out: of `sebre.evaluation.leave_one_out`, by name of the data set.
        copied: copied labels, by name of the data set.
        published: the paper's numbers.
    """

    results: Mapping[str, Result]
    left_out: Mapping[str, Any] = field(default_factory=dict)
    copied: Mapping[str, Result] = field(default_factory=dict)
    published: Sequence[PublishedScore] = ()


@dataclass(frozen=True)
class Measured:
    """A number of a result.

    Attributes:
        value: infinite where something was not found at all.
        text: the number, with what belongs to it.
        n: of what, in words.
        digits: that a difference to it is shown with.
        too_few: whether there are too few sections or subjects to tell whether a target is met.
    """

    value: float
    text: str
    n: str
    digits: int = 3
    too_few: bool = False


def measured(target: Target, file: str, sources: Sources) -> Measured | None:
    """What a result says of a target; None where there is no such result, or it says nothing."""
    if target.measure == LEFT_OUT:
        return _left_out(sources.left_out.get(Path(file).stem) if file else None)
    result = sources.results.get(file)
    return _MEASURES.get(target.measure, _score)(result, target, sources) if result else None


def _score(result: Result, target: Target, sources: Sources) -> Measured | None:
    """A field of the scores, or of the means of a region."""
    value = result.value(target.measure, target.region or None)
    if value is None:
        return None
    ends = interval_of(result, target.measure, target.region or None)
    return Measured(value, with_interval(value, ends), _n(result))


def _volumes_at_table_1(result: Result, target: Target, sources: Sources) -> Measured | None:
    """In how many structures the Dice of volumes is what the paper prints for SeBRe, or more."""
    printed = published_dice(sources.published, result.experiment)
    ours = {region: result.value("dice_volume", region) for region in printed}
    if not ours or None in ours.values():
        return None
    lower = [region for region, value in ours.items() if value < printed[region]]
    count = len(ours) - len(lower)
    text = str(count) + (f" (lower: {_names(lower)})" if lower else "")
    return Measured(count, text, units(result.at().n_subjects, "subject"), digits=0)


def _largest_hausdorff95(result: Result, target: Target, sources: Sources) -> Measured | None:
    """The worst structure; infinite where one was found in no volume."""
    shown = [region for region in result.regions if result.at().region(region).n_volume]
    ours = {region: result.value("hausdorff95_mm_volume", region) for region in shown}
    if not ours:
        return None
    scores = result.at()
    n = f"{units(scores.n_volumes_measured, 'volume')}, {units(scores.n_subjects, 'subject')}"
    if missing := [region for region, value in ours.items() if value is None]:
        return Measured(math.inf, f"not found: {_names(missing)}", n)
    worst = max(ours, key=ours.__getitem__)
    return Measured(ours[worst], f"{number(ours[worst])} ({_names([worst])})", n)


def _lost_at_20(result: Result, target: Target, sources: Sources) -> Measured | None:
    """What mean Dice loses at the worse of 20 degrees to either side."""
    dices = {p.angle: p.dice_mean for p in _curve(result) if abs(p.angle) in (0, _TURN)}
    upright = dices.pop(0, None)
    if upright is None or not dices or None in dices.values():
        return None
    worst = min(dices, key=dices.__getitem__)
    lost = upright - dices[worst]
    return Measured(lost, f"{number(lost)} (at {worst:g})", _n_of_angles(result))


def _lost_turned(result: Result, target: Target, sources: Sources) -> Measured | None:
    """What mean Dice loses in a record of `sebre register`, turned by 20 degrees."""
    upright, turned = result.at().dice_mean, result.at(True).dice_mean
    if getattr(result.record.turned, "rotate", None) != _TURN or None in (upright, turned):
        return None
    return Measured(upright - turned, number(upright - turned), _n(result))


def _of_angles(
    result: Result,
    target: Target,
    sources: Sources,
    key: str,
    of: Callable[[Sequence[float]], float],
) -> Measured | None:
    values = [v for point in _curve(result) if (v := getattr(point, key)) is not None]
    if not values:
        return None
    found = of(values)
    return Measured(found, number(found), f"{_n_of_angles(result)}, {units(len(values), 'angle')}")


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _above_copied(result: Result, target: Target, sources: Sources) -> Measured | None:
    above = above_copied(result, sources.copied)
    if above is None:
        return None
    value, interval, n = above
    return Measured(value, above_cell(above), units(n, "section"), too_few=interval is None)


def _left_out(record: Mapping[str, Any] | None) -> Measured | None:
    means = (record or {}).get("means", {}).get(_PRETRAINED)
    if means is None:
        return None
    return Measured(means["ap"], number(means["ap"]), units(record["n_sections"], "section"))


_MEASURES: dict[str, Callable[[Result, Target, Sources], Measured | None]] = {
    "volumes_at_table_1": _volumes_at_table_1,
    "largest_hausdorff95": _largest_hausdorff95,
    "lost_at_20": _lost_at_20,
    "lost_turned": _lost_turned,
    **{f"lowest_{k}": partial(_of_angles, key=k, of=min) for k in ("map_paper", "dice_mean")},
    **{f"spread_{k}": partial(_of_angles, key=k, of=_spread) for k in ("map_paper", "dice_mean")},
    "above_copied": _above_copied,
}


def _curve(result: Result) -> Sequence[AngleScores]:
    angles = getattr(result.record, "angles", None)
    return angles.curve if angles else []


def _n(result: Result) -> str:
    """Sections, and the units that they are of."""
    scores = result.at()
    return _counted(sections_of(result), scores.n_interval_units, scores.interval_unit)


def _n_of_angles(result: Result) -> str:
    angles = result.record.angles
    return _counted(str(angles.n_sections), angles.n_interval_units, result.at().interval_unit)


def _counted(sections: str, n_units: int | None, unit: str | None) -> str:
    if not n_units or (unit == "section" and sections == str(n_units)):
        return units(int(sections), "section") if sections.isdecimal() else f"{sections} sections"
    what = "images" if unit == "section" else "sections"
    return f"{sections} {what}, {units(n_units, unit)}"


def _names(regions: Iterable[str]) -> str:
    return ", ".join(region.replace("_", " ") for region in regions)
