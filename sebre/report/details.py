"""Tables of intervals, failures and whole volumes of SeBRe's network, for `sebre.report.page`."""

from collections.abc import Sequence

from sebre.evaluation.failures import KINDS, SIDE_SWAP
from sebre.report.markdown import Table, count, notes, number, units, with_interval
from sebre.report.records import Result, interval_of, of_experiment, of_network, with_labels

FEW_UNITS = 5  # with fewer an interval is too narrow to be trusted

ORIENTATIONS = {False: "as they lie", True: "turned"}
_KINDS = {
    "missed": "missed",
    "poor": "poor fit",
    "extra": "not drawn",
    "duplicate": "found twice",
    "wrong_region": "wrong region",
    SIDE_SWAP: "other side",
}


def intervals_table(results: Sequence[Result]) -> Table:
    """The mAP and mean Dice of each result with 95 % intervals, as sections lie and turned."""
    rows, few = [], []
    for text, result in with_labels(of_network(results)):
        n, unit = result.at().n_interval_units, result.at().interval_unit
        cells = [
            interval_cell(result, key, turned)
            for turned in (False, True)
            for key in ("map_paper", "dice_mean")
        ]
        rows.append((result.experiment, text, *cells, units(n, unit)))
        if n is not None and n < FEW_UNITS:
            few.append(f"{text} ({units(n, unit)})")
    header = ("experiment", "data", *("mAP", "mean Dice") * 2, "over")
    groups = ("",) * 2 + ("as they lie",) * 2 + ("turned",) * 2 + ("",)
    below = notes("cut", "interval", "seed")
    if few:
        below += notes("few", least=FEW_UNITS, few="; ".join(few))
    return Table("95 % intervals", header, tuple(rows), groups, below)


def failures_table(results: Sequence[Result]) -> Table:
    """How many regions of sections failed in which way, as the sections lie and turned."""
    rows = []
    for text, result in with_labels(of_network(results)):
        for turned, orientation in ORIENTATIONS.items():
            failures = result.at(turned).failures
            if not failures:
                continue
            counts = (
                count(failures[kind].total if kind in failures else None)
                for kind in (*KINDS, SIDE_SWAP)
            )
            drawn = result.at(turned).n_regions_drawn
            rows.append((result.experiment, text, orientation, count(drawn), *counts))
    kinds = tuple(_KINDS[kind] for kind in (*KINDS, SIDE_SWAP))
    header = ("experiment", "data", "sections", "regions drawn (n)", *kinds)
    return Table("Failures", header, tuple(rows), notes=notes("cut", "failures"))


def volumes_table(results: Sequence[Result], experiment: str) -> Table:
    """Every region in whole volumes; without rows if no result of the experiment has volumes."""
    rows, below = [], []
    for text, result in of_experiment(results, experiment):
        if result.at().n_subjects is None:
            continue
        keys = ("hausdorff_mm", "hausdorff95_mm", "cmd_mm")
        for region in result.regions:
            distances = (number(result.value(f"{key}_volume", region)) for key in keys)
            rows.append(
                (
                    text,
                    region.replace("_", " "),
                    number(result.at().region(region).dice_volume),
                    *distances,
                    count(result.at().region(region).n_volume),
                    count(result.at().region(region).missed_volume),
                )
            )
        measured = "no distances in space, which need a known distance between slices"
        if result.at().n_volumes is not None:
            measured = (
                f"{units(result.at().n_volumes, 'volume')}, "
                f"{result.at().n_volumes_measured} of them without a gap between slices"
            )
        subjects = units(result.at().n_subjects, "subject")
        below.append(f"{text}: {subjects}; {measured}.")
    if rows:
        below.append(" ".join(notes("cut", "volumes")))
    distances = ("Hausdorff, mm", "Hausdorff 95 %, mm", "CMD, mm")
    header = ("data", "region", "Dice", *distances, "volumes (n)", "missed")
    return Table(f"Whole volumes: {experiment}", header, tuple(rows), notes=tuple(below))


def interval_cell(result: Result, key: str, turned: bool = False) -> str:
    """A score, such as "map_paper", with its interval, if there is one."""
    return with_interval(result.value(key, turned=turned), interval_of(result, key, turned=turned))
