"""What a TIFF file holds: colors, channels, stacks, levels, and what else lies in it."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from mrcnn.errors import UserError
from mrcnn.imageio.color_models import MODELS
from mrcnn.imageio.header import Choice, PictureHeader, size_of_dpi, upright

_MODEL_OF = {
    0: "white is zero",
    1: "gray",
    2: "rgb",
    3: "palette",
    4: "gray",
    5: "cmyk",
    6: "ycbcr",
    8: "lab",
    9: "icc lab",
}
_ALPHA_OF = {1: "premultiplied", 2: "straight"}
# tifffile converts these to RGB while it decodes.
_RGB_WHEN_DECODED = (6, 7, 34892, 33003, 33005, 33007, 34712, 50001, 52546)
# A word of its own: not of "Mapt_slide", which may be the name of a scene.
_NAMES_OF_EXTRAS = re.compile(
    r"(?<![A-Za-z])(label|macro|thumb(nail)?|overview|map|preview)( image)?(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_AXIS_WORDS = {"Z": "planes (Z)", "T": "times (T)", "C": "channels (C)", "S": "samples"}
_UM = {"m": 1e6, "cm": 1e4, "mm": 1e3, "um": 1.0, "µm": 1.0, "μm": 1.0, "nm": 1e-3}
_UM |= {"micron": 1.0, "microns": 1.0, "micrometer": 1.0, "inch": 25400.0, "in": 25400.0, "": 0.0}
_UM |= {"\\u00b5m": 1.0, "pm": 1e-6, "å": 1e-4, "angstrom": 1e-4}
_INCH, _CENTIMETER = 2, 3  # of the tag ResolutionUnit
_INCHES = ("inch", "in")  # as ImageJ names them


@dataclass(frozen=True)
class Contents:
    """What is read of a file.

    Attributes:
        header: of the picture.
        pages: parts of its colors, each of pages whose largest values are taken; empty where the
            file has no page for each picture of a stack.
        levels: the same of smaller levels, largest first.
        level: series of the original, for files without such pages.
        first_axis: of the series, where rows begin.
        taken: numbers of pictures of the series, in the order of `pages`.
    """

    header: PictureHeader
    pages: list[list[Any]]
    levels: list[list[list[Any]]]
    level: Any
    first_axis: int
    taken: list[list[int]]


@contextmanager
def opened_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """An open file. One that is named as a slide scanner's and is a plain TIFF is read as that, and
    one of a set of OME files as what is in it alone."""
    with path.open("rb") as file:
        try:
            tiff = tifffile.TiffFile(file, name=str(path), _multifile=False)
            tiff.pages.first  # noqa: B018
        except Exception:
            file.seek(0)
            tiff = tifffile.TiffFile(file, name=f"{path.stem}.tif", _multifile=False)
        with tiff:
            yield tiff


def read_contents(tiff: tifffile.TiffFile, path: Path, choice: Choice) -> Contents:
    """Look at the header of an open file.

    Raises:
        UserError: a stack, a series or channels of which none was chosen, or what cannot be read.
    """
    series = tiff.series[0]
    base = series.keyframe
    axes = series.axes
    notes = _others(tiff, path)
    color, alpha, in_samples = _samples(base, path)
    first_axis = axes.index("Y")
    leading = leading_axes(series)
    if axes.replace("S", "")[-2:] != "YX":
        raise UserError(f"{path}: its axes are {axes}; wanted rows and columns (Y, X) last.")
    taken, colored = _taken(leading, color, in_samples, choice, path)
    if in_samples and choice.channel is not None:
        raise UserError(
            f"{path}: --channel {choice.channel}, but its {base.samplesperpixel} samples a pixel "
            "are colors. Leave --channel out."
        )
    if colored:
        color = "rgb"
        notes.append("three channels are taken as red, green and blue")
    orientation = _orientation(base)
    if orientation != 1:
        notes.append("turned upright by its orientation tag")
    if color not in ("gray", "rgb"):
        notes.append(f"converted from {color}")
    stored = tuple(base.shaped[2:4])
    size, dpi = _pixel_um(tiff, base)
    header = PictureHeader(
        path,
        "TIFF",
        upright(stored, orientation),
        base.dtype,
        _bits(base),
        color=color,
        alpha=alpha,
        palette=_palette(base) if color == "palette" else None,
        orientation=orientation,
        axes=axes,
        pages=math.prod(n for a, n in leading if a != "C"),
        compression=getattr(base.compression, "name", str(base.compression)).lower(),
        pixel_um=size and upright(size, orientation),
        dpi=dpi,
        notes=tuple(notes),
    )
    levels = [_pages(level, taken) for level in series.levels]
    whole = all(levels[0]) and bool(levels[0])
    smaller = [pages for pages in levels[1:] if pages and all(pages)] if whole else []
    return Contents(header, levels[0] if whole else [], smaller, series, first_axis, taken)


def leading_axes(series: Any) -> list[tuple[str, int]]:
    """Letters and lengths of the axes of a series that are not rows, columns or samples."""
    first = series.axes.index("Y")
    axes = zip(series.axes[:first], series.shape[:first], strict=True)
    return [(name, length) for name, length in axes if name != "S"]


def _pages(level: Any, taken: Sequence[Sequence[int]]) -> list[list[Any]]:
    """The pages of one level; empty where pictures have none of their own."""
    pages, count = level.pages, 1 + max(max(part) for part in taken)
    if len(pages) < count or any(pages[i] is None for part in taken for i in part):
        return []
    return [[pages[i] for i in part] for part in taken]


def _samples(page: tifffile.TiffPage, path: Path) -> tuple[str, str, bool]:
    """Color model, opacity, and whether the samples of a pixel are its colors."""
    color = _MODEL_OF.get(page.photometric)
    if color is None:
        name = getattr(page.photometric, "name", page.photometric)
        raise UserError(
            f"{path}: its colors are of the kind {name}, which is not read. Save as RGB."
        )
    if color == "ycbcr" and page.compression in _RGB_WHEN_DECODED:
        color = "rgb"
    count, needed = page.samplesperpixel, MODELS[color]
    extras = tuple(page.extrasamples or ())
    if count < needed:
        raise UserError(
            f"{path}: {count} samples a pixel for the colors {color}, which need {needed}. Its "
            "header is wrong: replace it."
        )
    rest = count - needed
    alpha = _ALPHA_OF.get(int(extras[0]), "") if rest == 1 and extras else ""
    if rest and not alpha:
        raise UserError(
            f"{path}: {count} samples a pixel, of which {rest} are neither color nor opacity: "
            "channels that would be lost. Save the channel that is wanted as a gray picture, or "
            "the colors as RGB."
        )
    return color, alpha, needed > 1 or bool(alpha)


def _taken(
    leading: Sequence[tuple[str, int]], color: str, in_samples: bool, choice: Choice, path: Path
) -> tuple[list[list[int]], bool]:
    """Numbers of the pictures to read, for each part of the colors, and whether parts are colors.

    `leading` are the axes before the rows, and their lengths.
    """
    sizes = [n for _, n in leading]
    numbers = np.arange(math.prod(sizes)).reshape(sizes)
    if choice.index is not None:
        return [[choice.index]], False
    stacks = [i for i, (a, n) in enumerate(leading) if a != "C" and n > 1]
    channels = [i for i, (a, n) in enumerate(leading) if a == "C" and n > 1]
    if len(stacks) + len(channels[1:]) > 1:
        found = ", ".join(f"{n} {_AXIS_WORDS.get(a, f'pages ({a})')}" for a, n in leading if n > 1)
        raise UserError(f"{path}: holds {found}. Save the picture that is wanted alone.")
    axis = channels[0] if channels else None
    parts = numbers.reshape(1, -1)
    if axis is not None:
        parts = np.moveaxis(numbers, axis, 0).reshape(sizes[axis], -1)
    count = len(parts)
    if choice.channel is not None and axis is None and not in_samples:
        raise UserError(f"{path}: --channel {choice.channel}, but it has one channel alone.")
    if choice.channel is not None and axis is not None:
        if choice.channel > count:
            raise UserError(f"{path}: --channel {choice.channel}, but it has {count} channels.")
        parts = parts[choice.channel - 1 : choice.channel]
    elif count > 1 and (count != 3 or color != "gray"):
        raise UserError(
            f"{path}: holds {count} channels, and only colors can be told apart. Choose one with "
            f"--channel 1 to --channel {count}, or save it as RGB."
        )
    depth = parts.shape[1]
    if choice.z is None and depth > 1:
        name, n = leading[stacks[0]]
        word = _AXIS_WORDS.get(name, "pages")
        raise UserError(
            f"{path}: holds {n} {word}. Choose with --z max (the largest value of all) or --z 1 to "
            f"--z {n}, or save each as a picture of its own."
        )
    if isinstance(choice.z, int):
        if choice.z > depth:
            raise UserError(f"{path}: --z {choice.z}, but it has {depth} page(s).")
        parts = parts[:, choice.z - 1 : choice.z]
    return [[int(i) for i in part] for part in parts], len(parts) == 3


def _others(tiff: tifffile.TiffFile, path: Path) -> list[str]:
    """Notes on pictures of the file beside the first; a UserError where they may be meant too."""
    main, *others = tiff.series
    shape = main.keyframe.shaped[2:4]
    notes = []
    for series in others:
        size = series.keyframe.shaped[2:4] if series.keyframe is not None else (0, 0)
        reduced = all(
            abs(n / m - round(n / m)) < 2 / m * n / m for n, m in zip(shape, size, strict=True) if m
        )
        smaller = size[0] < shape[0] and size[1] < shape[1]
        named = _NAMES_OF_EXTRAS.search(str(series.name))
        few = math.prod(size) * 4 < math.prod(shape)
        if not (named or (smaller and (reduced or few))):
            sizes = ", ".join(f"{s.keyframe.shaped[2]} x {s.keyframe.shaped[3]}" for s in others)
            raise UserError(
                f"{path}: holds several pictures ({shape[0]} x {shape[1]}, {sizes} px). Save each "
                "as a file of its own."
            )
        notes.append(f"a further picture of {size[0]} x {size[1]} px is passed over")
    return notes


def _orientation(page: tifffile.TiffPage) -> int:
    tag = page.tags.get("Orientation")
    value = 1 if tag is None else int(tag.value)
    return value if value in range(1, 9) else 1


def _bits(page: tifffile.TiffPage) -> int:
    bits = page.bitspersample
    bits = max(bits) if isinstance(bits, tuple) else int(bits)
    # Odd numbers of bits are decoded to the next dtype, with their own largest value.
    return min(bits, 8 * page.dtype.itemsize) if page.dtype != bool else 1


def _palette(page: tifffile.TiffPage) -> np.ndarray:
    """Colors uint8 [n, 3]; TIFF has 16 bits, but some programs write 8."""
    colors = np.asarray(page.colormap).T
    return (colors >> 8 if colors.max() > 255 else colors).astype(np.uint8)


_Size = tuple[float, float] | None


def _pixel_um(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[_Size, float | None]:
    """(rows, columns) um from OME, Aperio, ImageJ or the resolution, as stored, and the dots per
    inch that they come from; None if not said, and where they come from elsewhere."""
    for find in (_of_ome, _of_aperio, _of_imagej, _of_resolution):
        try:
            found = find(tiff, page)
        except (ValueError, TypeError, KeyError, ZeroDivisionError, ElementTree.ParseError):
            found = None
        if found and all(math.isfinite(v) and v > 0 for v in found):
            return found, 25400.0 / found[0] if find is _of_resolution else None
    return None, None


def _of_ome(tiff: tifffile.TiffFile, _: Any) -> tuple[float, float] | None:
    if not tiff.is_ome:
        return None
    for element in ElementTree.fromstring(tiff.ome_metadata).iter():
        if element.tag.rpartition("}")[2] == "Pixels":
            return tuple(
                float(element.attrib[f"PhysicalSize{axis}"])
                * _UM[element.attrib.get(f"PhysicalSize{axis}Unit", "um").lower()]
                for axis in "YX"
            )
    return None


def _of_aperio(_: Any, page: tifffile.TiffPage) -> tuple[float, float] | None:
    found = re.search(r"\bMPP\s*=\s*([0-9.]+)", page.description or "")
    return (float(found[1]),) * 2 if found else None


def _of_imagej(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[float, float] | None:
    unit = _unit_of_imagej(tiff)
    # ImageJ keeps the inches of a picture that was meant for print: a resolution as any other.
    if unit is None or unit in _INCHES:
        return None
    return tuple(_UM[unit] / value for value in _density(page))


def _of_resolution(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[float, float] | None:
    named, tag = _unit_of_imagej(tiff), page.tags.get("ResolutionUnit")
    if named is None:
        an_inch = {_INCH: 1.0, _CENTIMETER: 2.54}.get(0 if tag is None else int(tag.value))
    else:
        an_inch = 1.0 if named in _INCHES else None
    if an_inch is None:
        return None
    down, across = _density(page)
    return size_of_dpi((down * an_inch, across * an_inch))


def _unit_of_imagej(tiff: tifffile.TiffFile) -> str | None:
    """The name of ImageJ's unit of length, "" where it names none; None of other files."""
    if not tiff.is_imagej:
        return None
    return str((tiff.imagej_metadata or {}).get("unit", "")).lower()


def _density(page: tifffile.TiffPage) -> tuple[float, float]:
    """Pixels a unit of length, (rows, columns); raises a KeyError without such tags."""
    down, across = (page.tags[f"{axis}Resolution"].value for axis in "YX")
    return down[0] / down[1], across[0] / across[1]
