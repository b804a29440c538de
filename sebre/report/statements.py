"""Statements of the paper: our results test them on stand-in data only, so all stay "not run".

`sebre.report.claims` adds them to the ledger, with those of `sebre.report.trials.trial_statements`.
What stand-in data say of each follows `sebre.report.trials.stand_in_rule`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from sebre.evaluation.bootstrap import paired_difference
from sebre.report.markdown import NONE, notes
from sebre.report.published import PublishedScore, find_scores
from sebre.report.records import (
    MASK_RCNN,
    METHOD_NAMES,
    Result,
    interval_of,
    of_network,
    with_labels,
)
from sebre.report.systems.rival_tables import Contest, smaller_distances
from sebre.report.tables import split_of
from sebre.report.trials.stand_in_rule import (
    CLOSE,
    CONSISTENT,
    NOT,
    OPEN,
    combined,
    excuse,
    kept,
)

REPRODUCED, PARTLY, NOT_RUN = "reproduced", "partly", "not run"
AVAILABLE = "available"  # a setting that at most the numbers of the paper's network were made with

SETTING, SCORE, NOTEBOOK, RIVAL, FACT, STATEMENT = (
    "settings and counts",
    "scores",
    "scores in the released notebook",
    "rivals' scores",
    "facts",
    "statements",
)


NEEDS_NITRC = "the IBSR scans need registration at NITRC"


@dataclass(frozen=True)
class Claim:
    """A row of the ledger: what is claimed where in the paper, the number published, and ours.

    `kind` is one of the six above, `verdict` one of the five verdicts, `why` its reason. Of a
    setting, `on_paper_data` is that of this package. `stand_in` is the verdict on stand-in data,
    CONSISTENT, NOT or OPEN, and `stand_in_says` tells of which data sets, or why it is open.
    """

    kind: str
    where: str
    what: str
    published: str
    on_paper_data: str
    on_stand_in: str
    verdict: str
    why: str
    stand_in: str = OPEN
    stand_in_says: str = ""


_PAPER_ANGLE = 20  # degrees, the most of the paper's Fig. 4
_RIVALS = [name for name in METHOD_NAMES if name != "none"]


def statements(
    results: Sequence[Result],
    methods: Sequence[Result],
    splits: Sequence[Result],
    published: Sequence[PublishedScore],
    copied: Mapping[str, Result],
    live: Sequence[Contest] = (),
) -> tuple[Claim, ...]:
    """A claim for each statement that is not a number; `copied` are labels of `sebre.trials`,
    `live` are rivals that were run here."""
    return (
        _orientation(results, copied),
        _registration(methods, copied),
        _rotated_registration(methods, copied),
        _smaller_distances(published, live, copied),
        _leakage(results, splits),
    )


def not_public() -> str:
    """Why scores on the paper's own mouse sections could not be measured."""
    return notes("not_public")[0]


def statement(
    where: str,
    what: str,
    published: str,
    cells: Iterable[str],
    why: str,
    says: Iterable[tuple[str, str, str]] = (),
    untested: str = "",
) -> Claim:
    """A statement with what stand-in data say of it.

    Args:
        where: in the paper.
        what: is stated.
        published: what the paper shows.
        cells: our numbers, in words.
        why: nothing was tested on the paper's data.
        says: of each test set its name, its verdict, and why that decides nothing, or "".
        untested: why there is no test set.
    """
    says = [(label, OPEN if excused else found, excused) for label, found, excused in says]
    told = (
        f"{label}: {found}" + (f" ({excused})" if excused else "") for label, found, excused in says
    )
    return Claim(
        STATEMENT,
        where,
        what,
        published,
        NONE,
        "; ".join(cells) or NONE,
        NOT_RUN,
        why,
        combined(found for _, found, _ in says),
        "; ".join(told) or untested,
    )


def _orientation(results: Sequence[Result], copied: Mapping[str, Result]) -> Claim:
    cells, says = [], []
    for label, result in with_labels(of_network(results)):
        lying, turned = result.at().map_paper, result.at(True).map_paper
        curve = result.record.angles.curve if result.record.angles else []
        points = [p for p in curve if abs(p.angle) <= _PAPER_ANGLE]
        points = points if len(points) > 1 else curve
        known = [(p.map_paper, p.angle) for p in points if p.map_paper is not None]
        text = f"{label} {lying:.3f} to {turned:.3f}" if None not in (lying, turned) else ""
        if known:
            lowest, angle = min(known)
            angles = [angle for _, angle in known]
            text = f"{text or label}, lowest {lowest:.3f} at {angle:g} of {min(angles):g} to "
            text += f"{max(angles):g} degrees"
            # The angles can be of some of the sections only: compared with the same, upright.
            upright = next((p.map_paper for p in curve if p.angle == 0), lying)
            if upright is not None:
                says.append((label, kept(lowest, upright), excuse(result, copied)))
        if text:
            cells.append(text)
    (what,) = notes("orientation")
    (why,) = notes("orientation_why", reason=not_public(), share=100 * CLOSE)
    return statement("Fig. 4", what, "shown", cells, why, says)


def _registration(methods: Sequence[Result], copied: Mapping[str, Result]) -> Claim:
    cells, says = [], []
    for dataset, same in groupby(methods, lambda method: method.record.dataset):
        same = list(same)
        network = next((method for method in same if method.network == MASK_RCNN), None)
        rivals = [method for method in same if method.record.method in _RIVALS]
        for turned in (False, True):
            where = f"{dataset} {'turned' if turned else 'upright'}"
            errors = ", ".join(
                f"{method.method_name} {method.at(turned).mse:.4f}"
                for method in ([network] if network else []) + rivals
            )
            if errors:
                cells.append(f"{where}: {errors}")
            if network and rivals:
                found = _lower_error(network, rivals, turned)
                says.append((where, found, excuse(network, copied)))
    return statement(
        "Fig. 8",
        "lower mean squared error than registration by elastix and ndreg",
        "plotted",
        cells,
        *notes("registration_why", reason=not_public()),
        says,
    )


def _lower_error(network: Result, rivals: Sequence[Result], turned: bool) -> str:
    """Whether the network has a lower error than every rival, on the same sections."""
    differences = [
        paired_difference(*(r.record.sections_at(turned) for r in pair), "mse")
        for pair in ((network, rival) for rival in rivals)
    ]
    signs = [0 if difference is None else difference.sign for difference in differences]
    if all(sign < 0 for sign in signs):
        return CONSISTENT
    return NOT if any(sign > 0 for sign in signs) else OPEN


def _rotated_registration(methods: Sequence[Result], copied: Mapping[str, Result]) -> Claim:
    cells, says = [], []
    for dataset, found in groupby(methods, lambda method: method.record.dataset):
        same, lost = list(found), {}
        for method in same:
            lying, turned = method.at().dice_mean, method.at(True).dice_mean
            known = method.network == MASK_RCNN or method.record.method in _RIVALS
            if known and None not in (lying, turned) and method.method_name not in lost:
                lost[method.method_name] = lying - turned
                cells.append(f"{dataset}: {method.method_name} {lying:.3f} to {turned:.3f}")
        ours = lost.pop(MASK_RCNN, None)
        if ours is not None and lost:
            holds = all(round(ours, 3) < round(other, 3) for other in lost.values())
            network = next(method for method in same if method.network == MASK_RCNN)
            says.append((dataset, CONSISTENT if holds else NOT, excuse(network, copied)))
    (what,) = notes("rotated_registration")
    (why,) = notes("rotated_registration_why", reason=not_public())
    return statement("Supp. 7", what, "plotted", cells, why, says)


def _smaller_distances(
    published: Sequence[PublishedScore], live: Sequence[Contest], copied: Mapping[str, Result]
) -> Claim:
    """How often SeBRe has the smaller distance in Table 1: from the paper's own numbers."""
    pairs: dict[tuple[str, str], dict[str, float]] = {}
    for score in find_scores(published, where="Table 1"):
        if "distance" in score.metric:
            pairs.setdefault((score.metric, score.region), {})[score.method] = score.value
    both = [by_method for by_method in pairs.values() if len(by_method) == 2]
    less = sum(by_method.pop("SeBRe") < min(by_method.values()) for by_method in both)
    found = smaller_distances(live, copied)
    return statement(
        "Results text",
        "smaller Hausdorff and contour mean distances than F-CNN (DeepLab) for all regions",
        "all",
        [f"{where}: {how}" for where, _, how, _ in found],
        *notes("counted", wins=less, pairs=len(both), reason=NEEDS_NITRC),
        [(where, verdict, excused) for where, verdict, _, excused in found],
        notes("no_rival")[0],
    )


def _leakage(results: Sequence[Result], splits: Sequence[Result]) -> Claim:
    cells, says = [], []
    for split in splits:
        others = [
            result
            for result in of_network(results)
            if result.experiment == split.experiment
            and result.record.dataset == split.record.dataset
        ]
        same = [split, *others]
        ends = [interval_of(result, "map_paper") for result in same]
        if len(ends) > 1 and None not in ends:
            higher = all(ends[0][0] > high for _, high in ends[1:])
            lower = all(ends[0][1] < low for low, _ in ends[1:])
            found = CONSISTENT if higher else NOT if lower else OPEN
            says.append((split.record.dataset, found, ""))
        shown = [
            f"{result.at().map_paper:.3f} (split {split_of(result)['rule']})"
            for result in same
            if result.at().map_paper is not None
        ]
        cells.append(f"{split.record.dataset} {', '.join(shown)}")
    return statement("Methods", *notes("leakage"), "0.95", cells, NEEDS_NITRC, says)
