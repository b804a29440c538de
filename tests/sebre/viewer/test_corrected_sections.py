"""Corrections become a prepared data set, a section at a time."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from mrcnn.errors import UserError
from mrcnn.io.files import file_sha256
from sebre import __version__
from sebre.data.check import check
from sebre.data.csv_tables import read_rows
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import read_facts, recorded_contrast
from sebre.data.regions import HIPPOCAMPUS, SLICEMAP
from sebre.viewer.corrected_sections import CorrectedSection, count_sections, save_section

RNG = np.random.default_rng(0)
DRAWN = np.zeros((30, 40), np.uint8)
DRAWN[5:15, 5:30], DRAWN[20:25, :] = 1, 4


def section(seed: int = 0, **changes) -> CorrectedSection:
    picture = np.random.default_rng(seed).integers(0, 255, (30, 40, 3), np.uint8)
    found = DRAWN.copy()
    found[0, :7] = 2
    facts = {"regions": SLICEMAP, "found": found, "network": "slicemap", "plane": "sagittal"}
    facts |= {"weights_sha256": "abc", "contrast": "percentiles 1 99"}
    values = {"picture": picture, "labels": DRAWN, "facts": facts, "name": f"m1_{seed}.tif"}
    return CorrectedSection(**{**values, "subject": " m1 ", **changes})


@pytest.fixture
def root(tmp_path):
    assert save_section(tmp_path / "set", section(pixel_um=(20.0, 20.0))) == "train/0"
    return tmp_path / "set"


def test_a_section_is_saved_with_what_is_known_of_it(root):
    assert [f for f in check(root) if f.severity == "error"] == []
    assert {f.kind for f in check(root) if f.severity == "warning"} <= {"absent region"}
    sections = SectionDataset(SLICEMAP).load(root, "train")
    sections.prepare()
    np.testing.assert_array_equal(sections.load_image(0), section().picture)
    masks, class_ids = sections.load_mask(0)
    assert class_ids.tolist() == [1, 4]
    np.testing.assert_array_equal(masks[..., 1], DRAWN == 4)
    (row,) = read_rows(root / "sections.csv")[1]
    wanted = {"subject": "m1", "network": "slicemap", "weights_sha256": "abc", "changed_px": "7"}
    wanted |= {"source_image": "m1_0.tif", "sebre_version": __version__, "pixel_um": "20"}
    assert wanted.items() <= row.items() and row["regions"] == "cortex midbrain"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", row["corrected_at"])
    record = json.loads((root / "dataset.json").read_text())
    assert record["plane"] == "sagittal" and record["animals_named"] is True
    facts = read_facts(root)
    assert facts.unit == "subject" and facts.pixel_of("train/0") == (0.02, 0.02)


def test_sections_add_up_and_nothing_is_overwritten(root):
    before = {path: path.read_bytes() for path in root.rglob("*.png")}
    assert save_section(root, section(1, subject="m2")) == "train/1"
    assert save_section(root, section(2, subject="", subset="val")) == "val/0"
    assert {path: path.read_bytes() for path in before} == before
    assert count_sections(root) == {"train": 2, "val": 1}
    assert [f for f in check(root) if f.severity == "error"] == []
    for line in (root / "SHA256SUMS").read_text().splitlines():
        checksum, name = line.split("  ")
        assert file_sha256(root / name) == checksum
    rows = read_rows(root / "sections.csv")[1]
    assert [row["source_row"] for row in rows] == ["0", "1", "2"]
    record = json.loads((root / "dataset.json").read_text())
    assert record["animals_named"] is False, "one section has no animal"
    assert not list(root.glob(".*.part*"))


def test_labels_that_were_opened_are_named(root):
    facts = {"regions": SLICEMAP, "label_map": "folder/m1_labels.png"}
    save_section(root, section(4, facts=facts))
    row = read_rows(root / "sections.csv")[1][-1]
    known = {"label_map": "m1_labels.png", "network": "", "changed_px": ""}
    assert known.items() <= row.items()


def test_the_same_picture_is_not_saved_twice(root):
    files = sorted(root.rglob("*"))
    with pytest.raises(UserError, match="has this picture already, as train/0"):
        save_section(root, section(labels=np.roll(DRAWN, 1)))
    assert sorted(root.rglob("*")) == files


def test_a_table_that_was_edited_stays_edited(root):
    table = root / "sections.csv"
    table.write_text(table.read_text().replace(",m1,", ",mouse 1,"))
    save_section(root, section(1))
    assert [row["subject"] for row in read_rows(table)[1]] == ["mouse 1", "m1"]


def test_deep_pictures_are_scaled_by_the_rule_of_the_set(tmp_path):
    deep = RNG.integers(200, 3000, (30, 40), np.uint16)
    save_section(tmp_path / "set", section(picture=deep))
    assert recorded_contrast(tmp_path / "set") == "percentiles 1 99"
    stored = np.asarray(Image.open(next((tmp_path / "set").rglob("section_img_0.png"))))
    low, high = np.percentile(deep, [1, 99])
    wanted = np.clip((deep - low) / (high - low), 0, 1) * 255
    assert stored.dtype == np.uint8 and np.abs(stored - wanted).max() < 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.full((30, 40), 9)}, "have the label 9, which is no region"),
        ({"labels": np.zeros((30, 40), int)}, "no region is drawn"),
        ({"labels": DRAWN[:20]}, "the picture has 30 x 40 px, its labels 20 x 40"),
        ({"subset": "test"}, "The part is 'test'; wanted one of train, val"),
    ],
)
def test_what_is_no_correction_is_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        save_section(tmp_path / "set", section(**changes))
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_left_alone(root, tmp_path):
    facts = {**section().facts, "regions": HIPPOCAMPUS}
    with pytest.raises(UserError, match="the corrections in this folder are of the regions 1 cort"):
        save_section(root, section(3, facts=facts))
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else than corrected sections"):
        save_section(other, section())
    assert [path.name for path in other.iterdir()] == ["notes.txt"]


def test_a_failure_leaves_the_set_as_it_was(root, monkeypatch):
    files = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr("sebre.prepare.layout.Image.Image.save", full)
    with pytest.raises(OSError, match="no space"):
        save_section(root, section(1))
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == files
