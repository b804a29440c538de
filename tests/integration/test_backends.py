"""JAX and torch compute what TensorFlow does; the operations compile under XLA."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from lacking import all_must_run, demand_package
from paths import PROGRAMS, ROOT, STUCK_SECONDS
from programs import backend_probe as probe

from mrcnn.modeling import kernels as ops
from mrcnn.structures.stages import Stages

OTHERS = ("jax", "torch")
TOLERANCE = 1e-4


def run_probe(backend, folder):
    """Run programs/backend_probe.py in a process of its own, on one thread."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    environment = os.environ | dict.fromkeys(threads, "1")
    environment |= {"PYTHONPATH": path, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    # Compiling takes most of the time, and the networks here are small.
    environment["XLA_FLAGS"] = (
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
        "--xla_cpu_multi_thread_eigen=false"
    )
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "backend_probe.py"), str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=STUCK_SECONDS,
    )
    assert done.returncode == 0, f"{backend}:\n{done.stdout[-4000:]}"
    with np.load(folder / f"{backend}.npz") as found:
        return dict(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("backends")


@pytest.fixture(scope="module")
def reference(folder):
    """What TensorFlow computes; it also writes the weights."""
    return run_probe("tensorflow", folder)


@pytest.fixture(scope="module", params=OTHERS)
def other(request, folder):
    """Name of another backend, and what it computes."""
    demand_package(request.param)
    request.getfixturevalue("reference")
    return request.param, run_probe(request.param, folder)


def test_one_other_backend_is_installed_where_everything_must_run():
    installed = [name for name in OTHERS if importlib.util.find_spec(name)]
    if not all_must_run() and not installed:
        demand_package(OTHERS[0])
    assert installed, f"Install one of {', '.join(OTHERS)}."


@pytest.mark.parametrize("mode", ["legacy", "aligned"])
def test_every_stage_equals_tensorflow(folder, reference, other, mode):
    ours, theirs = (
        vars(Stages.load(folder / f"{backend}_{mode}.npz")).copy()
        for backend in (other[0], "tensorflow")
    )
    ours |= ours.pop("feature_maps")
    theirs |= theirs.pop("feature_maps")
    assert ours.keys() == theirs.keys() and {"C2", "P6"} <= ours.keys()
    for name, wanted in theirs.items():
        assert ours[name].dtype == wanted.dtype, name
        np.testing.assert_allclose(ours[name], wanted, rtol=0, atol=TOLERANCE, err_msg=name)
    # The case would say nothing of later stages without proposals and detections.
    assert len(theirs["post_nms_indices"]) > 10
    assert (theirs["detections"][:, 5] > 0).sum() > 3


def test_detections_equal_tensorflow(reference, other):
    _, found = other
    assert len(reference["detect_rois"]) > 3
    assert reference["detect_masks"].any()
    for name in ("rois", "class_ids", "masks"):
        np.testing.assert_array_equal(found[f"detect_{name}"], reference[f"detect_{name}"])
    scores = (found["detect_scores"], reference["detect_scores"])
    np.testing.assert_allclose(*scores, rtol=0, atol=TOLERANCE)


def test_crops_and_their_gradients_equal_tensorflow(reference, other):
    check_crops(other[1], reference)


def check_crops(found, reference):
    names = [n for n in reference if n.startswith(("pyramid", "single"))]
    assert len(names) == 2 * (len(probe.CROP_SIZES) + 1)
    for name in names:
        assert np.abs(reference[name]).max() > 1
        np.testing.assert_allclose(found[name], reference[name], atol=TOLERANCE, err_msg=name)


def test_suppression_equals_tensorflow(reference, other):
    check_suppressions(other[1], reference)


def check_suppressions(found, reference):
    names = [n for n in reference if n.startswith("nms")]
    assert len(names) == 2 * len(probe.NMS_CASES)
    for name in names:
        np.testing.assert_array_equal(found[name], reference[name], err_msg=name)


def test_the_losses_of_training_equal_tensorflow(reference, other):
    losses = other[1]["losses"]
    assert losses.shape == (probe.ProbeConfig.STEPS_PER_EPOCH, 6)
    assert np.isfinite(losses).all() and (losses > 0).all()
    np.testing.assert_allclose(losses[0], reference["losses"][0], rtol=TOLERANCE)
    np.testing.assert_allclose(losses, reference["losses"], rtol=1e-3)


def test_training_moves_the_weights_as_on_tensorflow(reference, other):
    np.testing.assert_array_equal(other[1]["before"], reference["before"])
    moved, wanted = (run["after"] - run["before"] for run in (other[1], reference))
    assert np.abs(wanted).max() > 1e-4
    assert np.linalg.norm(moved - wanted) < 1e-3 * np.linalg.norm(wanted)


@pytest.fixture
def portable(monkeypatch):
    """The operations as they are for a backend without kernels of its own."""
    monkeypatch.setattr(ops, "backend", lambda: "any other")


def test_portable_crops_equal_the_kernels(reference, portable):
    check_crops(probe.crops(), reference)


def test_portable_suppression_equals_the_kernel(reference, portable):
    check_suppressions(probe.suppressions(), reference)


def test_grouped_suppression_is_suppression_of_each_group(reference):
    boxes, valid, groups = probe.nms_inputs()
    limit = boxes.shape[1]
    kept = [np.zeros(limit, bool), np.zeros(limit, bool)]
    for group in np.unique(groups):
        indices, used = ops.nms(boxes, valid & (groups == group), limit, probe.NMS_THRESHOLD)
        for row, rows, real in zip(kept, indices.numpy(), used.numpy(), strict=True):
            row[rows[real]] = True
    for row, rows, real in zip(
        kept,
        reference[f"nms_{limit}_True_indices"],
        reference[f"nms_{limit}_True_kept"],
        strict=True,
    ):
        np.testing.assert_array_equal(np.flatnonzero(row), rows[real])


@pytest.mark.parametrize("kind", ["pyramid", "single"])
def test_portable_crops_compile_under_xla(kind, reference, portable):
    maps, *where = probe.crop_inputs()
    size = probe.CROP_SIZES[0]
    compiled = tf.function(getattr(probe, kind)(size), jit_compile=True)
    result = compiled(*map(tf.constant, (maps[0], *where)))
    np.testing.assert_allclose(result, reference[f"{kind}_{size}"], atol=TOLERANCE)


@pytest.mark.parametrize("grouped", [False, True])
def test_portable_suppression_compiles_under_xla(grouped, reference, portable):
    boxes, valid, groups = map(tf.constant, probe.nms_inputs())
    limit = 300
    run = tf.function(ops.nms, jit_compile=True)
    indices, kept = run(boxes, valid, limit, probe.NMS_THRESHOLD, groups if grouped else None)
    np.testing.assert_array_equal(indices, reference[f"nms_{limit}_{grouped}_indices"])
    np.testing.assert_array_equal(kept, reference[f"nms_{limit}_{grouped}_kept"])
