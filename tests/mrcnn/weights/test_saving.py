"""Saving weights: the layout of the file, and writing it wholly or not at all."""

import resource

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from weight_samples import GROUPS, assert_same, small_model, values

from mrcnn.weights import loading as weights


@pytest.fixture
def source():
    return small_model()


@pytest.fixture
def target():
    model = small_model()
    for variable in model.weights:
        variable.assign(variable * 0 + 0.5)
    return model


def test_a_saved_file_has_the_groups_in_contract_order(tmp_path, source):
    weights.save_weights(source, tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert [name.decode() for name in file.attrs["layer_names"]] == GROUPS
        assert file.attrs["backend"] == b"tensorflow"
        names = [name.decode() for name in file["rpn_model"].attrs["weight_names"]]
        assert names == [
            f"rpn_{layer}/{weight}:0"
            for layer in ("conv_shared", "class_raw", "bbox_pred")
            for weight in ("kernel", "bias")
        ]
        names = [name.decode() for name in file["bn_conv1"].attrs["weight_names"]]
        assert [n.split("/")[1][:-2] for n in names] == [
            *("gamma", "beta", "moving_mean", "moving_variance")
        ]
        np.testing.assert_array_equal(file["conv1/conv1/kernel:0"], values(source)["conv1/kernel"])


def test_frozen_layers_keep_their_order(tmp_path, source, target):
    source.trainable = False
    weights.save_weights(source, tmp_path / "w.h5")
    weights.load_weights(target, tmp_path / "w.h5")
    assert_same(target, values(source))


def test_keras_itself_reads_a_saved_file(tmp_path, source):
    plain = keras.Sequential([keras.Input((2,)), layers.Dense(3, name="a")])
    weights.save_weights(plain, tmp_path / "w.h5")
    wanted = plain.get_weights()
    plain.layers[0].kernel.assign(np.zeros((2, 3)))
    plain.load_weights(tmp_path / "w.h5")
    np.testing.assert_array_equal(plain.get_weights()[0], wanted[0])


def test_half_precision_files_are_half_the_size(tmp_path):
    model = keras.Sequential([keras.Input((300,)), layers.Dense(300, name="a")])
    weights.save_weights(model, tmp_path / "full.h5")
    weights.save_weights(model, tmp_path / "half.h5", dtype="float16")
    sizes = [(tmp_path / name).stat().st_size for name in ("half.h5", "full.h5")]
    assert 0.45 < sizes[0] / sizes[1] < 0.55
    wanted = model.get_weights()[0]
    weights.load_weights(model, tmp_path / "half.h5")
    np.testing.assert_allclose(model.get_weights()[0], wanted, rtol=1e-3, atol=1e-6)


def test_weights_of_8_bits_are_a_quarter_of_the_size_and_close(tmp_path, source, target):
    model = keras.Sequential([keras.Input((300,)), layers.Dense(300, name="a")])
    kernel = np.random.default_rng(0).normal(size=(300, 300)) * np.logspace(-4, 1, 300)
    model.set_weights([kernel, np.linspace(-1, 1, 300)])
    weights.save_weights(model, tmp_path / "full.h5")
    weights.save_weights(model, tmp_path / "int8.h5", dtype="int8", class_names=["x"])
    sizes = [(tmp_path / name).stat().st_size for name in ("int8.h5", "full.h5")]
    assert sizes[0] / sizes[1] < 0.27
    model.set_weights([kernel * 0, np.zeros(300)])
    weights.load_weights(model, tmp_path / "int8.h5")
    loaded, bias = model.get_weights()
    assert (np.abs(loaded - kernel) <= np.abs(kernel).max(axis=0) / 253).all()
    np.testing.assert_allclose(bias, np.linspace(-1, 1, 300), rtol=1e-6)
    assert weights.read_classes(tmp_path / "int8.h5")[0] == ["x"]
    weights.save_weights(source, tmp_path / "small.h5", dtype="int8")
    weights.load_weights(target, tmp_path / "small.h5", by_name=True)
    for name, value in values(source).items():
        np.testing.assert_allclose(values(target)[name], value, atol=np.abs(value).max() / 250)


def test_other_readers_do_not_take_8_bits_for_weights(tmp_path):
    plain = keras.Sequential([keras.Input((2,)), layers.Dense(3, name="a")])
    weights.save_weights(plain, tmp_path / "w.h5", dtype="int8")
    with pytest.raises((KeyError, ValueError)):
        plain.load_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        del file["int8_weights/a/a/kernel:0"].attrs["scale"]
    with pytest.raises(ValueError, match="a/kernel:0.*what they mean"):
        weights.load_weights(plain, tmp_path / "w.h5")


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(1e6, "float16"), (np.nan, "float32"), (np.inf, "float32"), (np.inf, "int8")],
)
def test_values_that_a_file_cannot_hold_are_refused(tmp_path, source, value, dtype):
    path = tmp_path / "w.h5"
    path.write_bytes(b"before")
    source.get_layer("fpn_p2").bias.assign(np.full(4, value))
    with pytest.raises(ValueError, match="fpn_p2/bias.*cannot be stored"):
        weights.save_weights(source, path, dtype=dtype)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_unknown_storage_types_are_refused(tmp_path, source):
    with pytest.raises(ValueError, match="float16"):
        weights.save_weights(source, tmp_path / "w.h5", dtype="int4")
    with pytest.raises(ValueError, match="legacy layout"):
        weights.save_weights(source, tmp_path / "w.weights.h5", dtype="float16")


def test_long_name_lists_are_split_over_attributes(tmp_path):
    image = keras.Input((2,))
    x = image
    for i in range(70):
        x = layers.Dense(2, use_bias=False, name=f"dense_{'x' * 1000}_{i}_")(x)
    model = keras.Model(image, x)
    weights.save_weights(model, tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert "layer_names" not in file.attrs and "layer_names1" in file.attrs
    wanted = model.get_weights()
    model.set_weights([w * 0 for w in wanted])
    assert len(weights.load_weights(model, tmp_path / "w.h5").loaded) == 70
    for found, want in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5"])
def test_a_full_disk_leaves_the_old_file_and_no_part(tmp_path, name):
    model = keras.Sequential([keras.Input((300,)), layers.Dense(600, name="a")])
    path = tmp_path / name
    path.write_bytes(b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(OSError, match="could not be written") as error:
            weights.save_weights(model, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(path) in str(error.value)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["absent/w.h5", "absent/w.weights.h5", "taken"])
def test_an_unwritable_target_is_one_clear_error(tmp_path, source, name):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="could not be written") as error:
        weights.save_weights(source, tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert [p.name for p in tmp_path.rglob("*")] == ["taken"]


def test_imagenet_weights_are_fetched_with_their_checksum(monkeypatch):
    asked = {}

    def get_file(name, origin, **options):
        asked.update(options, name=name, origin=origin)
        return "/somewhere/file.h5"

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    assert weights.get_imagenet_weights() == "/somewhere/file.h5"
    assert asked["name"] == "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert asked["origin"].endswith("/v0.2/" + asked["name"])
    assert asked["md5_hash"] == "a268eb855778b3df3c7506639542a6af"


def test_a_failed_download_says_what_to_put_where(monkeypatch):
    def get_file(*args, **kwargs):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    with pytest.raises(OSError, match="fetch failure") as error:
        weights.get_imagenet_weights()
    for part in (weights.IMAGENET_URL, weights.IMAGENET_MD5, ".keras/models/"):
        assert part in str(error.value)
