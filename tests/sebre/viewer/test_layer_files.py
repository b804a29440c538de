"""Files as layers, and layers as files."""

import json
import re
import subprocess
import sys

import nibabel
import numpy as np
import pytest
import tifffile
from lacking import demand_package
from paths import ROOT
from PIL import Image

from mrcnn.errors import MissingFileError, UserError
from mrcnn.imageio.header import PICTURE_TYPES
from sebre.data.regions import SLICEMAP
from sebre.drawing.label_descriptions import LabelDescription, label_descriptions
from sebre.predict.exchange import found_section, tiff
from sebre.predict.label_maps import save_labels
from sebre.viewer.label_layers import facts_of, labels_layer, pixel_of
from sebre.viewer.layer_files import (
    coronal_sample,
    drawn_sample,
    get_reader,
    read_layers,
    sections_sample,
    write_labels,
)
from sebre.viewer.volume_layers import VOLUME_ENDINGS

MANIFEST = ROOT / "sebre" / "viewer" / "napari.yaml"
RNG = np.random.default_rng(0)
LABELS = np.zeros((30, 40), np.uint8)
LABELS[5:15, 5:30], LABELS[20:25, :] = 1, 4


def test_a_picture_keeps_its_depth_and_size(tmp_path):
    deep = RNG.integers(0, 4000, (30, 40), np.uint16)
    path = tmp_path / "deep.tif"
    options = {"resolution": (1e4 / 2, 1e4 / 4), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, deep, **options)
    ((values, attributes, kind),) = get_reader(str(path))(str(path))
    assert kind == "image" and values.dtype == np.uint16 and not attributes["rgb"]
    np.testing.assert_array_equal(values, deep)
    assert pixel_of(attributes["scale"], attributes["units"]) == pytest.approx((4, 2))
    colors = RNG.integers(0, 255, (20, 10, 3), np.uint8)
    Image.fromarray(colors).save(tmp_path / "colors.png")
    ((values, attributes, _),) = read_layers(str(tmp_path / "colors.png"))
    assert attributes["rgb"] and "scale" not in attributes
    np.testing.assert_array_equal(values, colors)


def test_volumes_keep_their_scale(tmp_path):
    scan = RNG.integers(0, 1000, (5, 6, 7), np.int16)
    path = tmp_path / "scan.nii"
    nibabel.save(nibabel.Nifti1Image(scan, np.diag([0.1, 0.2, 0.5, 1])), path)
    ((values, attributes, kind),) = get_reader(str(path))(str(path))
    assert kind == "image" and attributes["name"] == "scan"
    assert attributes["scale"] == pytest.approx((500, 200, 100))
    np.testing.assert_array_equal(values, scan.transpose(2, 1, 0))
    path.with_suffix(".txt").write_text(label_descriptions([LabelDescription(3, "a", (1, 2, 3))]))
    ((_, attributes, kind),) = read_layers(str(path))
    assert kind == "labels" and attributes["features"]["index"].tolist() == [0, 3]
    nibabel.save(nibabel.Nifti1Image(scan[..., None, None].repeat(2, -1), np.eye(4)), path)
    with pytest.raises(UserError, match="wanted one volume of three axes"):
        read_layers(str(path))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match="cannot read this volume"):
        read_layers(str(path))
    with pytest.raises(MissingFileError, match="none.nii.gz: no such file"):
        read_layers(str(tmp_path / "none.nii.gz"))
    assert get_reader(str(tmp_path / "a.gz")) is None


def test_channels_become_layers(tmp_path):
    stack = RNG.integers(0, 255, (3, 30, 40), np.uint8)
    tifffile.imwrite(
        tmp_path / "three.tif", stack, metadata={"axes": "CYX"}, photometric="minisblack"
    )
    layers = read_layers(str(tmp_path / "three.tif"))
    assert [attributes["name"] for _, attributes, _ in layers] == ["three 1", "three 2", "three 3"]
    np.testing.assert_array_equal(np.stack([values for values, *_ in layers]), stack)
    tifffile.imwrite(
        tmp_path / "many.tif", np.zeros((17, 8, 8), np.uint8), metadata={"axes": "ZYX"}
    )
    with pytest.raises(UserError, match="holds 17 pictures .* at most 16 are opened"):
        read_layers(str(tmp_path / "many.tif"))


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_label_maps_are_those_of_predict(tmp_path, ending):
    data, attributes, _ = labels_layer(LABELS, SLICEMAP, "drawn", (20.0, 10.0))
    path = tmp_path / f"drawn_labels{ending}"
    assert write_labels(str(path), data, attributes) == [str(path)]
    other = tmp_path / f"other{ending}"
    if ending == ".png":
        save_labels(LABELS, SLICEMAP, other, (20.0, 10.0))
    else:
        scores = dict.fromkeys(range(1, 7), 0.5)
        other.write_bytes(tiff(found_section("x", LABELS, scores, SLICEMAP, (20.0, 10.0))))
    assert path.read_bytes() == other.read_bytes()
    ((values, read, kind),) = read_layers(str(path))
    assert kind == "labels"
    np.testing.assert_array_equal(values, LABELS)
    regions = facts_of(read["metadata"], "read")["regions"]
    assert [(r.id, r.name, r.color) for r in regions] == [(r.id, r.name, r.color) for r in SLICEMAP]
    assert pixel_of(read["scale"], read["units"]) == pytest.approx((20, 10), rel=1e-3)
    # What was read can be written again; what somebody changed is not replaced.
    assert write_labels(str(tmp_path / f"again{ending}"), values, read)
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match="not written by an earlier call, or changed since"):
        write_labels(str(path), data, attributes)
    assert path.read_bytes() == b"mine"


def test_what_cannot_be_written_or_read(tmp_path):
    data, attributes, _ = labels_layer(LABELS, SLICEMAP, "drawn")
    with pytest.raises(UserError, match="wanted the ending .png or .tif"):
        write_labels(str(tmp_path / "a.jpg"), data, attributes)
    with pytest.raises(UserError, match="drawn: 1000 px have the label 9|have the label 9"):
        write_labels(str(tmp_path / "a.png"), np.full((40, 25), 9), attributes)
    with pytest.raises(UserError, match="Labels: does not say which regions"):
        write_labels(str(tmp_path / "a.png"), data, {"name": "Labels", "metadata": {}})
    assert list(tmp_path.iterdir()) == []
    assert get_reader("notes.txt") is None and get_reader(["a.png", "b.csv"]) is None
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="broken.png"):
        read_layers(str(tmp_path / "broken.png"))


def test_a_map_of_somebody_else_is_a_picture(tmp_path):
    Image.fromarray(LABELS).save(tmp_path / "gray.png")
    assert read_layers(str(tmp_path / "gray.png"))[0][2] == "image"


def test_samples_are_the_sections_that_ship():
    ((values, attributes, _),) = coronal_sample()
    assert values.shape == (586, 896, 3) and attributes["name"] == "glta_s124"
    sections = sections_sample()
    assert [a["visible"] for _, a, _ in sections] == [True, False, False, False, False]
    image, drawn = drawn_sample()
    assert image[0].shape[:2] == drawn[0].shape
    assert set(np.unique(drawn[0])) == set(range(7))
    assert facts_of(drawn[1]["metadata"], "drawn")["regions"].names == SLICEMAP.names


# --- The manifest ------------------------------------------------------------------------


def test_the_manifest_reads_what_the_house_reads():
    demand_package("npe2", always=True)
    code = (
        "import json, sys; from npe2 import PluginManifest; "
        "m = PluginManifest.from_file(sys.argv[1]); "
        "print(json.dumps(m.contributions.readers[0].filename_patterns))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, MANIFEST], capture_output=True, text=True, check=True
    )
    known = {*PICTURE_TYPES, *VOLUME_ENDINGS}
    assert {pattern.removeprefix("*") for pattern in json.loads(done.stdout)} == known


def test_npe2_finds_the_manifest_valid():
    demand_package("npe2", always=True)
    command = [sys.executable, "-m", "npe2", "validate", str(MANIFEST)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Manifest for 'SeBRe' valid" in done.stdout


def test_only_the_panel_imports_windows():
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("mrcnn", "sebre")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"^\s*(from|import) (napari|qtpy|PyQt6)\b", path.read_text("utf-8"), re.M)
    }
    assert found == {f"sebre/viewer/{name}.py" for name in ("parts", "session", "tabs", "widget")}


def test_the_packages_do_not_import_windows_nor_windows_networks():
    """Neither `import sebre` imports napari or Qt, nor do the parts of the plugin that a window
    imports import Keras."""
    code = (
        "import sebre, sys, importlib, mrcnn\n"
        "for name in ('label_layers', 'layer_files', 'network_choices', 'corrected_sections',"
        " 'label_comparison', 'background'):\n"
        "    importlib.import_module(f'sebre.viewer.{name}')\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = set(done.stdout.split())
    assert "sebre" in found
    assert not found & {"napari", "qtpy", "PyQt6", "PySide6", "superqt", "vispy"}
    assert not found & {"keras", "tensorflow"}
