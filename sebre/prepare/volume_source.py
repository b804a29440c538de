"""Scans with label volumes as a set of sections: what the sources of volumes call."""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import MissingFileError, UserError
from sebre.data.region_masks import masks_of_labels
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
    slice_spacing_um,
    to_8_bit,
    to_labels,
)

_TISSUE = {0, 1, 2, 3}  # fluid, gray and white matter

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scan:
    """A scan: image, labels, and what is known of it."""

    image: Path
    labels: Path  # the label volume, on the same grid
    facts: Mapping[str, Any]  # cells of sections.csv of all its sections; `subject` among them
    part: str = ""  # "train" or "val" as the source divides; empty if it does not


@dataclass(frozen=True)
class VolumeCutter:
    """How the scans of a source are read and cut into sections.

    Label volumes are read at once, to know which sections show a region; images later, one scan
    at a time. Where region names say left or right, it is checked that the labels lie so.
    """

    regions: RegionSet
    classes: Mapping[int, int]  # class id by number in the label volumes
    plane: str  # to cut
    orientation: str | None = None  # of the arrays, instead of their headers'
    min_px: int = 1  # smaller masks are left out
    inside_image: bool = False  # leave out labels where the image is 0
    # Voxels to the right, front and top that sections show, about the center of the brain (where
    # the image is above 0); more if the brain is larger. None: all.
    frame: tuple[int, int, int] | None = None
    read: Callable[[Path, str | None], Volume] = read_volume  # of a file, given the orientation
    read_labels: Callable[[Path, str | None], Volume] | None = None  # None for the same

    def __post_init__(self):
        if self.plane not in PLANES:
            raise UserError(f"plane {self.plane!r}: wanted one of {', '.join(PLANES)}.")

    def cut(
        self,
        scans: Sequence[Scan],
        *,
        name: str,
        license: str,
        card: str,
        split: str,
        also_read: Sequence[Path] = (),
    ) -> RawSet:
        """The sections of some scans that show a region; the other facts are those of `RawSet`."""
        classes_in = functools.lru_cache(maxsize=1)(self._classes_in)
        opened = functools.lru_cache(maxsize=1)(functools.partial(self._opened, classes_in))
        found = self._labeled(scans, classes_in)
        # One length for all stands in dataset.json, others in the table.
        sizes, spacings = (set(lengths) for lengths in zip(*(f[2] for f in found), strict=True))
        sections = [
            RawSection(
                functools.partial(self._section, opened, scan, index),
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
            regions=self.regions,
            sections=sections,
            plane=self.plane,
            pixel_size_um=sizes.pop() if len(sizes) == 1 else None,
            background=0,
            license=license,
            card=card,
            files=[path for scan in scans for path in (scan.image, scan.labels)],
            split=split,
            processing={
                "window_percentiles_of_voxels_above_0": list(WINDOW),
                "contrast": "percentiles {:g} {:g} nonzero".format(*WINDOW),
                "orientation": self.orientation or "from the headers",
                "min_mask_px": self.min_px,
                "frame_voxels_right_front_up": list(self.frame) if self.frame else None,
            },
            also_read=[*also_read, *(path for scan in scans for path in _headers(scan))],
            volumetric=True,
            slice_spacing_um=spacings.pop() if len(spacings) == 1 else None,
        )

    def _labels_in(self, path: Path) -> Volume:
        return to_labels((self.read_labels or self.read)(path, self.orientation), path)

    def _classes_in(self, path: Path) -> Volume:
        volume = self._labels_in(path)
        return replace(volume, data=classes_of_labels(volume.data, self.classes))

    def _labeled(
        self, scans: Sequence[Scan], classes_in: Callable[[Path], Volume]
    ) -> list[tuple[Scan, int, tuple[float, float]]]:
        """Scan, index, side of a pixel and distance between slices (um) of labeled sections."""
        axis = PLANES[self.plane]
        found: list[tuple[Scan, int, tuple[float, float]]] = []
        empty: list[Path] = []
        for scan in scans:
            if not scan.image.is_file():
                raise MissingFileError(f"{scan.image}: no such file, but there are labels for it.")
            labels = classes_in(scan.labels)
            _check_sides(labels, self.regions, scan.labels)
            lengths = pixel_size_um(labels, self.plane), slice_spacing_um(labels, self.plane)
            shown = [
                (scan, index, (round(lengths[0], 1), round(lengths[1], 1)))
                for index in range(labels.data.shape[axis])
                if masks_of_labels(np.take(labels.data, index, axis), self.min_px)
            ]
            if not shown:
                empty.append(scan.labels)
            found += shown
        if not found:
            first = scans[0].labels
            values = np.unique(self._labels_in(first).data)
            raise UserError(_none_found(first, len(scans), self.classes, values.tolist()))
        for path in empty:
            _log.warning("%s: none of the labels is in it; the scan is left out.", path)
        return found

    def _opened(
        self, classes_in: Callable[[Path], Volume], image_path: Path, labels_path: Path
    ) -> tuple[Volume, Volume, Volume]:
        """The image, where it is 0, and its class ids; cut to the frame."""
        image, drawn = self.read(image_path, self.orientation), classes_in(labels_path)
        if difference := grid_difference(drawn, image):
            raise UserError(
                f"{labels_path} and its image {image_path} are not on the same grid: "
                f"{difference}. Resample the labels to the image; if only the headers are "
                "wrong, give --orientation, which replaces them."
            )
        with np.errstate(over="ignore"):
            data = image.data.astype(np.float32)
        if odd := int(np.count_nonzero(~np.isfinite(data))):
            # They stand for "outside" in some exports.
            _log.warning(
                "%s: %d voxels (%.2g %%) are not finite numbers and are taken for background. If "
                "they lie in the brain, export the image again.",
                image_path,
                odd,
                100 * odd / data.size,
            )
            data = np.nan_to_num(data, posinf=0, neginf=0)
        outside = data <= 0
        if outside.all():
            raise UserError(f"{image_path}: no voxel is above 0. Is this the right image?")
        scan = [replace(image, data=each) for each in (to_8_bit(data), outside, drawn.data)]
        if self.frame:
            kept = list(frame_about(~outside | (drawn.data > 0), self.frame))
            kept[PLANES[self.plane]] = slice(None)  # sections keep their index
            scan = [replace(each, data=each.data[tuple(kept)], affine=None) for each in scan]
        return tuple(scan)

    def _section(
        self, opened: Callable[[Path, Path], tuple[Volume, Volume, Volume]], scan: Scan, index: int
    ) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        image, outside, labels = opened(scan.image, scan.labels)
        picture = section(image, self.plane, index, order=1)
        drawn = section(labels, self.plane, index, order=0)
        if self.inside_image:
            drawn = np.where(section(outside, self.plane, index, order=0), 0, drawn)
        return picture, masks_of_labels(drawn, self.min_px)


def _headers(scan: Scan) -> list[Path]:
    """The other files of Analyze pairs, which hold the headers."""
    paths = (scan.image, scan.labels)
    return [p.with_name(p.name.replace(".img", ".hdr")) for p in paths if ".img" in p.name]


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
