"""Rivals of the paper's Table 1, trained or run here, on the same scans as SeBRe's network.

`results/rivals/DATA_METHOD.json`, with `_seed1` and so on behind it for further runs, are files of
`sebre evaluate` (F-CNN, BrainSegNet, QuickNAT, U-Net, nnU-Net) or `sebre register` (LDDMM, ...).
SeBRe's own result is a file of Mask R-CNN there, or else that of the same experiment, data set and
split. Registrations of `results/registration` of the same test join in.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from sebre.data.listing import visible
from sebre.evaluation.bootstrap import Difference, paired_difference
from sebre.evaluation.scores import Evaluation, Registration
from sebre.evaluation.stored import RecordFault
from sebre.report.markdown import NONE, Table, notes, number, signed, units
from sebre.report.published import PublishedScore, find_scores
from sebre.report.records import MASK_RCNN, METHOD_NAMES, U_NET, Result
from sebre.report.tables import sections_of, split_of
from sebre.report.trials.stand_in_rule import CONSISTENT, NOT, OPEN, excuse

FOLDER = "rivals"
OURS = "SeBRe"
PRINTED = ("F-CNN", "BrainSegNet", "QuickNAT")  # the rivals of Table 1
_WINS = 5  # of 8 structures: what the paper says of its Dice

_MEASURES = {
    "map_paper": "mAP",
    "dice_mean": "Dice",
    "hausdorff_mm": "Hausdorff, mm",
    "hausdorff95_mm": "Hausdorff 95 %, mm",
    "cmd_mm": "CMD, mm",
}
_DISTANCES = ("hausdorff_px", "hausdorff95_px", "cmd_px")  # paired, section by section
_IN_VOLUMES = {
    "dice_volume": "Dice",
    "hausdorff_mm_volume": "Hausdorff, mm",
    "hausdorff95_mm_volume": "Hausdorff 95 %, mm",
    "cmd_mm_volume": "CMD, mm",
}


@dataclass(frozen=True)
class Contest:
    """Methods on the same test scans: runs by the name of the method, SeBRe's first."""

    experiment: str
    dataset: str
    rule: str
    runs: Mapping[str, tuple[Result, ...]]

    @property
    def where(self) -> str:
        """The test set, in words."""
        return f"{self.dataset}, split {self.rule}"

    def dice(self, method: str, region: str) -> float | None:
        """Mean Dice of a region over the runs of a method."""
        return _mean([run.value("dice", region) for run in self.runs[method]])


def read_rivals(folder: str | Path) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """Runs of rivals of a folder of results, and what is wrong with which file."""
    found, problems = [], []
    inside = Path(folder) / FOLDER
    for path in visible(inside, "*.json") if inside.is_dir() else ():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            kind = Registration if "method" in content else Evaluation
            found.append(Result(path.stem, kind.from_json(content)))
        except (OSError, ValueError, TypeError, RecordFault) as error:
            cure = "Make it again: `sebre evaluate`, or `sebre register`, with --out."
            problems.append(f"{path}: not a whole record of scores: {error}. {cure}")
    return tuple(found), tuple(problems)


def contests(
    results: Sequence[Result], rivals: Sequence[Result], methods: Sequence[Result] = ()
) -> tuple[Contest, ...]:
    """Runs of rivals, by what they were tested on, beside SeBRe's network and its U-Net (of
    `results`, where none is among the rivals) and registrations (of `methods`) there."""
    groups: dict[tuple[str, str, str], dict[str, list[Result]]] = {}
    for rival in rivals:
        same = groups.setdefault(_key(rival), {OURS: []})
        name = OURS if rival.network == MASK_RCNN else rival.method_name
        same.setdefault(name, []).append(rival)
    for key, same in groups.items():
        here = [result for result in results if _key(result) == key]
        if not same[OURS]:  # the first: others are the same network at another size of picture
            same[OURS] = [result for result in here if result.network == MASK_RCNN][:1]
        if not same[OURS]:
            del same[OURS]
        if unets := [result for result in here if result.network == U_NET][:1]:
            same.setdefault(U_NET, unets)
        for method in methods:
            registers = method.record.method in METHOD_NAMES and method.record.method != "none"
            if registers and _key(method) == key and method.method_name not in same:
                same[method.method_name] = [method]
    return tuple(
        Contest(*key, {name: tuple(runs) for name, runs in same.items()})
        for key, same in groups.items()
    )


def rival_tables(
    found: Sequence[Contest], published: Sequence[PublishedScore] = ()
) -> tuple[Table, ...]:
    """Of each test set the methods, of sections and of volumes, what they cost, and their Dice by
    region; of inner slices beside the means that the paper prints."""
    kinds = (_methods, _volumes, _regions, partial(_inner, published=published), _costs)
    tables = (make(one) for one in found for make in kinds)
    return tuple(table for table in tables if table is not None)


def _methods(contest: Contest) -> Table:
    ours = contest.runs.get(OURS, ())
    rows = []
    for method, runs in contest.runs.items():
        found = {
            key: _paired(runs, ours, key) if ours and method != OURS else None
            for key in ("dice", *_DISTANCES)
        }
        difference = found["dice"]
        rows.append(
            (
                method,
                str(len(runs)),
                sections_of(runs[0]),
                *(_cell(_of_all(run, key) for run in runs) for key in _MEASURES),
                *map(signed, found.values()),
                units(difference.n_units, difference.unit) if difference else NONE,
            )
        )
    names = ("Dice", "Hausdorff, px,", "Hausdorff 95 %, px,", "CMD, px,")
    minus = (f"{name} minus {OURS}'s" for name in names)
    header = ("method", "runs", "sections", *_MEASURES.values(), *minus, "over")
    title = f"{contest.experiment} on {contest.dataset}, split {contest.rule}"
    return Table(title, header, tuple(rows), notes=(*winner(contest), *notes("live_rivals")))


def winner(contest: Contest) -> tuple[str, ...]:
    """Who has the highest mean Dice of all that took all test sections, and by how much."""
    most = max(len(runs[0].record.sections) for runs in contest.runs.values())
    whole = {
        method: runs
        for method, runs in contest.runs.items()
        if len(runs[0].record.sections) == most and runs[0].at().dice_mean is not None
    }
    dices = {method: _mean([run.at().dice_mean for run in runs]) for method, runs in whole.items()}
    ranked = sorted(dices, key=lambda name: -dices[name])
    if len(ranked) < 2:
        return ()
    first, second = ranked[:2]
    difference = _paired(whole[first], whole[second], "dice")
    apart = "are told apart" if difference and difference.sign else "are not told apart"
    place = (
        f" {OURS} is number {ranked.index(OURS) + 1} of {len(ranked)}." if OURS in ranked else ""
    )
    return (
        f"{first} has the highest mean Dice on {contest.where}: {dices[first]:.3f}, before "
        f"{second} with {dices[second]:.3f}. Paired, the first runs of the two differ by "
        f"{signed(difference)}: they {apart}.{place}",
    )


def _volumes(contest: Contest) -> Table | None:
    """The same of whole volumes, where sections are slices of them."""
    rows = tuple(
        (method, *(_cell(_of_all(run, key) for run in runs) for key in _IN_VOLUMES))
        for method, runs in contest.runs.items()
        if any(_of_all(run, "dice_volume") is not None for run in runs)
    )
    if not rows:
        return None
    title = f"The sections of a person as one volume: {contest.experiment} on {contest.where}"
    return Table(title, ("method", *_IN_VOLUMES.values()), rows)


def _costs(contest: Contest) -> Table | None:
    """Size and times, of the first run of each network that says them."""
    firsts = {method: runs[0] for method, runs in contest.runs.items()}
    rows = tuple(
        (method, *_costs_of(run))
        for method, run in firsts.items()
        if isinstance(run.record, Evaluation) and run.record.seconds_per_section
    )
    if not rows:
        return None
    times = ("training, min", "s a section", "s for the sections of a scan")
    header = ("method", "weights", "sees, px", *times)
    title = f"What the networks cost: {contest.experiment} on {contest.where}"
    return Table(title, header, rows, notes=notes("live_costs"))


def _costs_of(run: Result) -> tuple[str, ...]:
    record, scans = run.record, run.at().n_volumes
    times, trained = record.seconds_per_section, record.training_seconds
    return (
        f"{record.parameters:,}" if record.parameters else NONE,
        f"{record.image_px}" if record.image_px else NONE,
        NONE if trained is None else f"{trained / 60:.0f}",
        number(times.mean),
        f"{times.mean * len(record.sections) / scans:.0f}" if scans else NONE,
    )


def _regions(contest: Contest) -> Table:
    title = f"Dice of {contest.experiment} on {contest.dataset}, split {contest.rule}, by region"
    return Table(title, ("region", *contest.runs), _by_region(contest, "dice"))


def _inner(contest: Contest, published: Sequence[PublishedScore]) -> Table | None:
    """Dice away from the ends of the structures, where their slices are largest."""
    known = {
        method: runs
        for method, runs in contest.runs.items()
        if any(runs[0].value("n_inner", region) for region in runs[0].regions)
    }
    if not known:
        return None
    title = f"Dice of inner slices: {contest.experiment} on {contest.where}"
    rows = _by_region(replace(contest, runs=known), "dice_inner")
    if contest.experiment == "ibsr" and published:
        rows += (("mean, printed in Table 1", *(_printed(name, published) for name in known)),)
    return Table(title, ("region", *known), rows, notes=notes("live_inner"))


def _printed(method: str, published: Sequence[PublishedScore]) -> str:
    """The mean over the structures of the Dice that the paper prints of a method."""
    asked = {"where": "Table 1", "method": printed_name(method), "metric": "dice_mean"}
    return number(_mean([score.value for score in find_scores(published, **asked)]))


def _by_region(contest: Contest, key: str) -> tuple[tuple[str, ...], ...]:
    """A row for each region with the mean over the runs of each method, and one for all."""
    regions = next(iter(contest.runs.values()))[0].regions
    columns = [
        [_mean([run.value(key, region) for run in runs]) for region in regions]
        for runs in contest.runs.values()
    ]
    names = [*(region.replace("_", " ") for region in regions), "mean"]
    cells = [*zip(*columns, strict=True), [_of_every(column) for column in columns]]
    return tuple((name, *map(number, row)) for name, row in zip(names, cells, strict=True))


def most_wins(
    found: Sequence[Contest], copied: Mapping[str, Result]
) -> list[tuple[str, str, str, str]]:
    """Has SeBRe the highest mean Dice in as many structures of human MRI as the paper says? Open
    while a rival of Table 1 was not run there.

    Returns:
        Of each test set its name, the verdict, the count, and why that decides nothing, or "".
    """
    says = []
    for one in found:
        if one.experiment != "ibsr" or OURS not in one.runs:
            continue
        rivals = [name for name in one.runs if printed_name(name) in PRINTED]
        if lacking := {*PRINTED} - {*map(printed_name, rivals)}:
            says.append((one.where, OPEN, "", f"{', '.join(sorted(lacking))} not run"))
            continue
        regions = one.runs[OURS][0].regions
        wins = sum(
            (one.dice(OURS, region) or 0) > max(one.dice(name, region) or 0 for name in rivals)
            for region in regions
        )
        verdict = CONSISTENT if wins >= _WINS else NOT
        why = excuse(one.runs[OURS][0], copied)
        says.append((one.where, verdict, f"{wins} of {len(regions)}", why))
    return says


def smaller_distances(
    found: Sequence[Contest], copied: Mapping[str, Result]
) -> list[tuple[str, str, str, str]]:
    """The same of whether SeBRe has the smaller Hausdorff and contour mean distance in all
    structures, against F-CNN: means over sections where both found the structure, of first runs."""
    says = []
    for one in found:
        if one.experiment != "ibsr" or not {OURS, PRINTED[0]} <= one.runs.keys():
            continue
        pair = [one.runs[name][0] for name in (OURS, PRINTED[0])]
        known = [
            difference
            for key in ("hausdorff_px", "cmd_px")
            for region in pair[0].regions
            if (difference := _nearer(*pair, region, key)) is not None
        ]
        if known:
            less = sum(difference < 0 for difference in known)
            verdict = CONSISTENT if less == len(known) else NOT
            says.append((one.where, verdict, f"{less} of {len(known)}", excuse(pair[0], copied)))
    return says


def printed_name(method: str) -> str:
    """What Table 1 calls a method: "QuickNAT" also where three planes are taken together."""
    return method.partition(",")[0]


def _nearer(ours: Result, theirs: Result, region: str, key: str) -> float | None:
    """Mean difference of a distance over the sections where both found a region."""
    other = {section.section: section.regions for section in theirs.record.sections}
    values = []
    for section in ours.record.sections:
        pair = section.regions.get(region), other.get(section.section, {}).get(region)
        if None not in pair and None not in (found := [getattr(one, key) for one in pair]):
            values.append(found[0] - found[1])
    return _mean(values)


def _key(result: Result) -> tuple[str, str, str]:
    return result.experiment, result.record.dataset, split_of(result)["rule"]


def _paired(runs: Sequence[Result], others: Sequence[Result], key: str) -> Difference | None:
    """A score of the first run minus that of the first of others, on the sections of both."""
    theirs = {section.section: section for section in others[0].record.sections}
    pairs = [
        (section, theirs[section.section])
        for section in runs[0].record.sections
        if section.section in theirs
    ]
    if not pairs:
        return None
    unit = others[0].at().interval_unit or runs[0].at().interval_unit
    return paired_difference(*zip(*pairs, strict=True), key, unit=unit)


def _of_all(run: Result, key: str) -> float | None:
    """A score over all regions: as it is stored, or the mean of those of the regions."""
    stored = getattr(run.at(), key, None)
    if stored is not None:
        return stored
    if not key.endswith(("_mm", "_volume")):
        return None
    return _of_every([run.value(key, region) for region in run.regions])


def _of_every(values: Sequence[float | None]) -> float | None:
    """The mean over regions; None where one has no value: a method that never found the hardest
    region would have a better mean for it."""
    return None if None in values else _mean(values)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _cell(values: Sequence[float | None]) -> str:
    """The mean of the runs; with the lowest and the highest where there are several."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return number(_mean(known))
    return f"{np.mean(known):.3f} ({min(known):.3f} to {max(known):.3f})"
