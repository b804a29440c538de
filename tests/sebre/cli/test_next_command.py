"""`sebre next` on predictions of real sections, as the command line gives it."""

import json

import numpy as np
import pytest
from paths import ROOT

from sebre.cli import commands as cli
from sebre.data.csv_tables import read_rows

IMAGES = ROOT / "datasets" / "slicemap" / "mrcnn_val_dataset_images"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Five sections, predicted by the network of any section."""
    out = tmp_path_factory.mktemp("next") / "found"
    pictures = [str(IMAGES / f"section_img_{k}.png") for k in range(5)]
    words = ["predict", *pictures, "--weights", "any_section", "--place", "no"]
    assert cli.main([*words, "--format", "geojson", "--out", str(out)]) == cli.DONE
    return out


def test_the_table_has_the_sections_in_order_with_reasons(found, tmp_path, capsys):
    table = tmp_path / "next.csv"
    assert cli.main(["next", str(found), "--count", "3", "--out", str(table)]) == cli.DONE
    said = capsys.readouterr()
    assert "3 of 5 sections, for " in said.out and not said.err
    _, rows = read_rows(table)
    assert [row["order"] for row in rows] == ["1", "2", "3"]
    assert len({row["image"] for row in rows}) == 3
    takes = [float(row["takes"]) for row in rows]
    assert takes == sorted(takes, reverse=True) and 0 < sum(takes) < 1
    for row in rows:
        assert "expected Dice" in row["reasons"] and "of 5" in row["reasons"]
        assert row["picture"] == str(IMAGES / f"{row['image']}.png")
        expected = [
            one["expected_dice"]
            for one in json.loads((found / ".records" / f"{row['image']}.json").read_text())["rows"]
            if one["found"] == "yes"
        ]
        assert float(row["expected_dice"]) == pytest.approx(np.mean(expected), abs=1e-4)
    # Once more, beside what is corrected by then.
    done = tmp_path / "annotations"
    done.mkdir()
    (done / f"{rows[0]['image']}.geojson").write_text("[]")
    assert cli.main(["next", str(found), "--count", "9", "--done", str(done)]) == cli.DONE
    said = capsys.readouterr()
    assert "4 of 5 sections" in said.out and "corrected already, and left out" in said.err
    assert f"  {rows[0]['image']} " not in said.out


def test_mistakes_are_one_line(found, tmp_path, capsys):
    for words, text in (
        ([str(tmp_path)], "no section of `sebre predict`"),
        ([str(found), "--done", str(tmp_path / "none")], "no such folder of corrected regions"),
        ([str(found), "--done", str(found)], "holds no corrected regions"),
    ):
        assert cli.main(["next", *words]) == cli.USER_ERROR
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert text in line
    mine = tmp_path / "mine.csv"
    mine.write_text("precious")
    assert cli.main(["next", str(found), "--out", str(mine)]) == cli.USER_ERROR
    assert mine.read_text() == "precious"
