"""Readers of the public collections of labeled volumes.

Each takes the folder of all collections and gives its volumes one by one. A further source is
one more function in `READERS`.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import nrrd
import numpy as np

from mrcnn.errors import MissingFileError, UserError
from sebre.data.csv_tables import read_table
from sebre.data.listing import visible
from sebre.prepare.volume import grid_difference, read_volume, to_labels
from sebre.synthesis.classes import (
    IGNORE,
    NAMES,
    Structure,
    StructureTable,
    plain_table,
    read_tree,
    structure_table,
)
from sebre.synthesis.labeled_volume import Volume, make_volume, resized_image

logger = logging.getLogger(__name__)

TREE = "ccf/structure_tree_safe_2017.csv"
CCF_VOXEL_MM = 0.05  # of `read_ccf_labels`
_CCF = "ccf/annotation_25_reoriented_2017.nrrd"
CIVM_LABELS, CIVM_NAMES = "P56_annotation.nii.gz", "P56_annotation.txt"
_ALLEN_TEMPLATE = "demba_200um/allen_mouse_200um.npz"
_MRI_CLASSES = {
    "Neocortex": 1,
    "Hippocampus": 2,
    "Caudate Putamen": 3,
    "Globus Pallidus": 3,
    "Basal Forebrain Septum": 3,
    "Thalamus": 4,
    "Hypothalamus": 5,
    "Superior Colliculi": 6,
    "Inferior Colliculi": 6,
    "Central Gray": 6,
    "Rest of Midbrain": 6,
    "Brain Stem": 7,
    "Cerebellum": 8,
    "Olfactory bulb": 9,
}
_ROOT = 997  # of the Allen tree
_MRI_SIDES = 20  # the number of a structure of the other side is this much higher


def read_demba(data: Path) -> Iterator[Volume]:
    """DeMBA templates P4 to P56 (serial two-photon), 0.2 mm, made three times finer."""
    yield from _templates(data, "demba", "demba_P*_mouse_200um.npz")


def read_princeton(data: Path) -> Iterator[Volume]:
    """The Princeton template (light sheet), 0.2 mm, made three times finer."""
    yield from _templates(data, "princeton", "princeton_mouse_200um.npz")


def read_ccf(data: Path) -> Iterator[Volume]:
    """Allen CCFv3: labels at 0.05 mm, with the gray values of its template at 0.2 mm."""
    labels = read_ccf_labels(data)
    with np.load(data / _ALLEN_TEMPLATE) as arrays:
        template = arrays["reference"].astype(np.float32)
    image = resized_image(template, labels.shape)
    rows, table = _allen_rows(labels, read_tree(data / TREE))
    yield make_volume("ccf", "ccf", rows, table, (image,), CCF_VOXEL_MM)


def read_ccf_labels(data: Path) -> np.ndarray:
    """Labels of the Allen CCFv3 in its own frame, 0.05 mm: Allen numbers [264, 160, 228], front to
    back, top to bottom, across."""
    fine, _ = nrrd.read(str(data / _CCF))
    # Against its header, the indices run across, from back to front, and upward.
    return fine[1::2, 1::2, 1::2].transpose(1, 2, 0)[::-1, ::-1]


def read_civm(data: Path) -> Iterator[Volume]:
    """CIVM diffusion MRI template, 0.05 mm: two contrasts, Allen labels."""
    folder = data / "civm_mouse_50um"
    tree = read_tree(data / TREE)
    labels = _nifti(folder / CIVM_LABELS).astype(np.int32)
    lookup = np.zeros(labels.max() + 1, np.int64)
    for number, structure in civm_structures(folder / CIVM_NAMES, tree).items():
        if number < len(lookup):
            lookup[number] = structure
    rows, table = _allen_rows(lookup[labels], tree)
    images = tuple(_nifti(folder / f"CIVM_mouse.{kind}.nii.gz") for kind in ("ISO", "QA"))
    yield make_volume("civm", "civm", rows, table, images, 0.05)


def read_mouse_mri(data: Path) -> Iterator[Volume]:
    """In-vivo T2 MRI of single animals, 0.15 mm, made two times finer; 37 labels.

    The label of the neocortex covers the whole mantle. Below the middle of the caudate putamen
    that is piriform and entorhinal cortex too, so it counts as tissue of no class there.
    """
    folder = data / "mouse_mri"
    classes = _mri_classes(folder / "structure_label_list_hemisphere_separated.csv")
    extra = len(classes)  # rows of the table: tissue without label, and ventral cortex
    table = plain_table([*classes, IGNORE, IGNORE])
    for path in visible(folder / "template", "*.nii.gz"):
        image = _nifti(path)
        labels = np.rint(_nifti(folder / "label" / path.name)).astype(np.int32)
        labels = np.where(labels > _MRI_SIDES, labels - _MRI_SIDES, labels)
        labels[image <= 0] = 0
        labels[(image > 0) & (labels == 0)] = extra
        caudate = np.argwhere(np.isin(labels, 3))
        below = np.arange(labels.shape[1]) > np.median(caudate[:, 1])
        labels[(labels == 14) & below[None, :, None]] = extra + 1
        yield make_volume(
            path.name.removesuffix(".nii.gz"), "mouse_mri", labels, table, (image,), 0.15, finer=2
        )


def read_files(
    labels: Path, classes: Path, images: Sequence[Path] = (), name: str = "", finer: int = 1
) -> Volume:
    """A labeled volume of one's own, its axes by the header.

    Args:
        labels: volume of whole numbers, 0 outside, of a kind that `read_volume` reads.
        classes: CSV table with the columns label and class: a name of
            `sebre.synthesis.classes.NAMES`, or empty for tissue of no class. Labels that it
            lacks are tissue of no class too.
        images: volumes on the same grid.
        name: of the brain; the name of the file of labels if empty.
        finer: voxels that take the place of one, along each axis.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a class that there is not, voxels that are not cubes, or arrays that do not
            fit.
    """
    labeled = read_volume(labels)
    sides = labeled.voxel_mm
    if max(sides) > 1.01 * min(sides):
        raise ValueError(f"{labels}: voxels of {sides} mm; wanted cubes. Resample the volume.")
    known = {0: 0}
    for row in read_table(classes, ("label", "class")):
        if row["class"] and row["class"] not in NAMES:
            raise ValueError(
                f"{classes}: no class {row['class']!r}. There are {', '.join(NAMES)}; leave it "
                "empty for tissue of no class."
            )
        known[int(row["label"])] = NAMES.index(row["class"]) + 1 if row["class"] else IGNORE
    numbers = _backward(to_labels(labeled, labels).data).astype(np.int64)
    ids, rows = np.unique(numbers, return_inverse=True)
    if ids[0] != 0:
        raise ValueError(f"{labels}: labels from {ids[0]}; wanted 0 outside, and 1 and higher.")
    table = plain_table(known.get(int(number), IGNORE) for number in ids)
    name = name or labels.name.split(".")[0]
    arrays = []
    for path in images:
        image = read_volume(path)
        if difference := grid_difference(labeled, image):
            raise ValueError(
                f"{path} and {labels} are not on the same grid: {difference}. Resample one of them."
            )
        arrays.append(_backward(image.data))
    rows = rows.reshape(numbers.shape)
    return make_volume(name, "own", rows, table, tuple(arrays), float(sides[0]), finer)


READERS: dict[str, Callable[[Path], Iterator[Volume]]] = {
    "ccf": read_ccf,
    "civm": read_civm,
    "demba": read_demba,
    "mouse_mri": read_mouse_mri,
    "princeton": read_princeton,
}


def read_volumes(
    data: Path, sources: Sequence[str] | None = None, without: Sequence[str] = ()
) -> list[Volume]:
    """Volumes to make sections of.

    Args:
        data: folder with a folder of each collection.
        sources: names of READERS; None takes all.
        without: names of sources or of single volumes to leave out, as for a test on them.

    Raises:
        UserError: a name that no source or volume has, or nothing is left.
        FileNotFoundError: files of a source are missing.
    """
    sources = list(READERS) if sources is None else list(sources)
    unknown = [name for name in sources if name not in READERS]
    if unknown:
        raise UserError(f"No source {', '.join(unknown)}. There are {', '.join(READERS)}.")
    volumes, left = [], set(without)
    for source in sources:
        if source in without:
            left.discard(source)
            continue
        for volume in READERS[source](data):
            if volume.name in without:
                left.discard(volume.name)
                continue
            logger.info("Volume %s: %s voxels", volume.name, volume.labels.shape)
            volumes.append(volume)
    if left - set(READERS):
        raise UserError(f"Nothing is named {', '.join(sorted(left))}, so it cannot be left out.")
    if not volumes:
        raise UserError(f"{data}: no volume is left to make sections of.")
    return volumes


def _templates(data: Path, source: str, pattern: str) -> Iterator[Volume]:
    tree = read_tree(data / TREE)
    paths = list(visible(data / "demba_200um", pattern))
    if not paths:
        raise MissingFileError(f"{data / 'demba_200um'}: no {pattern} in it.")
    for path in paths:
        with np.load(path) as arrays:
            image, labels = arrays["reference"], arrays["annotation"]
        rows, table = _allen_rows(labels, tree)
        name = path.name.removesuffix("_mouse_200um.npz")
        yield make_volume(name, source, rows, table, (image,), 0.2, finer=3)


def _allen_rows(
    labels: np.ndarray, tree: dict[int, Structure]
) -> tuple[np.ndarray, StructureTable]:
    """Row numbers of Allen labels, and their table."""
    ids, rows = np.unique(labels, return_inverse=True)
    if ids[0] != 0:
        raise ValueError("The labels leave nothing outside (0). Give those of a whole brain.")
    table = structure_table([int(number) for number in ids], tree)
    return rows.reshape(labels.shape).astype(np.uint16), table


def _nifti(path: Path) -> np.ndarray:
    """A NIfTI volume, front to back, top to bottom, across."""
    return _backward(read_volume(path).data)


def _backward(data: np.ndarray) -> np.ndarray:
    """A canonical array (right, front, up) as the volumes here: back, down, right."""
    return data.transpose(1, 2, 0)[::-1, ::-1]


def civm_structures(names: Path, tree: Mapping[int, Structure]) -> dict[int, int]:
    """Allen number of each number of CIVM_LABELS; that of the root where its acronym is not known.

    Args:
        names: CIVM_NAMES, which writes "_" for "/" and "-".
        tree: of `sebre.synthesis.classes.read_tree`.
    """
    known = {re.sub("[/-]", "_", s.acronym): number for number, s in tree.items()}
    known["CUL4,_5"] = next(n for n, s in tree.items() if s.acronym.startswith("CUL"))
    known["fiber_tracts"] = next(n for n, s in tree.items() if s.acronym == "fiber tracts")
    return {number: known.get(name, _ROOT) for number, name in _civm_acronyms(names).items()}


def _civm_acronyms(path: Path) -> dict[int, str]:
    """Acronym of each number of a DSI Studio label file: "457 CA1:Field_CA1"."""
    found = {}
    for line in path.read_text("utf-8").splitlines():
        number, _, rest = line.strip().partition("\t" if "\t" in line else " ")
        if number.isdigit():
            found[int(number)] = rest.split(":")[0].strip()
    return found


def _mri_classes(path: Path) -> list[int]:
    """Class of each label of one side, 0 to 20; IGNORE for tissue of no class."""
    names = {}
    for line in path.read_text("utf-8").splitlines():
        number, _, name = line.strip().partition(",")
        if number.strip().isdigit():
            names[int(number)] = name.strip().removeprefix("Left ")
    classes = [_MRI_CLASSES.get(names.get(i, ""), IGNORE) for i in range(_MRI_SIDES + 1)]
    classes[0] = 0
    return classes
