"""From plates and drawings to a prepared data set."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plates import COLUMNS, PLACEMENT, SIZE, UNITS, make, write_table

from mrcnn.errors import UserError
from sebre.prepare.allen.placement import place
from sebre.prepare.allen.plate_table import CELL_LAYERS
from sebre.prepare.allen.svg_atlas import paint, read_drawing
from sebre.prepare.build import build
from sebre.prepare.sources import read_source
from sebre.prepare.sources.ara_nissl import LAYERS


@pytest.fixture
def raw(tmp_path) -> Path:
    make(tmp_path / "raw", [71, 76, 80])
    return tmp_path / "raw"


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "sections.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_counts_of_the_paper(tmp_path):
    # Methods, hippocampus: 27 sections, 1,080 images, 800 for training and 280 for validation.
    make(tmp_path / "raw", list(range(64, 91)))
    raw_set = read_source("ara-nissl", tmp_path / "raw", {})
    build(raw_set, tmp_path / "out", split="section:7", rotations=True)
    rows = table(tmp_path / "out")
    assert Counter(row["subset"] for row in rows) == {"train": 800, "val": 280}
    sides = {part: {r["plate"] for r in rows if r["subset"] == part} for part in ("train", "val")}
    assert (len(sides["train"]), len(sides["val"])) == (20, 7)
    assert not sides["train"] & sides["val"]
    assert set(Counter(row["plate"] for row in rows).values()) == {40}
    for part in sides:
        images = list((tmp_path / "out" / f"mrcnn_{part}_dataset_images").glob("*.png"))
        assert len(images) == len(sides[part]) * 40


def test_a_plate_is_cut_at_the_midline(raw):
    raw_set = read_source("ara-nissl", raw, {})
    assert [section.facts["plate"] for section in raw_set.sections] == [71, 76, 80]
    image, masks = raw_set.sections[0].read()
    with Image.open(raw / "nissl" / "71.jpg") as file:
        assert (image == np.array(file)[:, 32:]).all()
    assert {i: int(mask.sum()) for i, mask in masks.items()} == {1: 128, 2: 64, 3: 64, 4: 64}
    assert masks[1].shape == image.shape
    assert masks[1][8:16, 8:24].all()


def test_regions_are_all_structures_below_them(raw):
    tree = "id,acronym,structure_id_path\n997,root,/997/\n1089,HPF,/997/1089/\n"
    tree += "407,CA1sp,/997/1089/407/\n632,DG-sg,/997/1089/632/\n549,TH,/997/549/\n"
    (raw / "structure_tree_safe_2017.csv").write_text(tree)
    raw_set = read_source("ara-nissl", raw, {"structures": "regions"})
    assert raw_set.regions.names[1] == "hippocampal_formation" and len(raw_set.regions) == 9
    (plate,) = [one for one in raw_set.sections if one.facts["plate"] == 71]
    _, masks = plate.read()
    # CA1sp and DG-sg; the tree says nothing of the other squares.
    assert {class_id: int(mask.sum()) for class_id, mask in masks.items()} == {2: 2 * 64}


def test_regions_need_the_tree(raw):
    with pytest.raises(UserError, match="structure_tree_safe_2017.csv: no such file.*--download"):
        read_source("ara-nissl", raw, {"structures": "regions"})


def test_an_oblique_midline_leaves_black(raw):
    rows = make(raw / "oblique", [71])
    for row in rows:
        row.update(midline_m="0.25", midline_c=str(32 * UNITS))
    write_table(raw / "oblique", rows)
    image, _ = read_source("ara-nissl", raw / "oblique", {}).sections[0].read()
    assert image.shape == (SIZE, SIZE - 32)
    black = (image == 0).sum(axis=1)
    assert (black[0], black[-1]) == (0, 16)
    assert (np.diff(black) >= 0).all()


def test_few_plates_for_a_test(raw, tmp_path):
    build(read_source("ara-nissl", raw, {}), tmp_path / "out", split="test")
    assert [(r["plate"], r["subset"]) for r in table(tmp_path / "out")] == [
        ("71", "val"),
        ("76", "val"),
        ("80", "val"),
    ]
    facts = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert facts["processing"]["placement"] == "alignment.csv"


FAULTS = {
    "not a number": (dict(a11="one"), "plate 71: not a number"),
    "no number": (dict(midline_c=""), "plate 71: not a number"),
    "plate": (dict(plate="a"), "plate a: not a number"),
    "twice": (dict(plate="76"), "plate 76 is listed twice"),
    "no file": (dict(svg="svg/none.svg"), "none.svg: no such file; it belongs to plate 71"),
    "no name": (dict(jpg=""), "plate 71: jpg or svg is empty"),
    "singular": (dict(a22="0"), "plate 71: the placement .* cannot be inverted"),
    "infinite": (dict(b1="nan"), "plate 71: the placement .* cannot be inverted"),
    "size": (dict(jpg_width="1024"), "71.jpg: 64 x 64 pixels; .* on 1024 x 64"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_table(raw, tmp_path, fault):
    change, message = FAULTS[fault]
    rows = make(tmp_path / "other", [71, 76])
    next(row for row in rows if row["plate"] == "71").update(change)
    write_table(tmp_path / "other", rows)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_source("ara-nissl", tmp_path / "other", {})


def test_a_table_that_is_none(raw):
    path = raw / "alignment.csv"
    path.write_text("plate,jpg\n71,nissl/71.jpg\n")
    with pytest.raises(ValueError, match="column svg, a11, a12.* is missing"):
        read_source("ara-nissl", raw, {})
    path.write_bytes(b"\xff\xd8\xff\xe0" * 10)
    with pytest.raises(ValueError, match="alignment.csv: not a UTF-8 CSV table"):
        read_source("ara-nissl", raw, {})
    path.write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(ValueError, match="none of its plates shows CA1"):
        read_source("ara-nissl", raw, {})
    path.unlink()
    with pytest.raises(FileNotFoundError, match="neither alignment.csv nor atlas_index.csv"):
        read_source("ara-nissl", raw, {})


def test_faults_of_the_files(raw):
    picture, svg = raw / "nissl" / "71.jpg", raw / "svg" / "7100.svg"
    whole = picture.read_bytes()
    read = read_source("ara-nissl", raw, {}).sections[0].read
    picture.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="71.jpg: cannot read this picture"):
        read()
    picture.write_bytes(whole)
    svg.write_text(svg.read_text()[:-10])
    with pytest.raises(ValueError, match="7100.svg: not an SVG drawing"):
        read()
    picture.write_bytes(b"none")
    with pytest.raises(ValueError, match="71.jpg: cannot read this picture"):
        read_source("ara-nissl", raw, {})


def test_a_midline_beyond_the_picture(raw):
    rows = make(raw / "other", [71])
    rows[1]["midline_c"] = "9000"
    write_table(raw / "other", rows)
    with pytest.raises(ValueError, match="midline of plate 71 lies beyond"):
        read_source("ara-nissl", raw / "other", {}).sections[0].read()


def index(raw: Path, text: str) -> None:
    (raw / "alignment.csv").unlink()
    (raw / "atlas_index.csv").write_text("plate.id,mm.from.bregma,image.id\n" + text)


def test_the_index_counts_from_the_next_number(raw):
    (raw / "nissl" / "12.jpg").write_bytes(b"before the numbers are settled")
    listed = "".join(f"{plate}00,0,{plate + 1}\n" for plate in (62, 71, 76, 80, 94))
    index(raw, listed)
    raw_set = read_source("ara-nissl", raw, {})
    assert [section.facts["plate"] for section in raw_set.sections] == [71, 76, 80]
    assert raw / "svg" / "7100.svg" in raw_set.files
    assert raw_set.processing["placement"] == "fitted"
    assert "fitted" in raw_set.card
    (raw / "atlas_index.csv").write_text("plate.id,image.id\n9400,95\n")
    with pytest.raises(ValueError, match=r"no image.id \d+, which is that of \d+.jpg"):
        read_source("ara-nissl", raw, {})
    (raw / "atlas_index.csv").write_text("plate.id,image.id\n" + listed.replace(",0,", ","))
    (raw / "svg" / "7600.svg").unlink()
    with pytest.raises(FileNotFoundError, match="7600.svg: no such file"):
        read_source("ara-nissl", raw, {})


def test_what_does_not_fit_is_not_placed(raw):
    index(raw, "".join(f"{plate}00,0,{plate + 1}\n" for plate in (62, 71, 76, 80, 94)))
    bar = np.zeros((SIZE, SIZE), np.uint8)
    bar[30:34] = 200
    Image.fromarray(bar).save(raw / "nissl" / "71.jpg")
    with pytest.raises(ValueError, match="7100.svg on .*71.jpg: outline and tissue agree with"):
        read_source("ara-nissl", raw, {}).sections[0].read()
    with pytest.raises(ValueError, match="no tissue"):
        place(np.zeros((64, 64), np.uint8), read_drawing(raw / "svg" / "7100.svg"), CELL_LAYERS)


@pytest.mark.parametrize("plate", ["75", "89"])
def test_fitted_placements_agree_with_those_of_the_table(data_dir, plate):
    folder = data_dir / "ara_nissl_hippocampus"
    with (folder / "alignment.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["plate"] == plate)
    with Image.open(folder / row["jpg"]) as file:
        image = np.array(file.convert("L"))
    shown = read_drawing(folder / row["svg"])
    fitted = place(image, shown, CELL_LAYERS)
    matrix = np.array([float(row[name]) for name in PLACEMENT]).reshape(2, 3)
    ours, stated = (paint(shown, LAYERS, image.shape, m) > 0 for m in (fitted.matrix, matrix))
    assert np.count_nonzero(ours & stated) / np.count_nonzero(ours | stated) > 0.94
    assert fitted.dice > 0.95
    # The midline to 6 pixels, half way down the brain.
    m, c = (float(row[name]) for name in ("midline_m", "midline_c"))
    middle = float(row["svg_height"]) / 2
    assert abs(fitted.midline[0] * middle + fitted.midline[1] - m * middle - c) < 50
