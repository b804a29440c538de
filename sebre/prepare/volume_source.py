"""Scans with label volumes as a set of sections: what the sources of volumes share."""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import MissingFileError, UserError
from sebre.data.regions import RegionSet
from sebre.prepare.raw import RawSection, RawSet
from sebre.prepare.volume import (
    PLANES,
    WINDOW,
    Volume,
    classes_of_labels,
    frame_about,
    grid_difference,
    pixel_size_um,
    read_volume,
    section,
    section_masks,
    slice_spacing_um,
    to_8_bit,
    to_labels,
)

_TISSUE = {0, 1, 2, 3}  # fluid, gray and white matter

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scan:
    """A scan: image, labels, and what is known of it.

    Attributes:
        image: file of the image.
        labels: file of the label volume, on the same grid.
        facts: cells of sections.csv that all its sections have; `subject` among them.
        part: "train" or "val" as the source divides; empty if it does not.
    """

    image: Path
    labels: Path
    facts: Mapping[str, Any]
    part: str = ""


def volume_set(
    *,
    name: str,
    regions: RegionSet,
    scans: Sequence[Scan],
    classes: Mapping[int, int],
    plane: str,
    orientation: str | None,
    license: str,
    card: str,
    split: str,
    min_px: int = 1,
    inside_image: bool = False,
    frame: tuple[int, int, int] | None = None,
    read: Callable[[Path, str | None], Volume] = read_volume,
    read_labels: Callable[[Path, str | None], Volume] | None = None,
    texts: Mapping[str, str] | None = None,
) -> RawSet:
    """The sections of some scans.

    Label volumes are read now, to know which sections show a region; images later, one scan
    at a time. Where region names say left or right, it is checked that the labels lie so.

    Args:
        name: of the data set.
        regions: the region set.
        scans: the scans.
        classes: class id by number in the label volumes.
        plane: to cut.
        orientation: of the arrays, instead of their headers'.
        license: of the data.
        card: for the data set card.
        split: rule used when none is given.
        min_px: smaller masks are left out.
        inside_image: leave out labels where the image is 0.
        frame: voxels to the right, front and top that sections show, about the center of the
            brain (where the image is above 0); more if the brain is larger. None: all.
        read: reads a file, given the orientation.
        read_labels: reads a file of labels; None for the same.
        texts: further text files of the data set.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: an unknown plane, a file that cannot be read, left labels on the right,
            scans with no labeled section; when a section is read: image and labels on
            different grids, or an empty image.
    """
    if plane not in PLANES:
        raise UserError(f"plane {plane!r}: wanted one of {', '.join(PLANES)}.")

    def labels_in(path: Path) -> Volume:
        return to_labels((read_labels or read)(path, orientation), path)

    @functools.lru_cache(maxsize=1)
    def classes_in(path: Path) -> Volume:
        volume = labels_in(path)
        return replace(volume, data=classes_of_labels(volume.data, classes))

    @functools.lru_cache(maxsize=1)
    def scan_of(image_path: Path, labels_path: Path) -> tuple[Volume, Volume, Volume]:
        """The image, where it is 0, and its class ids; cut to the frame."""
        image, drawn = read(image_path, orientation), classes_in(labels_path)
        if difference := grid_difference(drawn, image):
            raise UserError(
                f"{labels_path} and its image {image_path} are not on the same grid: "
                f"{difference}. Resample the labels to the image; if only the headers are "
                "wrong, give --orientation, which replaces them."
            )
        # NaN and infinity stand for "outside" in some exports.
        with np.errstate(over="ignore"):
            data = np.nan_to_num(image.data.astype(np.float32), posinf=0, neginf=0)
        outside = data <= 0
        if outside.all():
            raise UserError(f"{image_path}: no voxel is above 0. Is this the right image?")
        scan = [replace(image, data=each) for each in (to_8_bit(data), outside, drawn.data)]
        if frame:
            kept = list(frame_about(~outside | (drawn.data > 0), frame))
            kept[PLANES[plane]] = slice(None)  # sections keep their index
            scan = [replace(each, data=each.data[tuple(kept)], affine=None) for each in scan]
        return tuple(scan)

    def read_section(scan: Scan, index: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        image, outside, labels = scan_of(scan.image, scan.labels)
        picture = section(image, plane, index, order=1)
        drawn = section(labels, plane, index, order=0)
        if inside_image:
            drawn = np.where(section(outside, plane, index, order=0), 0, drawn)
        return picture, section_masks(drawn, min_px)

    # Side of a pixel, and distance between slices.
    found: list[tuple[Scan, int, tuple[float, float]]] = []
    empty: list[Path] = []
    for scan in scans:
        if not scan.image.is_file():
            raise MissingFileError(f"{scan.image}: no such file, but there are labels for it.")
        labels = classes_in(scan.labels)
        _check_sides(labels, regions, scan.labels)
        lengths = tuple(round(um(labels, plane), 1) for um in (pixel_size_um, slice_spacing_um))
        shown = [
            (scan, index, lengths)
            for index in range(labels.data.shape[PLANES[plane]])
            if section_masks(np.take(labels.data, index, PLANES[plane]), min_px)
        ]
        if not shown:
            empty.append(scan.labels)
        found += shown
    if not found:
        first = scans[0].labels
        values = np.unique(labels_in(first).data)
        raise UserError(_none_found(first, len(scans), classes, values.tolist()))
    for path in empty:
        _log.warning("%s: none of the labels is in it; the scan is left out.", path)
    # One length for all stands in dataset.json, others in the table.
    sizes, spacings = (set(lengths) for lengths in zip(*(three[2] for three in found), strict=True))
    sections = [
        RawSection(
            functools.partial(read_section, scan, index),
            {
                **scan.facts,
                "slice": index,
                **({"pixel_um": size} if len(sizes) > 1 else {}),
                **({"slice_um": spacing} if len(spacings) > 1 else {}),
            },
            scan.part,
        )
        for scan, index, (size, spacing) in found
    ]
    return RawSet(
        name=name,
        regions=regions,
        sections=sections,
        plane=plane,
        pixel_size_um=sizes.pop() if len(sizes) == 1 else None,
        background=0,
        license=license,
        card=card,
        files=[path for scan in scans for path in (scan.image, scan.labels)],
        split=split,
        processing={
            "window_percentiles_of_voxels_above_0": list(WINDOW),
            "orientation": orientation or "from the headers",
            "min_mask_px": min_px,
            "frame_voxels_right_front_up": list(frame) if frame else None,
        },
        texts=texts or {},
        volumetric=True,
        slice_spacing_um=spacings.pop() if len(spacings) == 1 else None,
    )


def _check_sides(drawn: Volume, regions: RegionSet, path: Path) -> None:
    """Raise a ValueError if regions named left lie right of those named right."""
    middles = []
    for side in ("left_", "right_"):
        of_side = np.zeros(regions.num_classes, bool)
        of_side[[region.id for region in regions if region.name.startswith(side)]] = True
        voxels = of_side[drawn.data].sum(axis=(1, 2))
        if not voxels.any():
            return
        middles.append(np.average(np.arange(len(voxels)), weights=voxels))
    if middles[0] > middles[1]:
        raise UserError(
            f"{path}: structures labeled left lie on the right, so the orientation is wrong. "
            "Give --orientation with the other letter of L and R."
        )


def _none_found(path: Path, count: int, classes: Mapping[int, int], values: list[int]) -> str:
    wanted = ", ".join(map(str, sorted(classes)[:12])) + (", ..." if len(classes) > 12 else "")
    message = f"{path.parent}: no section of {count} scan(s) has one of the labels {wanted}"
    if set(values) <= _TISSUE:
        return (
            f"{message}; {path.name} has {', '.join(map(str, values))}, which are tissue classes "
            "(fluid, gray and white matter). Fetch the label files of the structures."
        )
    shown = ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")
    return f"{message}; {path.name} has {shown}. Are these the right label files?"
