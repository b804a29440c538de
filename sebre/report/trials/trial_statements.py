"""Statements of the paper that trials of networks test, or single regions: part of the ledger."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sebre.data.csv_tables import read_rows
from sebre.evaluation.scores import SectionScore
from sebre.report.markdown import notes, number
from sebre.report.records import MASK_RCNN, Result, interval_of, of_network, with_labels
from sebre.report.statements import Claim, not_public, statement
from sebre.report.trials.stand_in_rule import CONSISTENT, NOT, OPEN, excuse, kept
from sebre.report.trials.trial_records import PLAIN, Trials
from sebre.report.trials.unseen_tables import unseen_says

_ROWS = Path(__file__).with_name("tested_by_trials.csv")
_WELL = ("cortex", "hippocampus", "basal_ganglia", "telencephalic_vesicle", "midbrain")
_LIMITED, _OMITTED = "prethalamus", ("midbrain", "prethalamus")
_MEDIAL = (0.25, 0.75)  # of the sagittal sections of an animal, in their order

Strict = Mapping[tuple[str, str], Result]  # results at the paper's cut-off: weights, data set


def trial_statements(
    results: Sequence[Result], strict: Strict, trials: Trials
) -> tuple[Claim, ...]:
    """A claim for each."""
    rows = read_rows(_ROWS)[1]
    return (
        _good_regions(results, trials),
        *(_trial(row, results, trials) for row in rows),
        _missed_medially(results, strict, trials),
        _turned_fields(results, trials),
    )


def _trial(row: Mapping[str, str], results: Sequence[Result], trials: Trials) -> Claim:
    """A statement that a group of changes of sections tests, or sections of unseen kinds."""
    cells, says = _near(results, row["data"]), []
    seen = unseen_says(row["unseen"], results, trials) if row["unseen"] else ()
    for label, words, verdict, excused in seen:
        cells.append(words)
        says.append((label, verdict, _of_harder(row, verdict, excused)))
    for record in trials.changed:
        if record["experiment"] not in row["experiments"].split():
            continue
        if record["network"] != MASK_RCNN:
            continue
        plain = record["kinds"][PLAIN]["map_paper"]
        group = {
            title: kind["map_paper"]
            for title, kind in record["kinds"].items()
            if kind["group"] == row["group"] and kind["map_paper"] is not None
        }
        if not group or plain is None:
            continue
        worst = min(group, key=group.__getitem__)
        label = f"{record['dataset']}, weights {record['weights']}"
        cells.append(f"{label} {plain:.3f}, lowest {group[worst]:.3f} ({worst})")
        verdict = kept(group[worst], plain)
        excused = _excuse_of(record, results, trials)
        says.append((label, verdict, _of_harder(row, verdict, excused)))
    why = f"{row['why']}{not_public()}"
    untested = row["why"].removesuffix("; ")
    return statement(row["where"], row["statement"], "shown", cells, why, says, untested)


def _of_harder(row: Mapping[str, str], verdict: str, excused: str) -> str:
    """A change that is harder than what the paper states can bear it out, not refute it."""
    return excused or (notes("harder")[0] if row["harder"] and verdict == NOT else "")


def _excuse_of(record: Mapping[str, Any], results: Sequence[Result], trials: Trials) -> str:
    """Why the test set of a trial decides nothing: as of the result on all of it."""
    same = (record["weights"], record["dataset"])
    for result in results:
        if (result.record.weights, result.record.dataset) == same:
            return excuse(result, trials.copied)
    return notes("no_result")[0]


def _near(results: Sequence[Result], dataset: str) -> list[str]:
    """Scores on the data set that comes nearest to a statement."""
    return [
        f"{label} {number(result.at().map_paper)}"
        for label, result in with_labels(of_network(results))
        if dataset and result.record.dataset == dataset
    ]


def _good_regions(results: Sequence[Result], trials: Trials) -> Claim:
    """Whether the region that the paper calls limited is worse than those that it calls good."""
    cells, says = [], []
    for label, result in _of_mouse(results):
        dices = {name: result.at().region(name).dice for name in (*_WELL, _LIMITED)}
        if None in dices.values():
            continue
        limited = dices.pop(_LIMITED)
        lowest = min(dices, key=dices.__getitem__)
        cells.append(f"{label} {limited:.3f}, lowest of the others {dices[lowest]:.3f} ({lowest})")
        ends = interval_of(result, "dice", _LIMITED)
        found = OPEN
        if ends is not None:
            found = (
                CONSISTENT if ends[1] < dices[lowest] else NOT if ends[0] > dices[lowest] else OPEN
            )
        says.append((label, found, excuse(result, trials.copied)))
    (what,) = notes("good_regions")
    (why,) = notes("good_regions_why", reason=not_public())
    return statement("Results text", what, "shown", cells, why, says, *notes("no_stand_in"))


def _missed_medially(results: Sequence[Result], strict: Strict, trials: Trials) -> Claim:
    """Whether regions are missed in medial sections, at the paper's cut-off."""
    cells, says = [], []
    for label, result in _of_mouse(results):
        at = strict.get((result.record.weights, result.record.dataset))
        of_animals = at is not None and at.at().interval_unit == "subject"
        if not of_animals or result.record.plane != "sagittal":
            continue
        drawn = missed = 0
        for section in medial(at.record.sections):
            shown = [section.regions[name] for name in _OMITTED if name in section.regions]
            drawn += len(shown)
            missed += sum(region.dice == 0 for region in shown)
        if drawn:
            cells.append(f"{label} {missed} of {drawn}")
            says.append((label, CONSISTENT if missed else NOT, excuse(result, trials.copied)))
    (what,) = notes("missed_medially")
    (why,) = notes("missed_medially_why", reason=not_public())
    return statement("Results text", what, "shown", cells, why, says, *notes("no_stand_in"))


def medial(sections: Sequence[SectionScore]) -> Iterator[SectionScore]:
    """Sections of the middle half of each animal, whose sections lie in order from side to side.

    Sections without an animal are left out.
    """
    animals: dict[str, list[SectionScore]] = {}
    for section in sections:
        if section.unit is not None:
            animals.setdefault(section.unit, []).append(section)
    for own in animals.values():
        first, end = (round(share * len(own)) for share in _MEDIAL)
        yield from own[first:end]


def _turned_fields(results: Sequence[Result], trials: Trials) -> Claim:
    """Hippocampal fields at random orientations, of plates of all positions."""
    cells, says = [], []
    for label, result in with_labels(of_network(results)):
        lying, turned = result.at().map_paper, result.at(True).map_paper
        if result.experiment == "hippocampus" and None not in (lying, turned):
            cells.append(f"{label} {lying:.3f}, turned {turned:.3f}")
            says.append((label, kept(turned, lying), excuse(result, trials.copied)))
    (what,) = notes("turned_fields")
    (why,) = notes("turned_fields_why", reason=not_public())
    return statement("Supp. 5", what, "shown", cells, why, says, *notes("no_stand_in"))


def _of_mouse(results: Sequence[Result]) -> list[tuple[str, Result]]:
    return [
        (label, result)
        for label, result in with_labels(of_network(results))
        if result.experiment in ("p14_mouse", "extended_mouse")
    ]
