"""What is written on the overlay of a section: names of regions, a legend, a scale bar."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sebre.data.regions import RegionSet

_LEAST_PX = 256  # of the shorter side: on a smaller picture nothing could be read
_FONT_SHARE, _LEAST_FONT = 1 / 48, 11  # of the shorter side; px
_BAND, _INK = (24, 24, 24), (238, 238, 238)
_BAR_SHARE = 0.3  # of the width, at most
_UM_A_MM = 1000.0


def annotated(
    picture: np.ndarray, labels: np.ndarray, regions: RegionSet, pixel_um: float | None = None
) -> np.ndarray:
    """A painted section with acronyms in the regions, a scale bar, and a legend below it.

    Args:
        picture: uint8 [h, w, 3], of `sebre.drawing.overlay.overlay`.
        labels: class ids [h', w'] of the same section at any size.
        regions: the region set.
        pixel_um: um of a pixel of the picture; None draws no scale bar.

    Returns:
        uint8 [h + legend, w, 3]; the picture itself where it is too small to write on.
    """
    if min(picture.shape[:2]) < _LEAST_PX:
        return picture
    font = ImageFont.load_default(max(_LEAST_FONT, round(min(picture.shape[:2]) * _FONT_SHARE)))
    shown = [region for region in regions if (labels == region.id).any()]
    legend = _legend([(region.color, region.name) for region in shown], picture.shape[1], font)
    canvas = Image.fromarray(np.concatenate([picture, legend]))
    draw = ImageDraw.Draw(canvas)
    scale = picture.shape[1] / labels.shape[1]
    for region in shown:
        y, x = widest_place(labels == region.id)
        half = font.getlength(region.acronym) / 2, font.size / 2
        place = [
            min(max((at + 0.5) * scale, margin + 2), side - margin - 2)
            for at, margin, side in zip((x, y), half, picture.shape[1::-1], strict=True)
        ]
        _write(draw, tuple(place), region.acronym, font, "mm")
    if pixel_um is not None:
        _scale_bar(draw, picture.shape[:2], pixel_um, font)
    return np.asarray(canvas)


def widest_place(mask: np.ndarray) -> tuple[int, int]:
    """(Row, column) of the pixel of a mask bool [H, W] that lies deepest inside it."""
    padded = np.pad(mask.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    deepest = np.argwhere(depth == depth.max())
    y, x = deepest[len(deepest) // 2]
    return int(y), int(x)


def round_length(most: float) -> float:
    """The largest length of 1, 2 or 5 times a power of 10 that is not above `most`."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(n * power for n in (1, 2, 5) if n * power <= most * (1 + 1e-9)))


def _scale_bar(draw: ImageDraw.ImageDraw, shape: Sequence[int], pixel_um: float, font) -> None:
    height, width = shape
    um = round_length(_BAR_SHARE * width * pixel_um)
    text = f"{um / _UM_A_MM:g} mm" if um >= _UM_A_MM else f"{um:g} um"
    edge = max(4, height // 64)
    thick = max(2, height // 160)
    right, bottom = width - edge, height - edge
    left = right - um / pixel_um
    bar = [left, bottom - thick, right, bottom]
    draw.rectangle(bar, fill="white", outline="black")
    middle = (left + right) / 2, bottom - thick - 2
    _write(draw, middle, text, font, "mb")


def _write(draw: ImageDraw.ImageDraw, place, text: str, font, anchor: str) -> None:
    """White, with a dark edge, so that it is read on any picture."""
    draw.text(place, text, "white", font, anchor, stroke_width=2, stroke_fill="black")


def _legend(entries: Sequence[tuple[tuple[int, int, int], str]], width: int, font) -> np.ndarray:
    """Names with their colors in as many lines as they need, uint8 [n, width, 3]."""
    square = round(font.size)
    line, gap = round(1.6 * font.size), font.size
    places, x, y = [], gap, round(0.3 * font.size)
    for color, name in entries:
        length = square + 0.5 * gap + font.getlength(name)
        if x > gap and x + length > width:
            x, y = gap, y + line
        places.append((x, y, color, name))
        x += length + gap
    height = y + line if entries else 0
    band = Image.new("RGB", (width, height), _BAND)
    draw = ImageDraw.Draw(band)
    for x, y, color, name in places:
        draw.rectangle([x, y, x + square, y + square], fill=color)
        draw.text((x + square + 0.5 * gap, y + square / 2), name, _INK, font, "lm")
    return np.asarray(band)
