"""`sebre models`: the table, one network, and mistakes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from paths import ROOT
from PIL import Image

from sebre.cli.commands import main
from sebre.networks.weights_store import find_weights, read_manifest, shipped_store, write_entry
from sebre.trust.trust_files import load_trust, with_trust

DATASET = ROOT / "datasets" / "slicemap"


def test_a_table_of_what_is_at_hand(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = list(read_manifest(shipped_store()))
    assert [line.split()[0] for line in lines[1 : 1 + len(names)]] == names
    line = next(line for line in lines if line.startswith("extended_mouse_mri "))
    for part in ("Mask R-CNN", "sagittal", "T2-weighted MRI", "adult", "150", "0.846", "424"):
        assert part in line
    assert main(["models", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [network["name"] for network in found] == names
    assert found[0]["score"]["min_confidence"] == 0.3


def test_one_network_whole(capsys):
    assert main(["models", "hippocampus"]) == 0
    text = capsys.readouterr().out
    for part in ("CA1, CA2, CA3, DG", "coronal", "P56", "not for commercial use", "7 sections"):
        assert part in text
    for file in ("hippocampus.png", "hippocampus.md"):
        path = next(word for word in text.split() if word.endswith(file))
        assert Path(path).is_file()
    assert main(["models", "hippocampus", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["regions"] == ["CA1", "CA2", "CA3", "DG"]


def test_what_is_still_to_be_fetched_is_marked(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SEBRE_WEIGHTS", str(tmp_path))
    (tmp_path / "far.h5").write_bytes(b"weights")
    write_entry("far", tmp_path, file="far.h5", url="http://localhost/far.h5")
    (tmp_path / "far.h5").unlink()
    assert main(["models"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("far (to be fetched)")


@pytest.mark.parametrize(
    "words, message",
    [
        (["nobody"], "nobody: not a name in"),
        (["slicemap", "ibsr"], "slicemap ibsr: wanted one name"),
        (["suggest"], "Which pictures?"),
        (["suggest", "missing.png"], "missing.png"),
        (["calibrate"], "give --weights, and --dataset"),
        (["slicemap", "--out", "x.json"], "belong to `sebre models calibrate`"),
        (["calibrate", "--weights", "slicemap", "--dataset", "missing"], "missing"),
        (
            ["calibrate", "--weights", "slicemap", "--dataset", ".", "--others", "missing.png"],
            "missing.png: no such picture",
        ),
    ],
)
def test_mistakes_are_one_line(words, message, capsys):
    assert main(["models", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error


# --- Calibrate, then suggest --------------------------------------------------------------


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A store of one's own with one network, calibrated on a few pictures."""
    folder = tmp_path_factory.mktemp("calibrated")
    store = folder / "store"
    store.mkdir()
    entry = read_manifest(shipped_store())["slicemap_unet"]
    for file in (entry["file"], entry["config"]):
        shutil.copy(shipped_store() / file, store / file)
    facts = {key: entry[key] for key in ("file", "config", "network", "experiment", "regions")}
    write_entry("mine", store, **facts)
    (store / "mine.md").write_text("# mine\n\n| Settings | of old |\n| License | none |\n\nMore.\n")
    section = DATASET / "mrcnn_val_dataset_images" / "section_img_0.png"
    others = folder / "others"
    others.mkdir()
    inverted = 255 - np.asarray(Image.open(section))
    Image.fromarray(inverted).save(others / "inverted.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEBRE_WEIGHTS", str(store))
        patch.setattr("sebre.trust.trust_fitting.PICTURES", 40)
        patch.setattr("sebre.trust.trust_scores.SECTIONS", 3)
        command = ["models", "calibrate", "--weights", "mine", "--dataset", str(DATASET)]
        command += ["--sections", "20", "--others", str(others)]
        assert main([*command, "--results", str(folder / "trust.json")]) == 0
    return store, folder / "trust.json", others / "inverted.png", section


def test_a_network_of_ones_own_is_calibrated(calibrated, monkeypatch):
    store, results, _, _ = calibrated
    monkeypatch.setenv("SEBRE_WEIGHTS", str(store))
    found = find_weights("mine")
    assert found.entry["trust"]["file"] == "slicemap_unet.trust.json"
    model = load_trust(found)
    assert model.facts["sections"] == 20 and model.facts["groups"] == ["section", 5]
    card = (store / "mine.md").read_text()
    _, told = card.split("| Settings | of old |\n")
    assert told.startswith("| Trust | `slicemap_unet.trust.json`: ")
    assert told.endswith("| License | none |\n\nMore.\n")
    assert "fitted on 20 sections of the training part of `slicemap` in 5 parts" in told
    assert with_trust(card, found.entry["trust"]["file"], model) == card
    record = json.loads(results.read_text())["mine"]
    assert record["weights_sha256"] == found.sha256
    for key in ("as_they_lie", "with_turned", "disturbed"):
        part = record["test_part"][key]
        assert part["n_sections"] == 3
        assert sum(point["n"] for point in part["curve"]) == part["n_regions"]
        assert part["flagged"]["n"] + part["not_flagged"]["n"] == part["n_regions"]
    assert record["test_part"]["as_they_lie"]["not_flagged"]["dice"] > 0.8
    assert record["other_kinds"] == {
        **{"n": 1, "n_told": 1, "missed": []},
        "folders": {"others": {"n": 1, "n_told": 1}},
    }


def test_the_fitting_network_is_suggested(calibrated, monkeypatch, capsys):
    store, _, inverted, section = calibrated
    monkeypatch.setenv("SEBRE_WEIGHTS", str(store))
    # That alone, so that one network is loaded.
    monkeypatch.setattr("sebre.networks.weights_store.shipped_store", lambda: store)
    # Of networks that find no regions of sections nothing is said.
    manifest = json.loads((store / "manifest.json").read_text(encoding="utf-8"))
    manifest["cells"] = {**next(iter(manifest.values())), "network": "neurites"}
    (store / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert main(["models", "suggest", str(section), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["untold"] == []
    assert [fit["name"] for fit in found["fits"]] == ["mine"]
    assert found["fits"][0]["distance"] <= 1 and found["fits"][0]["n_known"] == 1
    assert found["verdict"].startswith("Take mine")
    photo = store / "photo.png"
    Image.fromarray(skimage.data.astronaut()).save(photo)
    assert main(["models", "suggest", str(photo), str(inverted), str(store / "no.png")]) == 3
    out, err = capsys.readouterr()
    assert "None fits" in out and "0 of 2" in out
    assert "no.png" in err
