"""What `sebre.corrections.measure_gain` measured: what corrections gain, and whether it pays to
choose the sections."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sebre.evaluation.bootstrap import Difference, paired_difference
from sebre.evaluation.scores import RegionScore, SectionScore
from sebre.report import style
from sebre.report.details import FEW_UNITS
from sebre.report.markdown import NONE, Table

FOLDER = "corrections"
_WORST = "worst"  # rule of the simulated corrections
_CHOSEN, _CHANCE = "next", "random"
_NOTES = (
    "Each seed draws 20 sections of the training part. The network of any section predicts them, "
    "and their drawn masks stand for corrections of five: those with the most wrong pixels, those "
    "that `sebre next` puts first, or five by chance. It then goes on with these five, and is "
    "scored on other sections: the same ones of the test part each time. Mean Dice over the "
    "sections that show a region, then over regions, then over seeds.",
    "Gain: over the network before, in the regions that it knows by their names, with the 95 % "
    "interval over the units named, paired. `sebre next` minus chance: in all regions, and the "
    f"difference of each seed; with the 95 % interval over the seeds, paired, from {FEW_UNITS} on.",
)


def read_corrections(folder: str | Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Records of `sebre.corrections.measure_gain` by name of the data set, of a folder of results,
    and what is wrong with which file."""
    records, problems = {}, []
    for path in sorted((Path(folder) / FOLDER).glob("*.json")):
        try:
            record = dict(json.loads(path.read_text(encoding="utf-8")))
            correction_tables({record["dataset"]: record})
            records[record["dataset"]] = record
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            cure = "Make it again: python -m sebre.corrections.measure_gain"
            problems.append(f"{path}: not what it should be ({error!r}). {cure}")
    return records, tuple(problems)


def correction_tables(records: Mapping[str, Any]) -> tuple[Table, ...]:
    """What corrections gain, and `sebre next` beside chance; a row for each data set."""
    gains, choices = [], []
    for name, record in records.items():
        if gain := gain_of(record):
            before, after = (mean_dice(scores) for scores in _before_and_after(record))
            seeds = len(_runs(record, _WORST))
            scored = f"{len(record['before'])} sections"
            scored += f", {gain.n_units} {gain.unit}s" if gain.unit != "section" else ""
            cells = (f"{before:.3f}", f"{after:.3f}", _signed(gain), scored, str(seeds))
            gains.append((name, *cells))
        if difference := difference_of(record):
            pairs = _pairs(record)
            chosen, chance = [
                np.mean([run["dice_mean"] for run in runs]) for runs in zip(*pairs, strict=True)
            ]
            each = " ".join(f"{a['dice_mean'] - b['dice_mean']:+.3f}" for a, b in pairs)
            cells = (f"{chosen:.3f}", f"{chance:.3f}", _signed(difference), each, str(len(pairs)))
            choices.append((name, *cells))
    start = ("data", "before", "five worst corrected", "gain", "scored on", "seeds")
    head = ("data", "five by sebre next", "five by chance", "difference", "of each seed", "seeds")
    return (
        Table("What five corrections gain", start, tuple(gains), notes=_NOTES if gains else ()),
        Table("Which sections to correct", head, tuple(choices)),
    )


def gain_of(record: Mapping[str, Any]) -> Difference | None:
    """Dice after the correction of the worst sections minus Dice before, over the regions that the
    network knows; None without such runs."""
    before, after = _before_and_after(record)
    return paired_difference(after, before, unit=record["unit"]) if after else None


def difference_of(record: Mapping[str, Any]) -> Difference | None:
    """Dice with the sections that `sebre next` chose minus Dice with sections by chance, over the
    seeds that have both; None without any. Of a few seeds there is no interval."""
    chosen: list[SectionScore] = []
    chance: list[SectionScore] = []
    for one, other in _pairs(record):
        for scores, run in ((chosen, one), (chance, other)):
            unit = f"seed {run['seed']}"
            scores += [
                section_score(name, dices, unit) for name, dices in sorted(run["scores"].items())
            ]
    found = paired_difference(chosen, chance, unit="seed") if chosen else None
    if found is None or found.n_units >= FEW_UNITS:
        return found
    return replace(found, interval=None)


def correction_figure(records: Mapping[str, Any]) -> style.ReportFigure:
    """Dice before, with five sections by chance, by `sebre next`, and with the worst ones: a panel
    for each data set, a line for each seed."""

    def draw(ax: Axes, record: Mapping[str, Any]) -> None:
        rules = (_CHANCE, _CHOSEN, _WORST)
        by_seed: dict[int, dict[str, float]] = {}
        for run in record["runs"]:
            by_seed.setdefault(run["seed"], {})[run["rule"]] = float(run["dice_mean"])
        for found in by_seed.values():
            places = [x for x, rule in enumerate(rules) if rule in found]
            values = [found[rules[x]] for x in places]
            ax.plot(places, values, marker="o", markersize=4, color=style.BLUE, alpha=0.4, lw=1)
        for x, rule in enumerate(rules):
            values = [found[rule] for found in by_seed.values() if rule in found]
            if values:
                ax.plot([x - 0.2, x + 0.2], [np.mean(values)] * 2, color=style.VERMILION, lw=2)
        ax.set_xticks(range(3), ["chance", "sebre next", "worst"], fontsize=style.FONT)
        ax.set_xlim(-0.5, 2.5)
        ax.set_ylabel("mean Dice", fontsize=style.FONT)
        ax.grid(axis="y", alpha=0.3)

    panels = [
        (f"{name}\n{len(record['before'])} test sections", lambda ax, r=record: draw(ax, r))
        for name, record in records.items()
    ]
    return style.panel_figure(panels, None, "sebre.corrections.measure_gain")


def _runs(record: Mapping[str, Any], rule: str) -> dict[int, Mapping[str, Any]]:
    """The runs of a rule by seed."""
    return {run["seed"]: run for run in record["runs"] if run["rule"] == rule}


def _pairs(record: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Runs of `sebre next` and of chance, of the seeds that have both."""
    chosen, chance = _runs(record, _CHOSEN), _runs(record, _CHANCE)
    return [(chosen[seed], chance[seed]) for seed in sorted(chosen) if seed in chance]


def _before_and_after(
    record: Mapping[str, Any],
) -> tuple[list[SectionScore], list[SectionScore]]:
    """Scores of the regions that the network knew, once for each run on the worst sections."""
    before: list[SectionScore] = []
    after: list[SectionScore] = []
    known = record["known_regions"]
    for run in _runs(record, _WORST).values():
        for scores, found in ((before, record["before"]), (after, run["scores"])):
            for name, dices in sorted(found.items()):
                some = {region: value for region, value in dices.items() if region in known}
                scores.append(section_score(name, some, record["units"][name]))
    return before, after


def section_score(name: str, dices: Mapping[str, float], unit: str) -> SectionScore:
    """A section whose Dice by region is known."""
    regions = {region: RegionScore(dice=float(value)) for region, value in dices.items()}
    return SectionScore(section=name, regions=regions, unit=unit)


def mean_dice(scores: Sequence[SectionScore]) -> float:
    """Mean Dice over the sections that show a region, then over regions."""
    by_region: dict[str, list[float]] = {}
    for section in scores:
        for name, score in section.regions.items():
            by_region.setdefault(name, []).append(score.dice)
    return float(np.mean([np.mean(values) for values in by_region.values()]))


def _signed(difference: Difference) -> str:
    if difference.interval is None:
        return f"{difference.value:+.3f} [{NONE}]"
    low, high = difference.interval
    return f"{difference.value:+.3f} [{low:+.3f}, {high:+.3f}]"
