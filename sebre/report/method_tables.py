"""Tables of other networks, methods and splits beside SeBRe's network, for `sebre.report.page`."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from sebre.evaluation.bootstrap import Difference, paired_difference
from sebre.networks.weights_store import store_dir
from sebre.report.details import ORIENTATIONS, interval_cell
from sebre.report.markdown import (
    NONE,
    Table,
    count,
    notes,
    number,
    signed,
    units,
    with_interval,
)
from sebre.report.published import PublishedScore, find_scores
from sebre.report.records import (
    MASK_RCNN,
    U_NET,
    Result,
    at_cut_off,
    interval_of,
    of_experiment,
)
from sebre.report.tables import published_dice, regions_of, sections_of, split_of

_ERROR_DIGITS = 4


def methods_table(methods: Sequence[Result]) -> Table:
    """Registration and networks on the same sections, upright and rotated."""
    rows = []
    for (experiment, data), same in _by_data(methods):
        for turned in ORIENTATIONS:
            for label, method, network in _beside_mask_rcnn(same):
                part = method.record.turned if turned else method.record
                times = part.seconds_per_section
                dice, error = (
                    network and _difference(method, network, key, turned) for key in ("dice", "mse")
                )
                rows.append(
                    (
                        experiment,
                        data,
                        _rotation(method) if turned else "upright",
                        label,
                        count(method.at(turned).n_sections),
                        count(part.n_failed),
                        number(method.at(turned).dice_mean),
                        signed(dice),
                        number(method.at(turned).mse, _ERROR_DIGITS),
                        signed(error, _ERROR_DIGITS),
                        units(dice.n_units, dice.unit) if dice else NONE,
                        number(times.mean if times else None, 2),
                    )
                )
    header = (
        *("experiment", "data", "sections", "method", "n", "failed"),
        *("mean Dice", f"minus {MASK_RCNN}'s", "MSE", f"minus {MASK_RCNN}'s", "over"),
        "processor seconds per section",
    )
    groups = ("",) * 6 + ("overlap",) * 2 + ("mean squared error",) * 2 + ("",) * 2
    below = notes("cut", "methods", "canvas", "paired", "seconds")
    return Table("Methods on the same sections", header, tuple(rows), groups, below)


def methods_dice_table(methods: Sequence[Result], dataset: str) -> Table:
    """Dice of every region by each method on one data set, upright and rotated."""
    same = [method for method in methods if method.record.dataset == dataset]
    labeled = list(_beside_mask_rcnn(same))
    columns = [("", "region")]
    for turned in ORIENTATIONS:
        columns += [
            (_rotation(method) if turned else "upright", label) for label, method, _ in labeled
        ]
    rows = []
    for region in regions_of(same):
        cells = (
            number(method.at(turned).region(region).dice)
            for turned in ORIENTATIONS
            for _, method, _ in labeled
        )
        n = same[0].at().region(region).n
        rows.append((region.replace("_", " "), *cells, count(n)))
    groups, header = zip(*columns, ("", "n"), strict=True)
    below = notes("cut", "methods_dice")
    return Table(f"Dice by region and method: {dataset}", header, tuple(rows), groups, below)


def networks_table(results: Sequence[Result]) -> Table:
    """A U-Net and Mask R-CNN on the same test parts; no rows without a U-Net."""
    measures = {"map_paper": "mAP", "coco_ap50": "AP50", "coco_ap": "COCO AP"}
    measures["dice_mean"] = "mean Dice"
    rows = []
    for unet in (result for result in results if result.network == U_NET):
        rivals = [r for r in results if r.network == MASK_RCNN and _same_part(r, unet)]
        for result in (unet, *rivals):
            scores = [
                number(result.value(key, turned=turned))
                for turned in ORIENTATIONS
                for key in measures
            ]
            aps, dices = (
                None if result is unet else _difference(result, unet, key) for key in ("ap", "dice")
            )
            weights = result.record.weights
            rows.append(
                (
                    result.experiment,
                    result.record.dataset,
                    sections_of(result),
                    result.network,
                    weights,
                    _parameters(weights),
                    *scores,
                    signed(aps),
                    signed(dices),
                    units(dices.n_units, dices.unit) if dices else NONE,
                )
            )
    header = (
        *("experiment", "data", "sections (n)", "network", "weights", "parameters"),
        *measures.values(),
        *measures.values(),
        *("mAP", "mean Dice", "over"),
    )
    groups = ("",) * 6 + ("as they lie",) * 4 + ("turned",) * 4
    groups += ("as they lie, minus the U-Net's",) * 3
    below = notes("cut", "networks", "paired")
    return Table("U-Net beside Mask R-CNN", header, tuple(rows), groups, below)


def splits_table(
    results: Sequence[Result], splits: Sequence[Result], paper_network: Sequence[Result] = ()
) -> Table:
    """The paper's kind of split beside ours, of the same experiment and data set; the paper's
    network, which has a table of its own, was run with it too."""
    rows = []
    for (experiment, data), same in _by_data(splits):
        ours = [
            result
            for _, result in of_experiment(results, experiment)
            if result.record.dataset == data
        ]
        for kind, result in (*(("as in the paper", r) for r in same), *(("ours", r) for r in ours)):
            split = split_of(result)
            scores = (
                interval_cell(result, key, turned)
                for turned in ORIENTATIONS
                for key in ("map_paper", "dice_mean")
            )
            rows.append(
                (
                    *(experiment, data, kind, split["rule"], result.record.weights),
                    *(sections_of(result), count(result.at().n_subjects)),
                    *scores,
                    units(result.at().n_interval_units, result.at().interval_unit),
                    split["leaks"],
                )
            )
    run = _names((*splits, *paper_network))
    others = dict.fromkeys(r.experiment for r in results if r.experiment not in run)
    below = notes("cut", "interval", "splits")
    if splits and others:
        below += notes("other_splits", names=", ".join(others))
    header = (
        *("experiment", "data", "split", "rule", "weights", "sections (n)", "subjects"),
        *("mAP", "mean Dice") * 2,
        *("over", "leaks"),
    )
    groups = ("",) * 7 + ("as they lie",) * 2 + ("turned",) * 2 + ("",) * 2
    return Table("The paper's split beside ours", header, tuple(rows), groups, below)


def paper_network_table(
    made: Sequence[Result],
    published: Sequence[PublishedScore],
    splits: Sequence[Result] = (),
) -> Table:
    """The paper's network, schedule and split on stand-in data, beside what the paper prints and,
    paired on the same sections, the small network where `splits` has it with that split."""
    loose = {(r.experiment, r.record.dataset): r for r in at_cut_off(made, strict=False)}
    rows = []
    for result in at_cut_off(made):
        (score,) = find_scores(published, result.experiment, method="SeBRe", metric="mAP")
        other = loose.get((result.experiment, result.record.dataset))
        rows.append(
            (
                f"{result.experiment}: {result.record.dataset}",
                number(score.value, 2),
                interval_cell(result, "map_paper"),
                interval_cell(result, "dice_mean"),
                *(number(other and other.value(key)) for key in ("map_paper", "dice_mean")),
                signed(other and _beside_small(other, splits)),
                f"{sections_of(result)} of {units(*_units(result))}",
            )
        )
    less = "Dice minus the small network's"
    header = ("data of ours", "mAP", "mAP", "Dice", "mAP", "Dice", less, "n")
    groups = ("", "paper, at 0.9", *("ours at 0.9, at most 8",) * 2, *("ours at 0.3",) * 3, "")
    return Table("The paper's network on our data", header, tuple(rows), groups, _made_so(made))


def _beside_small(result: Result, splits: Sequence[Result]) -> Difference | None:
    def trained_as(one: Result) -> tuple[str, str, str]:
        return one.experiment, one.record.dataset, split_of(one)["rule"]

    same = (one for one in splits if trained_as(one) == trained_as(result))
    small = next(same, None)
    return None if small is None else _difference(result, small, "dice")


def paper_network_text(made: Sequence[Result], published: Sequence[PublishedScore]) -> str:
    """The same in a sentence."""
    parts = []
    for result in at_cut_off(made):
        (score,) = find_scores(published, result.experiment, method="SeBRe", metric="mAP")
        parts.append(
            f"{number(result.value('map_paper'))} for {result.experiment} on "
            f"{result.record.dataset} (the paper: {number(score.value, 2)})"
        )
    if not parts:
        return notes("no_paper_network")[0]
    return notes("paper_network_run", scores=" and ".join(parts))[0]


def paper_dice_table(
    made: Sequence[Result], published: Sequence[PublishedScore], experiment: str
) -> Table:
    """Dice of each region that the paper prints one of, at the paper's cut-off."""
    paper = published_dice(published, experiment)
    ours = [result for result in at_cut_off(made) if result.experiment == experiment]
    rows = tuple(
        (
            region.replace("_", " "),
            number(value),
            *(
                with_interval(result.value("dice", region), interval_of(result, "dice", region))
                for result in ours
            ),
            *(number(result.value("dice_volume", region)) for result in ours),
        )
        for region, value in paper.items()
        if ours
    )
    names = [result.record.dataset for result in ours]
    header = ("region", "Dice", *names, *names)
    groups = ("", "paper", *("ours, of sections",) * len(names), *("whole",) * len(names))
    return Table(f"The paper's network by region: {experiment}", header, rows, groups)


def _made_so(made: Sequence[Result]) -> tuple[str, ...]:
    """How the networks were made, and what their splits leave in both parts."""
    leaks = {r.record.dataset: split_of(r)["leaks"] for r in made}
    return notes("paper_network") + tuple(f"{data}: {leak}" for data, leak in leaks.items())


def _units(result: Result) -> tuple[int | None, str | None]:
    return result.at().n_interval_units, result.at().interval_unit


def _by_data(results: Sequence[Result]) -> Iterator[tuple[tuple[str, str], list]]:
    """Results, which are in order, by experiment and data set."""
    for key, same in groupby(results, lambda r: (r.experiment, r.record.dataset)):
        yield key, list(same)


def _names(results: Sequence[Result]) -> set[str]:
    return {result.experiment for result in results}


def _same_part(result: Result, other: Result) -> bool:
    mine, theirs = result.record, other.record
    return (mine.experiment, mine.dataset, mine.subset) == (
        theirs.experiment,
        theirs.dataset,
        theirs.subset,
    )


def _beside_mask_rcnn(methods: Sequence[Result]) -> Iterator[tuple[str, Result | None]]:
    """Methods on one data set with a label, and the first Mask R-CNN, to subtract from others."""
    first = next((method for method in methods if method.network == MASK_RCNN), None)
    for method in methods:
        weights = f", weights {method.record.weights}" if method.network else ""
        yield method.method_name + weights, method, None if method is first else first


def _difference(result: Result, other: Result, key: str, turned: bool = False) -> Difference | None:
    """A score of a result minus that of another, on the same sections."""
    pair = [r.record.sections_at(turned) for r in (result, other)]
    return paired_difference(*pair, key, unit=result.at(turned).interval_unit)


def _rotation(method: Result) -> str:
    return f"turned {method.record.turned.rotate:g} degrees"


def _parameters(weights: str) -> str:
    """How many parameters a shipped network has, as its card says."""
    card = store_dir() / f"{weights}.md"
    if not card.is_file():
        return NONE
    found = re.search(r"([\d,]+) parameters", card.read_text(encoding="utf-8"))
    return found[1].replace(",", "") if found else NONE
