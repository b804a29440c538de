"""Tables of trials: beside copied labels, on changed sections, on other scans."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sebre.evaluation.scores import Interval
from sebre.report.details import FEW_UNITS
from sebre.report.markdown import NONE, Table, count, notes, number
from sebre.report.records import Result, with_labels
from sebre.report.tables import sections_of
from sebre.report.trials.stand_in_rule import MARGIN, above_copied, leaking_atlases
from sebre.report.trials.trial_records import PLAIN, Trials

_STRUCTURES = ("caudate", "putamen", "pallidum", "thalamus")
_GROUPS = {"broken": "tissue", "scale": "scale", "contrast": "contrast"}


def copied_table(results: Sequence[Result], confident: Sequence[Result], trials: Trials) -> Table:
    """Networks beside labels that are copied from the most similar training section."""
    strict = {(r.record.weights, r.record.dataset): r for r in confident}
    rows = []
    for _, result in with_labels(results):
        copied = trials.copied.get(result.record.dataset)
        above = above_copied(result, trials.copied) if copied else None
        if copied is None or above is None:
            continue
        at = strict.get((result.record.weights, result.record.dataset))
        at_paper = above_copied(at, trials.copied) if at else None
        rows.append(
            (
                f"{result.record.dataset}, weights {result.record.weights}",
                number(copied.at().dice_mean),
                above_cell(above),
                above_cell(at_paper),
                count(above[2]),
                _informative(above),
                ", ".join(leaking_atlases(result)) or "no",
            )
        )
    header = ("data", "copied", "from 0.3", "from 0.9", "sections", "informative", "leak")
    groups = ("", "mean Dice", *("network's mean Dice minus that, scores",) * 2, "", "", "")
    below = notes("copied", margin=MARGIN, least=FEW_UNITS) if rows else ()
    return Table("Beside copied labels", header, tuple(rows), groups, below)


def _informative(above: tuple[float, Interval | None, int]) -> str:
    """Whether a network shows on a set that it is more than a copy; it needs an interval."""
    if above[0] < MARGIN:
        return "no"
    return "too few" if above[1] is None else "yes"


def above_cell(above: tuple[float, Interval | None, int] | None) -> str:
    """How far a network is above copied labels, as `above_copied` says it."""
    if above is None:
        return NONE
    value, ends, _ = above
    text = f"{value:+.3f}"
    return text if ends is None else f"{text} [{ends[0]:+.3f}, {ends[1]:+.3f}]"


def changed_table(trials: Trials) -> Table:
    """Mean Dice and mAP of each network on changed sections: a column a network."""
    titles = list(dict.fromkeys(kind for record in trials.changed for kind in record["kinds"]))
    rows = []
    for title in titles:
        cells = []
        for record in trials.changed:
            kind = record["kinds"].get(title)
            cells += [_changed(kind, "map_paper", "ap"), _changed(kind, "dice_mean", "dice")]
        rows.append((title, *cells))
    names = [f"{record['dataset']}, weights {record['weights']}" for record in trials.changed]
    header = ("sections", *(("mAP", "mean Dice") * len(names)))
    groups = ("", *(name for name in names for _ in range(2)))
    below = notes("changed", counts="; ".join(map(_counted, trials.changed))) if rows else ()
    return Table("Changed sections", header, tuple(rows), groups, below)


def _changed(kind: Mapping[str, Any] | None, key: str, paired: str) -> str:
    if kind is None:
        return NONE
    less = (kind.get("less") or {}).get(paired)
    text = number(kind[key])
    if less is None:
        return text
    ends = less["interval"]
    within = f" [{ends[0]:+.3f}, {ends[1]:+.3f}]" if ends else ""
    return f"{text} ({less['value']:+.3f}{within})"


def _counted(record: Mapping[str, Any]) -> str:
    number_of = record["kinds"][PLAIN]["n_sections"]
    times = f", {record['draws']} times" if record["draws"] > 1 else ""
    return f"{record['weights']}: {number_of} sections{times}"


def changed_short_table(trials: Trials) -> Table:
    """For a phone: the lowest mAP of each group of changes, beside that of the same sections."""
    rows = []
    for record in trials.changed:
        kinds = record["kinds"]
        cells = []
        for group in _GROUPS:
            found = {t: k["map_paper"] for t, k in kinds.items() if k["group"] == group}
            known = {title: value for title, value in found.items() if value is not None}
            worst = min(known, key=known.__getitem__) if known else ""
            cells.append(f"{known[worst]:.3f} ({worst})" if worst else NONE)
        name = f"{record['dataset']}, weights {record['weights']}"
        rows.append((name, number(kinds[PLAIN]["map_paper"]), *cells))
    header = ("data", PLAIN, *_GROUPS.values())
    groups = ("", "mAP", *("lowest mAP of changes of",) * len(_GROUPS))
    return Table("The worst of the changes", header, tuple(rows), groups)


def scans_table(trials: Trials) -> Table:
    """The network of human T1 scans on scans of other sources, whose labels are other ones."""
    rows = []
    for result in trials.scans:
        cut_off = number(result.record.detection_min_confidence, 1)
        volumes = [_both_sides(result, name, "dice_volume") for name in _STRUCTURES]
        scores = (number(result.at().map_paper), number(result.at().dice_mean))
        rows.append((f"{result.record.dataset}, {cut_off}", sections_of(result), *scores, *volumes))
    header = ("data, scores from", "sections", "mAP", "mean Dice", *_STRUCTURES)
    groups = ("",) * 4 + ("Dice of the volume, mean of both sides",) * 4
    below = notes("scans") if rows else ()
    return Table("Human T1 of other sources", header, tuple(rows), groups, below)


def all_masks_table(
    results: Sequence[Result], confident: Sequence[Result], trials: Trials
) -> Table:
    """Scores with the smallest masks, beside those without, at both cut-offs."""
    rows = []
    for result in trials.all_masks:
        cut_off = result.record.detection_min_confidence
        usual = next(
            (
                other
                for other in (*results, *confident)
                if other.record.weights == result.record.weights
                and other.record.dataset == result.record.dataset
                and other.record.detection_min_confidence == cut_off
            ),
            None,
        )
        name = f"{result.record.dataset}, weights {result.record.weights}, {number(cut_off, 1)}"
        cells = [
            cell
            for each in (usual, result)
            for cell in (
                count(sum(m.n or 0 for m in each.at().regions.values())) if each else NONE,
                number(each.at().map_paper if each else None),
                number(each.at().dice_mean if each else None),
            )
        ]
        rows.append((name, *cells))
    header = ("data, scores from", *("masks", "mAP", "mean Dice") * 2)
    groups = ("", *("without small masks",) * 3, *("with all",) * 3)
    below = notes("all_masks") if rows else ()
    return Table("With small masks", header, tuple(rows), groups, below)


def _both_sides(result: Result, structure: str, key: str) -> str:
    values = [result.value(key, f"{side}_{structure}") for side in ("left", "right")]
    return NONE if None in values else number(float(np.mean(values)))


def unlabeled_table(trials: Trials) -> Table:
    """Where predicted caudate and putamen lie in scans with tissue classes only."""
    rows = []
    for record in trials.unlabeled:
        for name, scan in record["scans"].items():
            shares = scan.get("gray", {})
            gray = [_mean_of(shares, part) for part in ("caudate", "putamen")]
            volumes = [
                f"{scan['ml'][f'left_{part}']:.1f}, {scan['ml'][f'right_{part}']:.1f}"
                for part in ("caudate", "putamen", "thalamus")
            ]
            rows.append((name, *map(number, (*gray, scan.get("gray_of_brain"))), *volumes))
    header = ("scan", "caudate", "putamen", "all brain", "caudate", "putamen", "thalamus")
    groups = ("", *("share that is gray matter",) * 3, *("ml found, left, right",) * 3)
    below = notes("unlabeled") if rows else ()
    return Table("Found in IBSR 18", header, tuple(rows), groups, below)


def _mean_of(shares: Mapping[str, float], structure: str) -> float | None:
    values = [value for name, value in shares.items() if name.endswith(structure)]
    return float(np.mean(values)) if values else None


def sources_table(trials: Trials) -> Table:
    """Where the numbers of trials come from."""
    rows = []
    for result in (*trials.copied.values(), *trials.scans, *trials.all_masks, *trials.unseen):
        record = result.record
        split = record.split if isinstance(record.split, dict) else {}
        rows.append(
            (
                *(record.dataset, str(split.get("rule") or NONE), str(result.at().n_sections)),
                *(record.weights, (record.weights_sha256 or NONE)[:12], record.command or NONE),
            )
        )
    for record in (*trials.changed, *trials.unlabeled):
        split = record.get("split")
        rule = split.get("rule") if isinstance(split, dict) else split
        counted = record.get("kinds", {}).get(PLAIN, {}).get("n_sections")
        scans = f"{len(record['scans'])} scans" if "scans" in record else NONE
        rows.append(
            (
                *(record["dataset"], str(rule or NONE), str(counted or scans)),
                *(record["weights"], (record.get("weights_sha256") or NONE)[:12]),
                record["command"],
            )
        )
    header = ("data", "split", "n", "weights or labels of", "SHA-256", "command")
    return Table("Where the numbers of trials come from", header, tuple(rows))


def pictures_text(trials: Trials, folder: str) -> str:
    """Markdown of the pictures, each above its caption, which names source and license."""
    return "\n".join(
        f"![{text.partition(':')[0]}]({folder}/{name})\n\n{text}.\n"
        for name, text in trials.pictures.items()
    )
