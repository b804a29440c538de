"""Ctrl-C while a network trains: a checkpoint between two steps, and the run goes on from it."""

import signal

import keras
import numpy as np
import pytest
from small_run import SmallRun, epochs_of

from mrcnn.errors import TrainingStopped
from mrcnn.training import checkpoints
from mrcnn.training.interruption import StopOnInterrupt


@pytest.fixture(autouse=True)
def usual_ctrl_c():
    """That of a program, whatever the runner of the tests does with it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


class CtrlC(keras.callbacks.Callback):
    """Presses the keys after a batch of an epoch, both from 0."""

    def __init__(self, epoch, batch, times=1):
        super().__init__()
        self.place, self.times = (epoch, batch), times
        self.epoch = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = SmallRun(tmp_path_factory.mktemp("whole"))
    run.two_stages()
    return run


# Epochs of three batches; the second stage begins with the third.
@pytest.mark.parametrize("place", [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_a_run_goes_on_with_the_next_step(tmp_path, whole, place):
    epoch, batch = place
    broken = SmallRun(tmp_path)
    with pytest.raises(TrainingStopped) as stopped:
        broken.two_stages(callbacks=[CtrlC(*place)])
    step = batch + 1
    path = tmp_path / f"mask_rcnn_phantom_{epoch:04d}_step_{step:04d}.h5"
    assert str(path) in str(stopped.value)
    assert (broken.epoch, broken.step) == (epoch, step)
    state = checkpoints.state_path(tmp_path, epoch, step)
    assert {path.name, state.name} <= set(files(tmp_path))

    resumed = SmallRun(tmp_path, epoch, step)
    resumed.two_stages(resume=True)
    assert (resumed.epoch, resumed.step) == (4, 0)
    for wanted, row in zip(epochs_of(whole.log_dir), epochs_of(tmp_path), strict=True):
        assert row == pytest.approx(wanted, rel=1e-5)
    for wanted, found in zip(
        whole.keras_model.get_weights(), resumed.keras_model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert not [name for name in files(tmp_path) if "step" in name]


def test_batches_of_which_several_make_a_step_are_counted_one_by_one(tmp_path):
    """An epoch of three steps has six batches; it is stopped within a step."""
    settings = {"ACCUMULATION_STEPS": 2}
    whole = SmallRun(tmp_path / "whole", **settings)
    whole.two_stages()
    with pytest.raises(TrainingStopped, match="mask_rcnn_phantom_0001_step_0003.h5"):
        SmallRun(tmp_path / "broken", **settings).two_stages(callbacks=[CtrlC(1, 2)])
    resumed = SmallRun(tmp_path / "broken", 1, 3, **settings)
    resumed.two_stages(resume=True)
    rows = epochs_of(tmp_path / "whole"), epochs_of(tmp_path / "broken")
    for wanted, row in zip(*rows, strict=True):
        assert row == pytest.approx(wanted, rel=1e-5)
    weights = whole.keras_model.get_weights(), resumed.keras_model.get_weights()
    for wanted, found in zip(*weights, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_it_may_be_stopped_again_in_the_same_epoch(tmp_path, whole):
    with pytest.raises(TrainingStopped):
        SmallRun(tmp_path).two_stages(callbacks=[CtrlC(1, 0)])
    # What is left of the epoch are two batches.
    with pytest.raises(TrainingStopped):
        SmallRun(tmp_path, 1, 1).two_stages(resume=True, callbacks=[CtrlC(1, 0)])
    steps = [name for name in files(tmp_path) if "step" in name]
    assert steps == ["mask_rcnn_phantom_0001_step_0002.h5", "training_state_0001_step_0002.npz"]
    SmallRun(tmp_path, 1, 2).two_stages(resume=True)
    for wanted, row in zip(epochs_of(whole.log_dir), epochs_of(tmp_path), strict=True):
        assert row == pytest.approx(wanted, rel=1e-5)


def test_after_the_last_batch_the_epoch_is_completed(tmp_path):
    run = SmallRun(tmp_path)
    with pytest.raises(TrainingStopped, match="mask_rcnn_phantom_0001.h5"):
        run.two_stages(callbacks=[CtrlC(0, 2)])
    assert (run.epoch, run.step) == (1, 0)
    assert [row["epoch"] for row in epochs_of(tmp_path)] == [1]


def test_the_second_one_stops_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt) as stopped:
        SmallRun(tmp_path).two_stages(callbacks=[CtrlC(0, 1, times=2)])
    assert not isinstance(stopped.value, TrainingStopped)
    assert files(tmp_path) == []
    with pytest.raises(TrainingStopped, match="mask_rcnn_phantom_0001.h5"):
        SmallRun(tmp_path).two_stages(callbacks=[CtrlC(1, 1, times=2)])


def test_a_program_that_handles_the_keys_itself_keeps_its_way():
    pressed = []
    signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    with StopOnInterrupt(None) as stop:
        signal.raise_signal(signal.SIGINT)
    assert (pressed, stop.asked) == ([1], False)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_checkpoints_are_named_and_found_by_their_place(tmp_path):
    names = [f"mask_rcnn_x_{end}.h5" for end in ("0001", "0002_step_0037", "0002", "0003")]
    for count, wanted in ((1, 0), (2, 1), (3, 1), (4, 3)):
        (tmp_path / names[count - 1]).touch()
        assert checkpoints.newest_of(tmp_path, "mask_rcnn_x_{epoch:04d}.h5").name == names[wanted]
    assert [checkpoints.place_of(name) for name in names] == [(1, 0), (2, 37), (2, 0), (3, 0)]
    assert checkpoints.place_of("mask_rcnn_coco.h5") == (0, 0)
    run = "/l/x20260102T0304/mask_rcnn_x_0002_step_0037.h5"
    assert checkpoints.parse_checkpoint_path(run, "x") == ("/l/x20260102T0304", 2)
    run = "/l/x20260102T030405/mask_rcnn_x_0002.h5"
    assert checkpoints.parse_checkpoint_path(run, "x") == ("/l/x20260102T030405", 2)
