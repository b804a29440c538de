"""Volumes and segments in files of all kinds."""

import json
import xml.etree.ElementTree as ElementTree

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from mrcnn.errors import MissingFileError, UserError
from sebre.neurites.segment_files import FORMATS, Segments, write_segments
from sebre.neurites.volume_files import (
    WEBKNOSSOS_FILE,
    demand_like,
    open_labels,
    open_volume,
)

NM = (40.0, 8.0, 4.0)  # of three different sizes, so that no two can be taken for each other


@pytest.fixture(scope="module")
def labels():
    return np.random.default_rng(0).integers(0, 90, (70, 9, 11)).astype(np.uint32)


@pytest.fixture(scope="module")
def raw():
    return np.random.default_rng(1).integers(0, 255, (70, 9, 11), np.uint8)


def _segments(labels, raw=None):
    largest = int(labels.max())
    return Segments(labels.shape, lambda a, b: labels[a:b], largest, NM, raw)


@pytest.mark.parametrize("suffix", FORMATS)
def test_segments_come_back_from_every_format(tmp_path, labels, raw, suffix):
    path = tmp_path / f"segments{suffix}"
    write_segments(path, _segments(labels, raw))
    found = open_labels(path)
    np.testing.assert_array_equal(np.asarray(found[:]), labels)
    np.testing.assert_array_equal(np.asarray(found[3:6, 2:4, 5:9]), labels[3:6, 2:4, 5:9])
    write_segments(path, _segments(labels + 1, raw))  # what was written here is replaced
    assert np.asarray(open_labels(path)[:1]).min() == 1


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".tif", ".zarr", ".wk"])
def test_the_voxel_size_is_kept(tmp_path, labels, raw, suffix):
    path = tmp_path / f"segments{suffix}"
    write_segments(path, _segments(labels, raw))
    volume = tmp_path / "raw.npz"
    np.savez(volume, raw=raw)
    assert open_volume(volume, labels=path).labels.shape == raw.shape
    if suffix == ".npz":
        assert tuple(np.load(path)["voxel_nm"]) == NM
    elif suffix == ".h5":
        with h5py.File(path) as file:
            assert tuple(file["labels"].attrs["resolution"]) == NM
    elif suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            pixels = ElementTree.fromstring(file.ome_metadata).find(".//{*}Pixels")
        assert [float(pixels.get(f"PhysicalSize{a}")) for a in "ZYX"] == list(NM)
        assert pixels.get("SizeZ") == "70"
    elif suffix == ".zarr":
        (scales,) = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"]
        (step,) = scales["datasets"][0]["coordinateTransformations"]
        assert tuple(step["scale"]) == NM and scales["axes"][0]["unit"] == "nanometer"
    else:
        facts = json.loads((path / WEBKNOSSOS_FILE).read_text())
        assert facts["scale"] == {"factor": [4.0, 8.0, 40.0], "unit": "nanometer"}
        assert facts["dataLayers"][1]["largestSegmentId"] == labels.max()
        volume = open_volume(path)
        assert volume.voxel_nm == NM
        np.testing.assert_array_equal(volume.raw[:], raw)


def _webknossos(path, layers, voxel_nm=NM):
    """A data set as webKnossos writes them: arrays that are padded to whole shards.

    `layers`: category -> (array [z, y, x], top left x, y, z).
    """
    facts = {"scale": {"factor": list(reversed(voxel_nm)), "unit": "nanometer"}, "dataLayers": []}
    for category, (values, corner) in layers.items():
        padded = np.zeros((1, 64, 64, 128), values.dtype)
        x, y, z = corner
        depth, height, width = values.shape
        padded[0, x : x + width, y : y + height, z : z + depth] = values.transpose(2, 1, 0)
        array = zarr.create_array(
            path / category / "1", shape=padded.shape, chunks=padded.shape, dtype=values.dtype
        )
        array[:] = padded
        box = {"topLeft": list(corner), "width": width, "height": height, "depth": depth}
        layer = {"name": category, "category": category, "boundingBox": box}
        mag = {"mag": [1, 1, 1], "path": f"./{category}/1"}
        facts["dataLayers"].append({**layer, "dataFormat": "zarr3", "mags": [mag]})
    (path / WEBKNOSSOS_FILE).write_text(json.dumps(facts))


@pytest.mark.parametrize("corner", [(0, 0, 0), (3, 5, 7)])
def test_webknossos_layers_are_cut_to_their_bounding_box(tmp_path, labels, raw, corner):
    path, out = tmp_path / "a.wk", tmp_path / "b.wk"
    _webknossos(path, {"color": (raw, corner), "segmentation": (labels, corner)})
    volume = open_volume(path)
    assert volume.raw.shape == volume.labels.shape == raw.shape and volume.voxel_nm == NM
    assert volume.first == corner[::-1]
    for found, wanted in ((volume.raw, raw), (volume.labels, labels)):
        np.testing.assert_array_equal(found[:], wanted)
        np.testing.assert_array_equal(found[-9:200, 2:-3, ::2], wanted[-9:200, 2:-3, ::2])
        assert found[70:, 3:2].shape == wanted[70:, 3:2].shape
    # Segments lie where the volume did.
    segments = Segments(raw.shape, lambda a, b: labels[a:b], 90, NM, volume.raw, volume.first)
    write_segments(out, segments)
    boxes = [
        one["boundingBox"] for one in json.loads((out / WEBKNOSSOS_FILE).read_text())["dataLayers"]
    ]
    assert [box["topLeft"] for box in boxes] == [list(corner)] * 2
    np.testing.assert_array_equal(
        zarr.open_array(out / "color/1")[0][corner[0], corner[1], corner[2] :], raw[:, 0, 0]
    )
    np.testing.assert_array_equal(open_labels(out, volume)[:], labels)
    np.testing.assert_array_equal(open_volume(path, labels=out).labels[:], labels)


def test_webknossos_labels_that_lie_elsewhere_are_not_used(tmp_path, labels, raw, caplog):
    path, other = tmp_path / "a.wk", tmp_path / "b.wk"
    _webknossos(path, {"color": (raw, (0, 0, 0)), "segmentation": (labels, (0, 0, 1))})
    assert open_volume(path).labels is None
    assert "only the gray values are used. Export both with one bounding box" in caplog.text
    np.testing.assert_array_equal(open_labels(path)[:], labels)
    _webknossos(other, {"segmentation": (labels, (4, 0, 0))})
    with pytest.raises(UserError, match=r"b.wk: the labels begin at \(0, 0, 4\) along z, y, x"):
        open_volume(path, labels=other)
    facts = json.loads((other / WEBKNOSSOS_FILE).read_text())
    facts["dataLayers"][0]["boundingBox"]["width"] = 61
    (other / WEBKNOSSOS_FILE).write_text(json.dumps(facts))
    with pytest.raises(UserError, match="its array has .* Export the data set again"):
        open_labels(other)
    facts["dataLayers"][0]["mags"][0]["mag"] = [2, 2, 1]
    (other / WEBKNOSSOS_FILE).write_text(json.dumps(facts))
    with pytest.raises(UserError, match="layer segmentation has no magnification 1"):
        open_labels(other)


def test_stacks_of_tiff_files_and_imagej_files(tmp_path, raw):
    for number, section in enumerate(raw[:5]):
        tifffile.imwrite(tmp_path / f"section_{number:03d}.tif", section)
    stack = open_volume(tmp_path)
    np.testing.assert_array_equal(stack.raw[1:3, :, 2:], raw[1:3, :, 2:])
    path = tmp_path / "imagej.tif"
    resolution = (1e3 / 4, 1e3 / 8)  # pixels a micrometer along x and y
    facts = {"spacing": 0.04, "unit": "um", "axes": "ZYX"}
    tifffile.imwrite(path, raw, imagej=True, resolution=resolution, metadata=facts)
    volume = open_volume(path)
    assert volume.voxel_nm == pytest.approx(NM)
    np.testing.assert_array_equal(volume.raw[:], raw)


def test_tiff_sections_are_in_natural_order_and_of_one_size(tmp_path, raw):
    for n in range(12):
        tifffile.imwrite(tmp_path / f"{n}.tif", raw[n])
    np.testing.assert_array_equal(open_volume(tmp_path).raw[:], raw[:12])
    tifffile.imwrite(tmp_path / "12.tif", raw[12, :5])
    with pytest.raises(
        UserError, match=r"section 12 is uint8 \(5, 11\), the first uint8 \(9, 11\)"
    ):
        open_volume(tmp_path).raw[:]


@pytest.mark.parametrize(
    ("axes", "shape", "said"),
    [
        ("ZCYX", (6, 2, 9, 11), "6 Z, 2 channels, 9 Y, 11 X"),
        ("TZYX", (3, 6, 9, 11), "3 times, 6 Z"),
        ("TYX", (6, 9, 11), "6 times"),
        ("CYX", (2, 9, 11), "2 channels"),
        ("ZYXS", (6, 9, 11, 3), "3 samples"),
        ("QQYX", (6, 2, 9, 11), "wanted one volume"),
    ],
)
@pytest.mark.parametrize("kind", ["imagej", "imagej in one page", "ome", "plain"])
def test_channels_and_times_of_tiff_are_no_sections(tmp_path, axes, shape, said, kind):
    if axes == "QQYX":
        kind = "plain"
    how = {"ome": {"ome": True}, "plain": {}}.get(kind, {"imagej": True})
    how |= {"truncate": True} if kind == "imagej in one page" else {}
    how |= {"photometric": "rgb"} if axes[-1] == "S" else {"photometric": "minisblack"}
    path, facts = tmp_path / "a.tif", None if axes == "QQYX" else {"axes": axes}
    tifffile.imwrite(path, np.zeros(shape, np.uint8), metadata=facts or {}, **how)
    with pytest.raises(UserError, match=rf"a\.tif: an array of axes .*{said}"):
        open_volume(path)


@pytest.mark.parametrize("how", [{}, {"ome": True}, {"imagej": True}, {"metadata": None}])
def test_stacks_of_one_channel_are_volumes(tmp_path, raw, how):
    for count in (1, 6):
        facts = {} if "metadata" in how else {"metadata": {"axes": "ZYX"}}
        tifffile.imwrite(tmp_path / "a.tif", raw[:count], photometric="minisblack", **how, **facts)
        np.testing.assert_array_equal(open_volume(tmp_path / "a.tif").raw[:], raw[:count])


def test_a_large_stack_of_imagej_has_one_page(tmp_path, raw):
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, raw, imagej=True, metadata={"axes": "ZYX"}, truncate=True)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
    np.testing.assert_array_equal(open_volume(path).raw[:], raw)


def test_ome_zarr_of_five_axes_and_micrometers(tmp_path, raw):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    array = group.create_array("s0", shape=(1, 1, *raw.shape), chunks=(1, 1, 8, 8, 8), dtype="u1")
    array[:] = raw[None, None]
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "tczyx"]
    step = {"type": "scale", "scale": [1, 1, 0.04, 0.008, 0.004]}
    level = {"path": "s0", "coordinateTransformations": [step]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [level]}]
    volume = open_volume(tmp_path / "a.zarr")
    assert volume.voxel_nm == pytest.approx(NM)
    np.testing.assert_array_equal(volume.raw[60:], raw[60:])


@pytest.mark.parametrize("split", ["level", "all", "both", "neither", "no units"])
def test_scales_of_a_level_and_of_all_levels_of_ome_zarr_multiply(tmp_path, raw, split):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=raw.shape, chunks=raw.shape, dtype="u1")[:] = raw
    unit = {} if split == "no units" else {"unit": "micrometer"}
    own = [0.04, 0.008, 0.004] if split == "level" else [2.0, 4.0, 8.0]
    of_all = [0.02, 0.002, 0.0005] if split == "both" else [0.04, 0.008, 0.004]
    level, scales = {"path": "0"}, {"axes": [{"name": n, **unit} for n in "zyx"]}
    if split in ("level", "both", "no units"):
        move = {"type": "translation", "translation": [1, 2, 3]}
        level["coordinateTransformations"] = [{"type": "scale", "scale": own}, move]
    if split in ("all", "both"):
        scales["coordinateTransformations"] = [{"type": "scale", "scale": of_all}]
    group.attrs["multiscales"] = [{"version": "0.4", **scales, "datasets": [level]}]
    known = split in ("level", "all", "both")
    assert open_volume(tmp_path / "a.zarr").voxel_nm == (pytest.approx(NM) if known else None)


@pytest.mark.parametrize("shape", [(1, 2, 9, 8, 7), (3, 1, 9, 8, 7)])
def test_channels_and_times_of_ome_zarr_are_refused(tmp_path, shape):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=shape, chunks=shape, dtype="u1")
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1] * 5}]}
    axes = [{"name": n} for n in "tczyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [level]}]
    with pytest.raises(UserError, match=r"a\.zarr: an array of .*, 8, 7\); wanted one volume"):
        open_volume(tmp_path / "a.zarr")


@pytest.mark.parametrize("shape", [(9, 8), (2, 9, 8, 7)])
def test_arrays_of_other_axes_are_refused(tmp_path, shape):
    zarr.create_array(tmp_path / "a.zarr", shape=shape, chunks=shape, dtype="u1")
    with pytest.raises(UserError, match="wanted one volume, z, y, x"):
        open_volume(tmp_path / "a.zarr")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = np.zeros(shape, np.uint8)
    with pytest.raises(UserError, match="wanted a volume, z, y, x"):
        open_volume(tmp_path / "a.h5")
    _webknossos(tmp_path / "a.wk", {"color": (np.zeros((9, 8, 7), np.uint8), (0, 0, 0))})
    shape = (2, 64, 64, 128)  # of two channels
    where = tmp_path / "a.wk/color/1"
    zarr.create_array(where, shape=shape, chunks=shape, dtype="u1", overwrite=True)
    with pytest.raises(UserError, match=r"a\.wk: an array of \(2, 64, 64, 128\); wanted one"):
        open_volume(tmp_path / "a.wk")


def _npz(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": np.zeros((2, 3, 4), np.uint8)}, "has no array `raw`, but image"),
        ({"raw": np.zeros((2, 3, 4))}, "are float64; wanted uint8"),
        ({"raw": np.zeros((3, 4), np.uint8)}, "wanted a volume"),
        (
            {"raw": np.zeros((2, 3, 4), np.uint8), "labels": np.zeros((4, 3, 2), int)},
            r"labels are \(4, 3, 2\).*same shape",
        ),
        (
            {"raw": np.zeros((2, 3, 4), np.uint8), "labels": np.zeros((2, 3, 4))},
            "labels are float64; wanted whole numbers",
        ),
        ({"raw": np.zeros((2, 3, 4), np.uint8), "voxel_nm": np.array([0, 1, 1])}, "voxel size"),
    ],
)
def test_a_volume_that_is_none_gives_one_line(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message) as caught:
        open_volume(_npz(tmp_path / "a.npz", **arrays))
    assert "a.npz" in str(caught.value)


def test_a_wrong_order_of_the_axes_is_seen_by_the_voxel_size():
    demand_like((40, 4, 4), (50, 4, 4), "v.npz")
    demand_like((10, 10, 10), (8, 8, 8), "v.npz")
    with pytest.raises(UserError, match="order of the axes"):
        demand_like((40, 4, 4), (4, 4, 40), "v.npz")


def test_other_sizes_of_voxels_are_warned_of(caplog):
    demand_like((10.0, 10.0, 10.0), (12.0, 10.0, 10.0), "v.npz")
    assert caplog.text == ""
    demand_like((10.0, 10.0, 10.0), (40.0, 40.0, 40.0), "v.npz")
    assert "what it finds is not to be trusted" in caplog.text
    demand_like((10.0, 10.0, 10.0), None, "w.npz")
    assert "w.npz: does not say the size of its voxels" in caplog.text


def test_broken_chunks_are_named(tmp_path, labels, raw):
    path = tmp_path / "a.wk"
    write_segments(path, _segments(labels, raw))
    for chunk in (path / "color").rglob("c/*/*/*/*"):
        chunk.write_bytes(b"no chunk")
    volume = open_volume(path)
    with pytest.raises(UserError, match=r"a\.wk: cannot read a part"):
        volume.raw[:4]
    (tmp_path / "cut.npz").write_bytes(b"PK no file")
    with pytest.raises(UserError, match=r"cut\.npz: cannot read"):
        open_volume(tmp_path / "cut.npz")


def test_sections_that_are_not_there_are_refused(tmp_path, raw):
    volume = open_volume(_npz(tmp_path / "a.npz", raw=raw))
    assert volume.sections(20, 70).raw.shape == (50, 9, 11)
    for sections in ((20, 71), (70, 80), (9, 9), (-3, 9)):
        with pytest.raises(UserError, match=r"a\.npz: has the sections 0:70, not all of"):
            volume.sections(*sections)


def test_what_is_not_there_or_no_volume(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        open_volume(tmp_path / "none.npz")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UserError, match="is no volume that can be read"):
        open_volume(tmp_path / "a.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="without TIFF files"):
        open_volume(tmp_path / "empty")


def test_what_others_wrote_is_not_replaced(tmp_path, labels):
    for name in ("a.npz", "a.zarr"):
        path = tmp_path / name
        if name == "a.npz":
            path.write_bytes(b"mine")
        else:
            path.mkdir()
            (path / "mine.txt").write_text("mine")
        with pytest.raises(UserError, match="there already"):
            write_segments(path, _segments(labels))
    with pytest.raises(UserError, match="ends with"):
        write_segments(tmp_path / "a.nrrd", _segments(labels))
