"""Weight files that are damaged, foreign or hostile; Keras's own format."""

from pathlib import Path

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


def test_a_missing_file_is_file_not_found(tmp_path, target):
    with pytest.raises(FileNotFoundError, match="absent.h5"):
        weights.load_weights(target, tmp_path / "absent.h5")


def _foreign(path: Path, kind: str, groups) -> Path:
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("<html>404</html>" * 100)
    elif kind == "truncated":
        data = write_file(path, groups).read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif kind == "overwritten":
        data = bytearray(write_file(path, groups).read_bytes())
        data[100 : len(data) - 100] = bytes(len(data) - 200)
        path.write_bytes(data)
    elif kind == "no weights":
        with h5py.File(path, "w") as file:
            file["images"] = np.zeros(3)
    elif kind == "only weightless":
        write_file(path, [("input_image", []), ("add", [])])
    return path


@pytest.mark.parametrize(
    "kind",
    [
        *("folder", "empty", "text", "truncated", "overwritten"),
        *("no weights", "only weightless"),
    ],
)
def test_files_that_are_not_weights_are_one_clear_error(tmp_path, source, target, kind):
    path = _foreign(tmp_path / "w.h5", kind, as_groups(source))
    before = values(target)
    with pytest.raises(ValueError) as error:
        weights.load_weights(target, path, by_name=True)
    assert str(error.value).startswith(str(path))
    assert_same(target, before)


def _attack(file, kind, folder):
    group = file["conv1"]
    name = "conv1/kernel:0"
    if kind == "listed, absent":
        file.attrs["layer_names"] = np.array([b"conv1", b"ghost"])
    elif kind == "listed twice":
        file.attrs["layer_names"] = np.array([b"conv1", b"conv1"])
    elif kind == "stored twice":
        names = [n.decode() for n in file.attrs["layer_names"]]
        file.attrs["layer_names"] = np.array([n.encode() for n in [*names, "copy"]])
        copy = file.create_group("copy")
        copy.attrs["weight_names"] = group.attrs["weight_names"]
        copy["conv1"] = group["conv1"]
    elif kind == "names are numbers":
        file.attrs["layer_names"] = np.arange(3)
    elif kind == "names are references":
        file.attrs.create("layer_names", [file.ref], dtype=h5py.ref_dtype)
    elif kind == "no weight names":
        del group.attrs["weight_names"]
    elif kind == "array is a group":
        group.attrs["weight_names"] = np.array([b"conv1", b"conv1/bias:0"])
    elif kind == "group is an array":
        del file["conv1"]
        file["conv1"] = np.zeros(3)
    else:
        del group[name]
        if kind == "external link":
            group[name] = h5py.ExternalLink(str(folder / "other.h5"), "/x")
        elif kind == "soft link":
            group[name] = h5py.SoftLink("/fpn_p2/fpn_p2/kernel:0")
        elif kind == "external storage":
            (folder / "raw").write_bytes(bytes(4 * 3 * 3 * 3 * 4))
            group.create_dataset(name, (3, 3, 3, 4), "f4", external=[(folder / "raw", 0, 432)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3, 3, 3, 4), "f4")
            layout[:] = h5py.VirtualSource(folder / "other.h5", "x", (3, 3, 3, 4))
            group.create_virtual_dataset(name, layout)
        elif kind == "huge":
            group.create_dataset(name, (2**20, 2**20, 3, 4), "f4", chunks=(8, 8, 3, 4))
        elif kind == "object":
            group.create_dataset(name, (3, 3, 3, 4), h5py.ref_dtype)
        elif kind == "text":
            group.create_dataset(name, (3, 3, 3, 4), h5py.string_dtype())
        elif kind == "compound":
            group.create_dataset(name, (3, 3, 3, 4), np.dtype([("a", "f4")]))
        elif kind == "no data":
            group[name] = h5py.Empty("f4")


@pytest.mark.parametrize(
    "kind",
    [
        *("listed, absent", "listed twice", "stored twice", "names are numbers"),
        *("names are references", "no weight names", "array is a group", "group is an array"),
        *("external link", "soft link", "external storage", "virtual", "huge", "object"),
        *("text", "compound", "no data"),
    ],
)
def test_hostile_files_are_refused_before_anything_is_assigned(tmp_path, source, target, kind):
    path = write_file(tmp_path / "w.h5", as_groups(source))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros((3, 3, 3, 4), "f4")
    with h5py.File(path, "r+") as file:
        _attack(file, kind, tmp_path)
    before = values(target)
    with pytest.raises(ValueError) as error:
        weights.load_weights(target, path, by_name=True)
    assert str(error.value).startswith(str(path))
    assert_same(target, before)


# --- Keras's own format ---------------------------------------------------------------


def test_keras_own_format_goes_both_ways(tmp_path, source, target):
    weights.save_weights(source, tmp_path / "w.weights.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["w.weights.h5"]
    report = weights.load_weights(target, tmp_path / "w.weights.h5", by_name=True)
    assert_same(target, values(source))
    assert len(report.loaded) == 9


def test_keras_own_format_matches_by_name_whatever_the_order_of_the_graph(tmp_path):
    def chain(names):
        image = x = keras.Input((2,))
        for name in names:
            x = layers.Dense(2, name=name)(x)
        return keras.Model(image, x)

    first, second = chain("abc"), chain("cab")
    weights.save_weights(first, tmp_path / "w.weights.h5")
    weights.load_weights(second, tmp_path / "w.weights.h5")
    assert_same(second, values(first))
    with pytest.raises(ValueError, match="Not in the model: b"):
        weights.load_weights(chain("ac"), tmp_path / "w.weights.h5")


def test_keras_own_format_can_exclude_layers(tmp_path, target):
    path = tmp_path / "w.weights.h5"
    other = small_model(classes=5)
    weights.save_weights(other, path)
    before = values(target)
    with pytest.raises(ValueError, match="mrcnn_mask has"):
        weights.load_weights(target, path)
    assert_same(target, before)
    report = weights.load_weights(target, path, exclude=CLASS_LAYERS)
    assert len(report.loaded) == 6 and not (report.missing or report.unused)
    assert_same(target, values(other), [k for k in before if k.split("/")[0] in report.loaded])


def test_keras_own_format_of_a_compiled_model_carries_its_optimizer_unharmed(tmp_path, target):
    source = small_model()
    source.compile("adam", "mse")
    source.optimizer.build(source.trainable_variables)
    weights.save_weights(source, tmp_path / "w.weights.h5")
    weights.load_weights(target, tmp_path / "w.weights.h5")
    assert_same(target, values(source))


@pytest.mark.parametrize(
    "attack", ["nan", "link", "size", "type", "nameless", "no vars", "loop", "truncated"]
)
def test_hostile_files_in_keras_own_format_are_refused(tmp_path, source, target, attack):
    path = tmp_path / "w.weights.h5"
    weights.save_weights(source, path)
    if attack == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        with h5py.File(path, "r+") as file:
            folder = file["layers/conv2d/vars"]
            if attack == "nan":
                folder["0"][0] = np.nan
            elif attack == "nameless":
                del folder.attrs["name"]
            elif attack == "no vars":
                del file["layers"]
                file["layers/loop"] = file.create_group("layers")
            elif attack == "loop":
                file["layers/loop"] = file["layers"]
                del file["layers/conv2d/vars/1"]
            else:
                del folder["0"]
            if attack == "link":
                folder["0"] = h5py.ExternalLink("/etc/passwd", "/x")
            elif attack == "size":
                folder.create_dataset("0", shape=(10**6, 10**6), dtype="f4", chunks=(9, 9))
            elif attack == "type":
                folder.create_dataset("0", data=["text"], dtype=h5py.string_dtype())
    before = values(target)
    with pytest.raises(ValueError) as error:
        weights.load_weights(target, path)
    assert str(path) in str(error.value)
    assert_same(target, before)
