"""Sides of voxels and orientation come from one source, and what contradicts itself is refused."""

import gzip
import logging
import re
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
from volumes import VOXEL_MM, affine_of, lopsided, turned

from mrcnn.errors import UserError
from sebre.prepare.volume import read_volume
from sebre.prepare.volume_header import checked_sides, open_volume

IMAGE = lopsided()[0]
RAS = affine_of(IMAGE.shape, "RAS")


def save(
    path: Path, affine: np.ndarray = RAS, qform: np.ndarray | None = None, unit: str = "mm", **raw
) -> Path:
    """A NIfTI file with its sform, perhaps a qform, and fields of the header as they are given."""
    image = nibabel.Nifti1Image(IMAGE, affine)
    image.header.set_xyzt_units(unit)
    image.set_sform(affine, 1)
    image.set_qform(qform, 0 if qform is None else 1)
    nibabel.save(image, path)
    content = bytearray(path.read_bytes())
    # NiBabel would mend them.
    places = {"pixdim": (80, "<f4"), "srow": (280, "<f4"), "xyzt_units": (123, "u1")}
    for name, values in raw.items():
        place, kind = places[name]
        new = np.array(values, kind).tobytes()
        content[place : place + len(new)] = new
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("sides", [(0.5, 1.5, 2), (1, 1.5, 2.01), (1000, 1500, 2000)])
def test_sizes_that_are_not_those_of_the_affine(tmp_path, sides):
    path = save(tmp_path / "a.nii", pixdim=sides)
    with pytest.raises(UserError, match="by the sizes in the header, and of 1 x 1.5 x 2 mm by its"):
        read_volume(path)
    if max(sides) < 3:  # the user tells the axes, and so which of the two to take
        assert read_volume(path, "RAS").voxel_mm == pytest.approx(sides)
    save(path, pixdim=np.array(VOXEL_MM) * 1.0005)  # rounding
    assert read_volume(path).voxel_mm == pytest.approx(VOXEL_MM)


def test_sides_follow_the_axes_of_the_affine(tmp_path):
    """Of a tilted scan, and of one whose axes are exchanged."""
    tilt = nibabel.affines.from_matvec(nibabel.eulerangles.euler2mat(0.6, 0, 0))
    for codes in ("RAS", "PSL", "IRA"):
        affine = tilt @ affine_of(IMAGE.shape, codes)
        nibabel.save(nibabel.Nifti1Image(turned(IMAGE, codes), affine), tmp_path / "a.nii")
        volume = read_volume(tmp_path / "a.nii")
        assert volume.voxel_mm == pytest.approx(VOXEL_MM)
        np.testing.assert_array_equal(volume.data, IMAGE)


@pytest.mark.parametrize("side", [0, -1, np.nan, np.inf])
def test_broken_sizes(tmp_path, side):
    with pytest.raises(UserError, match="voxels of .* mm; the header is broken"):
        read_volume(save(tmp_path / "a.nii", pixdim=[side]))
    if side != -1:  # of an affine it says where left is
        rows = RAS[:3].copy()
        rows[:, 0] = side
        with pytest.raises(UserError, match="voxels of .* mm; the header is broken"):
            read_volume(save(tmp_path / "b.nii", srow=rows))


def test_a_shear(tmp_path):
    sheared = RAS.copy()
    sheared[0, 1] = 0.3
    path = save(tmp_path / "a.nii", sheared)
    with pytest.raises(UserError, match="a.nii: its axes are not at right angles .by 11.3 degrees"):
        read_volume(path)
    assert read_volume(path, "RAS").data.shape == IMAGE.shape
    sheared[0, 1] = 0.001  # rounding
    read_volume(save(path, sheared))


@pytest.mark.parametrize(
    ("grow", "unit", "sides"),
    [
        (1, "mm", VOXEL_MM),
        (1000, "micron", VOXEL_MM),
        (1e-3, "meter", VOXEL_MM),
        (0.025, "mm", (0.025, 0.0375, 0.05)),
        (25, "micron", (0.025, 0.0375, 0.05)),
        (25, "mm", None),  # micrometers, and it does not say so
        (1000, "unknown", None),
        (1, "micron", None),  # millimeters
        (1, "meter", None),
        (1e-3, "mm", None),  # meters
        (150, "mm", None),
    ],
)
def test_units_are_converted_and_mixed_ones_are_refused(tmp_path, grow, unit, sides):
    path = save(tmp_path / "a.nii", np.diag([grow, grow, grow, 1]) @ RAS, unit=unit)
    if sides is None:
        for orientation in (None, "RAS"):
            with pytest.raises(UserError, match="a.nii: voxels of .*no brain.*correct the unit"):
                read_volume(path, orientation)
    else:
        volume = read_volume(path)
        assert volume.voxel_mm == pytest.approx(sides)
        np.testing.assert_allclose(np.diag(volume.affine)[:3], sides, rtol=1e-5)


def test_a_unit_that_there_is_not(tmp_path):
    with pytest.raises(UserError, match="a.nii: lengths in the unit number 5"):
        read_volume(save(tmp_path / "a.nii", xyzt_units=5))


def test_a_qform_that_says_otherwise_is_told(tmp_path, caplog):
    moved = RAS.copy()
    moved[0, 3] += 0.4
    for qform in (None, RAS, moved):
        read_volume(save(tmp_path / "a.nii", qform=qform))
    assert caplog.text == ""
    moved[0, 3] += 6
    for qform, told in (
        (affine_of(IMAGE.shape, "LAS"), r"sform \(RAS\) is used; the qform \(LAS\) places voxels"),
        (moved, r"the qform \(RAS\) places voxels up to 6.4 mm elsewhere"),
    ):
        caplog.clear()
        volume = read_volume(save(tmp_path / "a.nii", qform=qform))
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert re.search(told, record.getMessage())
        np.testing.assert_allclose(volume.affine, RAS, atol=1e-4)


def test_an_mgh_file_that_does_not_say_how_it_lies(tmp_path):
    image = nibabel.MGHImage(turned(IMAGE, "PSL"), affine_of(IMAGE.shape, "PSL").astype("f4"))
    path = tmp_path / "a.mgz"
    nibabel.save(image, path)
    assert read_volume(path).voxel_mm == pytest.approx(VOXEL_MM)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[28:30] = b"\0\0"  # the flag; NiBabel would make up sides of 1 mm
    path.write_bytes(gzip.compress(content))
    for orientation in (None, "PSL"):
        with pytest.raises(UserError, match="a.mgz: voxels of no mm.*does not give their size"):
            read_volume(path, orientation)


def save_nrrd(path: Path, **fields) -> Path:
    header = {"space": "RAS", "space directions": np.diag(VOXEL_MM), **fields}
    nrrd.write(str(path), IMAGE, {k: v for k, v in header.items() if v is not None})
    return path


def test_units_of_nrrd_are_those_of_each_axis(tmp_path):
    grown = np.diag([1000.0, 1500.0, 0.002])
    units = ["um", "microns", "m"]
    origin = np.array([1000.0, 0, 1])
    fields = {"space directions": grown, "space units": units, "space origin": origin}
    volume = read_volume(save_nrrd(tmp_path / "a.nrrd", **fields))
    assert volume.voxel_mm == pytest.approx(VOXEL_MM)
    np.testing.assert_allclose(volume.affine[:3, 3], [1, 0, 1000])
    plain = {"space": None, "space directions": None, "spacings": np.diag(grown).tolist()}
    path = save_nrrd(tmp_path / "b.nrrd", **plain, units=units)
    assert read_volume(path, "RAS").voxel_mm == pytest.approx(VOXEL_MM)
    with pytest.raises(UserError, match="lengths in 'inch', which is not known"):
        read_volume(save_nrrd(tmp_path / "c.nrrd", **{"space units": ["inch"] * 3}))


def test_every_real_scan_agrees_with_itself(data_dir, caplog):
    """So that what is refused above changes nothing of the sets that are prepared."""
    paths = sorted(data_dir.rglob("*.nii.gz"))
    for path in paths:
        file = open_volume(path)
        zooms = nibabel.load(path).header.get_zooms()[:3]
        assert checked_sides(path, file, file.affine) == tuple(float(mm) for mm in zooms)
    assert len(paths) > 100 and caplog.text == ""
