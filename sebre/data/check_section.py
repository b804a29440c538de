"""Checks of the pixels of one section: its image and its masks."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from mrcnn.errors import reading
from mrcnn.imageio.header import PictureHeader
from mrcnn.imageio.label_files import inside, is_lossy, mask_values
from mrcnn.imageio.reading import open_source
from mrcnn.imageio.windows import PictureSource
from sebre.data.findings import Finding

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
        with reading(image), open_source(image) as source:
            shape = source.shape[:2]
            pixels = source.read(0, 0, *shape)
            findings += _image(image, source, pixels)
    except ValueError as error:
        shape = None
        findings.append(_unreadable(image, error))
    else:
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()

    drawn: dict[int, np.ndarray] = {}
    for class_id, path in masks.items():
        try:
            with reading(path), open_source(path) as source:
                samples = source.read_values(0, 0, *source.shape[:2])
                values = mask_values(samples, source.header)
        except ValueError as error:
            findings.append(_unreadable(path, error))
            continue
        mask = inside(values, source.header)
        findings += _mask(path, source.header, values, mask)
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


def _image(path: Path, source: PictureSource, pixels: np.ndarray) -> Iterator[Finding]:
    header, low, high = source.header, pixels.min(), pixels.max()
    contrast = source.contrast()
    if contrast is not None:
        yield Finding(
            "note", f"{header.bits}-bit image", path, f"{header.dtype} values; {contrast}."
        )
    if header.has_alpha:
        yield Finding("note", "transparency", path, "the alpha channel is not used.")
    for note in header.notes:
        yield Finding("note", "converted", path, f"{note}.")
    if low == high:
        yield Finding("warning", "blank image", path, f"all pixels are {low}.", "Replace it.")


def _mask(
    path: Path, header: PictureHeader, values: np.ndarray, mask: np.ndarray
) -> Iterator[Finding]:
    area = int(mask.sum())
    if header.has_alpha and area:
        text = "has an alpha channel: transparent pixels are outside, and where all colors are one "
        yield Finding("note", "alpha", path, text + "the shape is that of the alpha.")
    if values.dtype.itemsize > 1:
        text = f"{values.dtype}; every value above 0 counts as inside."
        yield Finding("note", "16-bit mask", path, text)
    if is_lossy(header):
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
