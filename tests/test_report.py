"""Results read back, and tables that trace every number and mix no kinds."""

import csv
import json
from pathlib import Path

import pytest
from result_samples import PAPERS, STAND_IN, human_mri, made_up, write

from sebre.published import SCORES_FILE, read_published
from sebre.regions import HIPPOCAMPUS
from sebre.report import Table, dice_table, map_table, provenance_table, scores_table, table1
from sebre.results import of_experiment, read_results, shipped_results, with_labels

REAL = Path(__file__).resolve().parents[1] / "results"


@pytest.fixture
def folder(tmp_path):
    human_mri(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def published():
    return read_published()


@pytest.fixture(scope="module")
def real():
    return read_results(REAL, expected={})[0]


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


# --- reading


def test_the_shipped_results_are_whole(real):
    results, problems = read_results(REAL)
    assert problems == () and results == real
    assert {r.name for r in results} == {path.stem for path in REAL.glob("*.json")}
    assert {r.name for r in results} >= set(shipped_results())
    for result in results:
        assert result.record == json.loads((REAL / f"{result.name}.json").read_text("utf-8"))


def test_results_come_in_the_order_of_the_experiments(tmp_path):
    names = HIPPOCAMPUS.names
    write(
        tmp_path,
        a=made_up("my_own", "z", 0.1, names),
        b=made_up("slicemap", "y", 0.1, names),
        c=made_up("hippocampus", "y", 0.1, names),
        d=made_up("hippocampus", "x", 0.1, names),
    )
    results, problems = read_results(tmp_path, {})
    assert [result.name for result in results] == ["d", "c", "b", "a"] and problems == ()


def test_a_missing_file_is_named_with_its_command(folder):
    results, problems = read_results(
        folder, {"own": "sebre evaluate A", "gone": "sebre evaluate B"}
    )
    assert [result.name for result in results] == ["own", "other"]
    path = folder / "gone.json"
    assert problems == (f"{path}: is not there. Make it: sebre evaluate B --out {path}",)
    _, problems = read_results(folder)
    assert len(problems) == len(shipped_results())
    assert any(f"{folder / 'slicemap.json'}: is not there" in problem for problem in problems)


def change(record, **values):
    return json.dumps({**record, **values}).encode()


GOOD = made_up("hippocampus", "plates", 0.2, HIPPOCAMPUS.names)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as JSON"),
        (json.dumps(GOOD).encode()[:-40], "cannot be read as JSON"),
        (b"\xff\xfe\x00", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"[1, 2]", "it holds a JSON list, not an object"),
        (b"null", "it holds a JSON NoneType, not an object"),
        (b"{}", "it lacks experiment, dataset, subset, weights, turned, sections"),
        (b'{"cells": [], "nbformat": 4}', "it lacks experiment"),
        (change(GOOD, dataset=7), "dataset is 7, not text"),
        (change(GOOD, turned=[]), "turned is neither an object nor null"),
        (change(GOOD, turned={"n_sections": 3}), "it lacks turned.map_paper"),
        (change(GOOD, map_paper="0.9"), "map_paper is '0.9', neither a number nor null"),
        (change(GOOD, map_paper=float("nan")), "map_paper is nan, neither"),
        (change(GOOD, coco_ap=True), "coco_ap is True, neither"),
        (change(GOOD, n_sections=None), "n_sections is None, not a number"),
        (change(GOOD, dice_per_region=[1]), "dice_per_region is not an object"),
        (change(GOOD, iou_per_region={"CA1": "x"}), "iou_per_region of CA1 is 'x'"),
        (change(GOOD, sections=None), "sections do not hold the scores of each region"),
        (change(GOOD, sections=[{"section": "val/0"}]), "sections do not hold"),
        (change(GOOD, sections=[{"regions": {"CA1": {"iou": 1}}}]), "sections do not hold"),
        (
            change(GOOD, sections=[{"regions": {"CA1": {"score": 1, "iou": None, "dice": 1}}}]),
            "iou of CA1 in a section is None, not a number",
        ),
    ],
)
def test_a_damaged_or_foreign_file_is_named_and_the_rest_goes_on(folder, content, message):
    (folder / "bad.json").write_bytes(content)
    results, problems = read_results(folder, {})
    assert [result.name for result in results] == ["own", "other"]
    (problem,) = problems
    assert problem.startswith(f"{folder / 'bad.json'}: not a whole result of `sebre evaluate`: ")
    assert message in problem and "move it out of the folder" in problem
    _, (problem,) = read_results(folder, {"bad": "sebre evaluate X"})
    assert problem.endswith(f"Make it again: sebre evaluate X --out {folder / 'bad.json'}")


def test_a_folder_named_like_a_file(folder):
    (folder / "bad.json").mkdir()
    results, (problem,) = read_results(folder, {})
    assert len(results) == 2 and str(folder / "bad.json") in problem


def test_no_folder_and_an_empty_one(tmp_path, published):
    assert read_results(tmp_path, {}) == ((), ())
    with pytest.raises(FileNotFoundError, match="no such folder. Give the folder"):
        read_results(tmp_path / "gone")
    assert [row[2] for row in map_table((), published).rows] == [
        *["not run: data not public"] * 3,
        "not run: needs registration",
    ]
    assert scores_table(()).rows == provenance_table(()).rows == ()
    assert dice_table((), published, "hippocampus").rows == ()
    assert len(table1((), published).rows) == 8


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
    assert table.rows[3][6:] == ("ibsr", "small", "8 of 8", "20", "3")
    assert table.rows[4][6:] == ("scans", "small", "7 of 8", "20", "-")


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
        assert (row[0], row[1], row[5]) == (
            f"{result.name}.json",
            record["dataset"],
            record["weights"],
        )
        assert row[7] == record["command"] and record["weights_sha256"].startswith(row[6])


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
    write(tmp_path, a={**GOOD, "subset": "train"})
    results, _ = read_results(tmp_path, {})
    rows = [row for row in map_table(results, published).rows if row[6] == "plates"]
    assert [row[9] for row in rows] == ["20 (train)"]


def test_a_table_in_markdown_and_html():
    table = Table(
        "Scores <1>",
        ("name", "a|b", "c"),
        (("x<y", "0.5", "-"), ("two\nlines", "7", "-")),
        ("", "ours", "ours"),
        ("A *note*.",),
    )
    assert table.markdown() == (
        "**Scores \\<1>**\n\n"
        "| name | ours: a\\|b | ours: c |\n"
        "| --- | ---: | --- |\n"
        "| x\\<y | 0.5 | - |\n"
        "| two lines | 7 | - |\n"
        "\nA \\*note\\*.\n"
    )
    html = table.html()
    assert html.count("<tr>") == html.count("</tr>") == 4
    assert '<th colspan="2" style="text-align: center">ours</th>' in html
    assert "x&lt;y" in html and "&lt;1&gt;" in html
    assert table._repr_markdown_() == table.markdown() and table._repr_html_() == html
    with pytest.raises(ValueError, match=r"'T': header, groups and rows have \[1, 2\] cells"):
        Table("T", ("a", "b"), (("1",),))
