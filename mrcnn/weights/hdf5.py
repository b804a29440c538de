"""HDF5 files in the legacy (Keras 2) weights layout: safe reading, atomic writing.

The layout: an ordered attribute `layer_names`, one group a layer with an ordered attribute
`weight_names`, one dataset a weight. Files with weights of 8 bits have the same below a group
`int8_weights`, so that readers who do not know what the numbers mean find no layers.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from mrcnn.errors import MissingFileError, UserError
from mrcnn.io.files import replace_file

CLASS_NAMES, SETTINGS = "class_names", "settings"  # attributes of a file
OF_THE_MACHINE = ("CACHE_DIR", "CACHE_MEMORY_MB", "RUNTIME_CACHE_DIR", "WORKERS")
_PIECE = 1000  # characters of the settings in one entry of their attribute
_INT8, _SCALE = "int8_weights", "scale"  # group of a file; attribute of a weight in it
# HDF5 keeps an attribute in the object header, which ends at 64 kB.
_ATTRIBUTE_BYTES = 64512
# Far above any real file: a bound on what a hostile attribute can make us read.
_MAX_NAMES = 100_000


class WeightFileError(UserError):
    """A weights file that cannot be read or does not fit; the message names it."""


@dataclass(frozen=True)
class StoredArray:
    """One weight in an open file, not read yet; its name as "conv1/kernel:0"."""

    name: str
    dataset: h5py.Dataset


@dataclass(frozen=True)
class StoredLayer:
    """One layer group with weights: its name and its arrays in stored order."""

    name: str
    arrays: list[StoredArray]


@dataclass(frozen=True)
class Int8Array:
    """A weight of 8 bits: numbers int8 [..., n], and what each of the n filters multiplies with,
    float32 [n]."""

    numbers: np.ndarray
    scale: np.ndarray


@contextmanager
def open_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open a file for reading; every failure inside becomes one clear error."""
    path = Path(path)
    if not path.exists():
        raise MissingFileError(f"{path}: no such weights file.")
    if not path.is_file():
        raise WeightFileError(f"{path}: not a file; give the path of an HDF5 weights file.")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except WeightFileError:
        raise
    except Exception as error:  # h5py raises nearly every built-in kind for damaged files
        raise WeightFileError(
            f"{path}: not a readable HDF5 weights file; it is truncated, damaged or of another "
            f"kind ({error}). Download or copy it again."
        ) from error


def is_keras3_file(file: h5py.File) -> bool:
    """Whether an open file has the layout of Keras 3's own `.weights.h5`."""
    return not _has_names(file, "layer_names") and "layers" in file


def read_layers(file: h5py.File, path: str | Path) -> list[StoredLayer]:
    """Layers with weights of an open legacy file, in stored order; no array is read.

    Its root, or its group `model_weights` or `int8_weights`, holds the layers. `path` is for
    messages.
    """
    root = file
    for group in ("model_weights", _INT8):
        if not _has_names(file, "layer_names") and group in file:
            root = _member(file, group, path)
    if not isinstance(root, h5py.Group) or not _has_names(root, "layer_names"):
        raise WeightFileError(
            f"{path}: an HDF5 file without weights in the Keras layout: there is no attribute "
            "'layer_names', at the root or in a group 'model_weights'."
        )
    names = _names(root, "layer_names", path)
    layers = []
    for name in names:
        group = _member(root, name, path)
        if not isinstance(group, h5py.Group):
            raise WeightFileError(f"{path}: {name!r} is not a group with weights.")
        if weights := _names(group, "weight_names", path):
            layers.append(StoredLayer(name, _arrays(group, name, weights, path)))
    if not layers:
        raise WeightFileError(f"{path}: the file lists {len(names)} layers, none with weights.")
    return layers


def read_keras3_layers(file: h5py.File, path: str | Path) -> list[StoredLayer]:
    """Layers with weights of an open `.weights.h5` file of Keras 3; no array is read.

    Its groups are numbered by layer class, in an order that depends on the graph; an attribute of
    `vars` holds the layer's name.
    """
    layers: list[StoredLayer] = []
    waiting, seen = [_member(file, "layers", path)], set()
    while waiting:
        group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if not isinstance(group, h5py.Group) or address in seen:
            continue
        seen.add(address)
        waiting += [_member(group, name, path) for name in group if name != "vars"]
        variables = _member(group, "vars", path) if "vars" in group else {}
        if not len(variables):
            continue
        name = variables.attrs.get("name") if isinstance(variables, h5py.Group) else None
        if not isinstance(name, str) or {*variables} != {str(i) for i in range(len(variables))}:
            raise WeightFileError(
                f"{path}: {group.name!r} does not say which layer it holds; the file is foreign "
                "or of an early Keras 3. Save the weights again with a current version."
            )
        numbers = map(str, range(len(variables)))
        layers.append(StoredLayer(name, _arrays(variables, name, numbers, path, f"{name}/")))
    if not layers:
        raise WeightFileError(f"{path}: an HDF5 file without weights.")
    return layers


def read_array(stored: StoredArray, dtype: str, path: str | Path) -> np.ndarray:
    """Read one weight as `dtype`; every value must be finite.

    Compare `stored.dataset.shape` first, so that a huge declared shape is never allocated.
    """
    array = stored.dataset[()]
    if array.dtype == np.int8:
        array = array * _scale_of(stored, path)
    with np.errstate(over="ignore"):  # an overflow shows as infinity below
        array = array.astype(dtype)
    if not np.isfinite(array).all():
        raise WeightFileError(
            f"{path}: weight {stored.name!r} holds NaN or infinite values (as {dtype}). The "
            "training that wrote it diverged; use an earlier checkpoint."
        )
    return array


def _scale_of(stored: StoredArray, path: str | Path) -> np.ndarray:
    """What the filters of a weight of 8 bits multiply with, float32 [n]."""
    scale = stored.dataset.attrs.get(_SCALE)
    wanted = stored.dataset.shape[-1:]
    if not isinstance(scale, np.ndarray) or scale.dtype.kind != "f" or scale.shape != wanted:
        raise WeightFileError(
            f"{path}: weight {stored.name!r} has 8 bits, but no attribute {_SCALE!r} of {wanted} "
            "numbers that says what they mean."
        )
    return scale.astype(np.float32)


def read_class_names(file: h5py.File, path: str | Path) -> list[str] | None:
    """Names of the classes of an open file, without the background; None if it names none."""
    return _names(file, CLASS_NAMES, path) if _has_names(file, CLASS_NAMES) else None


def read_settings(file: h5py.File, path: str | Path) -> dict[str, Any]:
    """Settings of the network of an open file, as `Config.to_dict` gives them; empty if it has
    none."""
    if not _has_names(file, SETTINGS):
        return {}
    try:
        return dict(json.loads("".join(_names(file, SETTINGS, path))))
    except (ValueError, TypeError) as error:
        raise WeightFileError(f"{path}: attribute {SETTINGS!r} holds no settings ({error}).") from (
            error
        )


def write_facts(
    file: h5py.File, class_names: Sequence[str] = (), settings: Mapping[str, Any] | None = None
) -> None:
    """Add the names of the classes, without the background, and the settings of the network to an
    open file, where there are any: attributes that old readers pass over. Settings of the machine
    that a network was trained on, such as its folders, are no part of it."""
    if class_names:
        _write_names(file, CLASS_NAMES, class_names)
    if settings:
        own = {name: value for name, value in settings.items() if name not in OF_THE_MACHINE}
        text = json.dumps(own)
        _write_names(file, SETTINGS, [text[k : k + _PIECE] for k in range(0, len(text), _PIECE)])


def write_layers(
    path: str | Path,
    layers: Sequence[tuple[str, Sequence[tuple[str, np.ndarray | Int8Array]]]],
    class_names: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write (group, [(weight name, array), ...]) in the legacy layout, atomically; names of the
    classes and settings as by `write_facts`."""

    def write(part: Path) -> None:
        with h5py.File(part, "w") as file:
            write_facts(file, class_names, settings)
            every = [array for _, weights in layers for _, array in weights]
            int8 = any(isinstance(array, Int8Array) for array in every)
            root = file.create_group(_INT8) if int8 else file
            _write_names(root, "layer_names", [name for name, _ in layers])
            # Fixed-length bytes: old readers call .decode() on these attributes.
            file.attrs["backend"] = np.bytes_("tensorflow")
            file.attrs["keras_version"] = np.bytes_(keras.__version__)
            for name, weights in layers:
                group = root.create_group(name)
                _write_names(group, "weight_names", [weight for weight, _ in weights])
                for weight, array in weights:
                    _write_array(group, weight, array)

    replace_file(path, write)


def _write_array(group: h5py.Group, name: str, array: np.ndarray | Int8Array) -> None:
    if isinstance(array, Int8Array):
        dataset = group.create_dataset(name, data=array.numbers, compression="gzip")
        dataset.attrs[_SCALE] = array.scale
    else:
        group.create_dataset(name, data=array)


def _member(group: h5py.Group, name: str, path: str | Path) -> h5py.Group | h5py.Dataset:
    """The object at a relative path, through hard links alone.

    A soft or external link could point anywhere on the disk of whoever loads the file.
    """
    item = group
    for step in filter(None, name.split("/")):
        link = item.get(step, getlink=True) if isinstance(item, h5py.Group) else None
        if link is None:
            raise WeightFileError(f"{path}: {name!r} is listed but missing in {group.name!r}.")
        if not isinstance(link, h5py.HardLink):
            raise WeightFileError(
                f"{path}: {name!r} in {group.name!r} is a {type(link).__name__}; weights files "
                "with links are refused."
            )
        item = item[step]
    return item


def _arrays(
    group: h5py.Group, layer: str, members: Iterable[str], path: str | Path, prefix: str = ""
) -> list[StoredArray]:
    """Members of a group as weights of a layer, named by `prefix` and member."""
    return [
        StoredArray(prefix + name, _dataset(_member(group, name, path), f"{layer}/{name}", path))
        for name in members
    ]


def _dataset(item: h5py.Group | h5py.Dataset, name: str, path: str | Path) -> h5py.Dataset:
    """`item` if it is an array of numbers stored in this very file."""
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        raise WeightFileError(f"{path}: {name!r} is not an array.")
    if item.dtype.kind not in "fiu":
        raise WeightFileError(
            f"{path}: {name!r} has type {item.dtype}; weights are floating-point numbers."
        )
    if item.is_virtual or item.external:
        raise WeightFileError(f"{path}: {name!r} keeps its data in another file; refused.")
    return item


def _has_names(group: h5py.Group, key: str) -> bool:
    return key in group.attrs or f"{key}0" in group.attrs


def _names(group: h5py.Group, key: str, path: str | Path) -> list[str]:
    """A list of strings: one attribute, or chunks key0, key1, ..."""
    if key in group.attrs:
        chunks = [key]
    else:
        chunks = []
        while f"{key}{len(chunks)}" in group.attrs:
            chunks.append(f"{key}{len(chunks)}")
    if not chunks:
        raise WeightFileError(f"{path}: group {group.name!r} has no attribute {key!r}.")
    names = []
    for chunk in chunks:
        kind = group.attrs.get_id(chunk)
        count = int(np.prod(kind.shape)) if kind.shape else 0
        if count == 0:  # Keras stores an empty list as an array of floats
            continue
        if kind.dtype.kind != "S" and h5py.check_string_dtype(kind.dtype) is None:
            raise WeightFileError(
                f"{path}: attribute {chunk!r} of {group.name!r} has type {kind.dtype}, not text."
            )
        if count + len(names) > _MAX_NAMES:
            raise WeightFileError(f"{path}: attribute {chunk!r} of {group.name!r} is too long.")
        for name in np.asarray(group.attrs[chunk], dtype=object).reshape(-1):
            names.append(name.decode("utf-8") if isinstance(name, bytes) else str(name))
    return names


def _write_names(group: h5py.Group, key: str, names: Sequence[str]) -> None:
    array = np.array([name.encode("utf-8") for name in names])
    if array.nbytes <= _ATTRIBUTE_BYTES:
        group.attrs[key] = array
        return
    step = _ATTRIBUTE_BYTES // array.itemsize
    for index, start in enumerate(range(0, len(array), step)):
        group.attrs[f"{key}{index}"] = array[start : start + step]
