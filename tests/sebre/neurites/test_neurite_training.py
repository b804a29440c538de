"""Training, and the commands from a volume to scores."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.cli import main
from sebre.neurites.affinity_prediction import GrayValues, load_network
from sebre.neurites.blockwise import segment_file
from sebre.neurites.cells import FolderStore
from sebre.neurites.learning.neurite_training import TrainSettings, train
from sebre.neurites.volume_files import open_labels
from sebre.neurites.whole_volumes import Decoding

SETTINGS = {"voxel_nm": (10.0, 10.0, 10.0), "patch": (16, 24, 24), "widths": (6, 8)}
SMALL = TrainSettings(**{**SETTINGS, "widths": (4,)}, steps=4)


@pytest.fixture(scope="module")
def file(volume, tmp_path_factory):
    path = tmp_path_factory.mktemp("volume") / "volume.npz"
    np.savez(path, raw=volume.raw, labels=volume.labels, voxel_nm=volume.voxel_nm)
    return path


@pytest.fixture(scope="module")
def run(file, tmp_path_factory):
    """Folder of a network that has learned the made-up volume."""
    out = tmp_path_factory.mktemp("run")
    size = "--patch 16 24 24 --widths 6 8 --long-range 3 --learning-rate 0.01 --steps 80".split()
    how = ["--sections", "0:30", "--check", "30:40", "--without", "blur", "noise"]
    assert main(["neurites", "train", file, "--out", out, *size, *how]) == 0
    return out


def test_affinities_are_learned(run):
    (row,) = csv.DictReader((run / "log.csv").read_text().splitlines())
    assert row["step"] == "80"
    assert min(float(row[f"accuracy_{axis}"]) for axis in "zyx") > 0.8
    settings = json.loads((run / "settings.json").read_text())
    assert "darken" in settings["augmentations"] and "blur" not in settings["augmentations"]


@pytest.fixture(scope="module")
def once(volume, tmp_path_factory):
    """Folder of a short run of one level, and its network."""
    out = tmp_path_factory.mktemp("once")
    return out, train([volume], [], out, SMALL, keep=[2])


def test_a_run_that_goes_on_is_as_one_that_was_not_stopped(volume, once, tmp_path):
    train([volume], [], tmp_path / "twice", SMALL, stop_at=2)
    again = train([volume], [], tmp_path / "twice", SMALL)
    for a, b in zip(once[1].variables, again.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    kept = load_network(once[0] / "step_2.keras")
    assert kept.offsets[3] == (-6, 0, 0)
    assert kept.sha256 != load_network(once[0]).sha256


def test_a_run_may_begin_with_another_network(volume, run, once, tmp_path):
    settings = replace(SMALL, steps=1, learning_rate=1e-6, seed=1)
    made = train([volume], [], tmp_path / "more", settings, begin=once[1])
    for a, b in zip(made.trainable_variables, once[1].trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    with pytest.raises(UserError, match="other levels, filters or edges"):
        train([volume], [], tmp_path / "other", SMALL, begin=load_network(run).model)


def test_a_run_goes_on_with_its_own_settings_only(volume, run, tmp_path):
    with pytest.raises(UserError, match="seed was 0, is 1"):
        train([volume], [], run, TrainSettings(**SETTINGS, seed=1))
    other = replace(volume, raw=volume.raw[::-1])
    with pytest.raises(UserError, match="learned_from was"):
        train([other], [], run, TrainSettings(**{**SETTINGS, "learning_rate": 0.01}))
    with pytest.raises(UserError, match="multiples of"):
        train([volume], [], tmp_path, TrainSettings(**{**SETTINGS, "patch": (15, 24, 24)}))


def test_cells_of_any_place_are_predicted_alike(run, volume):
    network = load_network(run)
    gray = GrayValues.of(volume.raw)
    lattice = network.lattice(volume.raw.shape)
    whole = network.predict_cell(volume.raw, lattice, (0, 0, 0), gray)
    assert whole.shape == (6, *volume.raw.shape) and whole.dtype == np.uint8
    assert whole[0, 0].max() == whole[3, :3].max() == whole[5, ..., :3].max() == 0
    assert whole[3, 3].max() > 0


class _Stopped(Exception):
    pass


def _predict(file, out, run, *more):
    return main(["neurites", "predict", file, "--out", out, "--weights", run, *more])


def test_commands_from_a_volume_to_scores(file, run, tmp_path, capsys):
    assert _predict(file, tmp_path / "s.npz", run, "--threshold", "0.5") == 0
    assert not (tmp_path / "s.npz.unfinished").exists()
    out = tmp_path / "s.json"
    given = ["--segments", tmp_path / "s.npz"]
    assert main(["neurites", "evaluate", file, "--out", out, *given]) == 0
    scores = json.loads(out.read_text())["scores"]
    assert scores["rand_error"] < 0.3
    assert "adapted Rand error" in capsys.readouterr().out
    own = ["--weights", run, "--sections", "20:40", "--choose", "0:20"]
    method = ["--method", "components"]
    assert main(["neurites", "evaluate", file, "--out", tmp_path / "c.json", *own, *method]) == 0
    record = json.loads((tmp_path / "c.json").read_text())
    tried = record["chosen_on"]["vi_by_threshold"]
    assert record["decoding"]["threshold"] == float(min(tried, key=tried.get))


def test_sections_that_are_held_out_are_used_for_nothing_else(file, run, tmp_path, capsys):
    train_too = ["neurites", "train", file, "--out", tmp_path / "r", "--check", "10:20"]
    assert main(train_too) == 2
    assert "--check 10:20: these sections are learned from, too" in capsys.readouterr().err
    chosen_too = ["neurites", "evaluate", file, "--out", tmp_path / "s.json", "--weights", run]
    assert main([*chosen_too, "--choose", "10:20"]) == 2
    assert "--choose 10:20: these sections are scored, too" in capsys.readouterr().err
    for option, sections in (("--sections", "20:400"), ("--choose", "41:400")):
        beside = ["--sections", "0:40"] if option == "--choose" else []
        assert main([*chosen_too, *beside, option, sections]) == 2
        assert f"not all of {sections}. Give others" in capsys.readouterr().err
    assert main([*train_too[:-1], "20:400", "--sections", "0:20"]) == 2
    assert "not all of 20:400. Give others" in capsys.readouterr().err
    other = tmp_path / "other.npz"
    np.savez(other, labels=np.ones((70, 9, 11), np.uint16))
    scored = ["neurites", "evaluate", file, "--out", tmp_path / "s.json", "--sections", "0:9"]
    assert main([*scored, "--segments", other]) == 2
    assert "the segments are (70, 9, 11), " in capsys.readouterr().err
    assert not (tmp_path / "s.json").exists()
    assert main([*chosen_too, "--voxel-nm", "40", "4", "4"]) == 2
    assert "Is the order of the axes wrong?" in capsys.readouterr().err


def test_work_on_a_volume_that_changed_does_not_go_on(file, run, tmp_path, monkeypatch):
    copy, out = tmp_path / "v.npz", tmp_path / "s.npz"
    copy.write_bytes(file.read_bytes())
    given = (out, load_network(run), str(run), Decoding("components", 0.5))

    def stop(self, kind, place, array):
        raise _Stopped

    monkeypatch.setattr(FolderStore, "put", stop)
    with pytest.raises(_Stopped):
        segment_file(copy, *given)
    with np.load(file) as arrays:  # as many values, with the same mean and deviation
        np.savez(copy, **{**arrays, "raw": arrays["raw"][:, ::-1]})
    with pytest.raises(UserError, match="holds the unfinished work of another volume"):
        segment_file(copy, *given)


@pytest.mark.parametrize(
    ("method", "threshold"), [("components", 0.9), ("watershed", 0.5), ("mutex", 0.5)]
)
def test_work_that_was_stopped_goes_on(file, run, tmp_path, monkeypatch, method, threshold):
    network, decoding = load_network(run), Decoding(method, threshold)
    segment_file(file, tmp_path / "once.npz", network, str(run), decoding)
    put, done = FolderStore.put, []

    def put_a_few(self, kind, place, array):
        if len(done) == 3:
            raise _Stopped
        done.append(kind)
        put(self, kind, place, array)

    monkeypatch.setattr(FolderStore, "put", put_a_few)
    out = tmp_path / "twice.npz"
    with pytest.raises(_Stopped):
        segment_file(file, out, network, str(run), decoding)
    assert not out.exists()
    monkeypatch.setattr(FolderStore, "put", put)
    monkeypatch.setattr(network, "predict_cell", None)  # affinities are there
    segment_file(file, out, network, str(run), decoding)
    once, twice = (np.asarray(open_labels(tmp_path / n)) for n in ("once.npz", "twice.npz"))
    np.testing.assert_array_equal(once, twice)
    assert once.max() > 2


def test_work_of_other_settings_is_not_gone_on_with(file, run, tmp_path, capsys):
    work = tmp_path / "a.npz.unfinished"
    work.mkdir()
    (work / "job.json").write_text("{}")
    assert _predict(file, tmp_path / "a.npz", run) == 2
    assert "unfinished work" in capsys.readouterr().err


def test_wrong_networks_are_the_users_mistake(file, tmp_path, capsys):
    assert _predict(file, tmp_path / "a.npz", "slicemap") == 2
    assert "is not a network of affinities" in capsys.readouterr().err
    assert _predict(file, tmp_path / "a.npz", tmp_path) == 2
    assert "is missing" in capsys.readouterr().err
