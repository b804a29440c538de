"""Statements of the paper that our results test: on stand-in data, so that all stay "not run"."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from sebre.evaluation.bootstrap import paired_difference
from sebre.report.details import FEW_UNITS
from sebre.report.markdown import NONE
from sebre.report.records import (
    MASK_RCNN,
    METHOD_NAMES,
    Result,
    of_network,
    with_labels,
)
from sebre.report.tables import split_of

REPRODUCED, PARTLY, NOT, NOT_RUN = "reproduced", "partly", "not", "not run"


SETTING, SCORE, RIVAL, FACT, STATEMENT = (
    "settings and counts",
    "scores",
    "rivals' scores",
    "facts",
    "statements",
)


# What stand-in data say of a statement; they decide nothing.
HOLDS, HOLDS_NOT, OPEN = "holds", "does not hold", "open"


NOT_PUBLIC = "the authors' sections and weights are not public"


NEEDS_NITRC = "the IBSR scans need registration at NITRC"


CLOSE = 0.05  # share of a published number that counts as reached


@dataclass(frozen=True)
class Claim:
    """A row of the ledger.

    Attributes:
        kind: SETTING, SCORE, RIVAL, FACT or STATEMENT.
        where: in the paper.
        what: is claimed.
        published: the number, as text.
        on_paper_data: ours on the paper's own data; of a setting, that of this package.
        on_stand_in: ours on stand-in data, with its name.
        verdict: REPRODUCED, PARTLY, NOT or NOT_RUN.
        why: the reason.
        stand_in_says: of a statement, whether it HOLDS, HOLDS_NOT or is OPEN on stand-in data,
            by data set; empty for others.
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
_RIVALS = [name for name in METHOD_NAMES if name != "none"]


def statements(
    results: Sequence[Result], methods: Sequence[Result], splits: Sequence[Result]
) -> tuple[Claim, ...]:
    """A claim for each statement that is no number.

    Args:
        results: of `sebre.report.records.read_results`.
        methods: of `read_methods`.
        splits: of `read_splits`.
    """
    return (
        _orientation(results),
        _registration(methods),
        _plane_and_modality(results),
        _leakage(results, splits),
    )


def _statement(
    where: str,
    what: str,
    published: str,
    cells: Iterable[str],
    why: str,
    says: Iterable[str] = (),
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
            if lying is not None:
                says.append(f"{label}: {_at_all_angles(result, lowest, lying)}")
        if text:
            cells.append(text)
    why = f"{NOT_PUBLIC}; on a stand-in it holds if the lowest mAP of these angles is within "
    why += f"{100 * CLOSE:g} % of that as the sections lie, and is open with fewer than "
    why += f"{FEW_UNITS} sections, or subjects"
    return _statement(
        "Fig. 4",
        "sections are segmented whatever their orientation (mAP as they lie, to at random "
        "orientations; the lowest at fixed angles)",
        "shown",
        cells,
        why,
        says,
    )


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
        f"{NOT_PUBLIC}; ndreg can no longer be installed, and SyN of dipy takes its place; on a "
        f"stand-in it holds if the 95 % interval of every paired difference is below 0",
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


def _plane_and_modality(results: Sequence[Result]) -> Claim:
    cells = [
        f"{label} ({result.record.plane or 'any plane'}) {result.at().map_paper:.3f}"
        for label, result in with_labels(of_network(results))
        if result.at().map_paper is not None
    ]
    return _statement(
        "Results",
        "one network for sagittal and coronal sections, several ages and stains, and MRI (mAP)",
        "stated",
        cells,
        f"{NOT_PUBLIC}; on stand-in data there are several networks, not one",
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
    return _statement(
        "Methods",
        "the mAP of IBSR is of slices at random, with other slices of the same subjects in "
        "training (mAP so, and of new subjects)",
        "0.95",
        cells,
        NEEDS_NITRC,
    )
