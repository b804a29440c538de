"""What a wheel carries, and that it works away from the sources."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from paths import ROOT

_SOURCES = ("mrcnn", "sebre", "weights", "setup.py", "pyproject.toml")
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
        wanted = [entry["config"], f"{name}.md", *([] if entry["url"] else [entry["file"]])]
        wanted += [entry[key] for key in ("thumbnail",) if key in entry]
        wanted += [entry["trust"]["file"]] if "trust" in entry else []
        assert {_INSIDE + file for file in wanted} <= names
    assert not [name for name in names if name.startswith(("tests/", "datasets/"))]
    assert "sebre/cli/options.csv" in names


def test_the_networks_of_an_installed_wheel_load(wheel, tmp_path):
    """From another folder, with the unpacked wheel in the place of the sources."""
    place, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    zipfile.ZipFile(wheel).extractall(place)
    code = (
        "import sebre, numpy\n"
        "from sebre.networks.weights_store import known_networks, store_dir\n"
        "segmenter = sebre.load('slicemap_unet')\n"
        "segmenter.detect([numpy.zeros((40, 50, 3), numpy.uint8)])\n"
        "print(store_dir(), len(known_networks()), segmenter.weights.path, sep='\\n')\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "SEBRE_WEIGHTS"}
    environment["PYTHONPATH"] = str(place)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=elsewhere,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    store = place / "sebre" / "shipped_weights"
    manifest = json.loads((ROOT / "weights" / "manifest.json").read_text(encoding="utf-8"))
    lines = [str(store), str(len(manifest)), str(store / "slicemap_unet.h5")]
    assert done.stdout.splitlines() == lines
    assert list(elsewhere.iterdir()) == []
