import datetime
import math
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from phantoms import PhantomConfig

from mrcnn.training import checkpoints, optimizers
from mrcnn.training.loop import EpochLog
from mrcnn.training.optimizers import LAYER_PRESETS, WarmupSchedule, make_optimizer, set_trainable

CONSTANT = {"LEARNING_SCHEDULE": "constant", "WARMUP_STEPS": 0}

# --- Layers ------------------------------------------------------------------------


def small_model():
    """Dense layers named like stages of the network, one inside a nested model."""
    names = ["conv1", "res2a_branch2a", "res3a_branch2a", "bn4a_branch2a", "res5a_branch1"]
    image = x = keras.Input((4,))
    for name in [*names, "fpn_c5p5"]:
        x = keras.layers.Dense(4, name=name)(x)
    inside = keras.Input((4,))
    rpn = keras.layers.Dense(4, name="rpn_conv_shared")(inside)
    rpn = keras.Model(inside, rpn, name="rpn_model")
    x = keras.layers.Activation("relu", name="mrcnn_relu")(rpn(x))
    return keras.Model(image, keras.layers.Dense(1, name="mrcnn_mask")(x))


@pytest.mark.parametrize(
    "preset, backbone",
    [
        ("heads", ""),
        ("5+", "res5a_branch1"),
        ("4+", "bn4a_branch2a res5a_branch1"),
        ("3+", "res3a_branch2a bn4a_branch2a res5a_branch1"),
        ("all", "conv1 res2a_branch2a res3a_branch2a bn4a_branch2a res5a_branch1"),
    ],
)
def test_layer_presets_select_backbone_stages_and_always_the_heads(preset, backbone):
    model = small_model()
    expected = [*backbone.split(), "fpn_c5p5", "rpn_conv_shared", "mrcnn_mask"]
    assert set_trainable(model, LAYER_PRESETS[preset]) == expected
    assert set_trainable(model, preset) == expected
    assert [v.path.split("/")[0] for v in model.trainable_variables[::2]] == expected


def test_set_trainable_matches_whole_names_and_thaws_what_an_earlier_call_froze():
    model = small_model()
    assert set_trainable(model, "conv1") == ["conv1"]
    assert len(model.trainable_variables) == 2
    assert set_trainable(model, "rpn_.*|mrcnn_.*") == ["rpn_conv_shared", "mrcnn_mask"]
    assert len(model.trainable_variables) == 4
    with pytest.raises(ValueError, match="selects no layer.*'heads'"):
        set_trainable(model, "conv")
    with pytest.raises(ValueError, match="no regular expression"):
        set_trainable(model, "(")


# --- Optimizer ---------------------------------------------------------------------


def test_schedule_warms_up_linearly_then_follows_half_a_cosine():
    schedule = WarmupSchedule(0.1, total_steps=14, warmup_steps=4, cosine=True)
    rates = [float(schedule(step)) for step in range(15)]
    half = [0.05 * (1 + math.cos(math.pi * k / 10)) for k in range(11)]
    np.testing.assert_allclose(rates, [0.025, 0.05, 0.075, 0.1, *half], atol=1e-7)
    copy = keras.optimizers.schedules.deserialize(
        keras.optimizers.schedules.serialize(schedule), {"WarmupSchedule": WarmupSchedule}
    )
    assert float(copy(7)) == rates[7]
    constant = WarmupSchedule(0.1, total_steps=14, warmup_steps=2)
    np.testing.assert_allclose([float(constant(s)) for s in (0, 1, 13)], [0.05, 0.1, 0.1])


def one_step(optimizer, gradients, names=("kernel", "kernel")):
    variables = [
        keras.Variable(np.zeros(1) + 1.0, name=name, dtype="float32")
        for name, _ in zip(names, gradients, strict=True)
    ]
    optimizer.build(variables)
    optimizer.apply([keras.ops.convert_to_tensor([float(g)]) for g in gradients], variables)
    return [float(np.asarray(v)[0]) - 1.0 for v in variables]


def test_gradients_are_clipped_by_the_norm_of_all_of_them_together():
    sgd = make_optimizer(PhantomConfig(OPTIMIZER="sgd", **CONSTANT), 1.0, 0.9, 10)
    np.testing.assert_allclose(one_step(sgd, [30, 40]), [-3, -4], rtol=1e-5)
    free = PhantomConfig(OPTIMIZER="sgd", GRADIENT_CLIP_NORM=None, **CONSTANT)
    np.testing.assert_allclose(one_step(make_optimizer(free, 1.0, 0.9, 10), [30, 40]), [-30, -40])


def test_sgd_has_momentum_without_nesterov_and_no_decay():
    sgd = make_optimizer(PhantomConfig(OPTIMIZER="sgd", **CONSTANT), 0.1, 0.9, 10)
    variable = keras.Variable(np.ones(1), dtype="float32")
    sgd.build([variable])
    for expected in (0.9, 0.71, 0.439):
        sgd.apply([keras.ops.ones(1)], [variable])
        assert float(np.asarray(variable)[0]) == pytest.approx(expected, rel=1e-5)


def many_steps(optimizer, gradients, start=(1.0, 2.0)):
    """A variable of two numbers after each call of the optimizer, and the variables' paths."""
    variable = keras.Variable(np.array(start), name="kernel", dtype="float32")
    optimizer.build([variable])
    values = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(np.array(gradient, "float32"))], [variable])
        values.append(keras.ops.convert_to_numpy(variable).copy())
    return values, [v.path for v in optimizer.variables]


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_sgd_in_one_kernel_takes_the_steps_of_keras(momentum):
    rng = np.random.default_rng(0)
    gradients = 10 * rng.normal(size=(6, 2))
    config = PhantomConfig(OPTIMIZER="sgd", GRADIENT_CLIP_NORM=5.0, **CONSTANT)
    ours = many_steps(make_optimizer(config, 0.1, momentum, 6), gradients)
    keras_sgd = keras.optimizers.SGD(0.1, momentum=momentum, global_clipnorm=5.0, name="sgd")
    wanted = many_steps(keras_sgd, gradients)
    np.testing.assert_allclose(ours[0], wanted[0], rtol=1e-6)
    assert ours[1] == wanted[1]


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_accumulated_batches_make_one_step_with_their_mean_clipped_once(kind):
    settings = {
        "OPTIMIZER": kind,
        "GRADIENT_CLIP_NORM": 5.0,
        "WEIGHT_DECAY": 0.1,
        "LEARNING_SCHEDULE": "cosine",
        "WARMUP_STEPS": 2,
    }
    rng = np.random.default_rng(0)
    # Of some length together: the mean of two clipped gradients is another one.
    gradients = 10 * rng.normal(size=(6, 2))
    means = gradients.reshape(3, 2, 2).mean(axis=1)
    plain, _ = many_steps(make_optimizer(PhantomConfig(**settings), 0.1, 0.9, 3), means)
    config = PhantomConfig(ACCUMULATION_STEPS=2, **settings)
    found, _ = many_steps(make_optimizer(config, 0.1, 0.9, 3), gradients)
    np.testing.assert_allclose(found[1::2], plain, rtol=1e-5)
    start = np.array([1.0, 2.0], "float32")
    np.testing.assert_array_equal(found[::2], [start, *found[1:-1:2]])


def test_accumulation_is_refused_on_several_devices_of_tensorflow(monkeypatch):
    monkeypatch.setattr(optimizers, "replica_count", lambda: 2)
    with pytest.raises(ValueError, match="ACCUMULATION_STEPS is 2 and GPU_COUNT 2.*one device"):
        make_optimizer(PhantomConfig(ACCUMULATION_STEPS=2, GPU_COUNT=2), 0.1, 0.9, 10)
    with pytest.raises(ValueError, match="ACCUMULATION_STEPS is 0; it must be a whole number"):
        PhantomConfig(ACCUMULATION_STEPS=0).validate()


def test_adamw_decays_kernels_but_not_gamma_beta_and_bias():
    config = PhantomConfig(WEIGHT_DECAY=0.5, **CONSTANT)
    steps = one_step(
        make_optimizer(config, 0.1, 0.9, 10), [0, 0, 0, 0], ("kernel", "gamma", "beta", "bias")
    )
    np.testing.assert_allclose(steps, [-0.05, 0, 0, 0], atol=1e-7)


def test_float16_scales_the_loss():
    optimizer = make_optimizer(PhantomConfig(PRECISION="float16"), 0.1, 0.9, 10)
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert float(optimizer.scale_loss(1.0)) > 1


# --- Files -------------------------------------------------------------------------


def test_log_directory_and_checkpoint_names_are_those_of_the_original():
    now = datetime.datetime(2018, 3, 9, 7, 5)
    log_dir = checkpoints.log_dir_for("logs", "Shapes", now)
    assert log_dir == os.path.join("logs", "shapes20180309T0705")
    path = checkpoints.checkpoint_path_for(log_dir, "Shapes").format(epoch=12)
    assert path == os.path.join(log_dir, "mask_rcnn_shapes_0012.h5")
    assert checkpoints.parse_checkpoint_path(path, "Shapes") == (log_dir, 12)


@pytest.mark.parametrize(
    "path, expected",
    [
        (
            r"C:\logs\coco20171029T2315\mask_rcnn_coco_0001.h5",
            (r"C:\logs\coco20171029T2315", 1),
        ),
        ("/l/coco20171029T2315/mask_rcnn_coco_0160.h5", ("/l/coco20171029T2315", 160)),
        ("/l/other20171029T2315/mask_rcnn_other_0003.h5", ("/l/coco20171029T2315", 3)),
        ("/l/mask_rcnn_coco.h5", None),
        ("/l/coco20171029T2315/best_mask_rcnn_coco.h5", None),
        ("mask_rcnn_coco_0001.h5", None),
    ],
)
def test_directory_and_epoch_are_read_from_a_checkpoint_path(path, expected):
    assert checkpoints.parse_checkpoint_path(path, "COCO") == expected


def test_find_last_takes_the_last_epoch_of_the_newest_run(tmp_path):
    for name in (
        "tiny20260101T0000/mask_rcnn_tiny_0009.h5",
        "tiny20260201T0000/mask_rcnn_tiny_0001.h5",
        "tiny20260201T0000/mask_rcnn_tiny_0002.h5",
        "tiny20260201T0000/mask_rcnn_tiny_0003.h5.part",
        "tiny20260201T0000/best_mask_rcnn_tiny.h5",
        "tiny_other20270101T0000/mask_rcnn_tiny_other_0005.h5",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    expected = tmp_path / "tiny20260201T0000" / "mask_rcnn_tiny_0002.h5"
    assert checkpoints.find_last(tmp_path, "Tiny") == str(expected)


def test_find_last_takes_renamed_folders_of_the_same_experiment(tmp_path):
    for name in (
        "tiny20260201T0000/mask_rcnn_tiny_0002.h5",
        "tiny20260201T0000_tilted/mask_rcnn_tiny_0007.h5",
        "tiny_other20270101T0000/mask_rcnn_tiny_other_0005.h5",
        "tinyer/mask_rcnn_tinyer_0005.h5",
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    run = tmp_path / "tiny20260201T0000_tilted"
    assert checkpoints.find_last(tmp_path, "Tiny") == str(run / "mask_rcnn_tiny_0007.h5")
    run.rename(tmp_path / "tiny_best")
    assert checkpoints.find_last(tmp_path, "Tiny") == str(
        tmp_path / "tiny_best" / "mask_rcnn_tiny_0007.h5"
    )


def test_find_last_is_a_path_that_old_programs_may_take_for_a_pair(tmp_path, caplog):
    path = tmp_path / "tiny20260201T0000" / "mask_rcnn_tiny_0002.h5"
    path.parent.mkdir()
    path.touch()
    found = checkpoints.find_last(tmp_path, "Tiny")
    assert isinstance(found, str) and found == str(path) and Path(found) == path
    assert found[-3:] == ".h5" and found.endswith("0002.h5") and not caplog.text
    assert found[1] == str(path) and found[0] == str(path.parent)
    log_dir, checkpoint = found
    assert (log_dir, checkpoint) == (found[0], found[1]) and type(checkpoint) is str
    assert "no longer a pair" in caplog.text


def test_find_last_says_where_nothing_was_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="No run of 'Tiny'") as caught:
        checkpoints.find_last(tmp_path / "missing", "Tiny")
    assert caught.value.filename == str(tmp_path / "missing")
    (tmp_path / "tiny20260101T0000").mkdir()
    with pytest.raises(FileNotFoundError, match="has no checkpoint"):
        checkpoints.find_last(tmp_path, "Tiny")


def test_epoch_log_drops_epochs_that_are_trained_again_and_takes_new_columns(tmp_path):
    path = tmp_path / "log.csv"
    log = EpochLog(path)
    for epoch, loss in ((1, 3.0), (2, 1.0), (3, 0.5)):
        log.append({"epoch": epoch, "loss": loss})
    log = EpochLog(path)
    log.truncate(2)
    assert [log.is_better(value, "loss") for value in (0.9, 1.0, math.nan)] == [True, False, False]
    assert log.is_better(3.1, "loss", higher=True) and not log.is_better(3.0, "loss", higher=True)
    assert log.is_better(1e9, "val_loss") and not log.is_better(math.nan, "val_loss")
    log.append({"epoch": 3, "loss": 2.0, "val_loss": 4.0})
    assert EpochLog(path).is_better(3.9, "val_loss") and not log.is_better(4.0, "val_loss")
    assert path.read_text().split() == ["epoch,loss,val_loss", "1,3.0,", "2,1.0,", "3,2.0,4.0"]


def compiled(**settings):
    model = small_model()
    model.compile(optimizer=make_optimizer(PhantomConfig(**settings), 0.1, 0.9, 10))
    model.optimizer.build(model.trainable_variables)
    return model


def test_a_state_of_another_optimizer_or_of_other_layers_is_refused(tmp_path):
    path = tmp_path / "training_state_0001.npz"
    checkpoints.save_state(path, compiled(), {"layers": "heads"})
    state = checkpoints.load_state(path)
    checkpoints.restore_optimizer(compiled(), state, path)
    with pytest.raises(ValueError, match="does not fit.*layers='heads'.*without resume"):
        checkpoints.restore_optimizer(compiled(OPTIMIZER="sgd"), state, path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="not a readable training state"):
        checkpoints.load_state(path)
    with pytest.raises(FileNotFoundError, match="no training state"):
        checkpoints.load_state(tmp_path / "training_state_0002.npz")
