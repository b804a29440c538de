"""Volumes in files, opened without reading them whole: npz, HDF5, TIFF, OME-Zarr, webKnossos.

A volume is [z, y, x] here, whatever the order of its file.
"""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile

from mrcnn.errors import MissingFileError, MissingPackageError, UserError, reading
from sebre.data.listing import natural

WEBKNOSSOS_FILE = "datasource-properties.json"
TIFF = (".tif", ".tiff")
HDF5 = (".h5", ".hdf5", ".hdf")
# Names of gray values and labels in HDF5 files: ours, and those of the CREMI challenge.
_RAW, _LABELS = ("raw", "volumes/raw"), ("labels", "volumes/labels/neuron_ids")
_NO_SECTIONS = {"C": "channels", "T": "times", "S": "samples"}  # axes of TIFF files
_NM = {
    **{"nm": 1.0, "nanometer": 1.0, "um": 1e3, "µm": 1e3, "\\u00B5m": 1e3, "micron": 1e3},
    **{"micrometer": 1e3, "mm": 1e6, "millimeter": 1e6, "angstrom": 0.1},
}

_OTHER_SIZE = 1.5  # times the size of the voxels that a network knows

VoxelSize = tuple[float, float, float]
Place = tuple[int, int, int]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmVolume:
    """A volume of electron microscopy, with labels or without.

    Attributes:
        name: of the file.
        raw: uint8 [z, y, x], an array or what gives a part of it for an index of slices.
        voxel_nm: voxel size along z, y, x, in nm; None where the file does not say it.
        labels: integers [z, y, x], likewise; 0 where nothing is labeled; None without labels.
        first: where the first voxel lies in the coordinates of a webKnossos data set, z, y, x;
            None of other files, which have no such.
    """

    name: str
    raw: Any
    voxel_nm: VoxelSize | None = None
    labels: Any = None
    first: Place | None = None

    def demand_sections(self, first: int, last: int) -> None:
        """Raise a UserError unless the sections from `first` up to, not with, `last` are there."""
        count = self.raw.shape[0]
        if not 0 <= first < last <= count:
            raise UserError(
                f"{self.name}: has the sections 0:{count}, not all of {first}:{last}. Give others, "
                f"up to {count}."
            )

    def sections(self, first: int, last: int) -> "EmVolume":
        """The sections from `first` up to, not with, `last`, in memory.

        Raises:
            UserError: they are not all there.
        """
        self.demand_sections(first, last)
        labels = None if self.labels is None else np.asarray(self.labels[first:last])
        return replace(self, raw=np.asarray(self.raw[first:last]), labels=labels)


class Turned:
    """An array of other axes, seen as [z, y, x]; a part of it is read for an index of slices.

    Args:
        array: of any number of axes.
        order: for z, y and x, the axis of the array. Others must have the length 1.
        path: of the file, for what is said if a part of it is broken.
        box: (first voxel, size) along z, y, x of the part that counts; None for all of it.

    Raises:
        UserError: another axis is longer, or the part does not lie in the array.
    """

    def __init__(
        self,
        array: Any,
        order: Sequence[int],
        path: Path,
        box: tuple[Place, Place] | None = None,
    ):
        self._array, self._order, self._path = array, tuple(order), path
        others = [n for axis, n in enumerate(array.shape) if axis not in self._order and n != 1]
        if others or max(self._order) >= len(array.shape):
            raise UserError(
                f"{path}: an array of {tuple(array.shape)}; wanted one volume, z, y, x. Channels "
                "and times must have the length 1: save the one that is wanted alone."
            )
        whole = tuple(int(array.shape[axis]) for axis in order)
        self._first, self.shape = ((0,) * len(whole), whole) if box is None else box
        ends = [first + size for first, size in zip(self._first, self.shape, strict=True)]
        if min(self._first) < 0 or any(e > w for e, w in zip(ends, whole, strict=True)):
            raise UserError(
                f"{path}: the bounding box of a layer begins at {self._first} and is {self.shape} "
                f"voxels along z, y, x, but its array has {whole}. Export the data set again."
            )
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        parts = index if isinstance(index, tuple) else (index,)
        parts = (*parts, *[slice(None)] * (3 - len(parts)))
        whole: list[Any] = [0] * len(self._array.shape)
        for axis, part, first, size in zip(
            self._order, parts, self._first, self.shape, strict=True
        ):
            start, stop, step = part.indices(size)
            whole[axis] = slice(first + start, first + max(start, stop), step)
        left = [axis for axis in range(len(whole)) if axis in self._order]
        with reading(self._path, "a part of this volume"):
            found = np.asarray(self._array[tuple(whole)])
        return found.transpose([left.index(axis) for axis in self._order])


class Pages:
    """Sections in pages or files of TIFF, read when they are asked for.

    Args:
        read: gives section number n, [y, x].
        count: of the sections.
        path: of the file or folder, for what is said if a section is broken.
    """

    def __init__(self, read: Callable[[int], np.ndarray], count: int, path: Path):
        self._read, self._path = read, path
        first = read(0)
        self.shape, self.dtype = (count, *first.shape), first.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        sections, *within = index if isinstance(index, tuple) else (index,)
        numbers = range(*sections.indices(self.shape[0]))
        inner = tuple(within)
        with reading(self._path, "a section of this volume"):
            parts = [self._section(n)[inner] for n in numbers]
        return np.stack(parts) if parts else np.empty((0, *self.shape[1:]), self.dtype)

    def _section(self, number: int) -> np.ndarray:
        found = self._read(number)
        if (found.shape, found.dtype) != (self.shape[1:], self.dtype):
            raise UserError(
                f"{self._path}: section {number} is {found.dtype} {found.shape}, the first "
                f"{self.dtype} {self.shape[1:]}. Wanted sections of one size and type."
            )
        return found


def open_volume(
    path: str | Path, voxel_nm: Sequence[float] | None = None, labels: str | Path | None = None
) -> EmVolume:
    """Open a volume.

    Args:
        path: npz, HDF5 or TIFF file, folder of TIFF files (in the natural order of their names: 2
            before 10), OME-Zarr or webKnossos data set.
        voxel_nm: along z, y, x; None takes what the file says.
        labels: file of the labels, if they are in another one.

    Raises:
        FileNotFoundError: no such file.
        UserError: a file that cannot be read, or is no volume of uint8; labels of another shape
            or of no whole numbers.
    """
    path = Path(path)
    volume = _open(path, "raw")
    if labels is not None:
        found = _open(Path(labels), "labels")
        other = found.labels if found.labels is not None else found.raw
        demand_same_place(volume.first, found.first, labels)
        volume = replace(volume, labels=other)
    if voxel_nm is not None:
        volume = replace(volume, voxel_nm=tuple(float(size) for size in voxel_nm))
    return _checked(volume, path)


def open_labels(path: str | Path, of: EmVolume | None = None) -> Any:
    """The labels of a file that `open_volume` can read, [z, y, x].

    Raises:
        UserError: no labels, or they lie elsewhere than the volume that they are said to be `of`.
    """
    found = _open(Path(path), "labels")
    demand_same_place(of and of.first, found.first, path)
    labels = found.labels if found.labels is not None else found.raw
    _demand_labels(labels, path)
    return labels


def _open(path: Path, wanted: str) -> EmVolume:
    if not path.exists():
        raise MissingFileError(f"{path}: no such file or folder. Give a volume.")
    suffix = path.suffix.lower()
    if path.is_dir():
        if (path / WEBKNOSSOS_FILE).is_file():
            return _open_webknossos(path, wanted)
        if any((path / name).is_file() for name in ("zarr.json", ".zattrs", ".zarray")):
            return _open_zarr(path)
        return _open_stack(path)
    readers = {
        ".npz": _open_npz,
        **dict.fromkeys(HDF5, _open_hdf5),
        **dict.fromkeys(TIFF, _open_tiff),
    }
    if suffix not in readers:
        raise UserError(
            f"{path}: is no volume that can be read. Wanted .npz, {', '.join(HDF5 + TIFF)}, a "
            "folder of TIFF files, OME-Zarr or a webKnossos data set."
        )
    with reading(path, "this volume"):
        return readers[suffix](path, wanted)


def _open_npz(path: Path, wanted: str) -> EmVolume:
    with np.load(path, allow_pickle=False) as file:
        if wanted not in file:
            raise UserError(
                f"{path}: has no array `{wanted}`, but {', '.join(file) or 'none at all'}. Store "
                "gray values (uint8) as `raw`, labels as `labels`, both [z, y, x]."
            )
        size = tuple(file["voxel_nm"].tolist()) if "voxel_nm" in file else None
        labels = file["labels"] if "labels" in file else None
        return EmVolume(path.name, file["raw"] if "raw" in file else None, size, labels)


def _open_hdf5(path: Path, wanted: str) -> EmVolume:
    file = h5py.File(path, "r")  # it stays open as long as its arrays are used
    found = {
        kind: next((file[name] for name in names if name in file), None)
        for kind, names in (("raw", _RAW), ("labels", _LABELS))
    }
    if found[wanted] is None:
        raise UserError(
            f"{path}: has no {' or '.join(_RAW if wanted == 'raw' else _LABELS)}, but "
            f"{', '.join(file) or 'nothing'}. Store the array under that name."
        )
    attributes = found[wanted].attrs
    size = attributes.get("voxel_nm", attributes.get("resolution"))
    arrays = {k: a and Turned(a, range(a.ndim), path) for k, a in found.items()}
    return EmVolume(path.name, voxel_nm=None if size is None else tuple(map(float, size)), **arrays)


def _open_tiff(path: Path, wanted: str) -> EmVolume:
    del wanted  # a file of one array
    with tifffile.TiffFile(path) as file:
        count, size, series = len(file.pages), _tiff_voxel_size(file), file.series[0]
    _demand_sections(series, path)
    if count == 1 and math.prod(series.shape[:-2]) > 1:
        # ImageJ writes stacks above 4 GB as one page, with all sections behind each other.
        whole = tifffile.memmap(path, series=0, mode="r")
        order = [k for k, n in enumerate(whole.shape[:-2]) if n > 1]
        order += [whole.ndim - 2, whole.ndim - 1]
        return EmVolume(path.name, Turned(whole, order, path), size)
    return EmVolume(path.name, Pages(lambda n: tifffile.imread(path, key=n), count, path), size)


def _demand_sections(series: Any, path: Path) -> None:
    """Raise a UserError unless the pages of a TIFF file are sections of one volume."""
    long = {name: n for name, n in zip(series.axes, series.shape, strict=True) if n > 1}
    along = [name for name in series.axes[:-2] if name in long]
    if series.axes[-2:] != "YX" or len(along) > 1 or any(name in _NO_SECTIONS for name in along):
        found = ", ".join(f"{n} {_NO_SECTIONS.get(name, name)}" for name, n in long.items())
        raise UserError(
            f"{path}: an array of axes {series.axes} and shape {series.shape} ({found}); wanted "
            "one volume, z, y, x. Save one channel and time alone, its sections as slices (z)."
        )


def _tiff_voxel_size(file: tifffile.TiffFile) -> VoxelSize | None:
    """As ImageJ and OME-TIFF note it."""
    if file.is_ome:
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
        pixels = (pixels[0] if isinstance(pixels, list) else pixels)["Pixels"]
        units = [_NM.get(pixels.get(f"PhysicalSize{axis}Unit", "um")) for axis in "ZYX"]
        sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "ZYX"]
        known = None not in units and None not in sizes
        return tuple(s * u for s, u in zip(sizes, units, strict=True)) if known else None
    facts = file.imagej_metadata or {}
    tags = file.pages[0].tags
    unit = _NM.get(facts.get("unit"))
    if unit is None or "spacing" not in facts or "XResolution" not in tags:
        return None
    plane = [tags[f"{axis}Resolution"].value for axis in "YX"]
    return (facts["spacing"] * unit, *(unit * below / above for above, below in plane))


def _open_stack(path: Path) -> EmVolume:
    files = [p for p in path.iterdir() if p.suffix.lower() in TIFF and p.name[0] != "."]
    files.sort(key=natural)
    if not files:
        raise UserError(
            f"{path}: is no volume that can be read: neither OME-Zarr nor a webKnossos data set, "
            "and without TIFF files. Give another folder."
        )
    with reading(path, "this stack"):
        return EmVolume(path.name, Pages(lambda n: tifffile.imread(files[n]), len(files), path))


def import_zarr() -> Any:
    """The package zarr; raises a MissingPackageError without it."""
    try:
        import zarr
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"OME-Zarr and webKnossos need the package zarr ({error}). Install it: pip install "
            '"sebre[neurites]"',
            name=error.name,
        ) from error
    return zarr


def _open_zarr(path: Path) -> EmVolume:
    zarr = import_zarr()
    with reading(path, "this OME-Zarr"):
        group = zarr.open(path, mode="r")
        if isinstance(group, zarr.Array):
            return EmVolume(path.name, Turned(group, range(3), path))
        facts = dict(group.attrs)
        scales = facts.get("ome", facts)["multiscales"][0]
        level = scales["datasets"][0]
        names = [axis["name"] if isinstance(axis, dict) else axis for axis in scales["axes"]]
        order = [names.index(axis) for axis in "zyx"]
        # Scales of a level and of all levels apply one after the other.
        transforms = [
            *level.get("coordinateTransformations", ()),
            *scales.get("coordinateTransformations", ()),
        ]
        steps = [[float(t["scale"][k]) for k in order] for t in transforms if t["type"] == "scale"]
        units = [_unit_nm(scales["axes"][k]) for k in order]
        size = None
        if steps and None not in units:
            size = tuple(np.prod([*steps, units], axis=0).tolist())
        return EmVolume(path.name, Turned(group[level["path"]], order, path), size)


def _unit_nm(axis: Any) -> float | None:
    """The unit of an axis of OME-Zarr, nm; None where it says none."""
    return _NM.get(axis.get("unit")) if isinstance(axis, dict) else None


def demand_same_place(first: Place | None, other: Place | None, path: str | Path) -> None:
    """Raise a UserError where labels of a webKnossos data set, at `path`, lie elsewhere in it than
    the gray values."""
    if None not in (first, other) and first != other:
        raise UserError(
            f"{path}: the labels begin at {other} along z, y, x in their data set, the gray values "
            f"at {first}. Export both with one bounding box."
        )


def _open_webknossos(path: Path, wanted: str) -> EmVolume:
    """The layers of a data set, cut to their bounding boxes: arrays are padded to whole shards."""
    zarr = import_zarr()
    with reading(path, "this webKnossos data set"):
        facts = json.loads((path / WEBKNOSSOS_FILE).read_text("utf-8"))
        found: dict[str, tuple[Turned, Place]] = {}
        for layer in facts["dataLayers"]:
            if not layer["dataFormat"].startswith("zarr"):
                raise UserError(
                    f"{path}: layer {layer['name']} is stored as {layer['dataFormat']}; wanted "
                    "zarr or zarr3. `webknossos convert-zarr` of the package webknossos makes it."
                )
            mag = next((m for m in layer["mags"] if m["mag"] in (1, [1, 1, 1])), None)
            if mag is None:
                raise UserError(
                    f"{path}: layer {layer['name']} has no magnification 1. Export it at full size."
                )
            array = zarr.open_array(path / mag.get("path", f"{layer['name']}/1"), mode="r")
            axes = mag.get("axisOrder", {"c": 0, "x": 1, "y": 2, "z": 3})
            box = _bounding_box(layer)
            turned = Turned(array, [axes[axis] for axis in "zyx"], path, box)
            found.setdefault(layer["category"], (turned, box[0] if box else (0, 0, 0)))
        scale = facts["scale"]
        factor, unit = (
            (scale["factor"], scale["unit"]) if isinstance(scale, dict) else (scale, "nm")
        )
        size = tuple(float(f) * _NM[unit] for f in reversed(factor))
        (raw, at), (labels, labels_at) = (
            found.get(kind, (None, None)) for kind in ("color", "segmentation")
        )
        if raw is not None and labels is not None and (at, raw.shape) != (labels_at, labels.shape):
            logger.warning(
                "%s: the gray values begin at %s and are %s voxels along z, y, x, the labels %s "
                "and %s; only the %s are used. Export both with one bounding box.",
                *(path, at, raw.shape, labels_at, labels.shape),
                "labels" if wanted == "labels" else "gray values",
            )
            raw, labels = (None, labels) if wanted == "labels" else (raw, None)
        return EmVolume(path.name, raw, size, labels, labels_at if raw is None else at)


def _bounding_box(layer: dict[str, Any]) -> tuple[Place, Place] | None:
    """(First voxel, size) along z, y, x of a webKnossos layer; None where it says none."""
    box = layer.get("boundingBox")
    if box is None:
        return None
    size = tuple(int(box[side]) for side in ("depth", "height", "width"))
    return tuple(int(place) for place in reversed(box["topLeft"])), size


def _checked(volume: EmVolume, path: Path) -> EmVolume:
    """The volume, if it can be worked with; raises a UserError otherwise."""
    raw = volume.raw
    if raw is None:
        raise UserError(f"{path}: has no gray values, only labels. Give a volume.")
    if len(raw.shape) != 3 or 0 in raw.shape:
        raise UserError(f"{path}: the gray values are {raw.shape}; wanted a volume, z, y, x.")
    if raw.dtype != np.uint8:
        raise UserError(
            f"{path}: the gray values are {raw.dtype}; wanted uint8. Convert them to 0..255."
        )
    if volume.voxel_nm is not None:
        demand_voxel_size(volume.voxel_nm, path)
    if volume.labels is not None:
        _demand_labels(volume.labels, path)
        if tuple(volume.labels.shape) != tuple(raw.shape):
            raise UserError(
                f"{path}: labels are {tuple(volume.labels.shape)}, gray values "
                f"{tuple(raw.shape)}; wanted the same shape, z, y, x in this order."
            )
    return volume


def _demand_labels(labels: Any, path: str | Path) -> None:
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"{path}: labels are {labels.dtype}; wanted whole numbers, one for each neurite."
        )


def demand_voxel_size(voxel_nm: Sequence[float], path: str | Path) -> None:
    """Raise a UserError unless a voxel size is three positive numbers."""
    if len(voxel_nm) != 3 or not all(np.isfinite(size) and size > 0 for size in voxel_nm):
        raise UserError(
            f"{path}: the voxel size is {tuple(voxel_nm)}; wanted three positive numbers, nm "
            "along z, y, x."
        )


def identity_of(path: Path) -> str:
    """What tells a volume from others, and from itself after a change: SHA-256 of the names, sizes
    and times of its files."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    found = hashlib.sha256()
    for file in files:
        facts = file.stat()
        name = file.relative_to(path).as_posix()
        found.update(f"{name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return found.hexdigest()


def demand_like(network_nm: Sequence[float], voxel_nm: Sequence[float] | None, path: Any) -> None:
    """Raise a UserError where the proportions of voxels are not those a network was trained on;
    warn where their size is another one, or not known."""
    if voxel_nm is None:
        logger.warning(
            "%s: does not say the size of its voxels; the network knows voxels of %s nm. Give "
            "--voxel-nm.",
            *(path, " x ".join(f"{size:g}" for size in network_nm)),
        )
        return
    own, wanted = (np.asarray(v, float) / np.min(v) for v in (voxel_nm, network_nm))
    if np.any(own / wanted > 2) or np.any(wanted / own > 2):
        raise UserError(
            f"{path}: voxels are {tuple(voxel_nm)} nm along z, y, x, the network knows "
            f"{tuple(network_nm)}. Is the order of the axes wrong? Otherwise train a network for "
            "such voxels, or give --voxel-nm if the file is wrong."
        )
    larger = np.max(np.asarray(voxel_nm, float) / np.asarray(network_nm, float))
    if larger > _OTHER_SIZE or larger < 1 / _OTHER_SIZE:
        logger.warning(
            "%s: voxels are %s nm along z, y, x, the network knows %s nm: what it finds is not to "
            "be trusted. Scale the volume, or train a network for such voxels.",
            *(path, tuple(voxel_nm), tuple(network_nm)),
        )
