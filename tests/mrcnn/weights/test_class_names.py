"""Names of the classes in weight files, and classes under other ids."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from phantoms import PhantomConfig, Phantoms
from weight_samples import assert_same, small_model, values

from mrcnn.training.loop import _class_names
from mrcnn.weights.hdf5 import OF_THE_MACHINE, WeightFileError
from mrcnn.weights.loading import (
    load_weights,
    read_classes,
    read_stored_settings,
    reorder_classes,
    save_weights,
)

NAMES = ["left eye", "Nase, groß"]


@pytest.mark.parametrize("name", ["net.h5", "net.weights.h5"])
@pytest.mark.parametrize("names", [NAMES, None])
def test_a_file_keeps_the_names_of_its_classes(tmp_path, name, names):
    model = small_model()
    save_weights(model, tmp_path / name, class_names=names)
    assert read_classes(tmp_path / name) == (names, 2)
    other = small_model()
    other.set_weights([0 * w for w in other.get_weights()])
    load_weights(other, tmp_path / name)
    assert_same(other, values(model))


@pytest.mark.parametrize("name", ["net.h5", "net.weights.h5"])
def test_a_file_keeps_its_settings(tmp_path, name):
    settings = PhantomConfig(CLASS_NAMES=["Größe", "b", "c"]).to_dict() | {"LONG": "x" * 100_000}
    save_weights(small_model(), tmp_path / name, settings=settings)
    own = {key: value for key, value in settings.items() if key not in OF_THE_MACHINE}
    assert read_stored_settings(tmp_path / name) == own and "CACHE_DIR" not in own
    assert read_classes(tmp_path / name) == (None, 2)
    save_weights(small_model(), tmp_path / name)
    assert read_stored_settings(tmp_path / name) == {}
    with h5py.File(tmp_path / name, "r+") as file:
        file.attrs["settings"] = np.array([b"[1"])
    with pytest.raises(WeightFileError, match="net.*'settings' holds no settings"):
        read_stored_settings(tmp_path / name)


def test_many_names_and_names_that_are_none(tmp_path):
    path = tmp_path / "net.h5"
    names = [f"region number {number}, of many" for number in range(4000)]
    save_weights(small_model(), path, class_names=names)
    assert read_classes(path)[0] == names
    with h5py.File(path, "r+") as file:
        for key in [key for key in file.attrs if key.startswith("class_names")]:
            del file.attrs[key]
        file.attrs["class_names"] = np.arange(3)
    with pytest.raises(WeightFileError, match="net.h5.*'class_names'.*not text"):
        read_classes(path)


def test_classes_under_other_ids():
    model, order = small_model(classes=4), [0, 2, 3, 1]
    before = values(model)
    reorder_classes(model, order)
    found = values(model)
    for name, value in before.items():
        layer = name.split("/")[0]
        wanted = value
        if layer in ("mrcnn_class_logits", "mrcnn_mask"):
            wanted = value[..., order]
        elif layer == "mrcnn_bbox_fc":
            wanted = value.reshape(*value.shape[:-1], 4, 4)[..., order, :].reshape(value.shape)
        np.testing.assert_array_equal(found[name], wanted, err_msg=name)
    reorder_classes(model, np.argsort(order))
    assert_same(model, before)


def test_a_training_names_the_classes_of_its_data_set():
    names = ["ellipse", "bar", "triangle"]
    assert _class_names(PhantomConfig(), Phantoms(1)) == names
    assert _class_names(PhantomConfig(CLASS_NAMES=names), Phantoms(1)) == names
    with pytest.raises(ValueError, match="has the classes ellipse, bar, triangle, but CLASS_NAMES"):
        _class_names(PhantomConfig(CLASS_NAMES=["bar", "ellipse", "triangle"]), Phantoms(1))
    # Two sources may have a class each of one name: such names say nothing.
    twice = SimpleNamespace(class_info=[{"name": name} for name in ("BG", "a", "a", "b")])
    assert _class_names(PhantomConfig(), twice) is None


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c", "d"], ["a", "b", "b"]])
def test_names_that_do_not_fit_are_refused(names):
    with pytest.raises(ValueError, match="CLASS_NAMES is .* 3 different names"):
        PhantomConfig(CLASS_NAMES=names)
