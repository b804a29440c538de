"""Statements of the paper: our results test them on stand-in data only, so all stay "not run".

`sebre.report.claims` adds them to the ledger.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from sebre.data.csv_tables import read_rows
from sebre.evaluation.bootstrap import paired_difference
from sebre.report.details import FEW_UNITS
from sebre.report.markdown import NONE, notes
from sebre.report.published import PublishedScore, find_scores
from sebre.report.records import MASK_RCNN, METHOD_NAMES, Result, of_network, with_labels
from sebre.report.tables import split_of

REPRODUCED, PARTLY, NOT, NOT_RUN = "reproduced", "partly", "not", "not run"
AVAILABLE = "available"  # a setting that no number here was made with

SETTING, SCORE, RIVAL, FACT, STATEMENT = (
    "settings and counts",
    "scores",
    "rivals' scores",
    "facts",
    "statements",
)


# What stand-in data say of a statement; they decide nothing.
HOLDS, HOLDS_NOT, OPEN = "holds", "does not hold", "open"

NEEDS_NITRC = "the IBSR scans need registration at NITRC"

CLOSE = 0.05  # share of a published number that counts as reached


@dataclass(frozen=True)
class Claim:
    """A row of the ledger: what is claimed where in the paper, the number published, and ours.

    `kind` is one of the five above, `verdict` one of the five verdicts, `why` its reason. Of a
    setting, `on_paper_data` is that of this package. Of a statement, `stand_in_says` tells by data
    set whether it HOLDS, HOLDS_NOT or is OPEN on stand-in data; it is empty for others.
    """

    kind: str
    where: str
    what: str
    published: str
    on_paper_data: str
    on_stand_in: str
    verdict: str
    why: str
    stand_in_says: str = ""


_PAPER_ANGLE = 20  # degrees, the most of the paper's Fig. 4
# Statements that nothing here tests: the data set that comes nearest, and why it is not the same.
_UNTESTED = Path(__file__).with_name("untested.csv")
_RIVALS = [name for name in METHOD_NAMES if name != "none"]


def statements(
    results: Sequence[Result],
    methods: Sequence[Result],
    splits: Sequence[Result],
    published: Sequence[PublishedScore],
) -> tuple[Claim, ...]:
    """A claim for each statement that is not a number."""
    return (
        _orientation(results),
        _registration(methods),
        _rotated_registration(methods),
        _smaller_distances(published),
        *(
            _statement(where, what, "shown", _near(results, near), f"{text}{not_public()}")
            for where, what, near, text in map(dict.values, read_rows(_UNTESTED)[1])
        ),
        _leakage(results, splits),
    )


def not_public() -> str:
    """Why scores on the paper's own mouse sections could not be measured."""
    return notes("not_public")[0]


def _statement(
    where: str, what: str, published: str, cells: Iterable[str], why: str, says: Iterable[str] = ()
) -> Claim:
    shown = "; ".join(cells) or NONE
    return Claim(STATEMENT, where, what, published, NONE, shown, NOT_RUN, why, "; ".join(says))


def _orientation(results: Sequence[Result]) -> Claim:
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
                says.append(f"{label}: {_at_all_angles(result, lowest, upright)}")
        if text:
            cells.append(text)
    (what,) = notes("orientation")
    (why,) = notes("orientation_why", reason=not_public(), share=100 * CLOSE, least=FEW_UNITS)
    return _statement("Fig. 4", what, "shown", cells, why, says)


def _at_all_angles(result: Result, lowest: float, lying: float) -> str:
    """Whether the lowest mAP of all angles is close to that of the sections as they lie."""
    if (result.at().n_interval_units or 0) < FEW_UNITS:
        return OPEN
    return HOLDS if lowest >= (1 - CLOSE) * lying else HOLDS_NOT


def _registration(methods: Sequence[Result]) -> Claim:
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
                says.append(f"{where}: {_lower_error(network, rivals, turned)}")
    return _statement(
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
        return HOLDS
    return HOLDS_NOT if any(sign > 0 for sign in signs) else OPEN


def _near(results: Sequence[Result], dataset: str) -> list[str]:
    """Scores on the data set that comes nearest to a statement."""
    cells = []
    for label, result in with_labels(of_network(results)):
        if result.record.dataset == dataset and result.at().map_paper is not None:
            turned = result.at(True).map_paper
            more = "" if turned is None else f", turned {turned:.3f}"
            cells.append(f"{label} {result.at().map_paper:.3f}{more}")
    return cells


def _rotated_registration(methods: Sequence[Result]) -> Claim:
    cells, says = [], []
    for dataset, same in groupby(methods, lambda method: method.record.dataset):
        lost = {}
        for method in same:
            lying, turned = method.at().dice_mean, method.at(True).dice_mean
            known = method.network == MASK_RCNN or method.record.method in _RIVALS
            if known and None not in (lying, turned) and method.method_name not in lost:
                lost[method.method_name] = lying - turned
                cells.append(f"{dataset}: {method.method_name} {lying:.3f} to {turned:.3f}")
        ours = lost.pop(MASK_RCNN, None)
        if ours is not None and lost:
            holds = all(round(ours, 3) < round(other, 3) for other in lost.values())
            says.append(f"{dataset}: {HOLDS if holds else HOLDS_NOT}")
    (what,) = notes("rotated_registration")
    (why,) = notes("rotated_registration_why", reason=not_public())
    return _statement("Supp. 7", what, "plotted", cells, why, says)


def _smaller_distances(published: Sequence[PublishedScore]) -> Claim:
    """How often SeBRe has the smaller distance in Table 1: from the paper's own numbers."""
    pairs: dict[tuple[str, str], dict[str, float]] = {}
    for score in find_scores(published, where="Table 1"):
        if "distance" in score.metric:
            pairs.setdefault((score.metric, score.region), {})[score.method] = score.value
    both = [by_method for by_method in pairs.values() if len(by_method) == 2]
    less = sum(by_method.pop("SeBRe") < min(by_method.values()) for by_method in both)
    return _statement(
        "Results text",
        "smaller Hausdorff and contour mean distances than F-CNN (DeepLab) for all regions",
        "all",
        (),
        f"{less} of {len(both)}, counted in the paper's own Table 1: no result of ours",
    )


def _leakage(results: Sequence[Result], splits: Sequence[Result]) -> Claim:
    cells = []
    for split in splits:
        same = [split]
        same += [
            result
            for result in of_network(results)
            if result.experiment == split.experiment
            and result.record.dataset == split.record.dataset
        ]
        shown = [
            f"{result.at().map_paper:.3f} (split {split_of(result)['rule']})"
            for result in same
            if result.at().map_paper is not None
        ]
        cells.append(f"{split.record.dataset} {', '.join(shown)}")
    return _statement("Methods", *notes("leakage"), "0.95", cells, NEEDS_NITRC)
