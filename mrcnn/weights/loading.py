"""Weights in and out of a model: loading that reports what it did, saving that old code reads.

Layer groups, their order and their array shapes are a public contract: files that
Matterport's package wrote load here, and files written here load there.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from mrcnn.errors import UnavailableError, UserError
from mrcnn.io.files import replace_file
from mrcnn.weights.hdf5 import (
    Int8Array,
    StoredLayer,
    WeightFileError,
    is_keras3_file,
    open_hdf5,
    read_array,
    read_class_names,
    read_keras3_layers,
    read_layers,
    read_settings,
    write_facts,
    write_layers,
)
from mrcnn.weights.layer_match import (
    CLASS_LAYERS,
    base_name,
    demand_shapes,
    listed,
    slots_of,
    units_of,
)

logger = logging.getLogger(__name__)

_DTYPES = ("float32", "float16", "int8")

IMAGENET_URL = (
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.2/"
    "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
IMAGENET_MD5 = "a268eb855778b3df3c7506639542a6af"


@dataclass
class WeightReport:
    """What a call of `load_weights` did, in names of layers that have weights."""

    path: str
    loaded: list[str] = field(default_factory=list)  # took their weights from the file
    excluded: list[str] = field(default_factory=list)  # left out on request
    missing: list[str] = field(default_factory=list)  # in the model alone; keep their values
    unused: list[str] = field(default_factory=list)  # in the file alone
    adapted: list[str] = field(default_factory=list)  # changed, or from a layer of another name

    def __str__(self) -> str:
        """One short paragraph; long lists are cut."""
        text = f"Loaded the weights of {len(self.loaded)} layers from {self.path}."
        for title, names in (
            ("Excluded", self.excluded),
            ("Not in the file, left as they were", self.missing),
            ("In the file, not in the model", self.unused),
            ("Adapted", self.adapted),
        ):
            if names:
                text += f" {title} ({len(names)}): {listed(names)}."
        return text


def load_weights(
    model: keras.Model,
    path: str | Path,
    by_name: bool = False,
    exclude: Sequence[str] | str | None = None,
) -> WeightReport:
    """Load a weights file into a model, wholly or not at all.

    The file is a legacy HDF5 file (weights alone or a whole model), or Keras's own `.weights.h5`;
    which one is seen from its content. Layers are matched by name (Keras counts layers in graph
    order, which differs between training and inference), the weights of a layer by position. RGB
    weights of "conv1" are adapted to n input channels when loading by name: their mean over the
    three channels, repeated, times 3 / n, so that equal channels give the same response.

    Args:
        model: functional model; nested models are looked into.
        path: the file.
        by_name: False: model and file must hold the same layers (automatic names such as "conv2d_5"
            may differ in their number). True: load what both have.
        exclude: names of layers, or of nested models, to leave as they are; implies `by_name`.

    Returns:
        The report, which is also logged. After an error the model is unchanged.

    Source: Matterport `MaskRCNN.load_weights`.
    """
    exclude = [exclude] if isinstance(exclude, str) else list(exclude or [])
    with open_hdf5(path) as file:
        own, layers = is_keras3_file(file), _layers_of(file, path)
        report, values = _plan(model, layers, path, by_name or bool(exclude), exclude, not own)
    for variable, value in values:
        variable.assign(value)
    logger.info("%s", report)
    return report


def read_classes(path: str | Path) -> tuple[list[str] | None, int | None]:
    """What a weights file says of its classes, the background aside; None for what is not known.

    Returns:
        Their names in the order of their ids, and their number by the layer of their scores.
    """
    with open_hdf5(path) as file:
        names = read_class_names(file, path)
        biases = [
            stored.dataset.shape
            for layer in _layers_of(file, path)
            for stored in layer.arrays
            if layer.name == CLASS_LAYERS[0] and stored.dataset.ndim == 1
        ]
    return names, biases[0][0] - 1 if biases else None


def read_stored_settings(path: str | Path) -> dict[str, Any]:
    """Settings that a weights file was stored with; empty of older files, and of files that are no
    HDF5 files."""
    if not h5py.is_hdf5(path):
        return {}
    with open_hdf5(path) as file:
        return read_settings(file, path)


def reorder_classes(
    model: keras.Model, order: Sequence[int], layers: Sequence[str] = CLASS_LAYERS
) -> None:
    """Give the classes of a network other ids; it finds the same as before under them.

    Args:
        model: functional model.
        order: for every new id, from the background 0 on, the old one.
        layers: names of those with the classes along the last axis of their weights, which may
            have several values for each class, one after the other.
    """
    for slot in slots_of(model):
        for variable in slot.variables if slot.name in layers else ():
            value = keras.ops.convert_to_numpy(variable)
            by_class = value.reshape(*value.shape[:-1], len(order), -1)
            variable.assign(by_class[..., list(order), :].reshape(value.shape))


def save_weights(
    model: keras.Model,
    path: str | Path,
    dtype: str = "float32",
    class_names: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights of a functional model, atomically.

    The names of the classes by id, without the background, and the settings of the network
    (`Config.to_dict`) are kept in the file, if given.

    A name that ends with ".weights.h5" gives Keras's own format, any other the legacy HDF5 layout,
    one group a layer (nested models are one) in the order of Matterport's files, stored as `dtype`:
    "float32", "float16", or "int8", which this package alone reads: each filter has its own unit, a
    127th of its largest weight, and vectors (biases, batch normalization) stay float32.
    """
    if dtype not in _DTYPES:
        raise UserError(f"dtype is {dtype!r}; it must be one of {', '.join(map(repr, _DTYPES))}.")
    if str(path).endswith(".weights.h5"):
        if dtype != "float32":
            raise UserError(
                f"{path}: Keras's own format keeps the type of the model; {dtype} needs the "
                "legacy layout: choose a name that ends with '.h5' alone."
            )

        def write(part: Path) -> None:
            model.save_weights(str(part))
            with h5py.File(part, "r+") as file:
                write_facts(file, class_names or (), settings)

        with quiet_keras():
            replace_file(path, write, ".weights.h5")
        return
    groups: dict[str, list[tuple[str, np.ndarray]]] = {}
    for slot in slots_of(model):
        weights = groups.setdefault(slot.top, [])
        used = {name for name, _ in weights}
        for variable in slot.variables:
            name = base = f"{slot.name}/{variable.name}"
            while f"{name}:0" in used:  # sub-layers of one layer may repeat a name
                name = f"{base}_{len(used)}"
            used.add(f"{name}:0")
            weights.append((f"{name}:0", _stored_form(variable, name, dtype, path)))
    write_layers(path, list(groups.items()), class_names or (), settings)


def get_imagenet_weights() -> str:
    """Path of ImageNet weights for ResNet-50, downloaded once by Keras.

    Load them with `by_name=True`; ResNet-101 takes the layers of the same name.
    Source: Matterport `MaskRCNN.get_imagenet_weights`.
    """
    name = IMAGENET_URL.rsplit("/", 1)[1]
    try:
        return keras.utils.get_file(
            name, IMAGENET_URL, cache_subdir="models", md5_hash=IMAGENET_MD5
        )
    except Exception as error:  # Keras raises a bare Exception for every network failure
        raise UnavailableError(
            f"The ImageNet weights could not be downloaded from {IMAGENET_URL} ({error}). Fetch "
            f"the file elsewhere (md5 {IMAGENET_MD5}) and put it at ~/.keras/models/{name} "
            "(below $KERAS_HOME where that is set), or pass its path to load_weights."
        ) from error


def _layers_of(file: Any, path: str | Path) -> list[StoredLayer]:
    return read_keras3_layers(file, path) if is_keras3_file(file) else read_layers(file, path)


def _plan(
    model: keras.Model,
    layers: list[StoredLayer],
    path: str | Path,
    by_name: bool,
    exclude: list[str],
    ordered: bool,
) -> tuple[WeightReport, list]:
    """Check everything; return the report and [(variable, value)] ready to assign.

    `ordered`: the layers of the file come in the order of the model that was saved.
    """
    slots = slots_of(model)
    known = {s.name for s in slots} | {layer.name for layer in [*model.layers, *layers]}
    layers = [layer for layer in layers if layer.name not in exclude]
    units = units_of(layers, slots, path)
    report = WeightReport(str(path))
    report.excluded = [name for name in exclude if name in known or name in CLASS_LAYERS]
    if unknown := [name for name in exclude if name not in report.excluded]:
        logger.warning("%s: no layer to exclude is named %s.", path, listed(unknown))
    left_out = {s.name for s in slots if s.name in exclude or s.top in exclude}
    slots = [s for s in slots if s.name not in left_out]
    wanted = {s.name for s in slots}
    for name in list(units):
        # Some files carry the anchors as if they were weights.
        if name in left_out or (name.startswith("anchors") and name not in wanted):
            del units[name]

    source = {name: name for name in wanted if name in units}
    report.missing = [s.name for s in slots if s.name not in units]
    report.unused = [name for name in units if name not in wanted]
    if not by_name and (report.missing or report.unused):
        names = [base_name(name) for name in units]
        if not ordered or names != [base_name(s.name) for s in slots]:
            raise WeightFileError(
                f"{path}: file and model do not hold the same layers. Not in the file: "
                f"{listed(report.missing)}. Not in the model: {listed(report.unused)}. Build "
                "the model with the configuration of the file, or load with by_name=True."
            )
        source = {s.name: name for s, name in zip(slots, units, strict=True)}
        report.adapted = [f"{a} from {b}" for a, b in source.items() if a != b]
        report.missing, report.unused = [], []

    pairs = [(s, units[source[s.name]]) for s in slots if s.name in source]
    if not pairs:
        raise WeightFileError(
            f"{path}: nothing in the file fits the model. The file has {listed(list(units))}; "
            f"the model wants {listed([s.name for s in slots])}."
        )
    demand_shapes(pairs, by_name, path)
    values = []
    for slot, arrays in pairs:
        for variable, stored in zip(slot.variables, arrays, strict=True):
            value = read_array(stored, variable.dtype, path)
            if value.shape != tuple(variable.shape):
                n = variable.shape[2]
                value = np.repeat(value.mean(axis=2, keepdims=True) * (3 / n), n, axis=2)
                report.adapted.append(f"{slot.name} from RGB to {n} input channels")
            values.append((variable, value))
        report.loaded.append(slot.name)
    return report, values


def _stored_form(variable: Any, name: str, dtype: str, path: str | Path) -> np.ndarray | Int8Array:
    with quiet_keras():
        value = np.asarray(variable)
    if dtype == "int8" and value.ndim > 1 and np.isfinite(value).all():
        return _of_8_bits(value)
    dtype = "float32" if dtype == "int8" else dtype
    with np.errstate(over="ignore"):  # an overflow shows as infinity below
        stored = value.astype(dtype)
    if not np.isfinite(stored).all():
        largest = np.abs(value.astype("float64")).max()
        raise UserError(
            f"{path}: weight {name!r} cannot be stored as {dtype}: its largest magnitude is "
            f"{largest:g}. NaN or inf means that the training diverged; else use dtype='float32'."
        )
    return stored


def _of_8_bits(value: np.ndarray) -> Int8Array:
    """Each filter, along the last axis, in its own unit."""
    largest = np.abs(value).max(axis=tuple(range(value.ndim - 1)))
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return Int8Array(np.rint(value / scale).astype(np.int8), scale)


def quiet_keras() -> warnings.catch_warnings:
    """Without the DeprecationWarnings of NumPy 2 on how Keras reads variables of some backends."""
    return warnings.catch_warnings(action="ignore", category=DeprecationWarning)
