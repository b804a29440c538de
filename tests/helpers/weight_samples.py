"""A small model under the names of the contract, and legacy files of it."""

import h5py
import keras
import numpy as np
from keras import layers

GROUPS = ["conv1", "bn_conv1", "fpn_p2", "rpn_model"]
GROUPS += ["mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask"]


def small_model(classes=3, channels=3, inner="rpn_model", body=None):
    """A few layers under the names of the contract, in a graph order that is not the file's."""
    image = keras.Input((8, 8, channels))
    x = layers.Conv2D(4, 3, name="conv1")(image)
    x = layers.BatchNormalization(name="bn_conv1")(x)
    if body is not None:
        x = body(x)
    p2 = layers.Conv2D(4, 1, name="fpn_p2")(x)
    cell = keras.Input((None, None, 4))
    shared = layers.Conv2D(6, 1, name="rpn_conv_shared")(cell)
    bbox = layers.Conv2D(12, 1, name="rpn_bbox_pred")(shared)
    score = layers.Conv2D(6, 1, name="rpn_class_raw")(shared)
    rpn = keras.Model(cell, [bbox, score], name=inner)
    mask = layers.Conv2D(classes, 1, name="mrcnn_mask")(p2)
    pooled = layers.GlobalAveragePooling2D()(p2)
    deltas = layers.Dense(4 * classes, name="mrcnn_bbox_fc")(pooled)
    deltas = layers.Reshape((classes, 4), name="mrcnn_bbox")(deltas)
    logits = layers.Dense(classes, name="mrcnn_class_logits")(pooled)
    model = keras.Model(image, [mask, deltas, *rpn(p2), logits])
    rng = np.random.default_rng(classes)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape))
    return model


def values(model):
    """Every weight by "layer/weight", nested layers included."""
    found = {}
    for layer in model.layers:
        inner = layer.layers if isinstance(layer, keras.Model) else [layer]
        for leaf in inner:
            found.update({f"{leaf.name}/{v.name}": np.array(np.asarray(v)) for v in leaf.weights})
    return found


def assert_same(model, wanted, names=None, **tolerance):
    found = values(model)
    for name in names or found:
        np.testing.assert_allclose(
            found[name], wanted[name], **(tolerance or {"rtol": 0}), err_msg=name
        )


def write_file(path, groups, style="bytes", nested=False, chunks=0, dtype="float32"):
    """A legacy file from [(group, [(weight name, array), ...])], in several dialects."""

    def put(group, key, names):
        if style == "bytes":
            names = np.array([n.encode() for n in names]) if names else np.zeros(0)
        else:
            names = np.array(names, dtype=h5py.string_dtype())
        if not chunks:
            group.attrs[key] = names
            return
        for i in range(0, max(len(names), 1), chunks):
            group.attrs[f"{key}{i // chunks}"] = names[i : i + chunks]

    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if nested else file
        put(root, "layer_names", [name for name, _ in groups])
        for name, arrays in groups:
            group = root.create_group(name)
            put(group, "weight_names", [weight for weight, _ in arrays])
            for weight, array in arrays:
                group.create_dataset(weight, data=np.asarray(array).astype(dtype))
    return path


def as_groups(model, rename=lambda name: name):
    """The groups of a legacy file for `small_model`, with weightless layers in between."""
    found = values(model)
    groups = [("input_image", [])]
    for group in GROUPS:
        leaves = [group]
        if group == "rpn_model":
            leaves = ["rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred"]
        arrays = [
            (rename(key) + ":0", array)
            for leaf in leaves
            for key, array in found.items()
            if key.split("/")[0] == leaf
        ]
        groups += [(group, arrays), (f"activation_{len(groups)}", [])]
    return groups
