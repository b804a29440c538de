"""`sebre models`: the table, one network, and mistakes."""

import json
from pathlib import Path

import pytest

from sebre.cli.commands import main
from sebre.networks.weights_store import read_manifest, shipped_store, write_entry


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
