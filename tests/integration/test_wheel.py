"""What a wheel carries, and that it works away from the sources."""

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from other_readers import coco_masks, geojson_rings, imagej_rings, pixels, svg_rings
from paths import ROOT
from PIL import Image

_SECTIONS = ("datasets/any_section", "datasets/slicemap")  # of many that may lie there
_SOURCES = ("mrcnn", "sebre", "weights", *_SECTIONS, "setup.py", "pyproject.toml")
_INSIDE = "sebre/shipped_weights/"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Made of a copy of the sources, so that nothing is left among them."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    sources.mkdir()
    for name in _SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(ROOT / name, sources / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, sources / name)
    options = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-w", "made"]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", *options, str(sources)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return next((folder / "made").glob("sebre-*.whl"))


def test_a_wheel_carries_the_networks(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    manifest = json.loads((ROOT / "weights" / "manifest.json").read_text(encoding="utf-8"))
    assert f"{_INSIDE}manifest.json" in names
    for name, entry in manifest.items():
        wanted = [f"{name}.md", *([] if entry["url"] else [entry["file"]])]
        wanted += [entry[key] for key in ("config", "thumbnail") if key in entry]
        wanted += [entry["trust"]["file"]] if "trust" in entry else []
        assert {_INSIDE + file for file in wanted} <= names
    assert not [name for name in names if name.startswith(("tests/", "datasets/"))]
    assert "sebre/cli/options.csv" in names


def test_a_wheel_carries_the_plugin_and_its_samples(wheel, installed, tmp_path):
    archive = zipfile.ZipFile(wheel)
    (points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "[napari.manifest]\nsebre = sebre.viewer:napari.yaml" in archive.read(points).decode()
    assert "sebre/viewer/napari.yaml" in archive.namelist()
    shipped = [name for name in archive.namelist() if name.startswith("sebre/shipped_sections/")]
    assert sum(archive.getinfo(name).file_size for name in shipped) < 600_000
    code = (
        "from sebre.viewer import layer_files as f\n"
        "for layer in [*f.coronal_sample(), *f.sections_sample(), *f.drawn_sample()]:\n"
        "    print(layer[2])"
    )
    assert run(installed, tmp_path, code) == [*["image"] * 7, "labels"]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The unpacked wheel, in the place of the sources."""
    place = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(place)
    return place


def run(installed: Path, folder: Path, code: str) -> list[str]:
    """Lines that a program prints that is run in another folder, with the wheel alone."""
    environment = {k: v for k, v in os.environ.items() if k != "SEBRE_WEIGHTS"}
    environment["PYTHONPATH"] = str(installed)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_networks_of_an_installed_wheel_load(installed, tmp_path):
    code = (
        "import sebre, numpy\n"
        "from sebre.networks.weights_store import known_networks, store_dir\n"
        "segmenter = sebre.load('slicemap_unet')\n"
        "segmenter.detect([numpy.zeros((40, 50, 3), numpy.uint8)])\n"
        "print(store_dir(), len(known_networks()), segmenter.weights.path, sep='\\n')\n"
    )
    store = installed / "sebre" / "shipped_weights"
    manifest = json.loads((ROOT / "weights" / "manifest.json").read_text(encoding="utf-8"))
    lines = [str(store), str(len(manifest)), str(store / "slicemap_unet.h5")]
    assert run(installed, tmp_path, code) == lines
    assert list(tmp_path.iterdir()) == []


# --- The way of a newcomer ----------------------------------------------------------------


@pytest.fixture(scope="module")
def found(installed, data_dir, tmp_path_factory) -> Path:
    """Three inputs of different kinds, and what is written for them: a fluorescent section of
    16 bits that says its size, a Nissl plate, and slices of a T1 scan."""
    folder = tmp_path_factory.mktemp("newcomer")
    features = np.sqrt(np.load(data_dir / "sagittal59" / "features.npy")[7])
    tifffile.imwrite(
        folder / "fluorescence.tif",
        np.round(features / features.max() * 40_000).astype(np.uint16),
        resolution=(1e4 / 59, 1e4 / 59),
        resolutionunit="CENTIMETER",
    )
    shutil.copy(data_dir / "ara_nissl_hippocampus" / "nissl" / "74.jpg", folder / "nissl.jpg")
    scan = nibabel.load(data_dir / "malc2012" / "1003_SS.nii.gz")
    nibabel.save(scan.slicer[:, :, 70:78], folder / "scan.nii.gz")
    formats = "--format geojson imagej svg coco flat tiff"
    commands = [
        "models",
        f"predict fluorescence.tif --weights slicemap --out one {formats}",
        f"predict nissl.jpg --weights hippocampus --out two {formats} --pixel-um 8.5",
        "predict scan.nii.gz --weights ibsr --out three",
    ]
    code = (
        f"from sebre.cli import main\nfor line in {commands!r}:\n    assert main(line.split()) == 0"
    )
    lines = run(installed, folder, code)
    assert any(line.startswith("hippocampus_unet") for line in lines)
    return folder


@pytest.mark.parametrize(
    ("place", "name", "pixel_um"), [("one", "fluorescence", 59), ("two", "nissl", 8.5)]
)
def test_a_newcomer_gets_files_that_agree(found, place, name, pixel_um):
    out = found / place
    with Image.open(out / f"{name}_labels.png") as image:
        labels = np.asarray(image)
        names = {name: int(i) for i, name in json.loads(image.info["regions"]).items()}
    np.testing.assert_array_equal(tifffile.imread(out / f"{name}_labels.tif"), labels)
    masks = coco_masks(out / f"{name}_coco.json")
    shown = {region for region in names if (labels == names[region]).any()}
    assert masks.keys() == shown and len(shown) >= 4
    lines = [
        geojson_rings(out / f"{name}.geojson"),
        imagej_rings(out / f"{name}_rois.zip"),
        svg_rings(out / f"{name}.svg"),
    ]
    for region in shown:
        wanted = labels == names[region]
        np.testing.assert_array_equal(masks[region], wanted)
        for rings in lines:
            mask = pixels(rings[region], labels.shape)
            assert (mask & wanted).sum() >= 0.99 * (mask | wanted).sum()
    with (out / "regions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for region, region_id in names.items():
        own = [row for row in rows if row["region"] == region]
        area = int((labels == region_id).sum())
        assert own and sum(int(row["area_px"]) for row in own) == area
        mm2 = sum(float(row["area_mm2"] or 0) for row in own)
        assert mm2 == pytest.approx(area * (pixel_um / 1000) ** 2, rel=1e-3)
    assert (out / "report.html").is_file() and json.loads((out / "summary.json").read_text())


def test_a_newcomer_gets_a_label_volume(found):
    scan = nibabel.load(found / "scan.nii.gz")
    labels = nibabel.load(found / "three" / "scan_labels.nii.gz")
    assert labels.shape == scan.shape and labels.get_data_dtype() == np.uint8
    np.testing.assert_allclose(labels.affine, scan.affine)
    with (found / "three" / "regions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    counts = np.bincount(np.asarray(labels.dataobj).ravel(), minlength=9)
    for row in rows:
        assert float(row["volume_mm3"]) == pytest.approx(counts[int(row["region_id"])])
