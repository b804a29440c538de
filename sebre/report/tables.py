"""Results of SeBRe's network as tables: published numbers beside ours, never mixed.

Three kinds of numbers have columns of their own: published; ours on the paper's own data; ours
on stand-in data, which is named. Other networks and methods are in `sebre.report.method_tables`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from sebre.data.csv_tables import read_rows
from sebre.report.markdown import NONE, Table, count, notes, number
from sebre.report.published import PAPER_NAMES, PublishedScore, find_scores
from sebre.report.records import (
    CONFIDENT_FOLDER,
    FURTHER_FOLDER,
    METHODS_FOLDER,
    PAPER_DATA_KIND,
    PAPER_NETWORK_FOLDER,
    SPLITS_FOLDER,
    STAND_IN_KIND,
    Result,
    commands_of,
    of_experiment,
    of_network,
    with_labels,
)

_NOT_RUN = dict.fromkeys(PAPER_NAMES, "not run: needs the Allen API")
_NOT_RUN["ibsr"] = "not run: needs registration"

_DATA_COLUMNS = ("data", "weights", "regions", "sections (n)", "subjects", "scores from")

# What a reader has to know of a test part: how it is kept apart, the smallest mask that counts,
# and what its network has seen of it all the same.
_TEST_PARTS = {
    row["data"]: (row["held_out"], row["masks_from"], row["training_knows"])
    for row in read_rows(Path(__file__).with_name("test_parts.csv"))[1]
}


def map_table(results: Sequence[Result], published: Sequence[PublishedScore]) -> Table:
    """Mean average precision: a row for each result, and for each experiment without one."""
    columns = (
        ("", "experiment"),
        ("published", "SeBRe"),
        (PAPER_DATA_KIND, "as it lies"),
        (PAPER_DATA_KIND, "turned"),
        (STAND_IN_KIND, "as it lies"),
        (STAND_IN_KIND, "turned"),
        *(("our data and weights", name) for name in _DATA_COLUMNS),
    )
    rows = []
    results = of_network(results)
    for experiment in dict.fromkeys([*PAPER_NAMES, *(r.experiment for r in results)]):
        scores = find_scores(published, experiment, method="SeBRe", metric="mAP")
        paper = _printed(scores[0].value if scores else None)
        ours = [result for result in results if result.experiment == experiment]
        not_run = (_NOT_RUN.get(experiment, NONE), NONE)
        if any(result.on_paper_data for result in ours):
            not_run = (NONE, NONE)
        for result in ours:
            values = tuple(_ours(result, "map_paper", turned=turned) for turned in (False, True))
            if result.on_paper_data:
                values += (NONE, NONE)
            else:
                values = (*not_run, *values)
            rows.append((experiment, paper, *values, *_data(result)))
        if not ours:
            rows.append((experiment, paper, *not_run, NONE, NONE, *[NONE] * len(_DATA_COLUMNS)))
    groups, header = zip(*columns, strict=True)
    below = notes("map", "cut", "published", "turned")
    return Table("Mean average precision", header, tuple(rows), groups, below)


def answer_table(
    results: Sequence[Result], confident: Sequence[Result], published: Sequence[PublishedScore]
) -> Table:
    """What is published, and ours with two cut-offs on scores (`confident`: the paper's): a table
    for a phone."""
    strict = {(r.record.weights, r.record.dataset): r for r in confident}
    rows = []
    for result in of_network(results):
        scores = find_scores(published, result.experiment, method="SeBRe", metric="mAP")
        at = strict.get((result.record.weights, result.record.dataset))
        rows.append(
            (
                f"{result.experiment}: {result.record.dataset}"
                + (" at 384 px" if result.record.image_px == 384 else ""),
                _printed(scores[0].value if scores else None),
                *(number(r.at().map_paper if r else None) for r in (result, at)),
                number(result.at().dice_mean),
            )
        )
    header = ("test data of ours", "paper", "0.3", "0.9", "Dice")
    groups = ("", "mAP at 0.9", *("our mAP from a score of",) * 2, "ours at 0.3")
    return Table("Published, and ours on other data", header, tuple(rows), groups)


def parts_table(results: Sequence[Result]) -> Table:
    """What each test part is: held out how, from what size of mask, and what is known of it."""
    rows = tuple(
        (data, *_TEST_PARTS.get(data, (NONE, NONE, split_of(result)["leaks"])))
        for data, result in {r.record.dataset: r for r in of_network(results)}.items()
    )
    header = ("data", "held out", "masks from", "what training knows of it")
    return Table("Test parts", header, rows, notes=notes("parts"))


def scores_table(results: Sequence[Result], on_paper_data: bool = False) -> Table:
    """Our scores by several measures, as the sections lie and turned, of one kind of data."""
    measures = {
        "map_paper": "mAP",
        "coco_ap50": "AP50",
        "coco_ap": "COCO AP",
        "dice_mean": "mean Dice",
    }
    rows = []
    chosen = [r for r in of_network(results) if r.on_paper_data == on_paper_data]
    for text, result in with_labels(chosen):
        values = [_ours(result, key, turned=turned) for turned in (False, True) for key in measures]
        rows.append((result.experiment, text, sections_of(result), *values, _orientations(result)))
    header = ("experiment", "data", "sections (n)", *measures.values(), *measures.values(), "range")
    groups = ("",) * 3 + ("as they lie",) * 4 + ("turned",) * 5
    title = PAPER_DATA_KIND if on_paper_data else STAND_IN_KIND
    below = notes("map", "cut", "coco", "turned")
    return Table(f"Scores: {title}", header, tuple(rows), groups, below)


def dice_table(
    results: Sequence[Result], published: Sequence[PublishedScore], experiment: str
) -> Table:
    """Dice of every region of an experiment, published and on each data set of ours."""
    ours = of_experiment(results, experiment)
    paper = published_dice(published, experiment)
    columns = [("", "region")]
    if paper:
        columns.append((f"published: {PAPER_NAMES[experiment]}", "SeBRe"))
    for text, result in ours:
        names = ("Dice", "Dice, turned", "n", "missed")
        columns += [(f"{result.kind} {text}", name) for name in names]
    rows = []
    for region in regions_of([result for _, result in ours], paper):
        row = [region.replace("_", " "), *([_printed(paper.get(region))] if paper else [])]
        for _, result in ours:
            row += [
                _ours(result, "dice", region),
                _ours(result, "dice", region, turned=True),
                count(result.at().region(region).n),
                count(result.at().region(region).missed),
            ]
        rows.append(tuple(row))
    groups, header = zip(*columns, strict=True)
    below = notes("dice", "cut", "turned")
    return Table(f"Dice by region: {experiment}", header, tuple(rows), groups, below)


def table1(results: Sequence[Result], published: Sequence[PublishedScore]) -> Table:
    """Table 1 of the paper as printed, and beside it ours on each data set of `ibsr`."""
    methods = {
        "hausdorff_distance_mean": ("Hausdorff", ("SeBRe", "F-CNN")),
        "contour_mean_distance_mean": ("CMD", ("SeBRe", "F-CNN")),
        "dice_mean": ("Dice", ("SeBRe", "F-CNN", "QuickNAT", "BrainSegNet")),
    }
    printed = [(key, name, who) for key, (name, all_) in methods.items() for who in all_]
    columns = [("", "structure")]
    columns += [("published: Table 1", f"{name}, {method}") for _, name, method in printed]
    ours = []
    for text, result in of_experiment(results, "ibsr"):
        means = result.at().regions.values()
        unit = "mm" if any(m.hausdorff_mm is not None for m in means) else "px"
        ours.append((result, unit))
        names = (f"Hausdorff, {unit}", f"CMD, {unit}", "Dice", "Dice, volume", "n")
        columns += [(f"{result.kind} {text}", name) for name in names]
    scores = find_scores(published, where="Table 1")
    rows = []
    for structure in dict.fromkeys(score.region for score in scores):
        row = [structure]
        for key, _, method in printed:
            found = find_scores(scores, method=method, region=structure, metric=key)
            row.append(_printed(found[0].value if found else None))
        region = find_scores(scores, region=structure)[0].region_name
        for result, unit in ours:
            row += [
                _ours(result, f"hausdorff_{unit}", region),
                _ours(result, f"cmd_{unit}", region),
                _ours(result, "dice", region),
                _ours(result, "dice_volume", region),
                count(result.at().region(region).n),
            ]
        rows.append(tuple(row))
    groups, header = zip(*columns, strict=True)
    below = notes("table1", "cut", "rivals")
    return Table("Table 1: structures in human MRI", header, tuple(rows), groups, below)


def provenance_table(
    results: Sequence[Result],
    methods: Sequence[Result] = (),
    splits: Sequence[Result] = (),
    paper_network: Sequence[Result] = (),
    confident: Sequence[Result] = (),
    further: Sequence[Result] = (),
) -> Table:
    """Where our numbers come from: data, split, network and command of every result."""
    rows = []
    for folder, same in (
        ("", results),
        (METHODS_FOLDER, methods),
        (SPLITS_FOLDER, splits),
        (PAPER_NETWORK_FOLDER, paper_network),
        (CONFIDENT_FOLDER, confident),
        (FURTHER_FOLDER, further),
    ):
        for result in same:
            record = result.record
            split = split_of(result)
            rows.append(
                (
                    f"{folder}/{result.name}.json".removeprefix("/"),
                    record.dataset,
                    record.subset,
                    split["rule"],
                    _leaks(result, split["leaks"]),
                    result.method_name,
                    record.weights or NONE,
                    (record.weights_sha256 or NONE)[:12],
                    record.command or NONE,
                )
            )
    header = ("file", "data", "part", "split", "leaks", "method", "weights", "SHA-256", "command")
    below = tuple(
        text
        for result in (*results, *splits, *paper_network)
        if (commands := commands_of(result))
        for text in notes("unshipped", name=result.name, commands=commands)
    )
    return Table("Where our numbers come from", header, tuple(rows), notes=below)


def _leaks(result: Result, recorded: str) -> str:
    """What the data set says of its parts, unless more is known."""
    if result.record.dataset in ("ccf", "demba"):
        return _TEST_PARTS[result.record.dataset][2]
    return recorded


def split_of(result: Result) -> dict[str, str]:
    """How the data set was divided: "rule", and "leaks" between its parts, in words."""
    split = result.record.split
    split = split if isinstance(split, dict) else {}
    return {key: str(split.get(key) or NONE).removeprefix("Leaks: ") for key in ("rule", "leaks")}


def published_dice(published: Iterable[PublishedScore], experiment: str) -> dict[str, float | None]:
    """The Dice that the paper prints for SeBRe, by region as `sebre.data.regions` names it."""
    found = find_scores(published, experiment, method="SeBRe", metric="dice_mean")
    return {score.region_name: score.value for score in found}


def regions_of(results: Iterable[Result], others: Iterable[str] = ()) -> list[str]:
    """Names of the regions of results, and then of others, each once."""
    return list(dict.fromkeys([*(name for r in results for name in r.regions), *others]))


def _printed(value: float | None) -> str:
    """A published number with the digits of the table."""
    return NONE if value is None else str(value)


def _ours(result: Result, key: str, region: str | None = None, turned: bool = False) -> str:
    return number(result.value(key, region, turned))


def _data(result: Result) -> tuple[str, ...]:
    """Cells of `_DATA_COLUMNS`."""
    shown = sum(bool(result.at().region(region).n) for region in result.regions)
    return (
        result.record.dataset,
        result.record.weights,
        f"{shown} of {len(result.regions)}",
        sections_of(result),
        count(result.at().n_subjects),
        number(result.record.detection_min_confidence, 1),
    )


def sections_of(result: Result) -> str:
    """How many sections; with the part of the data set, if that is not its test part."""
    part = result.record.subset
    return str(result.at().n_sections) + ("" if part == "val" else f" ({part})")


def _orientations(result: Result) -> str:
    turned = result.record.turned
    if not turned:
        return NONE
    mirrored = ", mirrored" if turned.flip else ""
    return f"up to {turned.max_angle} degrees{mirrored}"
