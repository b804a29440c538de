"""Regions of a volume: cut in the network's plane, segmented slice by slice, stacked again.

The label volume lies on the grid of the scan itself: same shape, same affine. Slices are those
that `sebre prepare` cuts (`sebre.prepare.volume.section`), so that a network sees what it was
trained on.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import scipy.ndimage
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform
from PIL import Image

from mrcnn.errors import UserError
from mrcnn.io.own_files import demand_own, replace_own, replace_own_text
from sebre.data.region_masks import count_labels
from sebre.data.region_names import sides_of
from sebre.data.regions import RegionSet
from sebre.drawing.annotate import annotated
from sebre.drawing.label_descriptions import label_descriptions, of_regions
from sebre.drawing.overlay import overlay, save_png
from sebre.experiments import EXPERIMENTS
from sebre.networks.segmenter import Segmenter, best_labels, best_per_region
from sebre.networks.tissue import find_tissue
from sebre.predict.arguments import demand_name
from sebre.predict.measures import ON_GLASS, TABLE_COLUMNS
from sebre.predict.prediction import NOT_TOLD, clip
from sebre.prepare.volume import PLANES, Volume, read_volume, section, to_8_bit
from sebre.prepare.volume_header import open_volume, volume_stem
from sebre.trust.remarks import of_most
from sebre.trust.trust_files import trust_of
from sebre.trust.trust_model import RegionTrust, SectionTrust

logger = logging.getLogger(__name__)

_CANONICAL = "RAS"
_AT_ONCE = 8  # slices that are handed to the network
_SHEET = 12  # slices that the overlay shows
_TRUSTED = 24  # slices, evenly spaced, of which those that show a region are judged
# Of the largest connected part of a region: smaller parts are dropped. Chosen on training scans of
# malc2012, where the Dice of volumes rises from 0.884 to 0.902 (0.1: 0.896; 0.5: 0.902).
LEAST_PART = 0.25
_MEDIANS = "; medians"
LEAST_SHARE = 0.005  # of the voxels of a slice above 0, without which it is left out


@dataclass(frozen=True)
class ScanPrediction:
    """The regions of one volume.

    Attributes:
        name: of its outputs.
        label_map: class ids, uint8 or uint16, on the grid of the scan [I, J, K].
        affine: float [4, 4], from indices to mm to the right, the front, and upward.
        voxel_mm: sides of a voxel along the three indices.
        rows: of the table, one for each region that was looked for.
        region_set: all regions that were looked for.
        sheet: slices with their regions, uint8 [H, W, 3].
        warnings: why it should not be trusted as a whole; none where nothing was seen.
        notes: what else is to be known of how it was made.
    """

    name: str
    label_map: np.ndarray
    affine: np.ndarray
    voxel_mm: tuple[float, float, float]
    rows: list[dict[str, Any]]
    region_set: RegionSet
    sheet: np.ndarray
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def save(self, out: str | Path) -> list[Path]:
        """Write `<name>_labels.nii.gz`, its names for ITK-SNAP, and `<name>_overlay.png`."""
        demand_name(self.name)
        paths = scan_paths(self.name, Path(out))
        demand_own(paths)
        image = nibabel.Nifti1Image(self.label_map, self.affine)
        image.header.set_xyzt_units("mm")
        image.header["intent_name"] = b"SeBRe regions"

        def save(part: Path) -> None:
            # NiBabel goes by the ending, which a part of a file does not have.
            whole = part.with_name(part.name + ".nii.gz")
            nibabel.save(image, whole)
            whole.replace(part)

        replace_own(paths[0], save)
        replace_own_text(paths[1], label_descriptions(of_regions(self.region_set)))
        save_png(self.sheet, paths[2])
        return paths


def scan_paths(name: str, out: Path) -> list[Path]:
    """Where label volume, names and overlay of a scan go."""
    return [out / f"{name}{ending}" for ending in ("_labels.nii.gz", "_labels.txt", "_overlay.png")]


def predict_scan(
    segmenter: Segmenter,
    path: str | Path,
    name: str | None = None,
    plane: str | None = None,
    orientation: str | None = None,
) -> ScanPrediction:
    """Find the regions of a volume.

    Args:
        segmenter: the network.
        path: NIfTI, Analyze, NRRD or MGH file.
        name: of the outputs; None takes that of the file.
        plane: to cut, one of `sebre.prepare.volume.PLANES`; None takes that of the network.
        orientation: of the array, such as "LAS", where the header does not say.

    Raises:
        FileNotFoundError: no such file.
        UserError: no volume that can be read, or the plane is not known.
    """
    path, plane = Path(path), plane or plane_of(segmenter)
    if plane not in PLANES:
        raise UserError(
            f"{path}: which plane the network was trained on is not known (found {plane!r}); give "
            f"--plane {' or '.join(PLANES)}, in which the volume is cut."
        )
    if segmenter.regions.bilateral:
        raise UserError(
            f"{path}: the network was trained on halves of sections, cut at the midline, and would "
            "mix the sides of whole slices. Save the slices as pictures, which are cut, or give "
            "another network."
        )
    volume = read_volume(path, orientation)
    with np.errstate(over="ignore"):
        data = volume.data.astype(np.float32)
    if odd := int(np.count_nonzero(~np.isfinite(data))):
        logger.warning(
            "%s: %d voxels (%.2g %%) are not finite numbers and are taken for background.",
            *(path, odd, 100 * odd / data.size),
        )
        data = np.nan_to_num(data, posinf=0, neginf=0)
    if not (data > 0).any():
        raise UserError(f"{path}: no voxel is above 0, so there is nothing to segment.")
    cut = replace(volume, data=to_8_bit(data))
    logger.info("%s: cut into %d %s slices.", path, cut.data.shape[PLANES[plane]], plane)
    found = _segment(segmenter, cut, plane)
    dropped = drop_small_parts(found.labels)
    if dropped:
        logger.info("%s: %d voxels in small parts away from their regions dropped.", path, dropped)
    own, affine, sides = _on_own_grid(path, orientation, volume, found.labels)
    name = name or volume_stem(path)
    rows = _rows(name, found, segmenter.regions, volume)
    notes = found.notes()
    for note in notes:
        logger.info("%s: %s.", path, note)
    of_scan = (segmenter.regions, found.sheet, found.warnings(), notes)
    return ScanPrediction(name, own, affine, sides, rows, *of_scan)


def plane_of(segmenter: Segmenter) -> str:
    """The plane that the network of a segmenter knows; empty if that is not known."""
    entry = getattr(getattr(segmenter, "weights", None), "entry", {})
    experiment = EXPERIMENTS.get(entry.get("experiment", ""))
    return entry.get("plane") or (experiment.plane if experiment else "")


@dataclass
class _Stack:
    """What was found in the slices of a volume.

    Attributes:
        labels: class ids [X, Y, Z], on the canonical grid.
        scores: (score x voxels, voxels), summed over the slices, by class id.
        trusts: of some slices that show a region, each with the voxels by class id.
        sheet: some slices with their regions, uint8 [H, W, 3].
        uncut: slices whose tissue could not be told from glass, and all slices looked at.
        on_glass: class ids that were found on glass.
    """

    labels: np.ndarray
    scores: dict[int, np.ndarray]
    trusts: list[tuple[SectionTrust, dict[int, int]]]
    sheet: np.ndarray
    uncut: tuple[int, int]
    on_glass: set[int]

    def notes(self) -> tuple[str, ...]:
        """What is to be known of how it was made."""
        few, all_of_them = self.uncut
        return (f"{few} of {all_of_them} slices: {NOT_TOLD}",) if few else ()

    def warnings(self) -> tuple[str, ...]:
        """What is said of most slices."""
        found = of_most([trust.warnings for trust, _ in self.trusts])
        total = len(self.trusts)
        return tuple(
            f"{remark} ({count} of {total} slices looked at{_MEDIANS if remark.numbers else ''})"
            for remark, count in found
        )

    def trust(self, class_id: int) -> RegionTrust | None:
        """Of a region: the mean over its voxels, and what is said of it in most slices."""
        seen = [
            (told.regions[class_id], counts[class_id])
            for told, counts in self.trusts
            if class_id in told.regions and counts[class_id]
        ]
        if not seen:
            return None
        counts = [count for _, count in seen]
        dice = np.average([one.expected_dice for one, _ in seen], weights=counts)
        flags = tuple(remark for remark, _ in of_most([one.flags for one, _ in seen]))
        return RegionTrust(round(float(dice), 4), flags)


def _segment(segmenter: Segmenter, cut: Volume, plane: str) -> _Stack:
    axis, trust = PLANES[plane], trust_of(segmenter)
    shown = np.moveaxis(cut.data, axis, 0)
    least = LEAST_SHARE * shown[0].size
    indices = [index for index, one in enumerate(shown) if np.count_nonzero(one) > least]
    labels = np.zeros(cut.data.shape, np.min_scalar_type(segmenter.regions.num_classes - 1))
    scores: dict[int, np.ndarray] = {}
    drawn, trusts, uncut, on_glass = [], [], 0, set()
    cuts = getattr(segmenter.config, "ONLY_ON_TISSUE", True)
    of_sheet, of_trust = (
        set(np.linspace(0, len(indices) - 1, count).round().astype(int).tolist())
        for count in (_SHEET, _TRUSTED)
    )
    for number, index, picture, result in _slices(segmenter, cut, plane, indices):
        found, tissue = best_labels(result, picture.shape), find_tissue(picture)
        told = None
        if trust is not None and number in of_trust and found.any():
            told = trust.assess(segmenter, picture, result, found, tissue=tissue.mask)
        if cuts:
            on_glass |= clip(found, tissue)
            uncut += not tissue.told
        counts = {}
        for class_id, row in best_per_region(result).items():
            count = counts[class_id] = int(np.count_nonzero(found == class_id))
            weighed = np.array([float(result["scores"][row]) * count, count])
            scores[class_id] = scores.get(class_id, np.zeros(2)) + weighed
        place = [slice(None)] * 3
        place[axis] = index
        labels[tuple(place)] = on_slice(found, labels[tuple(place)].shape)
        if number in of_sheet:
            drawn.append((picture, found))
        if told is not None:
            trusts.append((told, counts))
    sheet = _sheet(drawn, segmenter.regions)
    return _Stack(labels, scores, trusts, sheet, (uncut, len(indices)), on_glass)


def drop_small_parts(labels: np.ndarray, share: float = LEAST_PART) -> int:
    """Drop what slices showed of a region far away from it, and return how many voxels that were.

    Of each region, connected parts (sharing faces) stay that have at least this share of the voxels
    of its largest one.

    Args:
        labels: class ids [X, Y, Z], changed in place.
        share: 0..1.
    """
    dropped = 0
    for class_id in (int(i) for i in np.unique(labels) if i):
        parts, count = scipy.ndimage.label(labels == class_id)
        if count < 2:
            continue
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        small = (sizes < share * sizes.max()) & (sizes > 0)
        dropped += int(sizes[small].sum())
        labels[small[parts]] = 0
    return dropped


def _slices(
    segmenter: Segmenter, cut: Volume, plane: str, indices: Sequence[int]
) -> Iterator[tuple[int, int, np.ndarray, dict[str, Any]]]:
    """Number, index, picture and result of each slice."""
    for start in range(0, len(indices), _AT_ONCE):
        some = indices[start : start + _AT_ONCE]
        pictures = [
            np.repeat(np.ascontiguousarray(section(cut, plane, i, order=1))[..., None], 3, axis=-1)
            for i in some
        ]
        results = segmenter.detect(pictures)
        for k, values in enumerate(zip(some, pictures, results, strict=True)):
            yield start + k, *values


def on_slice(found: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A map [H, W] of `section` on the voxels [i, j] it was cut from: undoes what that did."""
    height, width = shape[::-1]
    rows, columns = (
        ((np.arange(n) + 0.5) * m / n).astype(int)
        for n, m in zip((height, width), found.shape, strict=True)
    )
    return found[rows[:, None], columns][::-1, ::-1].T


def _on_own_grid(
    path: Path, orientation: str | None, volume: Volume, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Labels of the canonical volume as the file has its voxels, the affine, sides of voxels."""
    affine = None if orientation else open_volume(path).affine
    codes = orientation or "".join(nibabel.aff2axcodes(affine))
    turn = ornt_transform(axcodes2ornt(_CANONICAL), axcodes2ornt(codes.upper()))
    own = apply_orientation(labels, turn)
    sides = tuple(float(volume.voxel_mm[int(axis)]) for axis in np.argsort(turn[:, 0]))
    if affine is None:  # the header says nothing of it: the middle of the volume is 0
        steps = nibabel.orientations.inv_ornt_aff(axcodes2ornt(codes.upper()), own.shape)
        in_mm = np.diag([*volume.voxel_mm, 1.0])
        in_mm[:3, 3] = -0.5 * (np.array(labels.shape) - 1) * volume.voxel_mm
        affine = in_mm @ np.linalg.inv(steps)
    return np.ascontiguousarray(own), affine, sides


def _rows(name: str, found: _Stack, regions: RegionSet, volume: Volume) -> list[dict[str, Any]]:
    """Table rows of a volume: `area_px` counts voxels, the score is the mean over them."""
    voxels = count_labels(found.labels, regions.num_classes)
    voxel_mm3 = float(np.prod(volume.voxel_mm))
    rows = []
    for region, side in zip(regions, sides_of(regions.names), strict=True):
        count = int(voxels[region.id])
        row = {"image": name, "region_id": region.id, "region": region.name, "found": "no"}
        row |= {"hemisphere": side, "area_px": count}
        row |= {"reason": ON_GLASS if region.id in found.on_glass else "not found in any slice"}
        if count:
            total, seen = found.scores[region.id]
            row |= {"found": "yes", "reason": "", "score": round(float(total / seen), 4)}
            row |= {"volume_mm3": float(f"{count * voxel_mm3:.6g}")}
            if told := found.trust(region.id):
                row |= {
                    "expected_dice": told.expected_dice,
                    "flags": "; ".join(map(str, told.flags)),
                }
        rows.append({column: row[column] for column in TABLE_COLUMNS if column in row})
    return rows


def _sheet(drawn: Sequence[tuple[np.ndarray, np.ndarray]], regions: RegionSet) -> np.ndarray:
    """Slices with their regions, side by side."""
    if not drawn:
        return np.zeros((64, 64, 3), np.uint8)
    size = tuple(int(n) for n in np.max([picture.shape[:2] for picture, _ in drawn], axis=0))
    scale = max(1, round(256 / max(size)))
    tiles, maps = [], []
    for picture, labels in drawn:
        canvas, shown = np.zeros((*size, 3), np.uint8), np.zeros(size, labels.dtype)
        canvas[: picture.shape[0], : picture.shape[1]] = picture
        shown[: labels.shape[0], : labels.shape[1]] = labels
        painted = overlay(canvas, shown, regions, longest=max(size))
        large = Image.fromarray(painted).resize((size[1] * scale, size[0] * scale))
        tiles.append(np.asarray(large))
        maps.append(shown)
    columns = min(4, len(tiles))
    lines = -(-len(tiles) // columns)
    blank = [np.zeros_like(tiles[0])] * (lines * columns - len(tiles))
    tiles, empty = tiles + blank, [np.zeros_like(maps[0])] * len(blank)
    maps = maps + empty

    def grid(parts: list[np.ndarray]) -> np.ndarray:
        rows = [parts[i * columns : (i + 1) * columns] for i in range(lines)]
        return np.concatenate([np.concatenate(row, axis=1) for row in rows])

    return annotated(grid(tiles), grid(maps), regions)
