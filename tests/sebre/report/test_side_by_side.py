"""Own results side by side: values, paired differences, and what is not to be compared."""

import csv
import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

from sebre.cli.commands import main
from sebre.report.side_by_side import compare_files

RESULTS = ROOT / "results"


@pytest.fixture
def record() -> dict:
    return json.loads((RESULTS / "slicemap.json").read_text(encoding="utf-8"))


def save(record: dict, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
    return path


def column(table, name: str) -> dict[str, str]:
    return {row[0]: row[table.header.index(name)] for row in table.rows}


def better(record: dict, by: float, region: str = "cortex") -> dict:
    """The same sections with a Dice of a region that is higher."""
    changed = deepcopy(record)
    for section in changed["sections"]:
        section["regions"][region]["dice"] += by
    changed["dice_per_region"][region] += by
    changed["dice_mean"] += by / 6
    return changed


def test_values_and_paired_differences(record, tmp_path):
    first = save(record, tmp_path / "first.json")
    other = save(better(record, -0.02), tmp_path / "other.json")
    found = compare_files([first, other])
    assert found.refused == found.notes == ()
    lying, turned = found.tables
    assert turned.title == "Dice at random orientations"
    dice = record["dice_per_region"]["cortex"]
    low, high = record["intervals"]["dice_per_region"]["cortex"]
    assert column(lying, "first")["cortex"] == f"{dice:.3f} [{low:.3f}, {high:.3f}]"
    assert column(lying, "other")["cortex"].startswith(f"{dice - 0.02:.3f} ")
    minus = column(lying, "other minus first")
    # Every section lost the same, so the interval of the pairs has no width.
    assert minus["cortex"] == "-0.020 [-0.020, -0.020]"
    assert minus["hippocampus"] == "+0.000 [+0.000, +0.000]"
    assert minus["mean Dice"] == "-0.003 [-0.003, -0.003]"
    assert column(lying, "over")["cortex"] == "12 sections"
    assert column(lying, "n")["cortex"] == "12"


def test_two_networks_that_were_really_scored():
    paths = [RESULTS / f"{name}.json" for name in ("slicemap", "slicemap_unet", "slicemap_384")]
    found = compare_files(paths)
    assert found.refused == ()
    table = found.tables[0]
    minus = column(table, "slicemap_unet minus slicemap")["thalamus"]
    records = [json.loads(path.read_text()) for path in paths[:2]]
    one, other = (
        np.array([section["regions"]["thalamus"]["dice"] for section in r["sections"]])
        for r in records
    )
    assert minus.startswith(f"{np.mean(other - one):+.3f} [")
    low, high = map(float, minus.partition("[")[2].rstrip("]").split(", "))
    error = 1.96 * np.std(other - one) / np.sqrt(12)  # of a mean of pairs
    assert (low, high) == pytest.approx(
        (np.mean(other - one) - error, np.mean(other - one) + error), abs=0.01
    )
    assert "slicemap_384 minus slicemap" in table.header
    assert any("lowest score that counts: 0.3 and None" in note for note in found.notes)


def other_split(record):
    record["split"]["seed"] = 1


def other_data(record):
    record["dataset"] = "mine"


def fewer_sections(record):
    del record["sections"][3]


def other_drawings(record):
    del record["sections"][0]["regions"]["cortex"]


def other_part(record):
    record["subset"] = "train"


@pytest.mark.parametrize(
    "change, why",
    [
        (other_split, "split 'section:1/4, seed 0' and 'section:1/4, seed 1'"),
        (other_data, "data set 'slicemap' and 'mine'"),
        (other_part, "part 'val' and 'train'"),
        (fewer_sections, "1 section(s) are in one of them only (val/3)"),
        (other_drawings, "1 section(s) show other regions (val/0)"),
    ],
)
def test_what_is_not_of_the_same_has_no_difference(record, tmp_path, capsys, change, why):
    first = save(record, tmp_path / "first.json")
    changed = deepcopy(record)
    change(changed)
    other = save(changed, tmp_path / "b" / "first.json")
    assert main(["compare", str(first), str(other)]) == 3
    out, err = capsys.readouterr()
    assert why in err and "are not scores of the same" in err
    (table, _) = compare_files([first, other]).tables
    names = table.header[1:3]
    assert names == tuple(path.with_suffix("").as_posix() for path in (first, other))
    assert set(column(table, f"{names[1]} minus {names[0]}").values()) == {"-"}
    assert "0.9" in out  # the values are there all the same


def test_regions_of_one_file_only_are_said(record, tmp_path):
    first, fewer = save(record, tmp_path / "six.json"), deepcopy(record)
    for key, values in fewer.items():
        if key.endswith("_per_region"):
            del values["cerebellum"]
    for section in fewer["sections"]:
        del section["regions"]["cerebellum"]
    found = compare_files([first, save(fewer, tmp_path / "five.json")])
    assert found.notes == ("six and five: only the first looks for cerebellum.",)
    minus = column(found.tables[0], "five minus six")
    assert minus["cerebellum"] == minus["mAP"] == "-"
    assert minus["mean Dice"] == "+0.000 [+0.000, +0.000]"  # over the regions of both


def test_tables_are_written(record, tmp_path, capsys):
    files = [save(record, tmp_path / "a.json"), save(better(record, 0.01), tmp_path / "b.json")]
    out = tmp_path / "out"
    words = ["compare", *map(str, files), "--out", str(out)]
    assert main(words) == main(words) == 0
    assert "+0.010 [+0.010, +0.010]" in capsys.readouterr().out
    assert "| cortex |" in (out / "comparison.md").read_text()
    rows = list(csv.reader((out / "comparison.csv").read_text().splitlines()))
    assert rows[1][:3] == ["region", "a", "b"] and rows[2][0] == "cortex"


def test_what_is_no_result_is_one_line(record, tmp_path, capsys):
    good = str(save(record, tmp_path / "good.json"))
    bad = tmp_path / "bad.json"
    cases = {"one file alone": [good], "named twice": [good, good]}
    cases["no such file"] = [good, str(tmp_path / "absent.json")]
    cases["cannot read this result"] = [good, str(bad)]
    bad.write_text("[")
    for text, words in cases.items():
        assert main(["compare", *words]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert text in line
    bad.write_text('{"experiment": "x"}')
    assert main(["compare", good, str(bad)]) == 2
    assert f"{bad}: not a whole result of `sebre evaluate`: it lacks" in capsys.readouterr().err


def test_pairs_are_drawn_by_animal_where_they_are_known(record, tmp_path):
    changed = better(record, -0.02)
    for one in (record, changed):
        one["interval_unit"] = "subject"
        for number, section in enumerate(one["sections"]):
            section["unit"] = f"m{number % 4}"
    changed["sections"][0]["regions"]["cortex"]["dice"] -= 0.3
    files = [save(record, tmp_path / "a.json"), save(changed, tmp_path / "b.json")]
    (lying, _) = compare_files(files).tables
    assert column(lying, "over")["cortex"] == "4 subjects"
    low, high = map(float, column(lying, "b minus a")["cortex"].partition("[")[2][:-1].split(", "))
    # The animal of the outlier is drawn not at all, or up to all four times.
    assert high == pytest.approx(-0.02, abs=1e-3)
    assert low < -0.02 - 0.3 / 12
