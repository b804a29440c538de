"""The network of any section: scores on real sections, beside an atlas alone, a Mask R-CNN and
trained networks; where sections lie; settings; the training."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sebre.evaluation.bootstrap import paired_difference
from sebre.report.markdown import NONE, Table, number, signed, units
from sebre.report.records import Result
from sebre.report.systems.any_section_scores import (
    LYING,
    SAGITTAL,
    by_condition,
    lying,
    mean_of_sources,
    over_copied,
    read_files,
    seen_and_scores,
    spreads,
)
from sebre.report.systems.any_section_targets import targets_table
from sebre.report.systems.correction_gains import mean_dice, section_score
from sebre.report.tables import split_of

_CONDITION_NOTE = (
    "Mean Dice over the drawn regions of a section, then over the sections of a source. Labels of "
    "ara_nissl_plates and sagittal59 are drawn by people, the others were carried over by a "
    "registration. Scores of single sections are not stored, so that there are no intervals; of "
    "pynutil_brainglobe there is one section, of two sources five. "
)
_BESIDE_NOTES = (
    "Copied: the labels of the nearest plane of {templates} templates ({cuts:,} planes, every "
    "{step:g} mm), found by the correlation of gray values in four turns and mirrored, as they "
    "lie. elastix: the same after affine and B-spline registration, of up to 12 sections of a "
    "source, and the copied labels of these alone. Of prepared data sets up to 30 sections of the "
    "test part (of figures and plates all), by the regions of the same names.",
    "Uneven: the brain of ccf was registered to the very template that its labels are copied "
    "from, and pynutil_expression lies on the grid of that atlas. any_section learned from that "
    "template and its labels, and from other animals of mouse_mri. Where the stain differs from "
    "that of the templates, gray values often lead to another plane, which no registration mends. "
    "Of ara_nissl only four fields of the hippocampus are drawn.",
)
_TRAINED_NOTE = (
    "What training on a set is worth: networks that were trained on the training part, and "
    "any_section, which was not, on the same sections of the test part, by the regions that both "
    "know by their names, with 95 % intervals over the units named, paired. The Dice is the mean "
    "over sections, then over regions: above it is over regions, then over sections. Stored for "
    "these data sets alone (sebre.corrections.measure_gain, before corrections; sebre evaluate): "
    "for the other sources above there is no network of the same regions and sections."
)
_MASK_NOTE = (
    "The U-Net is any_section, {unet:,} sections of up to 160 px; the Mask R-CNN saw {mask:,}, of "
    "128 px, with a backbone that had seen 60,000. It looks at one view of a picture, the U-Net at "
    "eight. Trainings were not of equal length, and the loss of Mask R-CNN still fell: the table "
    "says which network is the default, not which kind is better."
)
_PLACE_NOTES = (
    "Medians and ninth deciles of the errors, and the share of sections whose error is within the "
    "error bar, meant to be 0.90. Synthetic sections are of brains that neither the network nor "
    "the error bars know: {brains}. Named rightly: of the sections within 30 degrees of a named "
    "plane. Known: the error bar of the angle is small enough to say a plane at all.",
    "Real planes are those of a registration, itself good to 0.1 to 0.3 mm, of an atlas by the "
    "number of a plate, or known by name alone; all but one section are coronal. leiras_micro are "
    "parts of sections. Positions are of the adult atlas; the misfit of the landmarks that the "
    "truth is made of, {low:.2f} to {high:.2f} mm by brain, is part of every error.",
)
_AGE_NOTE = (
    "All brains that the age was tested on are adult: what it is worth for young ones was not "
    "measured."
)
_SETTINGS_NOTE = (
    "Mean Dice on {n} hard synthetic sections of volumes that were left out: what was chosen by "
    "numbers was chosen by these."
)
_LEARNING_NOTES = (
    "Logs of the two trainings, the second of which went on with the weights of the first. Each "
    "check looks at one view of a picture, the network that ships at eight. Between the two the "
    "square that the network sees was turned with the tissue, and synthetic sections got rims: "
    "scores before and after do not compare.",
)


def read_any_section(folder: str | Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the files of a folder of results hold, by name, and what is wrong with which."""

    def check(found: Mapping[str, Any]) -> None:
        targets_table(found, {})
        any_section_tables(found)
        learning_table(found)

    return read_files(folder, check)


def any_section_tables(found: Mapping[str, Any]) -> tuple[Table, ...]:
    """Scores by source and condition; beside an atlas and a Mask R-CNN; where sections lie; the
    settings."""
    return (
        _conditions(found),
        _beside(found),
        _beside_mask_rcnn(found),
        *_places(found),
        _ages(found),
        _settings(found),
    )


def _conditions(found: Mapping[str, Any]) -> Table:
    by_source, spread = by_condition(found), spreads(found)
    conditions = [*next(iter(by_source.values()), ())]
    rows = [
        (
            name,
            str(found["any_section"]["n_by_source"][name]),
            *(number(scores[how]) for how in conditions),
            number(spread[name]),
        )
        for name, scores in by_source.items()
    ]
    notes = []
    if rows:
        means = found["any_section"]["scores"]
        shown = (f"{how} {mean_of_sources(scores):.3f}" for how, scores in means.items())
        text = f"Mean of the sources without {SAGITTAL}: {', '.join(shown)}."
        notes = [_CONDITION_NOTE + text]
    header = ("source", "sections", *conditions, "spread")
    return Table("Any section: Dice by condition", header, tuple(rows), notes=tuple(notes))


def _beside(found: Mapping[str, Any]) -> Table:
    atlas, above = found.get("baselines", {}), over_copied(found)
    rows = []
    for name, (dice, n) in lying(found).items():
        if name not in above:
            continue
        ways = atlas["scores"][name]
        registered = ways.get("elastix")
        same = ways.get("copied_same", {}).get("dice")
        rows.append(
            (
                name,
                str(n),
                number(dice),
                number(ways["copied"]["dice"]),
                f"{above[name]:+.3f}",
                f"{registered['dice']:.3f} ({registered['n']})" if registered else NONE,
                number(same),
            )
        )
    header = ("source", "sections", "any_section", "copied labels", "difference")
    notes = ()
    if rows:
        names = {"templates": len(atlas["templates"]), "cuts": atlas["n_cuts"]}
        notes = (_BESIDE_NOTES[0].format(**names, step=atlas["step_mm"]), *_BESIDE_NOTES[1:])
    header += ("elastix (sections)", "copied, on these")
    return Table("Any section beside an atlas", header, tuple(rows), notes=notes)


def _beside_mask_rcnn(found: Mapping[str, Any]) -> Table:
    other = found.get("mask_rcnn", {"scores": {LYING: {}}})["scores"][LYING]
    own = {name: value for name, value in lying(found).items() if name in other}
    rows = [
        (name, str(n), number(dice), number(other[name]), f"{other[name] - dice:+.3f}")
        for name, (dice, n) in own.items()
    ]
    notes = ()
    if rows:
        training = found["any_section"]["training"]
        seen = training["sections_seen"]
        seen += (training.get("started_from") or {}).get("sections_seen", 0)
        notes = (_MASK_NOTE.format(unet=seen, mask=found["mask_rcnn"]["n_sections_seen"]),)
    header = ("source", "sections", "U-Net", "Mask R-CNN", "difference")
    title = "Any section: U-Net beside Mask R-CNN"
    return Table(title, header, tuple(rows), notes=notes)


def trained_table(
    found: Mapping[str, Any], corrections: Mapping[str, Any], results: Sequence[Result]
) -> Table:
    """Networks that were trained on a data set beside any_section, on the same sections.

    Args:
        found: of `read_any_section`.
        corrections: of `sebre.corrections.measure_gain`, which scored any_section before.
        results: of networks, of which those on the same test parts are taken.
    """
    weights = found.get("any_section", {}).get("weights_sha256")
    rows = [
        row
        for record in corrections.values()
        if weights is not None and record["start"]["sha256"] == weights
        for result in results
        if (row := _trained_row(record, result)) is not None
    ]
    header = ("data", "any_section", "trained", "weights", "trained minus any_section", "over")
    title = "Any section beside trained networks"
    return Table(title, header, tuple(rows), notes=(_TRAINED_NOTE,) if rows else ())


def _trained_row(record: Mapping[str, Any], result: Result) -> tuple[str, ...] | None:
    """A network on the sections that any_section was scored on; None where it has not all."""
    same = result.record.dataset == record["dataset"]
    if not same or split_of(result)["rule"] != record["split"]["rule"]:
        return None
    known, theirs = set(record["known_regions"]), {s.section: s for s in result.record.sections}
    if not record["before"].keys() <= theirs.keys():
        return None
    own, trained = [], []
    for name, dices in record["before"].items():
        if theirs[name].regions.keys() != dices.keys():
            return None  # of another preparation
        some = {region: value for region, value in dices.items() if region in known}
        unit = record["units"][name]
        others = {region: theirs[name].regions[region].dice for region in some}
        own.append(section_score(name, some, unit))
        trained.append(section_score(name, others, unit))
    difference = paired_difference(trained, own, unit=record["unit"])
    if difference is None:
        return None
    drawn_by = units(difference.n_units, difference.unit)
    return (
        record["dataset"],
        number(mean_dice(own)),
        number(mean_dice(trained)),
        str(result.record.weights),
        signed(difference),
        f"{len(own)} sections" + ("" if record["unit"] == "section" else f", {drawn_by}"),
    )


def _places(found: Mapping[str, Any]) -> tuple[Table, Table]:
    """Errors of the plane, and of the position along its axis."""
    record = found.get("place", {"synthetic": {}, "real": {}})
    notes = ()
    if "place" in found:
        misfits = record["misfit_of_landmarks_mm"].values()
        notes = (
            _PLACE_NOTES[0].format(brains=", ".join(record["scored_on"])),
            _PLACE_NOTES[1].format(low=min(misfits), high=max(misfits)),
        )
    parts = [
        (f"{kind}, {_spoken(name)}", part)
        for kind in ("synthetic", "real")
        for name, part in record[kind].items()
    ]
    planes = []
    for name, part in parts:
        near = part["n_near_a_named_plane"]
        named = f"{part['named_rightly']:.2f} of {near}" if near else NONE
        angle = part["angle_deg"]
        cells = (angle["median"], angle["within_90_percent"])
        shown = [*(number(cell, 1) for cell in cells), number(angle["inside_bar"], 2)]
        planes.append((name, str(part["n"]), named, number(part["sure"], 2), *shown))
    positions = [
        (name, *_position(part["position_mm"])) for name, part in parts if "position_mm" in part
    ]
    head = ("sections", "n")
    error = ("error, degrees", "of 90 %", "in the bar")
    titles = "Any section: the plane", "Any section: the position"
    return (
        Table(titles[0], (*head, "named rightly", "known", *error), tuple(planes), notes=notes),
        Table(
            titles[1],
            (*head, "error, mm", "of 90 %", "error bar, mm", "in the bar"),
            tuple(positions),
        ),
    )


def _position(part: Mapping[str, Any]) -> tuple[str, ...]:
    keys = ("median", "within_90_percent", "median_bar", "inside_bar")
    return str(part["n"]), *(number(part[key], 2) for key in keys)


def _spoken(name: str) -> str:
    """Name of a group of sections of `sebre.synthesis.placing.measure_place`."""
    return name.removeprefix("recipe ").replace("source ", "brain ", 1)


def _ages(found: Mapping[str, Any]) -> Table:
    rows = [
        (
            name,
            str(one["n"]),
            *(number(one[k], 1) for k in ("true_days", "median_days")),
            number(one["inside_bar"], 2),
        )
        for name, one in found.get("place", {}).get("age", {}).items()
    ]
    header = ("brain", "synthetic sections", "age, days", "said, median", "in the range")
    return Table("Any section: the age", header, tuple(rows), notes=(_AGE_NOTE,) if rows else ())


def _settings(found: Mapping[str, Any]) -> Table:
    record = found.get("any_section_settings", {"rows": ()})
    shares = list(dict.fromkeys(row["share"] for row in record["rows"]))
    dices = {(row["views"], row["share"]): row["dice"] for row in record["rows"]}
    views = dict.fromkeys(row["views"] for row in record["rows"])
    rows = [(str(v), *(number(dices.get((v, share))) for share in shares)) for v in views]
    header = ("views", *(f"tissue fills {100 * share:.0f} %" for share in shares))
    notes = (_SETTINGS_NOTE.format(n=record["n_sections"]),) if rows else ()
    return Table("Any section: settings", header, tuple(rows), notes=notes)


def learning_table(found: Mapping[str, Any]) -> Table:
    """Dice at the checks of the training."""
    rows = tuple(_learned(found))
    names = ("mean of zeroshot", SAGITTAL, "synthetic, easy", "synthetic, hard")
    header = ("pictures, px", "sections seen", *names)
    title = "Any section: Dice by sections seen"
    return Table(title, header, rows, notes=_LEARNING_NOTES if rows else ())


def _learned(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    keys = ("zeroshot", SAGITTAL, "dice_easy", "dice_hard")
    for size, rows in seen_and_scores(found).items():
        for row in rows:
            yield str(size), f"{row['seen']:,.0f}", *(number(row.get(key)) for key in keys)
