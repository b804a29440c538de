"""Every command that writes keeps files that it did not write, before it computes anything."""

import importlib
import json
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from fixed_segmenter import RESULT, Fixed, result_of
from paths import ROOT
from PIL import Image
from section_folders import tree

import sebre
from sebre.cli import commands as cli
from sebre.cli.publish import Release, publish
from sebre.evaluation.evaluate import demand_result_path, save_json
from sebre.experiments import EXPERIMENTS
from sebre.networks.weights_store import read_manifest
from sebre.predict.job import Job

DATASET = ROOT / "datasets" / "slicemap"
IMAGE = DATASET / "mrcnn_val_dataset_images" / "section_img_0.png"
MINE = b"the user's own"

# Command, and the file that is in its way, below its output.
COMMANDS = {
    "evaluate": (["evaluate", "slicemap", "--dataset", DATASET, "--out", "OUT/r.json"], "r.json"),
    "register": (
        ["register", "slicemap", "--dataset", DATASET, "--method", "none", "--out", "OUT/r.json"],
        "r.json",
    ),
    "inspect": (["inspect", "slicemap", IMAGE, "--out", "OUT"], "section_img_0_panels.png"),
    "inspect, stages": (["inspect", "slicemap", IMAGE, "--out", "OUT"], "section_img_0_stages.npz"),
    "onnx": (["export", "slicemap", "--out", "OUT/n.onnx"], "n.onnx"),
    "saved model": (
        ["export", "slicemap", "--format", "saved_model", "--out", "OUT/net"],
        "net/notes.txt",
    ),
    "compare": (["compare", "--results", ROOT / "results", "--out", "OUT"], "RESULTS.md"),
    "demo": (["demo", "--out", "OUT"], "val_3_overlay.png"),
    "demo, table": (["demo", "--out", "OUT"], "regions.csv"),
    "detect": (["detect", "slicemap", IMAGE, "--out", "OUT"], "section_img_0_labels.png"),
    "detect, shapes": (
        ["detect", "slicemap", IMAGE, "--out", "OUT", "--masks", "rle"],
        "section_img_0_regions.json",
    ),
    "prepare": (
        ["prepare", "labels", "--raw", ROOT / "tests", "--out", "OUT"],
        "sections.csv",
    ),
    "bench": (["bench", "--only", "detect/float32", "--out", "OUT/b.json"], "b.json"),
    "bench, page": (
        ["bench", "--page", "OUT/P.md", "--from", ROOT / "results" / "bench" / "baseline.json"],
        "P.md",
    ),
}


@pytest.fixture(autouse=True)
def nothing_is_computed(monkeypatch):
    def fail(*_, **__):
        pytest.fail("something was computed")

    # What is imported while names stand for others would keep them.
    for module in pkgutil.walk_packages(sebre.__path__, "sebre."):
        # Those of the viewer need napari, and no command imports them.
        if not module.name.endswith("__main__") and not module.name.startswith("sebre.viewer"):
            importlib.import_module(module.name)
    for name in (
        *("cli.demo.load_segmenter", "networks.segmenter.load_segmenter"),
        *("networks.exports.load_segmenter", "predict.job.load_segmenter", "bench.run.run_cases"),
        *("registration.scoring.AtlasLabeler", "prepare.sources.read_source"),
    ):
        monkeypatch.setattr(f"sebre.{name}", fail)
    monkeypatch.setattr("sebre.report.style.ReportFigure.png", fail)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_in_the_way_stays(tmp_path, monkeypatch, capsys, name):
    arguments, in_the_way = COMMANDS[name]
    out = tmp_path / "out"
    path = out / in_the_way
    path.parent.mkdir(parents=True)
    path.write_bytes(MINE)
    monkeypatch.chdir(out)  # relative paths lead to the same files
    for where in (out, Path("."), tmp_path / "x" / ".." / "out"):
        (tmp_path / "x").mkdir(exist_ok=True)
        command = [str(a).replace("OUT", str(where)) for a in arguments]
        assert cli.main(command) == cli.USER_ERROR
        said = capsys.readouterr()
        assert said.out == "" and len(said.err.splitlines()) == 1
        assert any(words in said.err for words in ("there already", "not an empty folder"))
        assert tree(tmp_path) == {f"out/{in_the_way}": MINE}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_place_that_is_a_file_is_told(tmp_path, capsys, name):
    arguments, _ = COMMANDS[name]
    (tmp_path / "out").write_bytes(MINE)
    command = [str(a).replace("OUT", str(tmp_path / "out")) for a in arguments]
    assert cli.main(command) == cli.USER_ERROR
    assert f"{tmp_path / 'out'}: " in capsys.readouterr().err
    assert tree(tmp_path) == {"out": MINE}


def test_a_result_replaces_another_result_and_nothing_else(tmp_path):
    shipped = ROOT / "results" / "slicemap.json"
    path = tmp_path / "slicemap.json"
    path.write_bytes(shipped.read_bytes())  # no record says who wrote it
    save_json(json.loads(shipped.read_text()), path)
    for content in ("{}", "not JSON", '{"experiment": "mine"}'):
        path.write_text(content)
        for write in (demand_result_path, lambda path: save_json({"a": 1}, path)):
            with pytest.raises(ValueError, match="slicemap.json: there already"):
                write(path)
        assert path.read_text() == content
    with pytest.raises(ValueError, match="is a folder; wanted the name of a file"):
        demand_result_path(tmp_path)


@pytest.fixture
def release(tmp_path) -> Release:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("w.h5", "log.csv"):
        (run / name).write_bytes(MINE)
    (run / "config.json").write_text("{}")
    return Release("net", run / "w.h5", EXPERIMENTS["slicemap"], DATASET, "sebre train", "none")


@pytest.mark.parametrize(
    "ending", [".h5", ".config.json", ".training.json", ".log.csv", ".md", ".png"]
)
def test_publishing_keeps_what_the_manifest_does_not_have(release, tmp_path, ending):
    store = tmp_path / "store"
    store.mkdir()
    (store / f"net{ending}").write_bytes(MINE)
    before = tree(tmp_path)
    with pytest.raises(ValueError, match=f"net{ending}: there already"):
        publish(release, store, tmp_path / "r.json")
    assert tree(tmp_path) == before


def test_publishing_over_other_weights_or_a_result_of_others_is_refused(release, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    entry = {"file": "net.h5", "sha256": "0" * 64}
    (store / "manifest.json").write_text(json.dumps({"net": entry}))
    (store / "net.h5").write_bytes(MINE)  # exchanged since it was published
    with pytest.raises(ValueError, match="net.h5: there already"):
        publish(release, store, tmp_path / "r.json")
    (store / "net.h5").unlink()
    (tmp_path / "r.json").write_bytes(MINE)
    with pytest.raises(ValueError, match="r.json: there already"):
        publish(release, store, tmp_path / "r.json")
    (store / "manifest.json").write_text(json.dumps({"Net": entry}))
    with pytest.raises(ValueError, match="has 'Net', which is 'net' but for capitals"):
        publish(release, store, tmp_path / "new.json")
    assert list(read_manifest(store)) == ["Net"]


def test_weights_are_not_published_over_themselves(release, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "run")
    over = Release("w", "w.h5", release.experiment, DATASET, "sebre train", "none")
    with pytest.raises(ValueError, match="w.h5: is read and would be written over"):
        publish(over, tmp_path / "run", tmp_path / "r.json")


def test_detect_may_write_to_the_folder_of_the_pictures(tmp_path, monkeypatch, capsys):
    """The second call takes none of the outputs of the first for a picture."""
    network = Fixed(RESULT)
    monkeypatch.setattr(Job, "load", lambda job: network)
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "s.png")
    for more in ([], ["--restart"]):
        capsys.readouterr()
        assert cli.main(["detect", "slicemap", tmp_path, "--out", tmp_path, *more]) == cli.DONE
    assert len(network.shown) == 2
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Left out: 6: written by an earlier call (regions.csv, report.html, run.json and 3 more)"
    )
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == [
        *("regions.csv", "report.html", "run.json"),
        *("s.png", "s_labels.png", "s_overlay.png", "summary.json"),
    ]
    network.result = result_of()  # nothing found is told
    assert cli.main(["detect", "slicemap", tmp_path / "s.png", "--out", tmp_path / "x"]) == cli.DONE
    assert "No region was found in 1 of 1 section(s): s\n" in capsys.readouterr().out
    # What was corrected by hand is not lost when settings change.
    (tmp_path / "s_labels.png").write_bytes(MINE)
    command = ["detect", "slicemap", tmp_path / "s.png", "--out", tmp_path, "--overlay-px", "99"]
    assert cli.main(command) == cli.USER_ERROR
    assert "s_labels.png: there already" in capsys.readouterr().err
    assert (tmp_path / "s_labels.png").read_bytes() == MINE
