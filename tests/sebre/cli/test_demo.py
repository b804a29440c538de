"""The demo with the shipped weights: files and accuracy."""

import contextlib
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

from sebre.cli import main
from sebre.data.regions import SLICEMAP

DATASET = ROOT / "datasets" / "slicemap"


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, str]:
    """Where the demo wrote to, and what it printed."""
    folder, printed = tmp_path_factory.mktemp("demo") / "out", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["demo", "--out", str(folder)]) == 0
    return folder, printed.getvalue()


@pytest.fixture(scope="module")
def out(ran) -> Path:
    return ran[0]


@pytest.mark.parametrize("orientation", ["as_they_lie", "turned"])
def test_accuracy_of_the_shipped_network(out, orientation):
    scores = json.loads((out / "scores.json").read_text())[orientation]
    assert scores["map_paper"] >= 0.97
    assert scores["dice_mean"] >= 0.86


def test_every_test_section_gets_a_label_map_and_an_overlay(out):
    for k in range(12):
        labels = picture(out / f"val_{k}_labels.png")
        assert labels.shape == (84, 84)
        assert set(np.unique(labels)) <= set(range(7))
        assert len(np.unique(labels)) >= 6
        height, *rest = picture(out / f"val_{k}_overlay.png").shape
        assert height > 588 and rest == [588, 3]  # with a legend


def test_region_table(out):
    with (out / "regions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["region"] for row in rows} == set(SLICEMAP.names)
    assert len(rows) == 12 * len(SLICEMAP)
    for row in rows:
        assert (row["found"] == "yes") == (int(row["area_px"]) > 0) == (not row["reason"])
        assert row["found"] == "no" or 0 < float(row["score"]) <= 1


def test_contact_sheet_is_wide_enough_to_read(out):
    assert picture(out / "contact_sheet.png").shape[1] >= 1500


def test_table_is_printed(ran):
    text = ran[1]
    for part in ("val/11", "cerebellum", "mAP", "as they lie", "turned", "contact_sheet.png"):
        assert part in text


def test_missing_weights_are_a_friendly_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SEBRE_WEIGHTS", str(tmp_path))
    (tmp_path / "manifest.json").write_text('{"lost": {"file": "lost.h5"}}')
    for weights, message in (
        ("lost", "lost.h5: the weights 'lost' are not there"),
        ("nobody", "nobody: neither a file nor a name"),
    ):
        assert main(["demo", "--weights", weights, "--out", str(tmp_path / "demo")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
