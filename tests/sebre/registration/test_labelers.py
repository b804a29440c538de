"""Scores of registration and of a network on the same sections."""

import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from section_cases import Scripted

from sebre.cli import commands as cli
from sebre.data.metadata import read_facts
from sebre.data.regions import SLICEMAP
from sebre.data.section_files import part_folder
from sebre.registration import methods as registration_methods
from sebre.registration import scoring as evaluate_registration
from sebre.registration import transform as registration
from sebre.registration.labelers import AtlasLabeler, NetworkLabeler
from sebre.registration.methods import RegistrationError
from sebre.registration.scoring import evaluate_labeler, register_command

SECTIONS = ROOT / "datasets" / "slicemap"
ATLASES, TESTED, WANTED = 3, 3, 2


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """A few sections of slicemap, so that few atlases are compared."""
    root = tmp_path_factory.mktemp("few") / "slicemap"
    for part, count in (("train", ATLASES), ("val", TESTED)):
        for kind in ("images", "masks"):
            whole, few = part_folder(SECTIONS, part, kind), part_folder(root, part, kind)
            few.mkdir(parents=True)
            for number in range(count):
                for path in whole.glob(f"*_{number}*"):
                    if path.stem.endswith(f"_{number}"):
                        copy = shutil.copytree if path.is_dir() else shutil.copy
                        copy(path, few / path.name)
    for name in ("dataset.json", "sections.csv"):
        shutil.copy(SECTIONS / name, root)
    return root


class Keeping(AtlasLabeler):
    """Keeps what it was shown."""

    def __init__(self, *args):
        super().__init__(*args)
        self.shown: list[np.ndarray] = []

    def label(self, name, picture):
        self.shown.append(picture)
        return super().label(name, picture)


class WholeSection(Scripted):
    """Finds the regions 1 and 2, twice, everywhere: all of its masks overlap."""

    def detect(self, images):
        self.shown += images
        return [
            {
                "rois": np.tile([0, 0, *image.shape[:2]], (4, 1)),
                "class_ids": np.array([1, 2, 1, 2], np.int32),
                "scores": np.array([0.9, 0.8, 0.7, 0.6], np.float32),
                "masks": np.ones((*image.shape[:2], 4), bool),
            }
            for image in images
        ]


def broken(monkeypatch, points) -> None:
    """`points` in place of elastix."""
    method = registration_methods.Method(points, {"grid": 16}, 1)
    monkeypatch.setattr(registration, "_METHODS", {"elastix": lambda seed, threads: method})


@pytest.fixture(scope="module")
def record(dataset, tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("scores") / "none.json"
    register_command(
        "slicemap", dataset, "none", out, limit=WANTED, seed=1, command="sebre register"
    )
    return json.loads(out.read_text(encoding="utf-8"))


def test_scores_have_the_fields_of_an_evaluation(record):
    stored = json.loads((ROOT / "results" / "slicemap.json").read_text(encoding="utf-8"))
    of_a_network = {
        *("network", "weights", "weights_sha256", "angles", "detection_min_confidence"),
        *("image_px", "best_per_class", "slice_spacing_um"),
    }
    assert stored.keys() - record.keys() <= of_a_network
    assert stored["sections"][0].keys() <= record["sections"][0].keys()
    assert record["method"] == "none" and record["experiment"] == "slicemap"
    assert record["command"] == "sebre register"
    assert record["n_sections"] == record["turned"]["n_sections"] == WANTED
    assert 0 < record["dice_mean"] < 1 and 0 < record["mse"] < 1
    assert record["turned"]["dice_mean"] < record["dice_mean"]


def test_squared_errors_are_those_of_the_sections_and_the_regions(record):
    for part in (record, record["turned"]):
        assert list(part["mse_per_region"]) == [region.name for region in SLICEMAP]
        assert part["mse"] == pytest.approx(np.mean([s["mse"] for s in part["sections"]]))
        assert part["mse"] == pytest.approx(np.mean(list(part["mse_per_region"].values())))
        assert min(part["mse_per_region"].values()) > 0


def test_atlases_are_training_sections(dataset, record):
    units = read_facts(dataset).units
    for part in (record, record["turned"]):
        assert len(part["sections"]) == WANTED
        assert all(s["atlas"].startswith("train/") for s in part["sections"])
        assert all(s["section"].startswith("val/") for s in part["sections"])
        assert all(s["unit"] == units[s["section"]] for s in part["sections"])
    assert {s["angle"] for s in record["sections"]} == {0}
    assert {abs(s["angle"]) for s in record["turned"]["sections"]} == {20}
    assert record["atlas"]["subset"] == "train" and "mutual information" in record["atlas"]["rule"]


def test_scores_are_the_same_again_and_a_network_sees_the_same(dataset, record):
    atlas = Keeping(dataset, SLICEMAP, "none")
    again = evaluate_labeler(atlas, dataset, SLICEMAP, limit=WANTED, seed=1).to_json()
    times = ("seconds", "experiment", "command", "environment")
    one, other = ({k: v for k, v in r.items() if k not in times} for r in (record, again))
    assert one == json.loads(json.dumps(other))

    segmenter = WholeSection()
    found = evaluate_labeler(
        NetworkLabeler(segmenter), dataset, SLICEMAP, limit=WANTED, seed=1
    ).to_json()
    warming, *shown = segmenter.shown
    assert warming.dtype == np.uint8
    assert len(shown) == len(atlas.shown) == 2 * WANTED
    for picture, same in zip(shown, atlas.shown, strict=True):
        np.testing.assert_array_equal(picture, same)
    for part, other in ((found, record), (found["turned"], record["turned"])):
        for section, same in zip(part["sections"], other["sections"], strict=True):
            assert (section["section"], section["angle"]) == (same["section"], same["angle"])
    assert record.keys() - {"command"} <= found.keys()


def test_masks_of_a_network_are_taken_as_they_are(dataset):
    labeler = NetworkLabeler(WholeSection())
    found = evaluate_labeler(labeler, dataset, SLICEMAP, limit=1).to_json()
    assert found["method"] == "network" and found["network"] == "scripted"
    assert found["weights"] == "w.h5" and found["weights_sha256"] == "0" * 64
    assert found["atlas"] is None and found["parameters"] == {} and found["threads"] is None
    # Both regions have the whole section: in a label map one of them would have nothing.
    first, second, *others = (region.name for region in SLICEMAP)
    assert found["missed_per_region"] == {first: 0, second: 0, **dict.fromkeys(others, 1)}
    assert found["dice_per_region"][first] > 0 and found["dice_per_region"][second] > 0
    assert found["failures"]["duplicate"]["total"] == 2
    assert "atlas" not in found["sections"][0] and found["n_failed"] == 0


def test_seconds_are_processor_time_after_a_first_call(dataset, monkeypatch):
    class Slow(WholeSection):
        def detect(self, images):
            if self.shown:
                time.sleep(0.3)
            else:
                until = time.process_time() + 0.3
                while time.process_time() < until:
                    pass
            return super().detect(images)

    picture = np.zeros((40, 50, 3), np.uint8)
    picture[5:20, 5:30] = 200
    assert NetworkLabeler(Slow()).label("val/0", picture).seconds < 0.2

    def points(moving, fixed):
        time.sleep(0.3)
        return np.moveaxis(np.indices(fixed.shape), 0, -1)

    broken(monkeypatch, points)
    assert AtlasLabeler(dataset, SLICEMAP, "elastix").label("val/0", picture).seconds < 0.2


def test_where_every_registration_failed_the_command_says_so(
    dataset, tmp_path, monkeypatch, capsys
):
    def points(moving, fixed):
        raise RegistrationError("elastix found no transform (too few samples).")

    broken(monkeypatch, points)
    out = tmp_path / "elastix.json"
    arguments = ["slicemap", "--dataset", dataset, "--limit", WANTED, "--method", "elastix"]
    assert cli.main(["register", *arguments, "--out", out]) == cli.DONE
    printed, errors = capsys.readouterr()
    assert printed.count("mean Dice 0.000") == 2 and printed.count(f"{WANTED} of them failed") == 2
    assert errors == ""
    record = json.loads(out.read_text())
    for part in (record, record["turned"]):
        assert part["n_failed"] == part["n_sections"] == WANTED
        assert part["dice_mean"] == 0 and part["seconds_per_section"] is None
        assert all("too few samples" in s["failed"] for s in part["sections"])
        assert part["missed_per_region"] == part["n_per_region"]
        assert all(value > 0 for value in part["mse_per_region"].values())
    assert record["parameters"]["grid"] == 16


def test_wrong_options_are_told(dataset, tmp_path):
    out = tmp_path / "out.json"
    with pytest.raises(ValueError, match="limit is 0"):
        register_command("slicemap", dataset, "none", out, limit=0)
    with pytest.raises(ValueError, match="'mouse' is not one of"):
        register_command("mouse", dataset, "none", out)
    with pytest.raises(ValueError, match="not a registration method; wanted none, elastix, dipy"):
        register_command("slicemap", dataset, "ndreg", out)
    with pytest.raises(ValueError, match="network needs weights"):
        register_command("slicemap", dataset, "network", out)
    assert not out.exists()


def test_the_command_scores_and_tells_what_is_wrong(dataset, tmp_path, monkeypatch, capsys):
    out, other = tmp_path / "none.json", tmp_path / "x.json"
    arguments = ["register", "slicemap", "--dataset", dataset, "--limit", "1"]
    assert cli.main([*arguments, "--method", "none", "--out", out]) == 0
    record = json.loads(out.read_text())
    printed = capsys.readouterr().out
    assert f"mean Dice {record['dice_mean']:.3f}" in printed and "turned 20" in printed
    assert "failed" not in printed
    assert record["command"].startswith("sebre register slicemap --dataset ")

    monkeypatch.setitem(sys.modules, "itk", None)
    assert cli.main([*arguments, "--method", "elastix", "--out", other]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sebre register: ") and "sebre[registration]" in error
    assert cli.main([*arguments, "--method", "dipy", "--weights", "w.h5", "--out", other]) == 2
    error = capsys.readouterr().err
    assert "Weights (w.h5) are for the method network; dipy has none" in error
    assert not other.exists()


def test_the_command_takes_the_weights_given_or_those_shipped(
    dataset, tmp_path, monkeypatch, capsys
):
    asked = []

    def load(weights, experiment):
        asked.append((weights, experiment.name))
        return WholeSection()

    monkeypatch.setattr(evaluate_registration, "load_segmenter", load)
    out = tmp_path / "network.json"
    arguments = ["register", "slicemap", "--dataset", dataset, "--limit", "1"]
    arguments += ["--method", "network", "--out", out]
    assert cli.main(arguments) == cli.main([*arguments, "--weights", "mine.h5"]) == 0
    assert asked == [("slicemap", "slicemap"), ("mine.h5", "slicemap")]
    assert json.loads(out.read_text())["network"] == "scripted"
