"""A filled stack in files: labels, volumes that ITK-SNAP and napari open, a closed mesh, tables.

labels.npz          the stack with its labels
labels/NAME.png     label pictures, as they can be drawn on and given again
labels.nii.gz       volume (of a scan: on its grid); images.nii.gz: the sections themselves
labels.txt          the names of its areas, for ITK-SNAP and napari
labels.zarr         volume as OME-Zarr, if the package zarr is there
areas.obj           a closed surface of each area, in mm; of a scan, where it lies by its header
sections.csv        confidence by section, and where to annotate next
"""

import importlib.util
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.ndimage
from PIL import Image
from skimage.measure import block_reduce, marching_cubes

from mrcnn.io.own_files import demand_own, replace_own, replace_own_text
from sebre.areas.atlas_prior import signed_distances
from sebre.areas.filling import Filled
from sebre.areas.stacks import Stack, write_stack
from sebre.data.csv_tables import write_table
from sebre.data.regions import distinct_colors
from sebre.drawing.label_descriptions import LabelDescription, label_descriptions
from sebre.neurites.segment_files import Segments, write_segments

Surface = tuple[np.ndarray, np.ndarray]

_MESH_MM = 0.06  # side of the voxels that surfaces are made of
_LEVELS, _UNEVEN = 10, 1.7e-3  # tries for the level of a surface
_COLUMNS = ("section", "z_mm", "annotated", "confidence", "certainty", "areas", "annotate_next")
_log = logging.getLogger(__name__)


def outputs(out: Path, names: Iterable[str]) -> list[Path]:
    """The files that `write_filled` writes."""
    volumes = ["labels.nii.gz", "labels.txt", "images.nii.gz"]
    whole = ["labels.npz", *volumes, "areas.obj", "sections.csv"]
    return [out / name for name in (*whole, *(f"labels/{n}.png" for n in names))]


def write_filled(filled: Filled, out: str | Path) -> None:
    """Write a filled stack to a folder; what others wrote there is not replaced."""
    out, stack = Path(out), filled.stack
    demand_own(outputs(out, stack.names))
    (out / "labels").mkdir(parents=True, exist_ok=True)
    write_stack(stack, out / "labels.npz")
    for name, labels in zip(stack.names, stack.labels, strict=True):
        picture = Image.fromarray(labels)
        replace_own(out / f"labels/{name}.png", lambda part, p=picture: p.save(part, "PNG"))
    labels, spacing_mm = regular(stack, stack.labels)
    images, _ = regular(stack, stack.images)
    for name, volume in (("labels", labels), ("images", images)):
        image = nib.Nifti1Image(*_scan_of(stack, volume, spacing_mm))
        image.header.set_xyzt_units("mm")
        path = out / f"{name}.nii.gz"
        replace_own(path, lambda part, i=image: nib.save(i, part), suffix=".nii.gz")
    named = enumerate(zip(stack.areas, distinct_colors(len(stack.areas)), strict=True), start=1)
    described = (LabelDescription(number, *pair) for number, pair in named)
    replace_own_text(out / "labels.txt", label_descriptions(described))
    if importlib.util.find_spec("zarr"):
        voxel_nm = (spacing_mm * 1e6, stack.pixel_um * 1e3, stack.pixel_um * 1e3)
        read = labels.__getitem__
        segments = Segments(
            labels.shape, lambda a, b: read(slice(a, b)), int(labels.max()), voxel_nm
        )
        write_segments(out / "labels.zarr", segments)
    else:
        _log.warning('No OME-Zarr: pip install "sebre[neurites]" for the package zarr.')
    surfaces = mesh(labels, stack.areas, spacing_mm, stack.pixel_um / 1000)
    replace_own(out / "areas.obj", lambda part: part.write_text(as_obj(surfaces, stack), "utf-8"))
    replace_own(out / "sections.csv", lambda part: write_table(part, _COLUMNS, _rows(filled)))


def regular(stack: Stack, values: np.ndarray) -> tuple[np.ndarray, float]:
    """Sections at one spacing: the smallest that occurs. Labels of missing ones are made of the
    shapes of their neighbors, gray values of the nearer one.

    Args:
        stack: the sections.
        values: uint8 [z, y, x], its images or labels.

    Returns:
        uint8 [z', y, x] and the spacing in mm.
    """
    spacing = float(np.diff(stack.z_mm).min())
    places = (stack.z_mm - stack.z_mm[0]) / spacing
    count = round(places[-1]) + 1
    found = np.zeros((count, *values.shape[1:]), np.uint8)
    is_labels = values is stack.labels
    for slot in range(count):
        after = min(int(np.searchsorted(places, slot - 1e-3)), len(places) - 1)
        before = max(after - 1, 0)
        if abs(places[after] - slot) < 0.25 or after == before:
            found[slot] = values[after]
        elif is_labels:
            share = (slot - places[before]) / (places[after] - places[before])
            classes = int(values.max()) + 1
            first, second = (signed_distances(values[n], classes) for n in (before, after))
            found[slot] = ((1 - share) * first + share * second).argmax(-1)
        else:
            nearer = before if slot - places[before] < places[after] - slot else after
            found[slot] = values[nearer]
    return found, spacing


def mesh(
    labels: np.ndarray, areas: tuple[str, ...], spacing_mm: float, pixel_mm: float
) -> dict[str, Surface]:
    """A closed surface of each area that is there, around the volume that its labels fill.

    A surface at half of what the coarser voxels hold would lose strips thinner than they are. So
    the level is, for each area, that at which the volume is right.

    Args:
        labels: uint8 [z, y, x].
        areas: names of labels 1, 2, ...
        spacing_mm: from section to section.
        pixel_mm: side of a pixel.

    Returns:
        Corners float [n, 3] (z, y, x in mm from the middle of the first voxel), and triangles
        int [m, 3], whose corners go around counterclockwise as seen from outside in x, -y, z.
    """
    step = max(1, round(_MESH_MM / pixel_mm))
    finer = max(1, round(spacing_mm / _MESH_MM))
    sizes = np.array([spacing_mm / finer, step * pixel_mm, step * pixel_mm])
    surfaces = {}
    for number, box in enumerate(scipy.ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        # With the sections around it, into which it ends, and from a coarser voxel on.
        box = slice(max(0, box[0].start - 1), box[0].stop + 1), *box[1:]
        box = box[0], *(slice(part.start // step * step, part.stop) for part in box[1:])
        where = labels[box] == number
        shares = block_reduce(where, (1, step, step), np.mean).astype(np.float32)
        field = scipy.ndimage.zoom(shares, (finer, 1, 1), order=1, grid_mode=True, mode="nearest")
        volume = float(where.sum()) * spacing_mm * pixel_mm**2
        corners, triangles = _around(np.pad(field, 1), sizes, volume)
        # Corners count from the border; the first finer layer lies before the middle of its
        # section, the middle of the first coarser voxel after that of its first pixel.
        start = np.array([part.start for part in box]) * (spacing_mm, pixel_mm, pixel_mm)
        middle = np.array([sizes[0] - spacing_mm, *(2 * [(step - 1) * pixel_mm])]) / 2
        surfaces[areas[number - 1]] = (corners + start + middle - sizes, triangles)
    return surfaces


def _around(field: np.ndarray, sizes: np.ndarray, volume: float) -> Surface:
    """The surface in a field of 0 to 1 that encloses this volume, as nearly as ten tries come."""
    low, high = 0.0, float(field.max())
    for _ in range(_LEVELS):
        # Never a value of the field itself: corners would fall together and leave open edges.
        level = (low + high) / 2 + _UNEVEN * (high - low)
        corners, triangles, _, _ = marching_cubes(field, level, spacing=tuple(sizes))
        triangles = triangles[:, ::-1]
        low, high = (level, high) if enclosed(corners, triangles) > volume else (low, level)
    return corners, triangles


def enclosed(corners: np.ndarray, triangles: np.ndarray) -> float:
    """Volume within a closed surface with corners (z, y, x) as `mesh` gives it."""
    a, b, c = (corners[triangles[:, n], ::-1] * (1, -1, 1) for n in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def open_edges(triangles: np.ndarray) -> int:
    """Edges that are not those of exactly two triangles; 0 for a closed surface."""
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    counts = Counter(map(tuple, edges.tolist()))
    return sum(count != 2 for count in counts.values())


def as_obj(surfaces: dict[str, Surface], stack: Stack) -> str:
    """Surfaces as a Wavefront OBJ file, an object each, in mm: of pictures x to the right, y up and
    z along the stack; of a scan, in the space of its header."""
    lines, first = ["# areas in mm"], 1
    for name, (corners, triangles) in surfaces.items():
        placed, turned = _placed(corners, stack)
        lines.append(f"o {name}")
        lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in placed]
        faces = triangles[:, ::-1] if turned else triangles
        lines += [f"f {a} {b} {c}" for a, b, c in faces + first]
        first += len(corners)
    return "\n".join(lines) + "\n"


def _placed(corners: np.ndarray, stack: Stack) -> tuple[np.ndarray, bool]:
    """Corners (z, y, x) as x, y, z, and whether that turns triangles inside out."""
    if stack.affine is None:
        return corners[:, ::-1] * (1, -1, 1), False
    pixel_mm = stack.pixel_um / 1000
    spacing_mm = float(np.diff(stack.z_mm).min())
    voxels = np.empty_like(corners)
    others = [axis for axis in range(3) if axis != stack.axis]
    voxels[:, [stack.axis, *others]] = corners / (spacing_mm, pixel_mm, pixel_mm)
    placed = voxels @ stack.affine[:3, :3].T + stack.affine[:3, 3]
    # (x, -y, z) of pictures has the sense of z, y, x turned around.
    order = np.linalg.det(np.eye(3)[[stack.axis, *others]])
    return placed, order * np.linalg.det(stack.affine[:3, :3]) < 0


def _scan_of(stack: Stack, volume: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """The volume as NIfTI has it, and its affine."""
    if stack.affine is not None:
        return np.moveaxis(volume, 0, stack.axis), stack.affine
    pixel_mm = stack.pixel_um / 1000
    return volume.transpose(2, 1, 0), np.diag([pixel_mm, pixel_mm, spacing_mm, 1.0])


def _rows(filled: Filled) -> Iterable[dict[str, object]]:
    stack = filled.stack
    for n, name in enumerate(stack.names):
        present = np.unique(stack.labels[n])
        yield {
            "section": name,
            "z_mm": f"{stack.z_mm[n]:.4f}",
            "annotated": int(n in filled.annotated),
            "confidence": f"{filled.confidence[n]:.3f}",
            "certainty": f"{filled.certainty[n]:.3f}",
            "areas": " ".join(stack.areas[a - 1] for a in present if a),
            "annotate_next": int(n == filled.next_section),
        }
