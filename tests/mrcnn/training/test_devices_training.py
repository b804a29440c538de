import json
import os
import subprocess
import sys

import keras
import pytest
from paths import HELPERS, ROOT, STUCK_SECONDS
from phantoms import PhantomConfig

from mrcnn.backend import count_devices, distribution_scope
from mrcnn.parallel_model import ParallelModel


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """What tests/helpers/two_devices.py found; devices can be split only in a fresh process."""
    out = tmp_path_factory.mktemp("devices") / "out.json"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(HELPERS / "two_devices.py"), str(out)],
        env=os.environ | {"PYTHONPATH": path, "KERAS_BACKEND": "tensorflow"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=STUCK_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return json.loads(out.read_text())


def test_a_step_on_two_devices_is_the_mean_of_the_steps_of_their_images(result):
    assert result["between_images"] > 0.01 * result["largest"]
    assert result["difference"] < 1e-4 * result["largest"]


def test_the_logged_loss_is_the_mean_over_the_devices(result):
    first, second, both = result["losses"]
    assert first != pytest.approx(second, rel=1e-3)
    assert both == pytest.approx((first + second) / 2, rel=1e-4)


def test_gradients_are_clipped_after_they_were_averaged(result):
    # Each device's gradient, 2 * (1, 0) and 2 * 9 * (0, 1), has a norm above 0.01. Clipped
    # first, both would count the same; the mean (1, 9) keeps its direction.
    step = [-0.01 * g / (1 + 81) ** 0.5 for g in (1, 9)]
    assert result["clipped"] == pytest.approx(step, rel=1e-4)


def test_training_on_two_devices_keeps_finite_and_equal_copies(result):
    assert result["trained"]
    assert result["replicas_agree"]
    assert result["epoch"] == 1


def test_a_parallel_model_has_the_same_layers_and_predictions(result):
    assert result["parallel_model"] == [True, True, True]


def test_too_few_devices_are_counted_in_the_error(result):
    assert "GPU_COUNT is 3, but there are 2 devices" in result["message"]


def test_a_run_on_two_devices_is_resumed_on_two_devices(result):
    assert result["resumed"]


def test_counting_devices(monkeypatch):
    assert count_devices(1) == count_devices("all") == 1
    with pytest.raises(ValueError, match="2 devices are wanted, but there are 1: .*CPU:0"):
        count_devices(2)
    monkeypatch.setattr("mrcnn.backend.available_devices", lambda: ["gpu:0", "gpu:1", "gpu:2"])
    assert [count_devices(n) for n in (1, 2, "all")] == [1, 2, 3]


def test_one_device_changes_nothing():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert ParallelModel(model, 1) is model
    with distribution_scope(PhantomConfig().GPU_COUNT):
        assert keras.layers.Dense(1).trainable


def test_torch_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="'torch'.*GPU_COUNT = 1"):
        with distribution_scope(2):
            pass
