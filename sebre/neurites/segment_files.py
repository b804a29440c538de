"""Segments written to files, a slab of sections at a time.

npz (`labels`, `voxel_nm`), HDF5, OME-TIFF, OME-Zarr (a label image, version 0.5), or a webKnossos
data set with a segmentation layer beside the gray values. The last two are folders that
neuroglancer and webKnossos open as they are. The webKnossos data set is written here, as its own
package is under AGPL-3.
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile

from mrcnn.errors import UserError
from mrcnn.io.own_files import demand_own, demand_own_folder, replace_own, replace_own_folder
from sebre.neurites.volume_files import HDF5, TIFF, WEBKNOSSOS_FILE, Place, VoxelSize, import_zarr

FORMATS = (".npz", *HDF5, *TIFF, ".zarr", ".wk")
_SLAB = 64  # sections, and the side of chunks
_UNKNOWN_NM = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Segments:
    """What is written.

    Attributes:
        shape: voxels along z, y, x.
        read: gives uint32 [n, y, x] for a range of sections.
        largest: the largest segment.
        voxel_nm: along z, y, x; None if unknown.
        raw: gray values that they are of, uint8 [z, y, x]; for webKnossos.
        first: where the first voxel lies in a webKnossos data set, z, y, x.
    """

    shape: tuple[int, int, int]
    read: Callable[[int, int], np.ndarray]
    largest: int
    voxel_nm: VoxelSize | None = None
    raw: Any = None
    first: Place = (0, 0, 0)

    @property
    def dtype(self) -> np.dtype:
        """The smallest type that holds all segments."""
        return np.dtype(np.uint16 if self.largest < 2**16 else np.uint32)

    def slabs(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All sections in turn, 64 at a time."""
        for sections in _ranges(self.shape[0]):
            yield sections, self.read(sections.start, sections.stop).astype(self.dtype)


def demand_output(path: Path) -> None:
    """Raise an error unless segments can be written to a path; to be called before the work."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"{path}: wanted a name that ends with {', '.join(FORMATS)}; OME-Zarr is "
            ".zarr, a webKnossos data set .wk."
        )
    if path.suffix.lower() in (".zarr", ".wk"):
        import_zarr()
        demand_own_folder(path)
    else:
        demand_own([path])


def write_segments(path: Path, segments: Segments) -> None:
    """Write segments; the ending of the path says how.

    Raises:
        UserError: another ending, or something there that was not written here.
    """
    demand_output(path)
    suffix = path.suffix.lower()
    if suffix == ".zarr":
        replace_own_folder(path, lambda part: _write_zarr(part, segments))
    elif suffix == ".wk":
        replace_own_folder(path, lambda part: _write_webknossos(part, segments, path.stem))
    else:
        write = {".npz": _write_npz, **dict.fromkeys(HDF5, _write_hdf5)}.get(suffix, _write_tiff)
        replace_own(path, lambda part: write(part, segments), suffix=suffix)


def _write_npz(path: Path, segments: Segments) -> None:
    """As `np.savez_compressed`, without all of it in memory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("labels.npy", "w", force_zip64=True) as part:
            header = {"descr": segments.dtype.str, "fortran_order": False, "shape": segments.shape}
            np.lib.format.write_array_header_2_0(part, header)
            for _, slab in segments.slabs():
                part.write(slab.tobytes())
        if segments.voxel_nm is not None:
            with file.open("voxel_nm.npy", "w") as part:
                np.lib.format.write_array(part, np.asarray(segments.voxel_nm))


def _write_hdf5(path: Path, segments: Segments) -> None:
    with h5py.File(path, "w") as file:
        chunks = tuple(min(_SLAB, size) for size in segments.shape)
        how = {"chunks": chunks, "compression": "gzip", "compression_opts": 1}
        array = file.create_dataset("labels", segments.shape, segments.dtype, **how)
        if segments.voxel_nm is not None:
            array.attrs["voxel_nm"] = array.attrs["resolution"] = segments.voxel_nm
        for sections, slab in segments.slabs():
            array[sections] = slab


def _write_tiff(path: Path, segments: Segments) -> None:
    facts: dict[str, Any] = {"axes": "ZYX"}
    if segments.voxel_nm is not None:
        for axis, size in zip("ZYX", segments.voxel_nm, strict=True):
            facts |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "nm"}
    sections = (section for _, slab in segments.slabs() for section in slab)
    tifffile.imwrite(
        path,
        sections,
        shape=segments.shape,
        dtype=segments.dtype,
        ome=True,
        compression="zlib",
        metadata=facts,
    )


def _write_zarr(folder: Path, segments: Segments) -> None:
    zarr = import_zarr()
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    array = group.create_array(
        "0",
        shape=segments.shape,
        chunks=tuple(min(_SLAB, size) for size in segments.shape),
        dtype=segments.dtype,
        dimension_names=["z", "y", "x"],
    )
    for sections, slab in segments.slabs():
        array[sections] = slab
    unit = {} if segments.voxel_nm is None else {"unit": "nanometer"}
    scale = {"type": "scale", "scale": list(segments.voxel_nm or _UNKNOWN_NM)}
    scales = {
        "name": "segmentation",
        "axes": [{"name": axis, "type": "space", **unit} for axis in "zyx"],
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
    }
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [scales],
        "image-label": {"version": "0.5"},
    }


def _write_webknossos(folder: Path, segments: Segments, name: str) -> None:
    """A data set of the version that webKnossos has had since 2024: Zarr 3, axes c, x, y, z."""
    layers = []
    if segments.raw is not None:
        raw = segments.raw
        slabs = ((s, np.asarray(raw[s])) for s in _ranges(segments.shape[0]))
        layers.append(_write_layer(folder, "color", "color", segments, np.uint8, slabs))
    layer = _write_layer(
        folder, "segmentation", "segmentation", segments, np.uint32, segments.slabs()
    )
    layers.append({**layer, "largestSegmentId": segments.largest, "mappings": []})
    facts = {
        "id": {"name": name, "team": ""},
        "scale": {"factor": list(reversed(segments.voxel_nm or _UNKNOWN_NM)), "unit": "nanometer"},
        "dataLayers": layers,
    }
    (folder / WEBKNOSSOS_FILE).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def _ranges(count: int) -> Iterator[slice]:
    for first in range(0, count, _SLAB):
        yield slice(first, min(first + _SLAB, count))


def _write_layer(
    folder: Path,
    name: str,
    category: str,
    segments: Segments,
    dtype: type,
    slabs: Iterator[tuple[slice, np.ndarray]],
) -> dict[str, Any]:
    depth, height, width = segments.shape
    z, y, x = segments.first
    array = import_zarr().create_array(
        folder / name / "1",
        shape=(1, x + width, y + height, z + depth),
        chunks=(1, _SLAB, _SLAB, _SLAB),
        dtype=dtype,
        dimension_names=["c", "x", "y", "z"],
        zarr_format=3,
    )
    for sections, slab in slabs:
        into = slice(z + sections.start, z + sections.stop)
        array[0, x:, y:, into] = slab.transpose(2, 1, 0).astype(dtype)
    box = {"topLeft": [x, y, z], "width": width, "height": height, "depth": depth}
    return {
        "name": name,
        "category": category,
        "boundingBox": box,
        "elementClass": np.dtype(dtype).name,
        "dataFormat": "zarr3",
        "numChannels": 1,
        "mags": [
            {
                "mag": [1, 1, 1],
                "path": f"./{name}/1",
                "axisOrder": {"c": 0, "x": 1, "y": 2, "z": 3},
            }
        ],
    }
