"""IBSR 18: names of files, left and right, the paper's crop and its counts."""

import csv
import gzip
import json
import logging
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from ibsr_scans import LEFT_CAUDATE, LEFT_PUTAMEN, SIDE, save_subject, scan
from volumes import save_analyze, save_nifti

from sebre.cli.commands import main
from sebre.data.regions import SUBCORTICAL
from sebre.prepare.build import build
from sebre.prepare.sources.ibsr import FRAME, LABELS, read_source


def pictures(raw: Path, **options) -> list:
    return [section.read() for section in read_source(raw, **options).sections]


def assert_equal(some: list, others: list) -> None:
    assert len(some) == len(others) > 0
    for (image, masks), (other, drawn) in zip(some, others, strict=True):
        np.testing.assert_array_equal(image, other)
        assert sorted(masks) == sorted(drawn)
        for i in masks:
            np.testing.assert_array_equal(masks[i], drawn[i])


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "sections.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_numbers_are_those_of_the_label_table():
    names = {number: SUBCORTICAL[class_id].name for number, class_id in LABELS.items()}
    assert names == {
        11: "left_caudate",
        50: "right_caudate",
        12: "left_putamen",
        51: "right_putamen",
        13: "left_pallidum",
        52: "right_pallidum",
        10: "left_thalamus",
        49: "right_thalamus",
    }


def test_the_papers_counts(tmp_path):
    # Paper, Methods: 557 sections of 18 subjects, 372 to train on and 185 to test.
    counts = [31] * 17 + [30]
    for number, labeled in enumerate(counts, start=1):
        folder, name = tmp_path / "raw" / f"IBSR_{number:02d}", f"IBSR_{number:02d}"
        image, labels = scan(number, labeled, (12, 16, 34))
        labels[labels > 2] = 0
        labels[4, 6:8, 1 : labeled + 1] = LEFT_CAUDATE
        for data, kind in ((image, "ana_strip"), (labels, "seg_ana")):
            save_nifti(folder / f"{name}_{kind}.nii.gz", data)
    raw_set = read_source(tmp_path / "raw")
    assert (len(raw_set.sections), raw_set.plane, raw_set.split) == (
        557,
        "horizontal",
        "subject:1/3",
    )
    build(raw_set, tmp_path / "paper", split="image:1/3")
    subsets = [row["subset"] for row in rows_of(tmp_path / "paper")]
    assert (subsets.count("train"), subsets.count("val")) == (372, 185)
    leaks = json.loads((tmp_path / "paper" / "dataset.json").read_text())["split"]["leaks"]
    assert "18 of 18 test subjects are in training too" in leaks

    build(raw_set, tmp_path / "fair", seed=1)
    rows = rows_of(tmp_path / "fair")
    train, val = (
        {row["subject"] for row in rows if row["subset"] == subset} for subset in ("train", "val")
    )
    assert (len(train), len(val), train & val, len(rows)) == (12, 6, set(), 557)


def test_every_form_of_the_files_gives_the_same_sections(tmp_path):
    save_subject(tmp_path / "a" / "IBSR_01", 1)
    wanted = pictures(tmp_path / "a")
    assert sorted(wanted[0][1]) == [1, 2]
    # The left caudate lies on the right of the picture.
    left, right = (np.nonzero(wanted[0][1][i])[1].mean() for i in (1, 2))
    assert left > right

    for codes in ("LAS", "RPI", "PSL"):
        save_subject(tmp_path / codes, 1, codes=codes)  # flat
        assert_equal(pictures(tmp_path / codes), wanted)
        save_subject(tmp_path / f"{codes}_user", 1, codes=codes, forms=(0, 0))
        with pytest.raises(ValueError, match="Give --orientation"):
            read_source(tmp_path / f"{codes}_user")
        assert_equal(pictures(tmp_path / f"{codes}_user", orientation=codes), wanted)
        folder = tmp_path / f"{codes}_analyze" / "unpacked" / "IBSR_01"
        for data, kind in zip(scan(1), ("ana_strip", "seg_ana"), strict=True):
            save_analyze(folder / f"IBSR_01_{kind}.img", data, codes, big_endian=codes == "RPI")
        with pytest.raises(ValueError, match="Give --orientation"):
            read_source(tmp_path / f"{codes}_analyze")
        assert_equal(pictures(tmp_path / f"{codes}_analyze", orientation=codes), wanted)
        for path in sorted(folder.iterdir()):
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        assert_equal(pictures(tmp_path / f"{codes}_analyze", orientation=codes), wanted)


def test_a_wrong_side_is_noticed(tmp_path):
    for data, kind in zip(scan(1), ("ana_strip", "seg_ana"), strict=True):
        save_analyze(tmp_path / f"IBSR_01_{kind}.img", data, "LIA")
    assert len(read_source(tmp_path, orientation="LIA").sections) == 4
    with pytest.raises(ValueError, match="labeled left lie on the right"):
        read_source(tmp_path, orientation="RIA")


def test_a_trailing_axis_and_other_files_do_no_harm(tmp_path):
    save_subject(tmp_path / "a", 1)
    wanted = pictures(tmp_path / "a")
    for path in list((tmp_path / "a").iterdir()):
        image = nibabel.load(path)
        four = nibabel.Nifti1Image(np.asarray(image.dataobj)[..., None], image.affine)
        (tmp_path / "b").mkdir(exist_ok=True)
        nibabel.save(four, tmp_path / "b" / path.name)
    for kind in ("ana", "segTRI_ana", "segTRI_fill_ana", "ana_brainmask"):
        save_nifti(tmp_path / "b" / f"IBSR_01_{kind}.nii.gz", scan(5)[0])
    (tmp_path / "b" / "README").write_text("about")
    assert_equal(pictures(tmp_path / "b"), wanted)
    # NIfTI goes before Analyze.
    for data, kind in zip(scan(3), ("ana_strip", "seg_ana"), strict=True):
        save_analyze(tmp_path / "b" / f"IBSR_01_{kind}.img", data, "LAS")
    assert_equal(pictures(tmp_path / "b"), wanted)


def test_the_papers_crop(tmp_path):
    image = np.zeros((200, 140, 5), np.int16)
    image[60:120, 5:50] = np.random.default_rng(0).integers(1, 200, (60, 45, 5), np.int16)
    labels = np.zeros(image.shape, np.int16)
    labels[70:72, 8:10, 1:4] = LEFT_PUTAMEN
    for data, kind in ((image, "ana_strip"), (labels, "seg_ana")):
        save_nifti(tmp_path / "a" / f"IBSR_01_{kind}.nii.gz", data, voxel_mm=(1.0, 1.0, 2.0))
    raw_set = read_source(tmp_path / "a")
    assert [section.facts["slice"] for section in raw_set.sections] == [1, 2, 3]
    picture, masks = raw_set.sections[0].read()
    # Centerd on the brain (x 60-120, so from 11), moved in at the back (y 0-123); rows of the
    # picture run to the back, columns to the left.
    assert FRAME == (158, 123, 145)
    assert picture.shape == (123, 158)
    wanted = np.zeros((158, 123), bool)
    wanted[70 - 11 : 72 - 11, 8:10] = True
    np.testing.assert_array_equal(masks[3], wanted.T[::-1, ::-1])
    assert (picture > 0).any(axis=0).sum() == 60 and (picture > 0).any(axis=1).sum() == 45

    # A brain larger than the crop is not cut, nor are labels outside it; nothing is padded.
    image[5:195, 0] = 100
    labels[198, 20, 1:4] = LEFT_PUTAMEN
    for data, kind in ((image, "ana_strip"), (labels, "seg_ana")):
        save_nifti(tmp_path / "b" / f"IBSR_01_{kind}.nii.gz", data, voxel_mm=(1.0, 1.0, 2.0))
    picture, masks = read_source(tmp_path / "b").sections[0].read()
    assert picture.shape == (123, 194)
    assert masks[3].sum() == 5
    save_subject(tmp_path / "c", 1, voxel_mm=(1.0, 1.0, 2.0))
    assert pictures(tmp_path / "c")[0][0].shape == (SIDE, SIDE)


def test_voxels_differ_between_scans(tmp_path):
    for number, mm in ((1, 0.9375), (2, 1.0), (3, 0.837)):
        save_subject(tmp_path, number, voxel_mm=(mm, 1.5, mm))
    raw_set = read_source(tmp_path)
    assert raw_set.pixel_size_um is None
    sizes = {section.facts["subject"]: section.facts["pixel_um"] for section in raw_set.sections}
    assert sizes == {"IBSR_01": 937.5, "IBSR_02": 1000.0, "IBSR_03": 837.0}
    # Cut across: the 1.5 mm of the scans lie in the picture, its slices are one voxel apart.
    assert raw_set.slice_spacing_um is None
    assert all(s.facts["slice_um"] == s.facts["pixel_um"] for s in raw_set.sections)
    for section in raw_set.sections:
        picture, masks = section.read()
        height = round(SIDE * 1500 / section.facts["pixel_um"])
        assert picture.shape == masks[1].shape == (height, SIDE)


def test_files_that_are_missing_or_twice(tmp_path):
    with pytest.raises(FileNotFoundError, match="IBSR_<nn>_ana_strip and IBSR_<nn>_seg_ana"):
        read_source(tmp_path)
    save_subject(tmp_path / "IBSR_01", 1)
    save_subject(tmp_path / "IBSR_02", 2)
    (tmp_path / "IBSR_02" / "IBSR_02_seg_ana.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match="no IBSR_02_seg_ana"):
        read_source(tmp_path)
    save_subject(tmp_path / "IBSR_02", 2)
    shutil.move(tmp_path / "IBSR_02" / "IBSR_02_ana_strip.nii.gz", tmp_path / "IBSR_02_x.nii.gz")
    with pytest.raises(FileNotFoundError, match="no IBSR_02_ana_strip"):
        read_source(tmp_path)
    save_subject(tmp_path / "IBSR_02", 2)
    save_subject(tmp_path / "copy", 2)
    with pytest.raises(ValueError, match="both .*IBSR_02_ana_strip.* Keep one"):
        read_source(tmp_path)


def test_image_and_labels_that_do_not_fit(tmp_path):
    def section_of(folder: str, image: np.ndarray, labels: np.ndarray, **options):
        save_nifti(tmp_path / folder / "IBSR_01_ana_strip.nii.gz", image, **options)
        save_nifti(tmp_path / folder / "IBSR_01_seg_ana.nii.gz", labels)
        return read_source(tmp_path / folder).sections[0].read()

    image, labels = scan(1)
    with pytest.raises(ValueError, match="not on the same grid: .*24, 24, 8.*24, 24, 7.*voxels"):
        section_of("shape", image[:, :, :7], labels)
    with pytest.raises(ValueError, match="not on the same grid: voxels of"):
        section_of("size", image, labels, voxel_mm=(1.0, 1.5, 2.5))
    with pytest.raises(ValueError, match="no voxel is above 0"):
        section_of("black", image * 0, labels)
    with pytest.raises(ValueError, match="values are not whole numbers"):
        section_of("float", image, labels + np.float32(0.25))
    # The same numbers of voxels, at another place.
    section_of("place", image, labels)
    path = tmp_path / "place" / "IBSR_01_ana_strip.nii.gz"
    there = nibabel.load(path).affine
    there[0, 3] += 12
    nibabel.save(nibabel.Nifti1Image(image, there), path)
    with pytest.raises(ValueError, match="12.0 mm apart"):
        read_source(tmp_path / "place").sections[0].read()
    assert read_source(tmp_path / "place", orientation="RAS").sections[0].read()[1]
    with pytest.raises(ValueError, match="plane 'oblique': wanted one of"):
        read_source(tmp_path / "place", plane="oblique")


def test_values_below_0_and_not_finite_are_background(tmp_path, caplog):
    image, labels = scan(1)
    save_subject(tmp_path / "a", 1)
    wanted = pictures(tmp_path / "a")
    odd = image.astype(np.float64)
    values = np.random.default_rng(0).choice(
        [0.0, -5.0, np.nan, np.inf, -np.inf, 1e300], size=int((odd == 0).sum())
    )
    odd[odd == 0] = values
    save_nifti(tmp_path / "b" / "IBSR_01_ana_strip.nii.gz", odd)
    save_nifti(tmp_path / "b" / "IBSR_01_seg_ana.nii.gz", labels)
    assert caplog.text == ""
    assert_equal(pictures(tmp_path / "b"), wanted)
    count = int((~(np.abs(odd) < 1e300)).sum())
    (record,) = caplog.records
    assert f"IBSR_01_ana_strip.nii.gz: {count} voxels (" in record.getMessage()


def test_a_scan_without_the_structures_is_named(tmp_path, caplog):
    save_subject(tmp_path, 1)
    save_subject(tmp_path, 2, labeled=0)
    with caplog.at_level(logging.WARNING):
        raw_set = read_source(tmp_path)
    assert {section.facts["subject"] for section in raw_set.sections} == {"IBSR_01"}
    assert "IBSR_02_seg_ana.nii.gz: none of the labels is in it" in caplog.text


def test_tissue_classes_are_no_structures(data_dir, tmp_path, capsys):
    for name in ("IBSR_02.nii.gz", "IBSR_13.nii.gz", "IBSR_13_seg.nii.gz"):
        (tmp_path / name).symlink_to(data_dir / "ibsr18_t1" / name)
    arguments = ["prepare", "ibsr", "--raw", tmp_path, "--out", tmp_path / "out"]
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"sebre prepare: {tmp_path}: no section of 1")
    assert "one of the labels 10, 11, 12, 13, 49, 50, 51, 52;" in lines[0]
    assert "IBSR_13_seg.nii.gz has 0, 1, 2, 3, which are tissue classes" in lines[0]
    assert not (tmp_path / "out").exists()
