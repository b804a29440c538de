"""Volumes: the same regions however the file has its axes, on the file's own grid."""

import csv

import nibabel
import nrrd
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from mrcnn.errors import UserError
from sebre.cli import main
from sebre.data.regions import HIPPOCAMPUS, SUBCORTICAL
from sebre.drawing.label_descriptions import label_descriptions, of_regions
from sebre.predict.job import segment_section
from sebre.predict.name_claims import stamp
from sebre.predict.pictures import SectionFile
from sebre.predict.scans import drop_small_parts, predict_scan
from sebre.prepare.volume import section

SHAPE, SIDES = (24, 30, 20), (0.5, 0.5, 1.0)


class ByGray:
    """Finds region k where a slice is about as bright as 60 k, of 255."""

    class config:  # noqa: N801 (as the attribute of a segmenter)
        DETECTION_MIN_CONFIDENCE = 0.3

    regions = SUBCORTICAL

    def detect(self, images, masks="full"):
        return [self._one(image[..., 0].astype(int)) for image in images]

    def _one(self, gray):
        ids = [k for k in (1, 2, 3) if (abs(gray - 60 * k) < 20).any()]
        masks = [abs(gray - 60 * k) < 20 for k in ids]
        return {
            "class_ids": np.array(ids, np.int32),
            "scores": np.full(len(ids), 0.9, np.float32),
            "rois": np.zeros((len(ids), 4), np.int32),
            "masks": np.stack(masks, -1) if masks else np.zeros((*gray.shape, 0), bool),
        }


@pytest.fixture
def scan(tmp_path):
    """A phantom with axes R, A, S: nothing in it is symmetric."""
    data = np.zeros(SHAPE, np.float32)
    data[3:20, 4:26, 2:18] = 255
    data[3, 4:26, 2:18] = 1  # so that the darkest of the others does not become black
    data[5:9, 6:12, 4:9], data[12:18, 15:24, 6:15], data[6:10, 18:22, 10:17] = 60, 120, 180
    affine = np.diag([*SIDES, 1.0])
    affine[:3, 3] = (-7, 4, 2.5)
    path = tmp_path / "phantom.nii.gz"
    nibabel.save(nibabel.Nifti1Image(data, affine), path)
    return path


def reoriented(path, codes):
    image = nibabel.load(path)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
    other = path.with_name(f"{codes}.nii.gz")
    nibabel.save(image.as_reoriented(turn), other)
    return other


@pytest.mark.parametrize("plane", ["sagittal", "coronal", "horizontal"])
def test_regions_lie_where_the_tissue_is(scan, plane):
    found = predict_scan(ByGray(), scan, plane=plane)
    image = nibabel.load(scan)
    data = np.asarray(image.dataobj)
    assert found.label_map.shape == SHAPE and np.array_equal(found.affine, image.affine)
    for k in (1, 2, 3):
        same = (found.label_map == k) & (data == 60 * k)
        assert same.sum() >= 0.8 * (data == 60 * k).sum()  # edges are soft between slices
    rows = {row["region_id"]: row for row in found.rows}
    assert rows[2]["volume_mm3"] == pytest.approx((found.label_map == 2).sum() * 0.25)
    assert rows[4]["found"] == "no" and rows[4]["reason"]


@pytest.mark.parametrize("codes", ["LAS", "RPI", "ASR", "PIL", "SLP"])
def test_the_same_regions_however_the_file_has_its_axes(scan, codes):
    wanted = predict_scan(ByGray(), scan, plane="coronal")
    other = reoriented(scan, codes)
    found = predict_scan(ByGray(), other, plane="coronal")
    image = nibabel.load(other)
    assert found.label_map.shape == image.shape
    np.testing.assert_allclose(found.affine, image.affine)
    assert found.voxel_mm == pytest.approx(image.header.get_zooms())
    turn = ornt_transform(axcodes2ornt(codes), axcodes2ornt("RAS"))
    back = nibabel.Nifti1Image(found.label_map, found.affine).as_reoriented(turn)
    np.testing.assert_array_equal(np.asarray(back.dataobj), wanted.label_map)
    np.testing.assert_allclose(back.affine, wanted.affine)


def test_nothing_of_a_volume_lies_on_glass(scan):
    class Everywhere(ByGray):
        def _one(self, gray):
            masks = np.ones((*gray.shape, 2), bool)
            masks[..., 0] = False
            masks[0, 0, 0] = True  # a corner, which is glass
            ids, scores = np.array([1, 2], np.int32), np.array([0.9, 0.8], np.float32)
            return {"class_ids": ids, "scores": scores, "rois": np.zeros((2, 4)), "masks": masks}

    found = predict_scan(Everywhere(), scan, plane="coronal")
    data = np.asarray(nibabel.load(scan).dataobj)
    bright = data >= 60
    assert (found.label_map[bright] == 2).all() and not found.label_map[:, :4].any()
    assert (found.label_map > 0).sum() <= 1.5 * bright.sum()
    rows = {row["region_id"]: row for row in found.rows}
    assert rows[1]["reason"] == "left out: all its pixels were on glass"
    assert rows[2]["area_px"] == (found.label_map == 2).sum()
    assert found.notes == ()


def test_nrrd_and_a_given_orientation(scan, tmp_path):
    wanted = predict_scan(ByGray(), scan, plane="sagittal")
    data = np.asarray(nibabel.load(scan).dataobj)
    header = {
        "space": "left-posterior-superior",
        "space directions": np.diag([-0.5, -0.5, 1.0]),
        "space origin": [7.0, -4.0, 2.5],
    }
    nrrd.write(str(tmp_path / "scan.nrrd"), data, header)
    found = predict_scan(ByGray(), tmp_path / "scan.nrrd", plane="sagittal")
    nrrd.write(str(tmp_path / "beside.nhdr"), data, header, detached_header=True)
    beside = predict_scan(ByGray(), tmp_path / "beside.nhdr", plane="sagittal")
    np.testing.assert_array_equal(beside.label_map, found.label_map)
    before = stamp(tmp_path / "beside.nhdr")
    (values,) = (p for p in tmp_path.glob("beside.*") if p.suffix != ".nhdr")
    values.write_bytes(values.read_bytes() + b"0")
    assert stamp(tmp_path / "beside.nhdr") != before
    np.testing.assert_array_equal(found.label_map, wanted.label_map)
    np.testing.assert_allclose(found.affine, wanted.affine)

    plain = nibabel.Nifti1Image(data[::-1], None)
    plain.header.set_zooms(SIDES)
    nibabel.save(plain, tmp_path / "plain.nii")
    with pytest.raises(UserError, match="--orientation"):
        predict_scan(ByGray(), tmp_path / "plain.nii", plane="sagittal")
    found = predict_scan(ByGray(), tmp_path / "plain.nii", plane="sagittal", orientation="LAS")
    np.testing.assert_array_equal(found.label_map[::-1], wanted.label_map)
    assert nibabel.aff2axcodes(found.affine) == ("L", "A", "S")
    assert np.allclose(np.linalg.norm(found.affine[:3, :3], axis=0), SIDES)


def test_slices_are_those_of_prepared_sets(scan):
    seen = []

    class Looks(ByGray):
        def detect(self, images, masks="full"):
            seen.extend(images)
            return super().detect(images)

    predict_scan(Looks(), scan, plane="horizontal")
    from sebre.prepare.volume import read_volume, to_8_bit

    volume = read_volume(scan)
    volume = type(volume)(to_8_bit(volume.data), volume.voxel_mm)
    wanted = [section(volume, "horizontal", i, order=1) for i in range(2, 18)]
    assert len(seen) == len(wanted)
    for one, other in zip(seen, wanted, strict=True):
        np.testing.assert_array_equal(one, np.repeat(other[..., None], 3, axis=-1))


def test_small_parts_away_from_a_region_are_dropped():
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[2:8, 2:8, 2:8] = 1  # 216 voxels
    labels[12:16, 12:16, 12:16] = 1  # 64, more than a quarter
    labels[12:15, 2:5, 2:5] = 1  # 27
    labels[18, 18, 2:6] = 2  # all there is of it
    wanted = labels.copy()
    wanted[12:15, 2:5, 2:5] = 0
    assert drop_small_parts(labels) == 27
    np.testing.assert_array_equal(labels, wanted)
    assert drop_small_parts(labels) == 0


def test_what_is_no_scan_is_refused(tmp_path, scan):
    with pytest.raises(UserError, match="give --plane sagittal or coronal or horizontal"):
        predict_scan(ByGray(), scan)
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), tmp_path / "0.nii"
    )
    with pytest.raises(UserError, match="no voxel is above 0"):
        predict_scan(ByGray(), tmp_path / "0.nii", plane="sagittal")


def test_names_for_itk_snap():
    lines = label_descriptions(of_regions(SUBCORTICAL)).splitlines()
    assert len(lines) == 1 + len(SUBCORTICAL)
    for line, region in zip(lines[1:], SUBCORTICAL, strict=True):
        number, *color = line.split()[:4]
        assert int(number) == region.id and tuple(map(int, color)) == region.color
        assert line.endswith(f'"{region.name}"')


def test_a_scan_of_people_in_three_orientations(data_dir, tmp_path):
    """The shipped network through the command: one label volume, on each file's own grid."""
    whole = nibabel.load(data_dir / "malc2012" / "1003_SS.nii.gz")
    part = whole.slicer[:, :, 68:78]  # the slices that show the structures
    nibabel.save(part, tmp_path / "LAS.nii.gz")
    for codes in ("RAS", "RPI"):
        turn = ornt_transform(io_orientation(part.affine), axcodes2ornt(codes))
        nibabel.save(part.as_reoriented(turn), tmp_path / f"{codes}.nii.gz")
    out = tmp_path / "out"
    assert (
        main(["predict", str(tmp_path / "*.nii.gz"), "--weights", "ibsr", "--out", str(out)]) == 0
    )
    volumes = []
    for codes in ("LAS", "RAS", "RPI"):
        image = nibabel.load(out / f"{codes}_labels.nii.gz")
        assert "".join(nibabel.aff2axcodes(image.affine)) == codes
        np.testing.assert_allclose(image.affine, nibabel.load(tmp_path / f"{codes}.nii.gz").affine)
        volumes.append(np.asarray(nibabel.as_closest_canonical(image).dataobj))
    np.testing.assert_array_equal(volumes[0], volumes[1])
    np.testing.assert_array_equal(volumes[0], volumes[2])
    with (out / "regions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(SUBCORTICAL) and {row["found"] for row in rows} == {"yes"}
    drawn = np.asarray(
        nibabel.as_closest_canonical(
            nibabel.load(data_dir / "malc2012" / "1003_glm.nii.gz").slicer[:, :, 68:78]
        ).dataobj
    )
    for region_id, label in ((1, 37), (2, 36), (7, 60), (8, 59)):  # caudate, thalamus: left, right
        found, wanted = volumes[0] == region_id, drawn == label
        assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.7


def test_the_voxel_size_is_that_of_the_header(scan, caplog):
    section = SectionFile(scan, "phantom")
    with pytest.raises(UserError, match="--pixel-um 50 is of pictures; a volume has the voxel"):
        segment_section(ByGray(), section, pixel_um=50, plane="horizontal")
    found = segment_section(ByGray(), section, tile=64, z="max", plane="horizontal")
    assert "a volume; --tile, --z does not count" in caplog.text
    assert found.voxel_mm == SIDES


def test_a_network_of_halves_is_not_asked_about_whole_slices(scan):
    network = ByGray()
    network.regions = HIPPOCAMPUS
    with pytest.raises(UserError, match="was trained on halves of sections"):
        predict_scan(network, scan, plane="coronal")
