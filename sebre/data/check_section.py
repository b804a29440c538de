"""Checks of the pixels of one section: its image and its masks."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from sebre.data.findings import Finding
from sebre.data.section_files import inside, is_lossy, mask_values, read_array

TINY_PX = 10  # or TINY_SHARE of the image; the source of slicemap marks lost regions by 1 to 7 px
TINY_SHARE = 1e-5
INVERTED_SHARE = 0.9  # of the image, inside one mask
SMALL_OVERLAP = 0.1  # of the drawn pixels; in small pictures borders of a few px come to 8 %
DOUBLE_SHARE = 0.5  # of the smaller mask, inside another one


@dataclass(frozen=True)
class SectionCheck:
    """What was seen of a section."""

    findings: tuple[Finding, ...]
    digest: str  # SHA-256 of the pixels of the image; empty if it cannot be read
    present: frozenset[int]  # class ids of masks that are not empty


def check_section(image: Path, masks: Mapping[int, Path]) -> SectionCheck:
    """Read the image and the masks (by class id) of a section and look at their pixels."""
    findings: list[Finding] = []
    shape, digest = None, ""
    try:
        pixels = read_array(image)
    except ValueError as error:
        findings.append(_unreadable(image, error))
    else:
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        shape = pixels.shape[:2]
        findings += _image(image, pixels)

    drawn: dict[int, np.ndarray] = {}
    for class_id, path in masks.items():
        try:
            values = mask_values(read_array(path), path)
        except ValueError as error:
            findings.append(_unreadable(path, error))
            continue
        mask = inside(values, path)
        findings += _mask(path, values, mask)
        if shape is not None and mask.shape != shape:
            problem = f"the mask has {mask.shape[0]} x {mask.shape[1]} px, its image {image.name} "
            problem += f"has {shape[0]} x {shape[1]}."
            cure = "Export both at the same size."
            findings.append(Finding("error", "size", path, problem, cure))
        if mask.any():
            drawn[class_id] = mask
    if not drawn:
        findings.append(Finding("note", "no region", image, "no mask of this section shows one."))
    if len({mask.shape for mask in drawn.values()}) == 1:
        findings += _overlaps(image, masks, drawn)
    return SectionCheck(tuple(findings), digest, frozenset(drawn))


def _unreadable(path: Path, error: ValueError) -> Finding:
    reason = str(error).removeprefix(f"{path}: ")
    return Finding("error", "unreadable", path, reason)


def _image(path: Path, pixels: np.ndarray) -> Iterator[Finding]:
    shape = pixels.shape
    channels = 1 if pixels.ndim == 2 else shape[-1]
    low, high = pixels.min(), pixels.max()
    kind, bits = pixels.dtype.kind, 8 * pixels.dtype.itemsize
    whole = kind in "bu" or (kind == "i" and low >= 0)
    if pixels.ndim not in (2, 3) or channels > 4:
        problem = f"an array of shape {shape} is not a gray, RGB or RGBA picture."
        yield Finding("error", "image type", path, problem, "Save one section as a PNG.")
    elif not (whole or (kind == "f" and low >= 0 and high <= 1)):
        problem = f"{pixels.dtype} values from {low} to {high}; they must be whole numbers of at "
        problem += "least 0, or from 0 to 1."
        yield Finding("error", "image type", path, problem, "Convert the file to 8 bits.")
    elif kind in "ui" and bits > 8:
        text = f"{pixels.dtype} values up to {high} are scaled to 8 bits by the highest bit in use."
        yield Finding("note", "16-bit image", path, text)
    if channels in (2, 4):
        yield Finding("note", "transparency", path, "the alpha channel is not used.")
    if low == high:
        yield Finding("warning", "blank image", path, f"all pixels are {low}.", "Replace it.")


def _mask(path: Path, values: np.ndarray, mask: np.ndarray) -> Iterator[Finding]:
    area = int(mask.sum())
    if values.dtype.itemsize > 1:
        text = f"{values.dtype}; every value above 0 counts as inside."
        yield Finding("note", "16-bit mask", path, text)
    if is_lossy(path):
        problem = "borders are not exact in a JPEG; values above half count as inside."
        yield Finding("warning", "JPEG mask", path, problem, "Export masks as PNG.")
    elif area and not np.array_equal(values[mask], np.full(area, values.max())):
        problem = f"has {len(np.unique(values))} different values, up to {values.max()}; every "
        problem += "value above 0 counts as inside."
        cure = "Export it without smoothing (anti-aliasing)."
        yield Finding("warning", "gray mask", path, problem, cure)
    if not area:
        text = "no pixel is inside; the region counts as absent."
        yield Finding("note", "empty mask", path, text)
    elif area < max(TINY_PX, TINY_SHARE * mask.size):
        cure = "Remove the file if it only stands for a region that is not there."
        yield Finding("warning", "tiny mask", path, f"{area} px.", cure)
    elif area > INVERTED_SHARE * mask.size:
        problem = f"{area / mask.size:.0%} of the image is inside."
        cure = "Inside must be above 0 and outside 0; invert it if it is the other way round."
        yield Finding("warning", "inverted mask", path, problem, cure)


def _overlaps(
    image: Path, paths: Mapping[int, Path], masks: Mapping[int, np.ndarray]
) -> Iterator[Finding]:
    count = np.zeros(next(iter(masks.values())).shape, np.uint16)
    for mask in masks.values():
        count += mask
    twice = count > 1
    if not twice.any():
        return
    share = np.count_nonzero(twice) / np.count_nonzero(count)
    shared = {i: mask[twice] for i, mask in masks.items()}
    area = {i: np.count_nonzero(mask) for i, mask in masks.items()}
    worst = max(
        combinations(masks, 2),
        key=lambda pair: (
            np.count_nonzero(shared[pair[0]] & shared[pair[1]]) / min(area[pair[0]], area[pair[1]])
        ),
    )
    small, large = sorted(worst, key=area.__getitem__)
    part = np.count_nonzero(shared[small] & shared[large]) / area[small]
    most = f"most: {part:.1%} of {paths[small].name} lies in {paths[large].name}."
    text = f"{share:.1%} of the drawn pixels lie in more than one mask; {most}"
    if part > DOUBLE_SHARE:
        cure = "Look whether one of the two files is of another region, or was saved twice."
        yield Finding("warning", "overlap", image, text, cure)
    elif share > SMALL_OVERLAP:
        yield Finding("warning", "overlap", image, text, "Let each pixel belong to one region.")
    else:
        yield Finding("note", "overlap", image, text)
