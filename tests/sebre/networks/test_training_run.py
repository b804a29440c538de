"""A resumed run goes on with what it was begun with, or says what differs; Ctrl-C keeps all."""

import json
import shlex
import shutil
import signal
from datetime import datetime
from pathlib import Path

import keras
import pytest
from named_sets import named_set, region_set, tiny_experiment
from section_folders import tree
from small_run import epochs_of

from mrcnn.model import MaskRCNN
from mrcnn.training.checkpoints import make_log_dir
from mrcnn.training.loop import StopOnBadLoss
from sebre.cli import commands as cli
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import Stage
from sebre.networks.training_run import demand_same_run, read_run, training_facts, write_run
from sebre.program import STOPPED

NAMES = ("cortex", "hippocampus")


TINY = tiny_experiment(Stage("all", 4), name="slicemap", regions=region_set(*NAMES))


def count_steps(model, batches, checks, step=0, *, callbacks, initial_epoch, epochs, verbose):
    """Stands for `fit`: nothing is learned, which takes a Mask R-CNN long even once."""
    callbacks = keras.callbacks.CallbackList(callbacks, model=model)
    for epoch in range(initial_epoch, epochs):
        callbacks.set_params({"steps": len(batches) - step})
        callbacks.on_epoch_begin(epoch)
        for batch in range(len(batches) - step):
            model.optimizer.iterations.assign_add(1)
            callbacks.on_train_batch_end(batch, {"loss": 1.0})
        callbacks.on_epoch_end(epoch, {"loss": 1.0})
        step = 0


@pytest.fixture(autouse=True)
def experiment(monkeypatch):
    """One with two regions, and an epoch of two steps."""
    monkeypatch.setitem(EXPERIMENTS, "slicemap", TINY)
    monkeypatch.setattr("mrcnn.training.loop.fit", count_steps)
    return TINY


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return named_set(tmp_path_factory.mktemp("data") / "set", NAMES)


UNET = {"UNET_WIDTH": 4, "UNET_LEVELS": 2}
SETTINGS = {"NUM_CLASSES": 3, "IMAGES_PER_GPU": 1, "STEPS_PER_EPOCH": 2, "WORKERS": 0}


def arguments(data, logs, network="mask_rcnn", **changes) -> list[str]:
    own = UNET if network == "unet" else {}
    settings = {**SETTINGS, **own, **changes.pop("settings", {})}
    options = {"dataset": data, "logs": logs, "network": network, "steps": 4, "seed": 0, **changes}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return ["train", "slicemap", *words, *(f"--set={n}={v}" for n, v in settings.items())]


def resume(network):
    return [*(["--weights", "last"] if network == "mask_rcnn" else []), "--resume"]


@pytest.fixture(scope="module")
def begun(data, tmp_path_factory) -> dict[str, Path]:
    """Folders of complete runs of both networks."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXPERIMENTS, "slicemap", TINY)
        patch.setattr("mrcnn.training.loop.fit", count_steps)
        for network in ("mask_rcnn", "unet"):
            logs = tmp_path_factory.mktemp(network) / "logs"
            assert cli.main(arguments(data, logs, network)) == cli.DONE
            (folders[network],) = logs.iterdir()
    return folders


@pytest.fixture(params=["mask_rcnn", "unet"])
def run(request, begun, tmp_path) -> tuple[str, Path]:
    """A network, and the folder of a run of it that a test may change."""
    folder = tmp_path / "logs" / begun[request.param].name
    shutil.copytree(begun[request.param], folder)
    return request.param, folder


def test_nothing_is_left_to_train(run, data, caplog, capsys):
    network, folder = run
    before = tree(folder)
    caplog.set_level("INFO", "sebre")
    assert cli.main([*arguments(data, folder.parent, network), *resume(network)]) == cli.DONE
    assert "nothing is left to train; all 2 epochs are done" in caplog.text
    assert capsys.readouterr().out.startswith("Weights: ")
    assert tree(folder) == before


def test_what_a_run_writes_down(run, data):
    network, folder = run
    facts = read_run(folder)
    assert facts["CLASS_NAMES"] == list(NAMES)
    assert facts["dataset"]["name"] == "set" and facts["dataset"]["sections"] == 2
    assert (facts["start"], facts["inner_validation"]) == ("none", 0.0)
    assert facts["schedule"] == [{"layers": "all", "steps": 4, "rate": 1.0}]
    assert str(data) not in (folder / "training.json").read_text()


CHANGES = {
    "steps": ({"steps": 8}, "schedule.0.steps 4, now 8"),
    "length of an epoch": ({"settings": {"STEPS_PER_EPOCH": 4}}, "STEPS_PER_EPOCH 2, now 4"),
    "batch size": ({"settings": {"IMAGES_PER_GPU": 2}}, "IMAGES_PER_GPU 1, now 2"),
    "seed": ({"seed": 1}, "SEED 0, now 1"),
    "rate": ({"settings": {"LEARNING_RATE": 0.1}}, "LEARNING_RATE 0.001, now 0.1"),
    "size of pictures": (
        {"settings": {"IMAGE_MIN_DIM": 128, "IMAGE_MAX_DIM": 128}},
        "IMAGE_MAX_DIM 64, now 128",
    ),
    "what is held out": ({"inner_validation": 0.5}, "inner_validation 0.0, now 0.5"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_must_not_change_is_named_and_refused(run, data, capsys, case):
    network, folder = run
    changes, message = CHANGES[case]
    before = tree(folder)
    words = arguments(data, folder.parent, network, **changes)
    assert cli.main([*words, *resume(network)]) == cli.USER_ERROR
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith(f"sebre train: {folder}: the run was begun with other arguments (")
    assert message in line and "Resume it with the same" in line
    assert tree(folder) == before


def test_another_data_set_of_the_same_size_is_refused(run, tmp_path, capsys):
    network, folder = run
    other = named_set(tmp_path / "set", NAMES, ground=31)
    words = arguments(other, folder.parent, network)
    assert cli.main([*words, *resume(network)]) == cli.USER_ERROR
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "(dataset.sha256 " in line and ", now " in line


def test_masks_drawn_anew_are_another_data_set(data, tmp_path, experiment):
    facts = [training_facts(experiment.default, [4], data, 0.0)["dataset"]]
    shutil.copytree(data, tmp_path / "set")
    facts.append(training_facts(experiment.default, [4], tmp_path / "set", 0.0)["dataset"])
    assert facts[0] == facts[1]
    masks = tmp_path / "set/mrcnn_train_dataset_masks/section_masks_1"
    for path, other in zip(sorted(masks.iterdir()), sorted(masks.iterdir())[::-1], strict=True):
        path.with_suffix(".new").write_bytes(other.read_bytes())
    for path in sorted(masks.glob("*.new")):
        path.replace(path.with_suffix(".png"))
    facts.append(training_facts(experiment.default, [4], tmp_path / "set", 0.0)["dataset"])
    assert facts[2]["sha256"] != facts[0]["sha256"]


def test_what_may_change_is_named(run, data, tmp_path, caplog):
    network, folder = run
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    caplog.set_level("INFO", "sebre")
    before = tree(folder)
    words = arguments(moved, folder.parent, network, settings={"CACHE_MEMORY_MB": 7})
    assert cli.main([*words, *resume(network)]) == cli.DONE
    assert (
        "goes on with CACHE_MEMORY_MB 1024, now 7; dataset.name set, now moved, on" in caplog.text
    )
    assert tree(folder) == before


def test_a_run_of_an_earlier_version_says_what_is_not_known(tmp_path, data, experiment, caplog):
    config = experiment.default.config(NUM_CLASSES=3)
    facts = training_facts(experiment.default, [4], data, 0.0)
    write_run(tmp_path, config, {key: facts[key] for key in ("start", "schedule", "augmentation")})
    demand_same_run(tmp_path, config, {**facts, "start": "last"})
    (record,) = caplog.records
    assert "did not write down variant, dataset.name, dataset.sections" in record.getMessage()
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(ValueError, match="training.json: not a record of a training"):
        demand_same_run(tmp_path, config, facts)


def test_a_run_is_resumed_as_the_variant_that_it_was_begun_as(tmp_path, monkeypatch):
    from sebre.networks.train import TrainingOptions

    full = EXPERIMENTS["p14_mouse"]
    for name in ("from_scratch", "small"):
        logs = tmp_path / name
        variant = full.variant(name)
        folder = logs / "p14_mouse20260102T0304"
        facts = training_facts(variant, [s.steps for s in variant.schedule], tmp_path, 0.0)
        write_run(folder, variant.config(), facts)
        (folder / "mask_rcnn_p14_mouse_0001.h5").touch()
        options = TrainingOptions(tmp_path, logs, weights="last", resume=True)
        assert options.variant_of(full) is variant


def test_weights_last_without_resume_begin_a_run_of_their_own(begun, data, tmp_path, caplog):
    folder = tmp_path / "logs" / begun["mask_rcnn"].name
    shutil.copytree(begun["mask_rcnn"], folder)
    before = tree(folder)
    words = arguments(data, folder.parent, steps=2)
    assert cli.main([*words, "--weights", "last"]) == cli.DONE
    assert tree(folder) == before
    other = max(folder.parent.iterdir())
    assert other != folder
    assert read_run(other)["start"] == "last" and read_run(folder)["start"] == "none"


@pytest.mark.parametrize(("network", "epoch"), [("mask_rcnn", 0), ("unet", 1)])
def test_ctrl_c_saves_and_prints_the_command_that_goes_on(
    op_by_op, network, epoch, begun, data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("sys.argv", ["/usr/bin/sebre"])
    batches = []

    def press(self, batch, logs=None):
        batches.append(batch)
        if len(batches) == 2 * epoch + 1:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        patch.setattr(StopOnBadLoss, "on_train_batch_end", press)
        words = arguments(data, tmp_path / "my logs", network)
        assert cli.main(words) == STOPPED
    signal.signal(signal.SIGINT, before)
    said, command = capsys.readouterr().err.strip().splitlines()[-2:]
    (folder,) = (tmp_path / "my logs").iterdir()
    (checkpoint,) = folder.glob(f"*_{epoch:04d}_step_0001.h5")
    assert said == f"sebre train: stopped, with the checkpoint {checkpoint}. Go on with:"
    program, *again = shlex.split(command)
    assert program == "sebre" and again == [*words, *resume(network)]
    settings = (folder / "config.json").read_bytes()
    assert cli.main(again) == cli.DONE
    assert (folder / "config.json").read_bytes() == settings
    left = [sorted(p.name for p in f.iterdir() if p.is_file()) for f in (folder, begun[network])]
    assert left[0] == left[1]
    for wanted, row in zip(epochs_of(begun[network]), epochs_of(folder), strict=True):
        assert row == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("argv0", "given", "wanted"),
    [
        (
            "/usr/bin/sebre",
            ["train", "ibsr", "--dataset=d", "--logs", "a b", "--weights", "last", "--resume"],
            "sebre train ibsr --dataset=d --logs 'a b' --weights last --resume",
        ),
        (
            "/x/sebre/__main__.py",
            ["train", "ibsr", "--dataset=d", "--resume", "--weights=last", "--logs=l"],
            "python -m sebre train ibsr --dataset=d --logs=l --weights last --resume",
        ),
        # Before its first step there is nothing to go on from.
        (
            "samples/ibsr.py",
            ["train", "--dataset=d", "--logs=l", "--weights=none"],
            "python samples/ibsr.py train --dataset=d --logs=l --weights=none",
        ),
    ],
)
def test_the_command_is_that_of_the_program(monkeypatch, capsys, argv0, given, wanted):
    monkeypatch.setattr("sys.argv", [argv0])

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sebre.networks.train.run_training", stop)
    assert cli.main(given, experiment=None if "ibsr" in given else "ibsr") == STOPPED
    assert capsys.readouterr().err.splitlines()[-1] == wanted


def test_two_runs_of_one_minute_have_folders_of_their_own(tmp_path, experiment):
    config = experiment.default.config(NUM_CLASSES=3)
    names = []
    for _ in range(3):
        model = MaskRCNN.__new__(MaskRCNN)
        model.config, model.model_dir = config, str(tmp_path)
        model.set_log_dir()
        write_run(model.log_dir, config, {})
        names.append(Path(model.log_dir).name)
    assert len(set(names)) == 3
    # Those that start together, before either has written anything.
    now = datetime(2026, 1, 2, 3, 4, 5)
    folders = {make_log_dir(tmp_path / "logs", "mine", now) for _ in range(3)}
    assert {Path(folder).name for folder in folders} == {
        f"mine20260102T0304{end}" for end in ("", "05", "06")
    }
    assert json.loads((tmp_path / names[0] / "training.json").read_text()) == {}
