"""Other networks, methods and splits beside ours: the same sections, paired."""

import pytest
from result_samples import made_up, made_up_method, newer, stored, write

from sebre.data.regions import HIPPOCAMPUS, SUBCORTICAL
from sebre.report.method_tables import (
    methods_dice_table,
    methods_table,
    networks_table,
    paper_dice_table,
    paper_network_table,
    paper_network_text,
    splits_table,
)
from sebre.report.published import read_published
from sebre.report.records import read_methods, read_results, shipped_results

NAMES = HIPPOCAMPUS.names


def network(data, start, **more):
    more = {"network": "Mask R-CNN", "weights": "small", **more}
    return made_up_method("hippocampus", data, "network", NAMES, start, **more)


def methods_of(folder, **records):
    write(folder, **records)
    methods, problems = read_methods(folder, {})
    assert problems == ()
    return methods


def rows_of(table):
    """Rows by data set, orientation and method."""
    heads = [
        f"{group} {name}".strip() for group, name in zip(table.groups, table.header, strict=True)
    ]
    assert len(set(heads)) == len(heads)
    return {row[1:4]: dict(zip(heads, row, strict=True)) for row in table.rows}


@pytest.fixture
def methods(tmp_path):
    return methods_of(
        tmp_path,
        ours=network("plates", 0.6),
        unet=network("plates", 0.5, network="U-Net", weights="u"),
        elastix=made_up_method("hippocampus", "plates", "elastix", NAMES, 0.4, n_failed=2),
    )


def test_methods_beside_mask_rcnn(methods):
    table = methods_table(methods)
    rows = rows_of(table)
    labels = ("Mask R-CNN, weights small", "U-Net, weights u", "elastix (affine, B-spline)")
    assert [key for key in rows] == [
        ("plates", where, label) for where in ("upright", "turned 20 degrees") for label in labels
    ]
    by_name = {method.name: stored(method) for method in methods}
    for where, turned in (("upright", False), ("turned 20 degrees", True)):
        for label, name in zip(labels, ("ours", "unet", "elastix"), strict=True):
            record = by_name[name]["turned"] if turned else by_name[name]
            row = rows["plates", where, label]
            assert row["n"] == "6"
            assert row["overlap mean Dice"] == f"{record['dice_mean']:.3f}"
            assert row["mean squared error MSE"] == f"{record['mse']:.4f}"
            assert row["processor seconds per section"] == "2.50"
            # All sections differ by as much, so that the interval has no width.
            dice, error, over = {
                "ours": ("-", "-", "-"),
                "unet": ("-0.100 [-0.100, -0.100]", "+0.0010 [+0.0010, +0.0010]", "6 sections"),
                "elastix": ("-0.200 [-0.200, -0.200]", "+0.0020 [+0.0020, +0.0020]", "6 sections"),
            }[name]
            assert row["overlap minus Mask R-CNN's"] == dice
            assert row["mean squared error minus Mask R-CNN's"] == error
            assert row["over"] == over
    assert rows["plates", "upright", labels[2]]["failed"] == "2"
    assert not any("mAP" in head for head in table.header)


def test_methods_over_subjects(tmp_path):
    ours = network("scans", 0.6, unit="subject")
    ours["turned"]["rotate"] = 12.5
    methods = methods_of(
        tmp_path,
        ours=ours,
        none=made_up_method("hippocampus", "scans", "none", NAMES, 0.4, unit="subject"),
    )
    rows = rows_of(methods_table(methods))
    assert [row["over"] for row in rows.values()] == ["-", "3 subjects"] * 2
    assert ("scans", "turned 12.5 degrees", "Mask R-CNN, weights small") in rows


def test_methods_without_a_network_or_on_other_sections(tmp_path):
    other = made_up_method("hippocampus", "plates", "dipy", NAMES, 0.4)
    other["sections"][0]["section"] = "val/77"
    alone = made_up_method("hippocampus", "scans", "dipy", NAMES, 0.4)
    alone["seconds_per_section"] = None
    methods = methods_of(tmp_path, ours=network("plates", 0.6), other=other, alone=alone)
    rows = rows_of(methods_table(methods))
    assert rows["plates", "upright", "SyN (dipy)"]["overlap minus Mask R-CNN's"] == "-"
    assert rows["plates", "turned 20 degrees", "SyN (dipy)"]["overlap minus Mask R-CNN's"] != "-"
    assert rows["scans", "upright", "SyN (dipy)"]["overlap minus Mask R-CNN's"] == "-"
    assert rows["scans", "upright", "SyN (dipy)"]["processor seconds per section"] == "-"


def test_dice_by_region_and_method(methods):
    table = methods_dice_table(methods, "plates")
    assert table.groups == ("", *["upright"] * 3, *["turned 20 degrees"] * 3, "")
    for row, region in zip(table.rows, NAMES, strict=True):
        cells = [
            f"{(stored(m)['turned'] if turned else stored(m))['dice_per_region'][region]:.3f}"
            for turned in (False, True)
            for m in methods
        ]
        assert row == (region, *cells, "6")


def with_sections(record, dice):
    """A record of five sections, the Dice of each region a little more than `dice`."""
    record["sections"] = [
        {
            "section": f"val/{i}",
            "ap": dice,
            "regions": {name: {"score": 1, "iou": 0.5, "dice": dice + i / 100} for name in NAMES},
        }
        for i in range(5)
    ]
    return record


def results_of(folder, **records):
    write(folder, **records)
    results, problems = read_results(folder, {})
    assert problems == ()
    return results


def test_a_unet_beside_mask_rcnn(tmp_path):
    shipped = next(iter(shipped_results()))
    records = {
        "ours": newer(made_up("hippocampus", "plates", 0.1, NAMES, weights=shipped)),
        "large": newer(made_up("hippocampus", "plates", 0.2, NAMES, weights="large")),
        "unet": newer(made_up("hippocampus", "plates", 0.3, NAMES), network="U-Net"),
        "elsewhere": newer(made_up("hippocampus", "other", 0.4, NAMES)),
    }
    for name, dice in (("ours", 0.9), ("large", 0.6), ("unet", 0.7)):
        with_sections(records[name], dice)
    table = networks_table(results_of(tmp_path, **records))
    assert [row[3:5] for row in table.rows] == [
        ("U-Net", "small"),
        ("Mask R-CNN", "large"),
        ("Mask R-CNN", shipped),
    ]
    for row, name in zip(table.rows, ("unet", "large", "ours"), strict=True):
        keys = ("map_paper", "coco_ap50", "coco_ap", "dice_mean")
        lying, turned = (
            tuple(f"{scores[key]:.3f}" for key in keys)
            for scores in (records[name], records[name]["turned"])
        )
        assert row[6:14] == lying + turned
    unet, large, ours = table.rows
    assert unet[14:] == ("-", "-", "-")
    assert large[14:] == ("-0.100 [-0.100, -0.100]",) * 2 + ("5 sections",)
    assert ours[14:] == ("+0.200 [+0.200, +0.200]",) * 2 + ("5 sections",)
    # As the card of the shipped weights has it.
    assert ours[5].isdecimal() and int(ours[5]) > 1_000_000 and large[5] == "-"


def test_without_a_unet_there_are_no_rows(tmp_path):
    results = results_of(tmp_path, a=newer(made_up("hippocampus", "plates", 0.1, NAMES)))
    assert networks_table(results).rows == ()


def test_the_papers_split_beside_ours(tmp_path):
    names = SUBCORTICAL.names
    leaky = newer(made_up("ibsr", "scans", 0.8, names), unit="subject", n_units=22)
    leaky["split"] = {"rule": "section:1/3", "leaks": "Leaks: 22 of 22 test subjects."}
    ours = newer(made_up("ibsr", "scans", 0.6, names, volumes=True), unit="subject", n_units=3)
    unet = newer(made_up("ibsr", "scans", 0.5, names), network="U-Net")
    (tmp_path / "splits").mkdir()
    splits = results_of(tmp_path / "splits", leaky=leaky)
    results = results_of(
        tmp_path,
        ours=ours,
        unet=unet,
        elsewhere=newer(made_up("ibsr", "others", 0.4, names)),
        plates=newer(made_up("hippocampus", "plates", 0.3, NAMES)),
    )
    table = splits_table(results, splits)
    upper, lower = table.rows
    assert upper[:7] == ("ibsr", "scans", "as in the paper", "section:1/3", "small", "20", "-")
    assert lower[:7] == ("ibsr", "scans", "ours", "subject:1/3", "small", "20", "3")
    for row, record in ((upper, leaky), (lower, ours)):
        low, high = record["turned"]["intervals"]["map_paper"]
        assert row[9] == f"{record['turned']['map_paper']:.3f} [{low:.3f}, {high:.3f}]"
        assert row[7].startswith(f"{record['map_paper']:.3f} [")
    assert upper[11:] == ("22 subjects", "22 of 22 test subjects.")
    assert lower[11:] == ("3 subjects", "none.")
    assert table.notes[-1] == "Not run with the paper's kind of split: hippocampus."
    assert splits_table(results, ()).rows == ()


def test_the_papers_network_at_both_cut_offs(tmp_path):
    names, published = SUBCORTICAL.names, read_published()
    record = newer(made_up("ibsr", "scans", 0.8, names, volumes=True), unit="subject", n_units=22)
    strict = newer(made_up("ibsr", "scans", 0.6, names, volumes=True), unit="subject", n_units=22)
    made = results_of(tmp_path, a=record, b={**strict, "detection_min_confidence": 0.9})
    less = newer(made_up("ibsr", "scans", 0.75, names), unit="subject", n_units=22)
    for section in less["sections"]:
        for score in section["regions"].values():
            score["dice"] -= 0.05
    (tmp_path / "splits").mkdir()
    other = {**less, "split": {"rule": "section:1/3", "seed": 0, "leaks": "none"}}
    small = results_of(tmp_path / "splits", a_other=other, b_same=less)
    table = paper_network_table(made, published, small)
    ((data, paper, ap, dice, looser_ap, looser_dice, more, n),) = table.rows
    assert more.startswith("+0.050 [")
    assert paper_network_table(made, published).rows[0][-2] == "-"
    assert (data, paper, n) == ("ibsr: scans", "0.95", "20 of 22 subjects")
    low, high = strict["intervals"]["map_paper"]
    assert ap == f"{strict['map_paper']:.3f} [{low:.3f}, {high:.3f}]"
    assert dice.startswith(f"{strict['dice_mean']:.3f} [")
    assert (looser_ap, looser_dice) == (f"{record['map_paper']:.3f}", f"{record['dice_mean']:.3f}")
    assert "ResNet-50 (the paper: ResNet-101)" in table.notes[0]
    by_region = paper_dice_table(made, published, "ibsr")
    assert by_region.header == ("region", "Dice", "scans", "scans")
    assert by_region.rows[0][:2] == ("left caudate", "0.886") and len(by_region.rows) == len(names)
    assert not paper_dice_table(made, published, "hippocampus").rows
    text = paper_network_text(made, published)
    assert text.endswith(f"mAP is {strict['map_paper']:.3f} for ibsr on scans (the paper: 0.95).")


def test_without_the_papers_network_the_page_says_so():
    assert paper_network_table((), read_published()).rows == ()
    assert "no number was made with" in paper_network_text((), read_published())
