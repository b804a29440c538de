import json
import math
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
from paths import HELPERS, ROOT, STUCK_SECONDS
from phantoms import PhantomConfig, Phantoms, moving_averages
from small_run import SmallRun, epochs_of

from mrcnn.data.samples import UnreadableImageError
from mrcnn.model import MaskRCNN
from mrcnn.training.loop import EpochScore, StopOnBadLoss, train


def test_a_bad_loss_stops_with_one_message_that_names_the_remedies():
    callback = StopOnBadLoss()
    callback.on_epoch_begin(4)
    callback.on_train_batch_end(0, {"loss": 1.0})
    for bad in (math.nan, math.inf):
        with pytest.raises(FloatingPointError, match=r"epoch 5, step 8 \(rpn_bbox_loss\).*smaller"):
            callback.on_train_batch_end(7, {"loss": bad, "rpn_bbox_loss": bad})


def test_a_score_is_logged_and_chooses_the_best_weights(tmp_path):
    run, scores = SmallRun(tmp_path), iter([0.5, math.nan, 0.9, 0.7])
    run.two_stages(callbacks=[EpochScore("dice", lambda: next(scores))])
    logged = [row["dice"] for row in epochs_of(tmp_path)]
    assert logged == pytest.approx([0.5, math.nan, 0.9, 0.7], nan_ok=True)
    best, third, last = (
        read_weights(tmp_path / f"{name}.h5")
        for name in ("best_mask_rcnn_phantom", *(f"mask_rcnn_phantom_000{i}" for i in (3, 4)))
    )
    assert best == third != last


def read_weights(path):
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tolist()

    with h5py.File(path) as file:
        file.visititems(note)
    return found


class Interrupt(keras.callbacks.Callback):
    def __init__(self, run, after):
        super().__init__()
        self.run, self.after = run, after

    def on_train_batch_end(self, batch, logs=None):
        if self.run.epoch == self.after and batch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after, accumulation", [(1, 1), (2, 1), (3, 1), (1, 2)])
def test_a_schedule_of_two_stages_resumes_in_either_and_between_them(tmp_path, after, accumulation):
    settings = {"ACCUMULATION_STEPS": accumulation}
    whole = SmallRun(tmp_path / "whole", **settings)
    whole.two_stages()
    # The second stage has an optimizer of its own; an epoch is three of its steps.
    assert int(whole.keras_model.optimizer.iterations) == 2 * 3
    broken = SmallRun(tmp_path / "broken", **settings)
    with pytest.raises(KeyboardInterrupt):
        broken.two_stages(callbacks=[Interrupt(broken, after)])
    SmallRun(tmp_path / "broken", after, **settings).two_stages(resume=True)
    whole, resumed = epochs_of(tmp_path / "whole"), epochs_of(tmp_path / "broken")
    assert [row["epoch"] for row in resumed] == [1, 2, 3, 4]
    for expected, row in zip(whole, resumed, strict=True):
        assert row == pytest.approx(expected, rel=1e-5)


def test_two_batches_of_one_image_make_the_step_of_one_batch_of_two(tmp_path):
    """For a loss that is a mean over images. The losses of the network are means over the
    anchors and ROIs that count in a batch, so there the two differ as the images do in these
    numbers."""
    weights = []
    for size, accumulation in ((2, 1), (1, 2)):
        run = SmallRun(tmp_path / str(size), IMAGES_PER_GPU=size, ACCUMULATION_STEPS=accumulation)
        noise = run.keras_model.get_layer("noise")
        noise.call = lambda x: x
        train(run, Phantoms(5), None, 0.1, 1, "all", verbose=0)
        weights.append(run.keras_model.get_weights())
    initial = SmallRun(tmp_path).keras_model.get_weights()
    for one, two, before in zip(*weights, initial, strict=True):
        assert np.abs(one - before).max() > 1e-3
        np.testing.assert_allclose(two, one, atol=1e-5)


def start(*arguments):
    """tests/helpers/phantoms.py in a process of its own, on one thread."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }
    # Keras meets NumPy's warning on the arrays of TensorFlow, as in pyproject.toml.
    flags = ["-Werror", "-Wignore:__array__ implementation"]
    command = [sys.executable, *flags, str(HELPERS / "phantoms.py"), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process):
    output, _ = process.communicate(timeout=STUCK_SECONDS)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """An unbroken run, and one that was killed in its second epoch and resumed."""
    folder = tmp_path_factory.mktemp("runs")
    marker = folder / "marker.json"
    unbroken = start(folder / "whole", folder / "whole.json")
    process = start(folder / "killed", folder / "killed.json", "--kill-marker", marker)
    deadline = time.monotonic() + STUCK_SECONDS
    while not marker.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    log_dir = next((folder / "killed").iterdir())
    before = sorted(p.name for p in log_dir.iterdir() if p.is_file())

    finish(start(folder / "killed", folder / "resumed.json", "--resume"))
    output = finish(unbroken)
    return SimpleNamespace(
        output=output,
        whole=json.loads((folder / "whole.json").read_text()),
        killed_losses=json.loads(marker.read_text()),
        killed_dir=log_dir,
        files_before=before,
        resumed=json.loads((folder / "resumed.json").read_text()),
    )


def test_the_same_seed_gives_the_same_first_ten_losses(runs):
    assert len(runs.killed_losses) == 10
    assert runs.killed_losses == runs.whole["losses"][:10]


def test_a_killed_run_resumes_and_ends_like_an_unbroken_one(runs):
    assert runs.resumed["log_dir"] == str(runs.killed_dir)
    assert len(runs.resumed["losses"]) == 12
    whole, resumed = epochs_of(runs.whole["log_dir"]), epochs_of(runs.killed_dir)
    assert [row["epoch"] for row in resumed] == [1, 2, 3]
    for expected, row in zip(whole, resumed, strict=True):
        assert row == pytest.approx(expected, rel=1e-4)


def test_a_run_leaves_all_checkpoints_the_best_and_the_last_state(runs):
    assert runs.files_before == [
        "best_mask_rcnn_phantom.h5",
        "log.csv",
        "mask_rcnn_phantom_0001.h5",
        "training_state_0001.npz",
    ]
    assert sorted(p.name for p in runs.killed_dir.iterdir() if p.is_file()) == [
        "best_mask_rcnn_phantom.h5",
        "log.csv",
        "mask_rcnn_phantom_0001.h5",
        "mask_rcnn_phantom_0002.h5",
        "mask_rcnn_phantom_0003.h5",
        "training_state_0003.npz",
    ]
    assert list((runs.killed_dir / "train").glob("events*"))
    columns = set(epochs_of(runs.killed_dir)[0])
    losses = {"loss", *PhantomConfig.LOSS_WEIGHTS}
    assert columns == {"epoch", *losses, *(f"val_{name}" for name in losses)}


def test_the_output_shows_every_loss(runs):
    for name in ("loss", *PhantomConfig.LOSS_WEIGHTS):
        assert f"- {name}: " in runs.output
        assert f"- val_{name}: " in runs.output


@pytest.mark.usefixtures("op_by_op")
def test_frozen_batch_normalization_is_unchanged_by_training(tmp_path):
    model = MaskRCNN("training", PhantomConfig(TRAIN_BN=False, STEPS_PER_EPOCH=2), tmp_path)
    gamma = np.asarray(model.keras_model.get_layer("bn_conv1").gamma)
    before = moving_averages(model)
    assert len(before) > 20
    model.train(Phantoms(2), None, 1e-3, epochs=1, layers="all", verbose=0)
    for path, value in moving_averages(model).items():
        np.testing.assert_array_equal(value, before[path], err_msg=path)
    # gamma and beta of a selected layer learn all the same.
    assert (np.asarray(model.keras_model.get_layer("bn_conv1").gamma) != gamma).any()
    assert model.epoch == 1
    # The epoch is reached, and there is nothing left to train.
    assert model.train(Phantoms(2), None, 1e-3, epochs=1, layers="all", verbose=0) is None


class Spoilt(Phantoms):
    """The third image cannot be read."""

    def load_image(self, image_id):
        if image_id == 2:
            raise OSError("truncated file")
        return super().load_image(image_id)


def test_an_unreadable_image_stops_training_with_its_name(tmp_path):
    model = MaskRCNN("training", PhantomConfig(STEPS_PER_EPOCH=9), tmp_path)
    with pytest.raises(UnreadableImageError, match="phantom 2"):
        model.train(Spoilt(20), None, 1e-3, epochs=1, layers="mrcnn_mask", verbose=0)


def test_training_in_inference_mode_is_refused(tmp_path):
    model = SimpleNamespace(mode="inference", config=PhantomConfig())
    with pytest.raises(ValueError, match="mode='training'"):
        train(model, None, None, 1e-3, 1, "all")
