"""What users' folders hold beside pictures: numbers, tables, drawings of nothing, odd names."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mrcnn.errors import UserError
from sebre.cli import main
from sebre.data.region_names import misnamed
from sebre.data.regions import Region, RegionSet
from sebre.prepare.build import build
from sebre.prepare.sources import read_source
from sebre.prepare.subjects import name_subjects

TABLE = "id,name,r,g,b\n1,cortex,200,0,0\n2,thalamus,0,200,0\n"


def picture(path: Path, value: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 24), value, np.uint8)).save(path)


def label_folder(raw: Path, numbers) -> None:
    for number in numbers:
        picture(raw / f"images/m_{number}.png", 100 + number)
        labels = np.zeros((16, 24), np.uint8)
        labels[2:8, 2:8], labels[10:14, 10:20] = 1, 2
        (raw / "labels").mkdir(exist_ok=True)
        Image.fromarray(labels).save(raw / f"labels/m_{number}.png")
    (raw / "regions.csv").write_text(TABLE)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "sections.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def prepare(source, raw, out, *options) -> int:
    return main(["prepare", source, "--raw", str(raw), "--out", str(out), *options])


def test_sections_are_held_out_by_their_own_numbers(tmp_path, capsys):
    label_folder(tmp_path / "raw", range(1, 7))
    assert prepare("labels", tmp_path / "raw", tmp_path / "set", "--split", "section=5,2") == 0
    held = [row["source_image"] for row in rows_of(tmp_path / "set") if row["subset"] == "val"]
    assert held == ["m_2.png", "m_5.png"]
    assert prepare("labels", tmp_path / "raw", tmp_path / "none", "--split", "section=0") == 2
    assert "There are: 1, 2, 3, 4, 5, 6." in capsys.readouterr().err


def test_a_relative_folder_and_an_absolute_table(tmp_path, monkeypatch):
    label_folder(tmp_path / "raw", range(3))
    table = (tmp_path / "raw/regions.csv").rename(tmp_path / "regions.csv")
    monkeypatch.chdir(tmp_path)
    assert prepare("labels", "raw", "set", "--regions", str(table), "--split", "section:1") == 0
    names = json.loads((tmp_path / "set/dataset.json").read_text())["raw_sha256"]
    assert "raw/images/m_0.png" in names and "regions.csv" in names


def test_pixels_of_a_table_grow_as_sections_shrink(tmp_path, capsys):
    label_folder(tmp_path / "raw", range(3))
    table = tmp_path / "raw/sections.csv"
    table.write_text("section,pixel_um\n0,0.65\n1,0.65\n2,1.3\n")
    asked = ("--split", "section:1", "--downsample", "2")
    assert prepare("labels", tmp_path / "raw", tmp_path / "set", *asked) == 0
    assert sorted(row["pixel_um"] for row in rows_of(tmp_path / "set")) == ["1.3", "1.3", "2.6"]
    again = ("prepared", tmp_path / "set", tmp_path / "again", "--map", "thalamus=none")
    assert prepare(*again) == 0
    assert sorted(row["pixel_um"] for row in rows_of(tmp_path / "again")) == ["1.3", "1.3", "2.6"]
    table.write_text("section,pixel_um\n0,0.65 um\n1,1\n2,1\n")
    assert prepare("labels", tmp_path / "raw", tmp_path / "other", *asked) == 2
    assert "pixel_um is '0.65 um' in the table; wanted one number" in capsys.readouterr().err


def test_masks_of_another_size_than_their_picture_are_not_written(tmp_path):
    label_folder(tmp_path / "raw", range(3))
    raw_set = read_source("labels", tmp_path / "raw", {})
    image, masks = raw_set.sections[1].read()
    turned = {class_id: mask.T for class_id, mask in masks.items()}
    sections = [*raw_set.sections]
    sections[1] = replace(sections[1], read=lambda: (image, turned))
    with pytest.raises(
        UserError, match=r"cortex in section \d .* has 24 x 16 px, its image 16 x 24"
    ):
        build(replace(raw_set, sections=sections), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_set_without_a_test_part_is_prepared_again(tmp_path):
    label_folder(tmp_path / "raw", range(4))
    assert prepare("labels", tmp_path / "raw", tmp_path / "whole", "--split", "train") == 0
    again = ("--split", "section=1", "--map", "thalamus=none")
    assert prepare("prepared", tmp_path / "whole", tmp_path / "set", *again) == 0
    assert [row["subset"] for row in rows_of(tmp_path / "set")].count("val") == 1


def test_a_table_with_parts_for_folders_without(tmp_path):
    label_folder(tmp_path / "raw", range(3))
    (tmp_path / "raw/sections.csv").write_text(
        "section,subset,age\n0,train,P4\n1,train,P5\n2,val,P6\n"
    )
    assert prepare("labels", tmp_path / "raw", tmp_path / "set", "--split", "section:1") == 0
    assert {row["age"] for row in rows_of(tmp_path / "set")} == {"P4", "P5", "P6"}


def test_animals_of_a_table(tmp_path, capsys):
    label_folder(tmp_path / "raw", range(2))
    table = tmp_path / "raw/animals.csv"
    table.write_text("image,subject\nm_0.png,a\nm_1.png,b\n")
    asked = ("--subjects", str(table), "--split", "subject:1")
    assert prepare("labels", tmp_path / "raw", tmp_path / "set", *asked) == 0
    assert "animals.csv" not in capsys.readouterr().out, "it was used"
    raw_set = read_source("labels", tmp_path / "raw", {})
    both = replace(raw_set, sections=[*raw_set.sections, *raw_set.sections])
    with pytest.raises(UserError, match="m_0.png, m_1.png are names of two pictures each"):
        name_subjects(both, table)


def coco(raw: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(raw / "images" / name)
    square = [2, 2, 12, 2, 12, 12, 2, 12]
    record = {
        "images": [
            {"id": k, "file_name": f"{name}.png", "height": 16, "width": 24}
            for k, name in enumerate("abc")
        ],
        "categories": [{"id": 1, "name": "cortex"}],
        "annotations": [
            {"image_id": 0, "category_id": 1, "segmentation": [square]},
            {"image_id": 1, "category_id": 1, "segmentation": [square]},
            {"image_id": 2, "category_id": 1, "segmentation": []},
        ],
    }
    (raw / "annotations").mkdir()
    (raw / "annotations/all.json").write_text(json.dumps(record))


def test_pictures_on_which_nothing_was_drawn_are_left_out(tmp_path, caplog):
    coco(tmp_path / "raw")
    caplog.set_level("INFO")
    assert prepare("annotations", tmp_path / "raw", tmp_path / "set", "--split", "section:1") == 0
    assert [row["source_image"] for row in rows_of(tmp_path / "set")] == ["a.png", "b.png"]
    assert "1 section(s) without annotations are left out: c.png" in caplog.text
    assert "1 annotation(s) that are no areas" in caplog.text


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("2023_05_01_cortex_m1", False),
        ("mouse_3_12_cortex_m1", False),
        ("section_masks_1_thalamus_m1", True),
        ("2023_05_01_thalamus_m1", True),
    ],
)
def test_names_of_masks_with_dates(name, wrong):
    regions = RegionSet(
        "two", (Region(1, "cortex", "CTX", (1, 1, 1)), Region(2, "thalamus", "TH", (2, 2, 2)))
    )
    assert bool([*misnamed([(1, Path(f"{name}.png"))], regions)]) == wrong
