"""The scripts in samples/ train as `sebre train` does."""

import importlib.util
from types import ModuleType

import numpy as np
import pytest
from paths import ROOT

from sebre.experiments import EXPERIMENTS
from sebre.networks import train as library
from sebre.networks.train import TrainingOptions


def sample(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "samples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(options: dict) -> dict:
    """Options of `MaskRCNN.train` that can be compared."""
    augmentation = options["augmentation"]
    callbacks = [(type(one), getattr(one, "epochs", 0)) for one in options["custom_callbacks"]]
    same = {"augmentation": augmentation and vars(augmentation), "custom_callbacks": callbacks}
    return {**options, **same}


def test_each_experiment_has_a_sample():
    assert {path.stem for path in (ROOT / "samples").glob("*.py")} == {
        *EXPERIMENTS,
        "areas",
        "neurites",
    }


def test_the_sample_of_neurites_trains_chooses_and_scores(tmp_path, capsys):
    labels = np.indices((210, 24, 24)).sum(axis=0) // 40 + 1
    noise = np.random.default_rng(0).integers(0, 30, labels.shape)
    raw = (60 + 30 * (labels % 3) + noise).astype(np.uint8)
    path = tmp_path / "volume.npz"
    np.savez(path, raw=raw, labels=labels.astype(np.uint16), voxel_nm=(10.0, 10.0, 10.0))
    given = [str(path), "--out", str(tmp_path / "run"), "--steps", "1", "--patch", "16", "16", "16"]
    assert sample("neurites").main(given) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "adapted Rand" in line]
    assert [line.split()[0] for line in lines] == ["watershed", "components"]


def test_the_sample_of_areas_trains_scores_and_fills(tmp_path, capsys):
    pytest.importorskip("itk")
    rows, columns = np.indices((96, 80))
    ring = np.hypot(rows - 88, columns) < 60
    noise = np.random.default_rng(0).integers(0, 30, (5, 96, 80))
    path = tmp_path / "stack.npz"
    labels = np.where(ring, 1 + (columns > 30), 0).astype(np.uint8)
    np.savez(
        path,
        images=(60 * labels + noise).astype(np.uint8),
        labels=np.repeat(labels[None], 5, axis=0),
        names=np.array(list("abcde")),
        z_mm=np.arange(5.0),
        pixel_um=50.0,
        areas=np.array(["A", "B"]),
    )
    given = [str(path), "--out", str(tmp_path / "run"), "--steps", "1", "--split", "names:c"]
    assert sample("areas").main([*given, "--gap", "a", "e"]) == 0
    assert "network without prior" in capsys.readouterr().out
    assert (tmp_path / "run" / "filled" / "areas.obj").is_file()


CASES = [(name, variant) for name, e in EXPERIMENTS.items() for variant in e.variants]


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_a_sample_trains_as_the_command_does(name, variant, tmp_path, monkeypatch):
    calls = []

    class Recorder:
        def __init__(self, mode, config, model_dir):
            self.config, self.model_dir = config, str(tmp_path / "runs")
            calls.append((mode, config.to_dict(), type(config), model_dir))

        def train(self, *sets, **options):
            calls.append((sets, plain(options)))

    class Sections:
        regions = EXPERIMENTS[name].regions

        def load(self, *where, **part):
            self.where = where, part
            return self

        def prepare(self):
            calls.append((type(self), self.where))

        def __eq__(self, other):
            return self.where == other.where

    monkeypatch.setattr("mrcnn.model.MaskRCNN", Recorder)
    monkeypatch.setattr(library, "MaskRCNN", Recorder)
    module = sample(name)
    (dataset,) = (key for key in vars(module) if key.endswith("Dataset"))
    assert getattr(module, dataset) is EXPERIMENTS[name].dataset
    monkeypatch.setattr(module, dataset, Sections)
    monkeypatch.setattr(type(EXPERIMENTS[name]), "sections", lambda experiment: Sections())
    options = TrainingOptions("data", tmp_path, variant=variant, seed=3)
    module.train(options)
    ours, calls[:] = calls[:], []
    library.run_training(EXPERIMENTS[name], options)
    assert ours == calls
    assert len(ours) == 2 + len(EXPERIMENTS[name].variant(variant).schedule)
