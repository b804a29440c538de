"""Networks on ages and modalities that were not among their training sections.

Files of `sebre evaluate` and `sebre.trials.copied_labels` in one folder. Those of a data set that
was divided by `age=...` are of ages; the others are of networks that learned from other data.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sebre.evaluation.scores import COPIED_LABELS, MASK_RCNN, SectionScore
from sebre.networks.weights_store import read_manifest
from sebre.report.markdown import NONE, Table, notes, number
from sebre.report.records import Result, at_cut_off, score_of
from sebre.report.tables import sections_of
from sebre.report.trials.stand_in_rule import excuse, kept
from sebre.report.trials.trial_records import Trials

AGE, MODALITY = "age", "modality"  # kinds of what a network has not seen


def unseen_of(trials: Trials, kind: str) -> tuple[Result, ...]:
    """Results of networks on ages (AGE) or on modalities (MODALITY), without copied labels."""
    networks = (result for result in trials.unseen if result.network == MASK_RCNN)
    return tuple(result for result in networks if _of_ages(result) == (kind == AGE))


def _of_ages(result: Result) -> bool:
    split = result.record.split
    return isinstance(split, Mapping) and str(split.get("rule", "")).startswith(f"{AGE}=")


def _copied(trials: Trials) -> dict[str, Result]:
    """Labels copied from the sections of the one age, by data set."""
    found = (result for result in trials.unseen if result.network == COPIED_LABELS)
    return {result.record.dataset: result for result in found if _of_ages(result)}


def ages_table(trials: Trials) -> Table:
    """Each brain of another age than that of the training sections: a row a brain."""
    rows = []
    for result in at_cut_off(unseen_of(trials, AGE), strict=False):
        data = result.record.dataset
        strict = _same(at_cut_off(unseen_of(trials, AGE)), result)
        columns = [
            _of_units(strict, "ap"),
            _of_units(result, "ap"),
            _of_units(result, "dice"),
            _of_units(_copied(trials).get(data), "dice"),
        ]
        for unit, sections in _by_unit(result).items():
            cells = [number(column.get(unit)) for column in columns]
            rows.append((f"{data}: {unit}", str(len(sections)), *cells))
    header = ("brain", "sections", "mAP", "mAP", "mean Dice", "mean Dice")
    groups = ("", "", "scores from 0.9", *("scores from 0.3",) * 2, "copied labels")
    return Table("Unseen ages", header, tuple(rows), groups, notes("unseen_ages") if rows else ())


def modalities_table(results: Sequence[Result], trials: Trials) -> Table:
    """Networks that learned from one modality on sections of another."""
    rows = []
    for result in at_cut_off(unseen_of(trials, MODALITY), strict=False):
        strict = _same(at_cut_off(unseen_of(trials, MODALITY)), result)
        own = _own(results, result)
        trained = read_manifest().get(result.record.weights or "", {}).get("dataset", NONE)
        scores = result.at()
        rows.append(
            (
                f"{trained}, weights {result.record.weights}",
                result.record.dataset,
                sections_of(result),
                number(strict.at().map_paper if strict else None),
                number(scores.map_paper),
                number(scores.dice_mean),
                number(own.at().map_paper if own else None),
            )
        )
    header = ("learned from", "tested on", "sections", "mAP", "mAP", "mean Dice", "mAP")
    groups = ("",) * 3 + ("scores from 0.9", *("scores from 0.3",) * 2, "on its own test part")
    below = notes("unseen_modalities") if rows else ()
    return Table("Unseen modalities", header, tuple(rows), groups, below)


def unseen_says(
    kind: str, results: Sequence[Result], trials: Trials
) -> Iterator[tuple[str, str, str, str]]:
    """Of each result its label, its numbers in words, its verdict, and why that decides nothing.

    A network holds where its mAP is not lower than that on its own test part; one that learned from
    a single age, where that of the worst age is not lower than that of a network of many ages.
    """
    for result in at_cut_off(unseen_of(trials, kind), strict=False):
        label = f"{result.record.dataset}, weights {result.record.weights}"
        if kind == AGE:
            known, copied = _learned_more(results, result), _copied(trials)
            values = {u: v for u, v in _of_units(result, "ap").items() if v is not None}
            unit = min(values, key=values.__getitem__, default="")
            value, where = values.get(unit), f" ({unit}, the lowest)"
        else:
            # Copies are of the training part of the set, which this network has not seen.
            known, copied = _own(results, result), {}
            value, where = result.at().map_paper, ""
        before = known.at().map_paper if known else None
        if value is None or before is None:
            continue
        words = f"{label} {value:.3f}{where}, known kinds {before:.3f}"
        yield label, words, kept(value, before), excuse(result, copied)


def _learned_more(results: Iterable[Result], result: Result) -> Result | None:
    """The shipped network of the same data set, whose training part has more ages."""
    for other in results:
        entry = read_manifest().get(other.record.weights or "", {})
        same = other.experiment == result.experiment and other.network == result.network
        if same and other.record.dataset == entry.get("dataset") == result.record.dataset:
            return other
    return None


def _own(results: Iterable[Result], result: Result) -> Result | None:
    """The same weights on the test part of the data set that they learned from."""
    trained = read_manifest().get(result.record.weights or "", {}).get("dataset")
    for other in results:
        if (other.record.weights, other.record.dataset) == (result.record.weights, trained):
            return other
    return None


def _same(others: Iterable[Result], result: Result) -> Result | None:
    key = result.record.weights_sha256, result.record.dataset
    return next((o for o in others if (o.record.weights_sha256, o.record.dataset) == key), None)


def _by_unit(result: Result | None) -> dict[str, list[SectionScore]]:
    units: dict[str, list[SectionScore]] = {}
    for section in result.record.sections if result else ():
        units.setdefault(section.unit or NONE, []).append(section)
    return units


def _of_units(result: Result | None, key: str) -> dict[str, float | None]:
    """A score of each unit, made as that of a test part: mAP ("ap") or mean Dice ("dice")."""
    return {unit: score_of(sections, key) for unit, sections in _by_unit(result).items()}
