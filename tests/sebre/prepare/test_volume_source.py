"""Reading volumes: orientation, damaged files, square pixels, windows, labels."""

import gzip
import struct
import warnings
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
from volumes import (
    VOXEL_MM,
    affine_of,
    lopsided,
    save_analyze,
    save_nifti,
    save_nrrd,
    turned,
)

from sebre.data.region_masks import masks_of_labels
from sebre.prepare.volume import (
    PLANES,
    Volume,
    canonical,
    checked_orientation,
    classes_of_labels,
    frame_about,
    grid_difference,
    pixel_size_um,
    read_volume,
    section,
    slice_spacing_um,
    to_8_bit,
    to_labels,
)

ORIENTATIONS = ("RAS", "LAS", "RPI", "LPS", "PIR", "SLA", "PSL", "IAR")


def assert_same(volume: Volume, data: np.ndarray) -> None:
    np.testing.assert_array_equal(volume.data, data)
    np.testing.assert_allclose(volume.voxel_mm, VOXEL_MM, rtol=1e-6)
    if volume.affine is not None:
        np.testing.assert_allclose(volume.affine, affine_of(data.shape, "RAS"), atol=1e-4)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_way_of_storing_gives_the_same_volume(tmp_path, codes):
    stored = (
        save_nifti(tmp_path / "both.nii.gz", lopsided()[0], codes),
        save_nifti(tmp_path / "sform.nii", lopsided()[0], codes, forms=(2, 0)),
        save_nifti(tmp_path / "qform.nii", lopsided()[0], codes, forms=(0, 1)),
        save_nrrd(tmp_path / "a.nrrd", lopsided()[0], codes, "LPS"),
        save_nrrd(tmp_path / "b.nrrd", lopsided()[0], codes, "RAS"),
        save_nrrd(tmp_path / "c.nrrd", lopsided()[0], codes, "las"),
    )
    for path in stored:
        volume = read_volume(path)
        assert_same(volume, lopsided()[0])
        assert volume.affine is not None, path
    analyze = save_analyze(tmp_path / "d.img", lopsided()[0], codes)
    for path in (analyze, analyze.with_suffix(".hdr")):
        assert_same(read_volume(path, codes), lopsided()[0])
    big = save_analyze(tmp_path / "e.img", lopsided()[0], codes, big_endian=True)
    assert_same(read_volume(big, codes.lower()), lopsided()[0])
    # What the user says comes before what the header says.
    assert_same(read_volume(stored[0], codes), lopsided()[0])
    assert read_volume(stored[0], codes).affine is None


def test_a_tilted_scan_goes_by_its_nearest_axes(tmp_path):
    image, _ = lopsided()
    tilt = nibabel.affines.from_matvec(nibabel.eulerangles.euler2mat(0.3, -0.2, 0.25))
    for codes in ("LAS", "PIR"):
        path = tmp_path / f"{codes}.nii"
        nibabel.save(
            nibabel.Nifti1Image(turned(image, codes), tilt @ affine_of(image.shape, codes)), path
        )
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.data, image)
        np.testing.assert_allclose(volume.affine, tilt @ affine_of(image.shape, "RAS"), atol=1e-4)


def test_other_formats_and_units(tmp_path):
    image, _ = lopsided()
    mgh = nibabel.MGHImage(turned(image, "LIA"), affine_of(image.shape, "LIA").astype(np.float32))
    nibabel.save(mgh, tmp_path / "a.mgz")
    assert_same(read_volume(tmp_path / "a.mgz"), image)
    micron = nibabel.Nifti1Image(image, np.diag([1000, 1500, 2000, 1.0]))
    micron.header.set_xyzt_units("micron")
    nibabel.save(micron, tmp_path / "b.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "b.nii").voxel_mm, VOXEL_MM)
    trailing = nibabel.Nifti1Image(image[..., None, None], affine_of(image.shape, "RAS"))
    nibabel.save(trailing, tmp_path / "c.nii.gz")
    assert_same(read_volume(tmp_path / "c.nii.gz"), image)
    nrrd.write(str(tmp_path / "d.nrrd"), image, {"spacings": list(VOXEL_MM)})
    assert_same(read_volume(tmp_path / "d.nrrd", "RAS"), image)
    nrrd.write(str(tmp_path / "e.nhdr"), image, {"spacings": list(VOXEL_MM)})
    (tmp_path / "e.nhdr").rename(tmp_path / "e.nrrd")  # a header apart from its values
    assert_same(read_volume(tmp_path / "e.nrrd", "RAS"), image)


def test_values_are_scaled_where_the_header_says_so_only(tmp_path):
    image, labels = lopsided()
    scaled = nibabel.Nifti1Image(image, np.eye(4))
    scaled.header.set_slope_inter(0.5, -1)
    scaled.header.set_data_dtype(np.int16)
    nibabel.save(scaled, tmp_path / "a.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii").data, image * 0.5 - 1)
    # The range for display is no scale.
    path = save_analyze(
        tmp_path / "b.img", labels, "LAS", glmax=2, glmin=0, cal_max=255.0, cal_min=0.0
    )
    np.testing.assert_array_equal(read_volume(path, "LAS").data, labels)


@pytest.mark.parametrize("kind", ["nifti", "analyze", "nrrd"])
def test_a_file_without_sides_asks_for_them(tmp_path, kind):
    image, _ = lopsided()
    if kind == "nifti":
        path = save_nifti(tmp_path / "a.nii", image, "LAS", forms=(0, 0))
    elif kind == "analyze":
        path = save_analyze(tmp_path / "a.img", image, "LAS")
    else:
        path = tmp_path / "a.nrrd"
        header = {"space": "3D-right-handed", "space directions": np.diag(VOXEL_MM)}
        nrrd.write(str(path), turned(image, "LAS"), header)
    with pytest.raises(ValueError, match="a.*which side is left. Give --orientation"):
        read_volume(path)
    assert_same(read_volume(path, "LAS"), image)


@pytest.mark.parametrize("codes", ["", "RA", "RASL", "RLS", "RAX", "AAS", "R-S"])
def test_an_orientation_names_each_axis_once(codes):
    with pytest.raises(ValueError, match="three letters"):
        checked_orientation(codes)
    with pytest.raises(ValueError, match="three letters"):
        canonical(np.zeros((2, 2, 2)), (1, 1, 1), codes)


def header_of(path: Path, **fields) -> Path:
    """Overwrite fields of a NIfTI header, unchecked."""
    raw = bytearray(path.read_bytes())
    places = {"dim": (40, "8h"), "pixdim": (76, "8f"), "magic": (344, "4s"), "datatype": (70, "h")}
    for name, values in fields.items():
        offset, kind = places[name]
        struct.pack_into(
            "<" + kind, raw, offset, *(values if isinstance(values, list) else [values])
        )
    path.write_bytes(raw)
    return path


def test_damaged_files_say_so(tmp_path):
    image, _ = lopsided()
    good = save_nifti(tmp_path / "good.nii", image)

    def copy(name: str, **fields) -> Path:
        path = tmp_path / name
        path.write_bytes(good.read_bytes())
        return header_of(path, **fields)

    packed = gzip.compress(good.read_bytes())
    (tmp_path / "half.nii.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "short.nii").write_bytes(good.read_bytes()[:500])
    (tmp_path / "text.nii").write_text("not a volume")
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    (tmp_path / "text.nrrd").write_text("not a volume")
    nrrd.write(str(tmp_path / "cut.nrrd"), image, {"encoding": "gzip"})
    (tmp_path / "cut.nrrd").write_bytes((tmp_path / "cut.nrrd").read_bytes()[:200])
    save_analyze(tmp_path / "lone.img", image, "RAS").with_suffix(".hdr").unlink()
    save_nifti(tmp_path / "table.txt.nii", image).rename(tmp_path / "table.txt")
    claims = copy("claims.nii", dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    (tmp_path / "claims.nii.gz").write_bytes(gzip.compress(claims.read_bytes()))
    (tmp_path / "claims.nrrd").write_bytes(
        b"NRRD0004\ntype: float\ndimension: 3\nspace: LPS\nsizes: 30000 30000 30000\n"
        b"space directions: (1,0,0) (0,1,0) (0,0,1)\nencoding: raw\nendian: little\n\n1234"
    )
    several = nibabel.Nifti1Image(np.zeros((3, 4, 5, 2), np.int16), np.eye(4))
    nibabel.save(several, tmp_path / "several.nii")
    flat = nibabel.Nifti1Image(np.zeros((3, 4), np.int16), np.eye(4))
    nibabel.save(flat, tmp_path / "flat.nii")
    colors = np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colors, np.eye(4)), tmp_path / "colors.nii")
    copy("magic.nii", magic=b"xyz\0")
    copy("none.nii", dim=[3, 9, 0, 5, 1, 1, 1, 1])
    copy("negative.nii", dim=[3, 9, -7, 5, 1, 1, 1, 1])
    copy("nan.nii", pixdim=[1, 1, float("nan"), 1, 1, 0, 0, 0])
    copy("type.nii", datatype=999)

    wanted = {
        "half.nii.gz": "cannot read",
        "short.nii": "cannot read",
        "text.nii": "cannot read",
        "empty.nii.gz": "cannot read",
        "text.nrrd": "cannot read",
        "cut.nrrd": "cannot read",
        "lone.img": "cannot read",
        "table.txt": "cannot read",
        "claims.nii": "more than the file can hold",
        "claims.nii.gz": "more than the file can hold",
        "claims.nrrd": "more than the file can hold",
        "several.nii": r"shape \(3, 4, 5, 2\); wanted one volume",
        "flat.nii": r"shape \(3, 4\); wanted one volume",
        "colors.nii": "one real number",
        "magic.nii": "cannot read|which side",
        "none.nii": "wanted one volume",
        "negative.nii": "wanted one volume|cannot read",
        "nan.nii": "header is broken|cannot read",
        "type.nii": "cannot read",
    }
    for name, message in wanted.items():
        with pytest.raises(ValueError, match=message) as caught:
            read_volume(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_volume(tmp_path / "gone.nii")


def test_sections_lie_as_radiologists_hang_them():
    image, labels = lopsided()
    volume = Volume(labels, (1.0, 1.0, 1.0))
    horizontal = section(volume, "horizontal", 2, order=0)
    assert horizontal.shape == (7, 9)
    rows, columns = np.nonzero(horizontal == 1)
    # Front on top, the subject's left on the right.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 2, 6, 7)
    coronal = section(volume, "coronal", 4, order=0)
    rows, columns = np.nonzero(coronal == 1)
    assert coronal.shape == (5, 9)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 2, 6, 7)
    sagittal = section(volume, "sagittal", 1, order=0)
    rows, columns = np.nonzero(sagittal == 1)
    assert sagittal.shape == (5, 7)
    # Front on the left, top up.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 2, 1, 2)


def test_square_pixels_keep_places_and_values():
    # A ramp stays the same ramp, in mm from the middle of the first voxel.
    x, y, z = np.meshgrid(np.arange(20), np.arange(12), np.arange(6), indexing="ij")
    ramp = Volume((10 * x + 30 * y + 50 * z).astype(np.float32), (1.0, 3.0, 5.0))
    for plane, across, down in (
        ("horizontal", (20, 1.0, 10), (12, 3.0, 30)),
        ("coronal", (20, 1.0, 10), (6, 5.0, 50)),
        ("sagittal", (12, 3.0, 30), (6, 5.0, 50)),
    ):
        axis = PLANES[plane]
        side = min(across[1], down[1])
        assert pixel_size_um(ramp, plane) == 1000 * side
        assert slice_spacing_um(ramp, plane) == 1000 * ramp.voxel_mm[axis]
        picture = section(ramp, plane, 2, order=1)
        sizes = [round(n * mm / side) for n, mm, _ in (down, across)]
        assert picture.shape == tuple(sizes)
        # From mm at the pixel's center to the old index, which stops at the outer centers.
        wanted = 2.0 * (10, 30, 50)[axis]
        parts = []
        for (n, mm, slope), size in zip((down, across), sizes, strict=True):
            place = ((np.arange(size) + 0.5) * (n / size) - 0.5).clip(0, n - 1)
            parts.append(slope * place[::-1])
            np.testing.assert_allclose(n * mm, size * side, atol=side / 2)
        np.testing.assert_allclose(picture, wanted + parts[0][:, None] + parts[1], rtol=1e-5)


def test_whole_numbers_are_rounded_not_cut():
    data = np.zeros((2, 2, 1), np.uint8)
    data[:, 1] = 255
    picture = section(Volume(data, (1.0, 2.0, 1.0)), "horizontal", 0, order=1)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[:, 0], [255, 191, 64, 0])  # 191.25 and 63.75


def test_labels_keep_their_numbers_and_their_share():
    rng = np.random.default_rng(0)
    data = rng.choice([0, 3, 40_000], (16, 10, 4)).astype(np.int32)
    for order, values in ((0, data), (0, data > 0)):
        picture = section(Volume(values, (1.0, 1.5, 1.0)), "horizontal", 1, order=order)
        assert picture.shape == (15, 16) and picture.dtype == values.dtype
        assert set(np.unique(picture)) <= set(np.unique(values))
        shares = [np.mean(a != 0) for a in (picture, values[:, :, 1])]
        assert abs(shares[0] - shares[1]) < 0.08
    # Nearest: twice as many rows, each twice.
    twice = section(Volume(data, (1.0, 2.0, 1.0)), "horizontal", 1, order=0)
    np.testing.assert_array_equal(twice, np.repeat(data[:, :, 1].T[::-1, ::-1], 2, axis=0))


def test_a_frame_holds_the_brain():
    inside = np.zeros((20, 12, 6), bool)
    inside[8:13, 0:3, 1:5] = True
    frame = frame_about(inside, (9, 6, 3))
    assert frame == (slice(6, 15), slice(0, 6), slice(1, 5))  # moved in; larger than wanted
    assert inside[frame].sum() == inside.sum()
    assert frame_about(inside, (50, 50, 50)) == (slice(0, 20), slice(0, 12), slice(0, 6))
    nothing = frame_about(np.zeros((4, 4, 4), bool), (2, 2, 2))
    assert nothing == (slice(0, 4),) * 3
    rng = np.random.default_rng(0)
    for _ in range(50):
        start = rng.integers(0, 10, 3)
        box = np.zeros((17, 18, 19), bool)
        box[tuple(slice(a, a + b) for a, b in zip(start, rng.integers(1, 9, 3), strict=True))] = 1
        wanted = rng.integers(1, 19, 3)
        frame = frame_about(box, wanted)
        assert box[frame].sum() == box.sum()
        assert all(
            s.stop - s.start >= min(w, n) for s, w, n in zip(frame, wanted, box.shape, strict=True)
        )


def test_grids_that_differ():
    image, _ = lopsided()
    affine = affine_of(image.shape, "RAS")

    def moved(mm: float) -> Volume:
        other = affine.copy()
        other[0, 3] += mm
        return Volume(image, VOXEL_MM, other)

    volume = Volume(image, VOXEL_MM, affine)
    assert grid_difference(volume, moved(0.4)) == ""
    assert "5.0 mm apart" in grid_difference(volume, moved(5))
    assert grid_difference(volume, Volume(image, VOXEL_MM)) == ""
    assert "voxels of" in grid_difference(volume, Volume(image, (1.0, 1.5, 2.2)))
    assert "(9, 7, 4) voxels" in grid_difference(volume, Volume(image[..., :4], VOXEL_MM))


def test_intensities_share_one_window():
    data = np.arange(-100, 1000, dtype=np.float32)
    shown = to_8_bit(data)
    assert shown.dtype == np.uint8
    assert (shown[data <= 10] == 0).all() and (shown[data >= 995] == 255).all()
    low, high = np.percentile(data[data > 0], (1, 99.5))
    middle = (data > low) & (data < high)
    np.testing.assert_allclose(shown[middle], (data[middle] - low) / (high - low) * 255, atol=0.51)
    np.testing.assert_array_equal(to_8_bit(data * 1e-9), shown)
    # A mask; and nothing at all.
    np.testing.assert_array_equal(to_8_bit(np.float32([0, 4000, -1, 4000])), [0, 255, 0, 255])
    assert not to_8_bit(np.float32([0, -1])).any()


def test_labels_are_whole_numbers():
    def labels(values) -> Volume:
        return to_labels(Volume(np.array(values).reshape(1, 1, -1), (1, 1, 1)), "a.nii")

    exact = labels([0.0, 2.999, 1000.0])
    assert exact.data.dtype == np.int64 and exact.data.ravel().tolist() == [0, 3, 1000]
    assert labels(np.uint32([7, 4_000_000_000])).data.dtype == np.uint32
    for wrong in ([0.0, 0.5], [np.nan], [np.inf], [1e300]):
        with pytest.raises(ValueError, match="a.nii: values are not whole numbers"):
            labels(wrong)


@pytest.mark.parametrize("kind", [">i2", "<i4", "u8", "u1", "i1"])
def test_classes_of_labels(kind):
    labels = np.array([[0, 5, 9], [100, 7, 127]]).astype(kind)
    got = classes_of_labels(labels, {9: 2, 5: 1, 100: 1, 126: 3})
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, [[0, 1, 2], [1, 0, 0]])
    many = classes_of_labels(labels, {5: 300, 9: 255, 614_454_277: 1})
    np.testing.assert_array_equal(many, [[0, 300, 255], [0, 0, 0]])


def test_negative_and_large_labels_are_no_class():
    labels = np.array([-1, -5, 2**40, 5], np.int64)
    np.testing.assert_array_equal(classes_of_labels(labels, {5: 1}), [0, 0, 0, 1])


def test_small_masks_are_left_out():
    classes = np.array([[0, 1, 1], [2, 3, 3]])
    assert sorted(masks_of_labels(classes)) == [1, 2, 3]
    masks = masks_of_labels(classes, min_px=2)
    assert sorted(masks) == [1, 3] and masks[3].dtype == bool
    np.testing.assert_array_equal(masks[3], classes == 3)


@pytest.mark.parametrize("codes", ["RAS", "RPI", "PSL", "Analyze"])
def test_a_real_scan_gives_the_same_sections_however_stored(data_dir, tmp_path, codes):
    for kind, order in (("SS", 1), ("glm", 0)):
        source = data_dir / "malc2012" / f"1000_{kind}.nii.gz"
        volume = read_volume(source)
        image = nibabel.load(source)
        there = nibabel.orientations.axcodes2ornt("SPL" if codes == "Analyze" else codes)
        here = nibabel.orientations.io_orientation(image.affine)
        stored = image.as_reoriented(nibabel.orientations.ornt_transform(here, there))
        if codes == "Analyze":
            nibabel.save(nibabel.AnalyzeImage(np.asarray(stored.dataobj), None), tmp_path / "a.img")
            again = read_volume(tmp_path / "a.img", "SPL")
        else:
            nibabel.save(stored, tmp_path / "a.nii")
            again = read_volume(tmp_path / "a.nii")
            assert grid_difference(volume, again) == ""
        for plane in PLANES:
            np.testing.assert_array_equal(
                section(volume, plane, 80, order), section(again, plane, 80, order)
            )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(volume.data, again.data)


def test_left_is_left_in_a_real_scan(data_dir):
    labels = read_volume(data_dir / "malc2012" / "1000_glm.nii.gz")
    left = np.argwhere(labels.data == 37)
    # By the header: the x of the left caudate is below that of the right one.
    x = [
        (np.append(np.argwhere(labels.data == number).mean(axis=0), 1) @ labels.affine.T)[0]
        for number in (37, 36)
    ]
    assert x[0] < x[1] - 10
    index = int(np.median(left[:, 2]))
    picture = section(labels, "horizontal", index, order=0)
    left, right = (np.nonzero(picture == number)[1].mean() for number in (37, 36))
    assert left > right + 10
