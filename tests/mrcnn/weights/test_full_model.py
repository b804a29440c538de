"""The weights contract on whole networks: groups, order, shapes, counts, class layers."""

import re
import zlib

import h5py
import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.model import MaskRCNN
from mrcnn.weights import loading as weights
from mrcnn.weights.layer_match import CLASS_LAYERS


class TinyImageConfig(Config):
    NAME = "contract"
    IMAGES_PER_GPU = 1
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    NUM_CLASSES = 9


def build(model_dir, mode="inference", **settings):
    return MaskRCNN(mode, TinyImageConfig(**settings), model_dir=str(model_dir)).keras_model


@pytest.fixture(scope="module")
def resnet101(tmp_path_factory):
    return build(tmp_path_factory.mktemp("logs"))


def stored(path):
    """[(group, weight name, shape)] of a file, in its order."""
    with h5py.File(path) as file:
        return [
            (group.decode(), weight.decode(), file[group][weight].shape)
            for group in file.attrs["layer_names"]
            for weight in file[group].attrs["weight_names"]
        ]


def tabled(path):
    """The same from a table of the reference."""
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return [(r[0], r[2], tuple(int(n) for n in r[3].strip("()").split(","))) for r in rows]


def values(model):
    """Every weight by "layer/weight", nested layers included."""
    found = {}
    for layer in model.layers:
        for leaf in getattr(layer, "layers", [layer]):
            found.update({f"{leaf.name}/{v.name}": np.array(np.asarray(v)) for v in leaf.weights})
    return found


def marker(layer, weight):
    """A constant that tells one weight from the others."""
    return np.float32(zlib.crc32(f"{layer}/{weight}".encode()) % 10_000 / 10_000)


def write_marked(golden_weights, monkeypatch, path, backbone, classes):
    with monkeypatch.context() as patch:
        patch.setattr(
            golden_weights,
            "value",
            lambda seed, layer, weight, shape: np.full(shape, marker(layer, weight)),
        )
        golden_weights.write_legacy_h5(path, backbone, classes, seed=0)


def test_a_saved_resnet101_file_equals_the_reference_table(tmp_path, golden, resnet101):
    weights.save_weights(resnet101, tmp_path / "w.h5")
    table = tabled(golden.parent / "reference" / "weights_resnet101.tsv")
    assert len(table) == 690
    assert stored(tmp_path / "w.h5") == table


def test_resnet50_and_its_training_form_equal_the_reference_table(tmp_path, golden):
    table = tabled(golden.parent / "reference" / "weights_resnet50.tsv")
    assert len(table) == 384
    for mode in ("inference", "training"):
        model = build(tmp_path, mode, BACKBONE="resnet50")
        assert model.count_params() == 44_700_616
        weights.save_weights(model, tmp_path / "w.h5", dtype="float16")
        assert stored(tmp_path / "w.h5") == table


def test_resnet101_with_nine_classes_has_the_reference_parameter_count(resnet101):
    assert resnet101.count_params() == 63_771_080


def test_resnet101_with_81_classes_has_the_reference_parameter_count(tmp_path):
    assert build(tmp_path, NUM_CLASSES=81).count_params() == 64_158_584


def test_an_81_class_file_needs_the_class_layers_excluded(
    tmp_path, golden_weights, monkeypatch, resnet101
):
    path = tmp_path / "coco.h5"
    write_marked(golden_weights, monkeypatch, path, "resnet101", 81)
    before = values(resnet101)
    with pytest.raises(ValueError) as error:
        weights.load_weights(resnet101, path, by_name=True)
    assert str(list(CLASS_LAYERS)) in str(error.value)
    assert "(1024, 81)" in str(error.value) and "(1024, 9)" in str(error.value)

    exclude = ["mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_bbox", "mrcnn_mask"]
    report = weights.load_weights(resnet101, path, by_name=True, exclude=exclude)
    assert report.excluded == exclude
    assert report.missing == report.unused == report.adapted == []
    assert len(report.loaded) == 235 - 3  # rpn_model counts as its three layers
    after = values(resnet101)
    assert len(after) == 690
    for name, array in after.items():
        if name.split("/")[0] in exclude:
            np.testing.assert_array_equal(array, before[name], err_msg=name)
        else:
            assert (array == marker(*name.split("/"))).all(), name


def test_resnet50_weights_load_into_resnet101_by_name(
    tmp_path, golden_weights, monkeypatch, resnet101
):
    path = tmp_path / "r50.h5"
    write_marked(golden_weights, monkeypatch, path, "resnet50", 9)
    with pytest.raises(ValueError, match="res4g_branch2a"):
        weights.load_weights(resnet101, path)
    report = weights.load_weights(resnet101, path, by_name=True)
    assert len(report.loaded) == 133 and report.unused == []
    assert len(report.missing) == 235 - 133
    assert all(re.match(r"(res|bn)4[g-w]_", name) for name in report.missing)
