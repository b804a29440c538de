"""The sources of labeled scans: MICCAI 2012 and mouse MRI."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from volumes import save_nifti

from sebre.data.regions import MOUSE, SUBCORTICAL
from sebre.data.split import assign
from sebre.prepare.sources import malc2012, mouse_mri, read_source
from sebre.prepare.volume import read_volume, section, to_8_bit

MOUSE_SCANS = ("tg4510_tp3_10_20130523_UT", "tg4510_tp3_27_20130616_WT")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def link(source: Path, target: Path, *names: str) -> Path:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(source / name)
    return target


def malc_raw(data_dir: Path, tmp_path: Path, *scans: str) -> Path:
    names = [f"{scan}_{kind}.nii.gz" for scan in scans for kind in ("SS", "glm")]
    return link(data_dir / "malc2012", tmp_path / "malc", "subjects.csv", *names)


def rows_of(raw_set) -> list[dict]:
    return [
        {"section": i, **section.facts, "part": section.part}
        for i, section in enumerate(raw_set.sections)
    ]


def test_malc2012_numbers_are_those_of_its_table(data_dir):
    names = {int(row["id"]): row["name"] for row in table(data_dir / "malc2012" / "labels.csv")}
    for number, class_id in malc2012.LABELS.items():
        side, structure = SUBCORTICAL[class_id].name.split("_")
        name = names[number].lower()
        assert side in name and structure in name, (number, name)
    assert sorted(malc2012.LABELS.values()) == list(range(1, 9))


def test_malc2012_sections(data_dir, tmp_path):
    raw = malc_raw(data_dir, tmp_path, "1000", "1003", "1023")
    raw_set = read_source("malc2012", raw, {})
    assert (raw_set.plane, raw_set.pixel_size_um, raw_set.split) == ("horizontal", 1000.0, "source")
    assert raw_set.volumetric
    assert raw_set.slice_spacing_um == 1000.0
    rows = rows_of(raw_set)
    # The challenge: 1000 is for training, both scans of OAS1_0101 for testing. 37, 38 and 38
    # sections have any of the labels, these have 10 px of one.
    assert Counter((r["scan"], r["subject"], r["part"]) for r in rows) == {
        ("1000", "OAS1_0061", "train"): 35,
        ("1003", "OAS1_0101", "val"): 36,
        ("1023", "OAS1_0101", "val"): 35,
    }
    assert set(assign(rows, raw_set.split, 0)) == {"train", "val"}
    for scan in ("1000", "1003", "1023"):
        slices = [row["slice"] for row in rows if row["scan"] == scan]
        assert slices == list(range(slices[0], slices[0] + len(slices)))

    # A section from the middle, beside the files themselves.
    row = rows[18]
    image, masks = raw_set.sections[18].read()
    volumes = [read_volume(raw / f"1000_{kind}.nii.gz") for kind in ("SS", "glm")]
    drawn = section(volumes[1], "horizontal", row["slice"], 0)
    wanted = to_8_bit(volumes[0].data.astype(np.float32))[:, :, row["slice"]]
    np.testing.assert_array_equal(image, wanted.T[::-1, ::-1])
    assert masks
    for number, class_id in malc2012.LABELS.items():
        if class_id in masks:
            np.testing.assert_array_equal(masks[class_id], drawn == number)
        else:
            assert (drawn == number).sum() < malc2012.MIN_MASK_PX
    # Left is on the right of the picture.
    for left in (1, 3, 5, 7):
        if left in masks and left + 1 in masks:
            columns = [np.nonzero(masks[i])[1].mean() for i in (left, left + 1)]
            assert columns[0] > columns[1] + 10
    assert min(m.sum() for s in raw_set.sections for m in s.read()[1].values()) >= 10
    # With the smallest masks, all the sections that have a label.
    every = malc2012.read_source(raw, smallest=1)
    counts = Counter(row["scan"] for row in rows_of(every))
    assert counts == {"1000": 37, "1003": 38, "1023": 38}
    assert every.processing["min_mask_px"] == 1


def test_malc2012_knows_second_scans_without_the_table(data_dir):
    rows = table(data_dir / "malc2012" / "subjects.csv")
    subjects = {row["scan_id"]: row["subject_id"] for row in rows}
    assert all(subjects[str(b)] == subjects[str(a)] for b, a in malc2012._RESCANS.items())
    again = {row["scan_id"] for row in rows if row["rescan_of"]}
    assert again == {str(scan) for scan in malc2012._RESCANS}


def test_malc2012_knows_the_parts_of_the_challenge_without_the_table(data_dir, tmp_path):
    rows = table(data_dir / "malc2012" / "subjects.csv")
    assert {row["scan_id"] for row in rows if row["split"] == "train"} == malc2012._TRAINING
    raw = malc_raw(data_dir, tmp_path, "1000", "1101")
    (raw / "subjects.csv").unlink()
    raw_set = read_source("malc2012", raw, {})
    assert raw_set.split == "source"
    parts = {section.facts["scan"]: section.part for section in raw_set.sections}
    assert parts == {"1000": "train", "1101": "val"}


@pytest.mark.parametrize("with_table", [True, False])
def test_malc2012_a_person_is_never_divided(tmp_path, with_table):
    labels = np.zeros((12, 12, 6), np.int16)
    labels[2:4, 2:9, 1:5], labels[8:10, 2:9, 1:5] = 37, 36
    scans = {"1003": "a", "1023": "a", "1005": "b", "1025": "b", "1018": "c", "1038": "c"}
    scans |= {str(1100 + i): f"d{i}" for i in range(3)}
    for scan in scans:
        save_nifti(tmp_path / f"{scan}_SS.nii.gz", (labels + 5).astype(np.int16), "LAS")
        save_nifti(tmp_path / f"{scan}_glm.nii.gz", labels, "LAS")
    if with_table:
        lines = [f"{scan},{subject},," for scan, subject in scans.items()]
        text = "\n".join(["scan_id,subject_id,split,age", *lines])
        (tmp_path / "subjects.csv").write_text(text + "\n")
    raw_set = read_source("malc2012", tmp_path, {})
    assert raw_set.split == "subject:1/3"
    rows = rows_of(raw_set)
    assert len({row["subject"] for row in rows}) == 6
    halves = set()
    for seed in range(8):
        parts = {}
        for row, part in zip(rows, assign(rows, "subject:1/3", seed), strict=True):
            parts.setdefault(scans[row["scan"]], set()).add(part)
        assert all(len(part) == 1 for part in parts.values())
        held = sorted(person for person, part in parts.items() if part == {"val"})
        assert len(held) == 2
        halves.add(tuple(held))
    assert len(halves) > 1


def test_malc2012_faults_of_the_folder(data_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match="no <scan>_SS.nii.gz"):
        malc2012.read_source(tmp_path)
    raw = malc_raw(data_dir, tmp_path, "1000")
    (raw / "1000_glm.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match="1000_glm.nii.gz: no such file"):
        malc2012.read_source(raw)
    # Labels named left and right the wrong way round.
    (raw / "1000_glm.nii.gz").symlink_to(data_dir / "malc2012" / "1000_glm.nii.gz")
    with pytest.raises(ValueError, match="labeled left lie on the right"):
        malc2012.read_source(raw, orientation="RAS")
    (raw / "subjects.csv").unlink()
    (raw / "subjects.csv").write_text("scan_id,subject\n1000,a\n")
    with pytest.raises(ValueError, match="subjects.csv: column subject_id, split is missing"):
        malc2012.read_source(raw)


def test_mouse_mri_regions_are_those_of_its_map(data_dir):
    mapped = {}
    for row in table(data_dir / "mouse_mri" / "regions_map.csv"):
        name = row["region"].replace("hindbrain_brainstem", "hindbrain")
        if name != "none":
            mapped[int(row["label"])] = name
    assert len(mapped) == 28
    assert {n: MOUSE[i].name for n, i in mouse_mri.LABELS.items()} == mapped


def test_mouse_mri_sections(data_dir, tmp_path):
    names = [f"{kind}/{scan}.nii.gz" for scan in MOUSE_SCANS for kind in ("template", "label")]
    raw = link(data_dir / "mouse_mri", tmp_path / "mouse", "scans.csv", *names)
    raw_set = read_source("mouse-mri", raw, {})
    known = {row["scan"]: row for row in table(raw / "scans.csv")}
    rows = rows_of(raw_set)
    assert (raw_set.plane, raw_set.pixel_size_um, raw_set.split) == (
        "sagittal",
        150.0,
        "source",
    )
    assert {r["scan"]: (r["subject"], r["marker"]) for r in rows} == {
        scan: (known[scan]["animal"], known[scan]["group"]) for scan in MOUSE_SCANS
    }
    # Tissue reaches from about 23 to 93 of the first index.
    assert all(15 <= row["slice"] <= 100 for row in rows) and len(rows) == 144

    first = next(i for i, row in enumerate(rows) if row["slice"] == 60)
    image = read_volume(raw / names[0]).data
    labels = np.rint(read_volume(raw / names[1]).data).astype(int)
    number_of = np.zeros(64, int)
    number_of[list(mouse_mri.LABELS)] = list(mouse_mri.LABELS.values())
    removed = 0
    for i in range(first - 20, first + 20, 5):
        picture, masks = raw_set.sections[i].read()
        index = rows[i]["slice"]
        inside = image[index].T[::-1, ::-1] > 0
        drawn = number_of[labels[index]].T[::-1, ::-1]
        removed += ((drawn > 0) & ~inside).sum()
        for class_id in range(1, len(MOUSE) + 1):
            wanted = (drawn == class_id) & inside
            mask = masks.get(class_id)
            if mask is None:
                assert wanted.sum() < mouse_mri.MIN_MASK_PX
            else:
                np.testing.assert_array_equal(mask, wanted)
        assert picture.dtype == np.uint8 and not picture[~inside].any()
    assert removed > 100  # the rim of the brain
    # Front left: the olfactory bulb (class 8) is left of the cerebellum (class 7).
    _, masks = raw_set.sections[first].read()
    assert np.nonzero(masks[8])[1].mean() < np.nonzero(masks[7])[1].mean() - 20


def test_mouse_mri_both_parts_have_all_groups(data_dir, tmp_path):
    raw = link(data_dir / "mouse_mri", tmp_path, "scans.csv")
    labels = np.zeros((6, 8, 7), np.int16)
    labels[2, 2:7, 2:6] = 8
    known = {row["scan"]: row for row in table(raw / "scans.csv")}
    for scan in known:
        for kind in ("template", "label"):
            save_nifti(raw / kind / f"{scan}.nii.gz", labels)
    raw_set = mouse_mri.read_source(raw)
    rows = rows_of(raw_set)
    assert len(rows) == len(known) == 20
    for rule, held in ((raw_set.split, 6), ("subject:1/4", 5)):
        parts = assign(rows, rule, 0)
        animals = {
            part: {row["subject"] for row, at in zip(rows, parts, strict=True) if at == part}
            for part in ("train", "val")
        }
        assert (len(animals["train"]), len(animals["val"])) == (20 - held, held)
        assert not animals["train"] & animals["val"]
    parts = Counter((row["marker"], row["part"]) for row in rows)
    assert {group for group, part in parts if part == "val"} == {"WT", "UT", "TT"}
    assert all(parts[group, "train"] > parts[group, "val"] for group in ("WT", "UT", "TT"))


def test_mouse_mri_faults_of_the_folder(data_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match="template: no <scan>.nii.gz"):
        mouse_mri.read_source(tmp_path)
    name = f"{MOUSE_SCANS[0]}.nii.gz"
    raw = link(data_dir / "mouse_mri", tmp_path, f"template/{name}")
    with pytest.raises(FileNotFoundError, match=f"label/{name}: no such file"):
        mouse_mri.read_source(raw)
    link(data_dir / "mouse_mri", raw, f"label/{name}")
    # Without the table, animal and group come from the name.
    facts = mouse_mri.read_source(raw).sections[0].facts
    assert (facts["subject"], facts["marker"]) == ("tg4510_tp3_10", "UT")
    (raw / "scans.csv").write_text("scan,animal\n")
    with pytest.raises(ValueError, match="scans.csv: column group is missing"):
        mouse_mri.read_source(raw)


def test_options_a_source_does_not_take(tmp_path):
    with pytest.raises(ValueError, match="takes --orientation, --plane"):
        read_source("malc2012", tmp_path, {"gene": "Gad1"})
