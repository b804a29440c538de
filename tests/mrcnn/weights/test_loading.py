"""Loading weights: what fits, what is reported, what is left alone."""

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from weight_samples import as_groups, assert_same, small_model, values, write_file

from mrcnn.weights import loading as weights
from mrcnn.weights.layer_match import CLASS_LAYERS


@pytest.fixture
def source():
    return small_model()


@pytest.fixture
def target():
    model = small_model()
    for variable in model.weights:
        variable.assign(variable * 0 + 0.5)
    return model


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize(
    "dialect",
    [
        {},
        {"style": "str"},
        {"nested": True},
        {"style": "str", "nested": True, "chunks": 2},
        {"chunks": 3},
        {"dtype": "float64"},
    ],
    ids=str,
)
def test_every_dialect_of_the_layout_loads(tmp_path, source, target, dialect, by_name):
    path = write_file(tmp_path / "w.h5", as_groups(source), **dialect)
    report = weights.load_weights(target, path, by_name=by_name)
    assert_same(target, values(source))
    assert len(report.loaded) == 9
    assert not (report.missing or report.unused or report.excluded or report.adapted)


def test_float16_files_load_as_float32(tmp_path, source, target):
    weights.load_weights(target, write_file(tmp_path / "w.h5", as_groups(source), dtype="float16"))
    assert_same(target, values(source), rtol=1e-3, atol=1e-6)
    assert {v.dtype for v in target.weights} == {"float32"}


@pytest.mark.parametrize(
    "rename",
    [
        lambda key: key.replace("/", "_1/"),  # the model was built twice in one process
        lambda key: key.replace("/", "_"),  # no slash at all
        lambda key: f"time_distributed_4/{key.replace('/', '_')}/w_{key[-4:]}",
    ],
)
def test_weights_match_by_group_and_position_whatever_their_names(tmp_path, source, target, rename):
    weights.load_weights(target, write_file(tmp_path / "w.h5", as_groups(source, rename)))
    assert_same(target, values(source))


@pytest.mark.parametrize("wrapper", [None, "rpn_model_wrapped", "fpn_rpn_1"])
def test_rpn_weights_outside_their_group_are_found(tmp_path, source, target, wrapper):
    groups = []
    for name, arrays in as_groups(source):
        if name != "rpn_model":
            groups.append((name, arrays))
        elif wrapper:
            groups.append((wrapper, [(f"rpn_model/{weight}", array) for weight, array in arrays]))
        else:
            for leaf in ("rpn_bbox_pred", "rpn_class_raw", "rpn_conv_shared"):
                groups.append((leaf, [a for a in arrays if a[0].startswith(leaf)]))
    weights.load_weights(target, write_file(tmp_path / "w.h5", groups))
    assert_same(target, values(source))


def test_a_file_of_a_wrapped_whole_model_loads(tmp_path, source, target):
    arrays = [a for _, group in as_groups(source) for a in group]
    weights.load_weights(target, write_file(tmp_path / "w.h5", [("mask_rcnn", arrays)]))
    assert_same(target, values(source))


def test_stored_anchors_are_ignored(tmp_path, source, target):
    groups = [*as_groups(source), ("anchors", [("anchors/Variable:0", np.zeros((1, 5, 4)))])]
    report = weights.load_weights(target, write_file(tmp_path / "w.h5", groups))
    assert report.unused == [] and len(report.loaded) == 9


def test_by_name_loads_the_shared_layers_and_reports_the_rest(tmp_path, source, target):
    groups = [g for g in as_groups(source) if g[0] in ("conv1", "bn_conv1")]
    groups.append(("predictions", [("predictions/kernel:0", np.zeros((2, 2)))]))
    path = write_file(tmp_path / "w.h5", groups)
    before = values(target)
    report = weights.load_weights(target, path, by_name=True)
    assert report.loaded == ["conv1", "bn_conv1"]
    assert report.unused == ["predictions"]
    assert report.missing[:2] == ["fpn_p2", "rpn_conv_shared"] and len(report.missing) == 7
    loaded = [k for k in before if "conv1/" in k]
    assert_same(target, values(source), loaded)
    assert_same(target, before, [k for k in before if k not in loaded])
    text = str(report)
    assert "2 layers" in text and str(path) in text and "predictions" in text
    assert "fpn_p2" in text and "\n" not in text


@pytest.mark.parametrize("change", ["missing", "extra"])
def test_without_by_name_file_and_model_must_hold_the_same_layers(tmp_path, source, target, change):
    groups = as_groups(source)
    if change == "missing":
        groups = [g for g in groups if g[0] != "fpn_p2"]
    else:
        groups.append(("fpn_p9", [("fpn_p9/kernel:0", np.zeros(2))]))
    before = values(target)
    with pytest.raises(ValueError, match="by_name=True") as error:
        weights.load_weights(target, write_file(tmp_path / "w.h5", groups))
    assert ("fpn_p2" if change == "missing" else "fpn_p9") in str(error.value)
    assert_same(target, before)


def test_a_file_from_which_nothing_fits_is_an_error(tmp_path, target):
    path = write_file(tmp_path / "w.h5", [("block1", [("block1/kernel:0", np.zeros(3))])])
    with pytest.raises(ValueError, match="nothing in the file fits.*block1.*conv1"):
        weights.load_weights(target, path, by_name=True)


def test_another_class_count_names_the_layers_to_exclude(tmp_path, target):
    path = write_file(tmp_path / "w.h5", as_groups(small_model(classes=5)))
    before = values(target)
    with pytest.raises(ValueError) as error:
        weights.load_weights(target, path, by_name=True)
    text = str(error.value)
    assert "mrcnn_class_logits has (4, 5), (5,), the model (4, 3), (3,)" in text
    assert f"exclude={list(CLASS_LAYERS)}" in text and str(path) in text
    assert_same(target, before)


def test_other_shape_mismatches_do_not_advise_the_class_layers(tmp_path, source, target):
    groups = dict(as_groups(source))
    groups["fpn_p2"] = [("k", np.zeros((1, 1, 4, 9))), ("b", np.zeros(9))]
    groups["bn_conv1"] = groups["bn_conv1"][:2]
    with pytest.raises(ValueError, match="2 layers") as error:
        weights.load_weights(target, write_file(tmp_path / "w.h5", list(groups.items())))
    assert "fpn_p2 has (1, 1, 4, 9)" in str(error.value)
    assert "mrcnn_mask" not in str(error.value)


def test_excluded_layers_keep_their_values(tmp_path, target):
    other = small_model(classes=5)
    path = write_file(tmp_path / "w.h5", as_groups(other))
    before = values(target)
    report = weights.load_weights(target, path, exclude=CLASS_LAYERS)
    assert report.excluded == list(CLASS_LAYERS)
    assert report.missing == report.unused == []
    kept = [k for k in before if k.split("/")[0] in CLASS_LAYERS]
    assert len(kept) == 6
    assert_same(target, before, kept)
    assert_same(target, values(other), [k for k in before if k not in kept])


def test_a_nested_model_is_excluded_by_its_name(tmp_path, source, target):
    path = write_file(tmp_path / "w.h5", as_groups(source))
    report = weights.load_weights(target, path, exclude="rpn_model")
    assert report.excluded == ["rpn_model"]
    assert report.missing == report.unused == [] and len(report.loaded) == 6


def test_an_unknown_name_to_exclude_is_logged(tmp_path, source, target, caplog):
    path = write_file(tmp_path / "w.h5", as_groups(source))
    report = weights.load_weights(target, path, exclude=["mrcnn_typo"])
    assert report.excluded == [] and "mrcnn_typo" in caplog.text


def test_the_report_is_logged(tmp_path, source, target, caplog):
    caplog.set_level("INFO", logger="mrcnn.weights.loading")
    report = weights.load_weights(target, write_file(tmp_path / "w.h5", as_groups(source)))
    assert str(report) in caplog.text


@pytest.mark.parametrize("channels", [1, 4])
def test_rgb_weights_adapt_to_other_channels(tmp_path, source, channels):
    path = write_file(tmp_path / "w.h5", as_groups(source))
    model = small_model(channels=channels)
    report = weights.load_weights(model, path, by_name=True)
    assert report.adapted == [f"conv1 from RGB to {channels} input channels"]
    gray = np.random.default_rng(1).normal(size=(1, 8, 8, 1)).astype("float32")
    wanted = source.get_layer("conv1")(np.repeat(gray, 3, axis=-1))
    found = model.get_layer("conv1")(np.repeat(gray, channels, axis=-1))
    found, wanted = (np.asarray(keras.ops.stop_gradient(x)) for x in (found, wanted))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    with pytest.raises(ValueError, match="conv1 has"):
        weights.load_weights(model, path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_refused(tmp_path, source, target, bad):
    groups = as_groups(source)
    arrays = [(weight, np.full(np.shape(array), bad)) for weight, array in groups[-2][1]]
    groups[-2] = (groups[-2][0], arrays)
    before = values(target)
    with pytest.raises(ValueError, match="mrcnn_mask/kernel:0.*NaN"):
        weights.load_weights(target, write_file(tmp_path / "w.h5", groups, dtype="float64"))
    assert_same(target, before)


def test_automatic_layer_names_match_in_order(tmp_path):
    def body(x):
        return layers.Conv2D(4, 1)(layers.Conv2D(4, 1)(x))

    first, second = small_model(body=body), small_model(classes=3, body=body)
    for variable in first.weights:
        variable.assign(variable + 1)
    weights.save_weights(first, tmp_path / "w.h5")
    report = weights.load_weights(second, tmp_path / "w.h5")
    for a, b in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert len(report.adapted) == 2 and len(report.loaded) == 11


def test_a_nested_model_with_batch_norm_loads_in_trainable_first_order(tmp_path):
    def body(x):
        inner = keras.Input((None, None, 4))
        y = layers.BatchNormalization(name="norm_a")(inner)
        y = layers.BatchNormalization(name="norm_b")(y)
        return keras.Model(inner, y, name="inner_model")(x)

    source, target = small_model(body=body), small_model(classes=3, body=body)
    found = values(source)
    arrays = [
        (f"{layer}/{weight}:0", found[f"{layer}/{weight}"])
        for pair in (("gamma", "beta"), ("moving_mean", "moving_variance"))
        for layer in ("norm_a", "norm_b")
        for weight in pair
    ]
    target.get_layer("inner_model").get_layer("norm_b").gamma.assign(np.zeros(4))
    path = write_file(tmp_path / "w.h5", [*as_groups(source), ("inner_model", arrays)])
    weights.load_weights(target, path)
    assert_same(target, found)


def full_size_layers(golden_weights, classes):
    """A model with every layer of a ResNet-50 network by name and shape, and no graph."""
    image = keras.Input((1,))
    outputs, inner = [], []

    class Holder(layers.Layer):
        def __init__(self, name, shapes):
            super().__init__(name=name)
            self.shapes = shapes

        def build(self, input_shape):
            for name, shape in self.shapes:
                self.add_weight(shape=shape, name=name, initializer="zeros")

        def call(self, x):
            return x

    for group, _, arrays in golden_weights.layers("resnet50", classes):
        by_layer: dict = {}
        for layer, weight, shape in arrays:
            by_layer.setdefault(layer, []).append((weight, shape))
        if group == "rpn_model":
            cell = keras.Input((1,))
            inner = [Holder(name, shapes)(cell) for name, shapes in by_layer.items()]
            outputs += keras.Model(cell, inner, name=group)(image)
        else:
            outputs += [Holder(name, shapes)(image) for name, shapes in by_layer.items()]
    return keras.Model(image, outputs[::-1])


def test_full_size_legacy_files_load_in_every_flavour(tmp_path, golden_weights, monkeypatch):
    model = full_size_layers(golden_weights, 9)
    assert model.count_params() == 44_700_616
    wanted = golden_weights.all_weights("resnet50", 9, seed=3)
    monkeypatch.setattr(  # drawing the numbers takes longer than everything else here
        golden_weights, "value", lambda seed, layer, weight, shape: wanted[f"{layer}/{weight}"]
    )
    for as_bytes, nested in ((True, False), (False, False), (True, True)):
        for variable in model.weights:
            variable.assign(np.zeros(variable.shape))
        path = tmp_path / "w.h5"
        golden_weights.write_legacy_h5(path, "resnet50", 9, 3, as_bytes=as_bytes, nested=nested)
        assert len(weights.load_weights(model, path).loaded) == 133
        for name, array in values(model).items():
            np.testing.assert_array_equal(array, wanted[name], err_msg=name)
    weights.save_weights(model, path)
    with h5py.File(path) as file:
        found = [name.decode() for name in file.attrs["layer_names"]]
    assert found == [g for g, _, ws in golden_weights.layers("resnet50", 9) if ws]
