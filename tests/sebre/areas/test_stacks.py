"""Stacks of sections and their files."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from mrcnn.errors import MissingFileError, UserError
from sebre.areas.stacks import Stack, _places, open_stack, write_stack


def test_a_stack_is_read_as_it_was_written(stack, tmp_path):
    write_stack(stack, tmp_path / "stack.npz")
    found = open_stack(tmp_path / "stack.npz")
    assert (found.names, found.areas, found.pixel_um) == (stack.names, stack.areas, stack.pixel_um)
    for key in ("images", "labels", "layers", "z_mm"):
        assert np.array_equal(getattr(found, key), getattr(stack, key))


def test_sections_are_taken_in_order_and_found_by_name_or_number(stack):
    assert stack.numbers_of(["62", "60"]) == [2, 0]
    part = stack.sections([4, 2])
    assert part.names == ("62", "64")
    assert np.array_equal(part.labels, stack.labels[[2, 4]])
    with pytest.raises(UserError, match="99: no such section"):
        stack.numbers_of(["99"])


def test_a_folder_of_pictures_with_some_labels(stack, tmp_path, caplog):
    for folder in ("plates", "drawn"):
        (tmp_path / folder).mkdir()
    for n in (2, 10, 1):  # by their numbers, not as text
        Image.fromarray(stack.images[n % 7]).save(tmp_path / "plates" / f"s{n}.png")
    Image.fromarray(stack.labels[2]).save(tmp_path / "drawn" / "s2.png")
    found = open_stack(tmp_path / "plates", tmp_path / "drawn", 50.0, 0.25)
    assert found.names == ("s1", "s2", "s10")
    assert found.z_mm.tolist() == [0, 0.25, 2.25]  # by the numbers in their names
    assert "7 of 10 sections are missing" in caplog.text and "first after s2" in caplog.text
    assert np.array_equal(found.labels[1], stack.labels[2])
    assert not found.labels[[0, 2]].any() and found.areas == ("1", "2", "3")
    with pytest.raises(UserError, match="--pixel-um"):
        open_stack(tmp_path / "plates")
    Image.fromarray(stack.images[0, :50]).save(tmp_path / "plates" / "s3.png")
    with pytest.raises(UserError, match="2 sizes"):
        open_stack(tmp_path / "plates", pixel_um=50)


def test_a_scan_keeps_its_place(tmp_path):
    volume = np.random.default_rng(0).uniform(0, 900, (6, 8, 5)).astype(np.float32)
    affine = np.diag([-0.1, 0.3, 0.1, 1.0])
    affine[:3, 3] = (4, 5, 6)
    nib.save(nib.Nifti1Image(volume, affine), tmp_path / "scan.nii.gz")
    labels = (volume > 500).astype(np.uint8)
    nib.save(nib.Nifti1Image(labels, affine), tmp_path / "labels.nii.gz")
    found = open_stack(tmp_path / "scan.nii.gz", tmp_path / "labels.nii.gz", axis=1)
    assert found.images.shape == (8, 6, 5)
    assert found.pixel_um == pytest.approx(100) and np.diff(found.z_mm) == pytest.approx(0.3)
    assert np.array_equal(found.labels, np.moveaxis(labels, 1, 0))
    # The part begins where its first section lies.
    assert found.sections([2, 3]).affine[:3, 3] == pytest.approx((4, 5.6, 6))


def test_what_is_no_stack_is_refused(stack, tmp_path):
    with pytest.raises(MissingFileError, match="no such file or folder"):
        open_stack(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", images=stack.images)
    with pytest.raises(UserError, match="names, pixel_um, z_mm"):
        open_stack(tmp_path / "other.npz")
    with pytest.raises(UserError, match="wanted a rising"):
        Stack(("a", "b"), stack.images[:2], np.array([1.0, 1.0]), 10.0)
    two = ("a", "b"), stack.images[:2], np.array([1.0, 2.0]), 10.0
    with pytest.raises(UserError, match="drawn on these sections"):
        Stack(*two, stack.labels[:1])
    assert Stack(*two, stack.labels[:2].astype(np.int64), stack.areas).labels.dtype == np.uint8
    with pytest.raises(UserError, match="from 0 to 3; wanted whole numbers from 0 to 2"):
        Stack(*two, stack.labels[:2], ("A", "B"))


def test_corrected_labels_take_the_place_of_those_of_the_file(stack, tmp_path):
    write_stack(stack, tmp_path / "stack.npz")
    (tmp_path / "drawn").mkdir()
    Image.fromarray(stack.labels[2][:, ::-1]).save(tmp_path / "drawn" / "62.png")
    found = open_stack(tmp_path / "stack.npz", tmp_path / "drawn", 25.0, 0.5)
    assert np.array_equal(found.labels[2], stack.labels[2][:, ::-1])
    assert not np.delete(found.labels, 2, axis=0).any() and found.areas == stack.areas
    assert found.pixel_um == 25 and found.z_mm.tolist() == [0.5 * n for n in range(7)]


def test_deep_pictures_keep_their_grays(stack, tmp_path):
    for n in range(3):
        deep = stack.images[n].astype(np.uint16) * 257
        Image.fromarray(deep).save(tmp_path / f"s{n}.png")
    found = open_stack(tmp_path, pixel_um=50)
    assert np.abs(found.images.astype(int) - stack.images[:3]).max() <= 1


def test_labels_that_lie_elsewhere_and_other_units(tmp_path):
    volume = np.random.default_rng(0).uniform(0, 900, (6, 8, 5)).astype(np.float32)
    labels = (volume > 500).astype(np.uint8)
    affine = np.diag([20.0, 20.0, 20.0, 1.0])
    scan, drawn = tmp_path / "scan.nii.gz", tmp_path / "labels.nii.gz"
    for data, path, place in (
        (volume, scan, affine),
        (labels, drawn, affine @ np.diag([-1, 1, 1, 1])),
    ):
        image = nib.Nifti1Image(data, place)
        image.header.set_xyzt_units("micron")
        nib.save(image, path)
    found = open_stack(scan, axis=1)
    assert found.pixel_um == pytest.approx(20) and np.diff(found.z_mm) == pytest.approx(0.02)
    assert found.affine[0, 0] == pytest.approx(0.02)
    with pytest.raises(UserError, match="lies 0.2 mm apart from"):
        open_stack(scan, drawn, axis=1)


def test_places_are_taken_from_numbers_in_names_where_they_say_them():
    def places(*names):
        return _places(names).tolist()

    assert places("plate_070", "plate_072", "plate_073") == [0, 2, 3]
    assert places("m1_s02_x20", "m1_s04_x20", "m1_s08_x20") == [0, 1, 3]  # every second was cut
    assert places("a", "b", "c") == places("a1b2", "a2b5", "a3b6") == [0, 1, 2]
    assert places("s1", "t5", "s9") == [0, 1, 2]


def test_a_missing_section_is_no_other_one(stack):
    # Sections are 60 to 66: neither 3 nor 70 is one, although there are seven.
    assert stack.numbers_of(["62", "066"]) == [2, 6]
    for name in ("3", "70"):
        with pytest.raises(UserError, match=f"{name}: no such section. There are 60, 61"):
            stack.numbers_of([name])
    plain = replace(stack, names=tuple("abcdefg"))
    assert plain.numbers_of(["3", "a"]) == [3, 0]
    with pytest.raises(UserError, match="numbers count from 0"):
        plain.numbers_of(["7"])


def test_a_scan_has_the_voxels_of_its_header(tmp_path):
    image = nib.Nifti1Image(np.ones((4, 5, 4), np.float32), np.diag([0.05, 0.4, 0.05, 1]))
    nib.save(image, tmp_path / "scan.nii.gz")
    for given in ({"pixel_um": 20.0}, {"spacing_mm": 0.1}):
        with pytest.raises(UserError, match="a scan says the size of its voxels"):
            open_stack(tmp_path / "scan.nii.gz", **given)
