"""Tables of SeBRe's network: they trace every number and mix no kinds."""

import csv
import json

import pytest
from paths import ROOT
from result_samples import PAPERS, STAND_IN, human_mri, made_up, made_up_method, newer, write

from sebre.data.regions import HIPPOCAMPUS, SUBCORTICAL
from sebre.report.published import SCORES_FILE
from sebre.report.records import of_experiment, of_network, read_methods, read_results, with_labels
from sebre.report.tables import (
    answer_table,
    dice_table,
    map_table,
    parts_table,
    provenance_table,
    scores_table,
    table1,
)

REAL = ROOT / "results"


@pytest.fixture
def folder(tmp_path):
    human_mri(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def real():
    return of_network(read_results(REAL, expected={})[0])


def columns(table):
    """Cells of a table by (group, header), in the order of the rows."""
    heads = list(zip(table.groups, table.header, strict=True))
    assert len(set(heads)) == len(heads)
    return dict(zip(heads, zip(*table.rows, strict=True), strict=True))


def text(value):
    return "-" if value is None else f"{value:.3f}"


def paper_column(method, metric):
    """Values of Table 1 as they are written in the file."""
    with SCORES_FILE.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["table_or_figure"] == "Table 1"]
    return tuple(r["value"] for r in rows if r["method"] == method and r["metric"] == metric)


# --- tables


def test_map_table_of_a_made_up_folder(folder, published):
    results, _ = read_results(folder, {})
    own, other = (json.loads((folder / f"{n}.json").read_text()) for n in ("own", "other"))
    table = map_table(results, published)
    cells = columns(table)
    assert cells["", "experiment"][3:] == ("ibsr", "ibsr")
    assert cells["published", "SeBRe"] == ("0.84", "0.87", "0.9", "0.95", "0.95")
    assert cells[PAPERS, "as it lies"][3:] == (text(own["map_paper"]), "-")
    assert cells[PAPERS, "turned"][3:] == (text(own["turned"]["map_paper"]), "-")
    assert cells[STAND_IN, "as it lies"][3:] == ("-", text(other["map_paper"]))
    assert cells[STAND_IN, "turned"][3:] == ("-", "-")
    assert table.rows[3][6:] == ("ibsr", "small", "8 of 8", "20", "3", "-")
    assert table.rows[4][6:] == ("scans", "small", "7 of 8", "20", "-", "-")


def test_the_answer_has_both_cut_offs(real, published):
    strict = [result for result in real if result.name == "slicemap"]
    rows = {row[0]: row[1:] for row in answer_table(real, strict, published).rows}
    assert len(rows) == len(real)
    slicemap = on_disk(strict[0])
    both = text(slicemap["map_paper"])
    assert rows["slicemap: slicemap"] == ("-", both, both, text(slicemap["dice_mean"]))
    assert rows["ibsr: malc2012"][0] == "0.95" and rows["ibsr: malc2012"][2] == "-"


def test_every_test_part_is_described(real):
    table = parts_table(real)
    assert {row[0] for row in table.rows} == {result.record.dataset for result in real}
    assert not any("-" in row for row in table.rows)
    leaks = {row[1]: row[4] for row in provenance_table(real).rows}
    assert "demba" in leaks["ccf"] and "P28" in leaks["demba"]


def test_table_1_of_a_made_up_folder(folder, published):
    table = table1(read_results(folder, {})[0], published)
    assert table.header[:5] == (
        "structure",
        "Hausdorff, SeBRe",
        "Hausdorff, F-CNN",
        "CMD, SeBRe",
        "CMD, F-CNN",
    )
    names = ("SeBRe", "F-CNN", "QuickNAT", "BrainSegNet")
    assert table.header[5:9] == tuple(f"Dice, {name}" for name in names)
    assert any("does not state the unit of its distances" in note for note in table.notes)
    cells = columns(table)
    own, other = (json.loads((folder / f"{n}.json").read_text()) for n in ("own", "other"))
    for name, metric in (
        ("Hausdorff", "hausdorff_distance_mean"),
        ("CMD", "contour_mean_distance_mean"),
        ("Dice", "dice_mean"),
    ):
        for method in ("SeBRe", "F-CNN", *(("QuickNAT", "BrainSegNet") if name == "Dice" else ())):
            printed = cells["published: Table 1", f"{name}, {method}"]
            assert printed == paper_column(method, metric) and len(printed) == 8
    order = [f"{s}_{n}" for s in ("left", "right") for n in ("caudate", "pallidum", "putamen")]
    order.insert(3, "left_thalamus")
    order.append("right_thalamus")
    for group, record, unit in (
        (f"{PAPERS} ibsr", own, "mm"),
        (f"{STAND_IN} scans", other, "px"),
    ):
        for header, key in (
            (f"Hausdorff, {unit}", f"hausdorff_{unit}_per_region"),
            (f"CMD, {unit}", f"cmd_{unit}_per_region"),
            ("Dice", "dice_per_region"),
            ("Dice, volume", "dice_per_region_volume"),
        ):
            values = record.get(key, {})
            assert cells[group, header] == tuple(text(values.get(name)) for name in order)
        assert cells[group, "n"] == tuple(str(record["n_per_region"][name]) for name in order)
    assert cells[f"{STAND_IN} scans", "Dice"][1] == "-"


def test_no_column_mixes_published_own_and_stand_in_numbers(folder, published):
    """Made-up scores are 0.1... on the paper's data, 0.2... on the stand-in; printed are more."""
    results, _ = read_results(folder, {})
    for table in (
        map_table(results, published),
        table1(results, published),
        dice_table(results, published, "ibsr"),
    ):
        kinds = set()
        for (group, _), cells in columns(table).items():
            for cell in cells:
                if cell.startswith("0."):
                    kind = {"1": PAPERS, "2": STAND_IN}.get(cell[2], "published")
                    assert group.startswith(kind)
                    kinds.add(kind)
        assert kinds == {PAPERS, STAND_IN, "published"}
    for on_paper, kind, start in ((True, PAPERS, "0.1"), (False, STAND_IN, "0.2")):
        table = scores_table(results, on_paper)
        (row,) = table.rows
        assert kind in table.title and all(cell[:3] == start for cell in row[3:7])


def on_disk(result):
    return json.loads((REAL / f"{result.name}.json").read_text(encoding="utf-8"))


def test_numbers_of_the_shipped_results(real, published):
    rows = [row for row in map_table(real, published).rows if row[6] != "-"]
    for row, result in zip(rows, real, strict=True):
        record = on_disk(result)
        turned = record["turned"] or {}
        ours, others = (row[2:4], row[4:6]) if result.on_paper_data else (row[4:6], row[2:4])
        assert ours == (text(record["map_paper"]), text(turned.get("map_paper")))
        assert not any(cell.startswith("0.") for cell in others)
        assert row[6:8] == (record["dataset"], record["weights"])
        shown = sum(n > 0 for n in record["n_per_region"].values())
        assert row[8] == f"{shown} of {len(record['n_per_region'])}"
        assert row[9].split()[0] == str(record["n_sections"])


def test_dice_of_the_shipped_results(real, published):
    for experiment in {result.experiment for result in real}:
        cells = columns(dice_table(real, published, experiment))
        for label, result in of_experiment(real, experiment):
            record, group = on_disk(result), f"{result.kind} {label}"
            turned = (record["turned"] or {}).get("dice_per_region", {})
            for i, name in enumerate(cells["", "region"]):
                name = name.replace(" ", "_")
                assert cells[group, "Dice"][i] == text(record["dice_per_region"].get(name))
                assert cells[group, "Dice, turned"][i] == text(turned.get(name))
                assert cells[group, "n"][i] == str(record["n_per_region"].get(name, "-"))
                assert cells[group, "missed"][i] == str(record["missed_per_region"].get(name, "-"))


def test_scores_and_provenance_of_the_shipped_results(real):
    keys = ("map_paper", "coco_ap50", "coco_ap", "dice_mean")
    for on_paper in (True, False):
        chosen = [result for result in real if result.on_paper_data == on_paper]
        for row, (label, result) in zip(
            scores_table(real, on_paper).rows, with_labels(chosen), strict=True
        ):
            record = on_disk(result)
            assert row[:2] == (result.experiment, label)
            assert row[3:7] == tuple(text(record[key]) for key in keys)
            assert row[7:11] == tuple(text((record["turned"] or {}).get(key)) for key in keys)
    for row, result in zip(provenance_table(real).rows, real, strict=True):
        record = on_disk(result)
        assert (row[0], row[1], row[5], row[6]) == (
            f"{result.name}.json",
            record["dataset"],
            "Mask R-CNN",
            record["weights"],
        )
        assert row[8] == record["command"] and record["weights_sha256"].startswith(row[7])


def test_two_networks_on_one_data_set_are_told_apart(tmp_path, published):
    names = HIPPOCAMPUS.names
    write(
        tmp_path,
        a=made_up("hippocampus", "plates", 0.1, names, weights="small"),
        b=made_up("hippocampus", "plates", 0.2, names, weights="large"),
        c=made_up("hippocampus", "plates", 0.3, names, weights="large"),
        d=made_up("hippocampus", "others", 0.4, names, weights="large"),
    )
    results, _ = read_results(tmp_path, {})
    assert [label for label, _ in of_experiment(results, "hippocampus")] == [
        "others",
        "plates, weights small",
        "plates, weights large, b.json",
        "plates, weights large, c.json",
    ]
    cells = columns(dice_table(results, published, "hippocampus"))
    assert cells[f"{STAND_IN} plates, weights large, c.json", "Dice"][0] == "0.304"


def test_a_region_that_only_one_set_has(tmp_path, published):
    write(
        tmp_path,
        a=made_up("hippocampus", "a", 0.1, ["CA1", "DG"]),
        b=made_up("hippocampus", "b", 0.4, ["CA1", "subiculum"]),
    )
    cells = columns(dice_table(read_results(tmp_path, {})[0], published, "hippocampus"))
    assert cells["", "region"] == ("CA1", "DG", "subiculum")
    assert cells[f"{STAND_IN} a", "Dice"] == ("0.102", "0.103", "-")
    assert cells[f"{STAND_IN} b", "Dice"] == ("0.402", "-", "0.403")
    assert cells[f"{STAND_IN} b", "n"] == ("10", "-", "11")


def test_sections_of_another_part_say_so(tmp_path, published):
    good = made_up("hippocampus", "plates", 0.2, HIPPOCAMPUS.names)
    write(tmp_path, a={**good, "subset": "train"})
    results, _ = read_results(tmp_path, {})
    rows = [row for row in map_table(results, published).rows if row[6] == "plates"]
    assert [row[9] for row in rows] == ["20 (train)"]


def test_a_unet_is_not_shown_as_sebre(tmp_path, published):
    names = HIPPOCAMPUS.names
    ours = newer(made_up("hippocampus", "plates", 0.1, names))
    unet = made_up("hippocampus", "plates", 0.2, names, weights="unet")
    write(tmp_path, ours=ours, unet=newer(unet, network="U-Net"))
    results, problems = read_results(tmp_path, {})
    assert problems == () and [r.network for r in results] == ["Mask R-CNN", "U-Net"]
    alone = of_network(results)
    assert [result.name for result in alone] == ["ours"]
    assert map_table(results, published) == map_table(alone, published)
    assert scores_table(results) == scores_table(alone)
    (row,) = scores_table(results).rows
    assert row[1] == "plates"
    for experiment in ("hippocampus", "ibsr"):
        assert dice_table(results, published, experiment) == dice_table(
            alone, published, experiment
        )
    assert [row[5:7] for row in provenance_table(results).rows] == [
        ("Mask R-CNN", "small"),
        ("U-Net", "unet"),
    ]


def test_table_1_has_no_unet(tmp_path, published):
    human_mri(tmp_path)
    table = table1(read_results(tmp_path, {})[0], published)
    unet = made_up("ibsr", "scans", 0.3, SUBCORTICAL.names, weights="unet")
    write(tmp_path, unet=newer(unet, network="U-Net"))
    assert table1(read_results(tmp_path, {})[0], published) == table


def test_provenance_names_the_folders(tmp_path):
    names = HIPPOCAMPUS.names
    write(tmp_path, a=made_up_method("hippocampus", "plates", "elastix", names, 0.5))
    write(tmp_path, b=made_up("hippocampus", "plates", 0.1, names))
    splits = read_results(tmp_path, {})[0]
    (tmp_path / "b.json").unlink()
    rows = provenance_table((), read_methods(tmp_path, {})[0], splits).rows
    assert [(row[0], row[5], row[6]) for row in rows] == [
        ("registration/a.json", "elastix (affine, B-spline)", "-"),
        ("splits/b.json", "Mask R-CNN", "small"),
    ]
    assert rows[0][8] == "sebre register hippocampus --dataset datasets/plates --method elastix"
