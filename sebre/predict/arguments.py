"""What a prediction is asked for, held against what can be done, before anything is done."""

import math
import numbers
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.imageio.tiles import tile_boxes
from sebre.predict.exchange import FORMATS

SHAPES = ("rle", "contours")


def demand_prediction(
    picture: Any, name: Any, tile: Any, overlap: Any, pixel_um: Any, preview_px: Any
) -> None:
    """Raise a UserError for arguments of `sebre.predict.prediction.predict_picture` that cannot
    be."""
    if not isinstance(picture, str | Path | np.ndarray):
        raise UserError(
            f"The picture is a {type(picture).__name__}; wanted the path of a file, or an array. "
            "Of a picture of Pillow give numpy.asarray(picture.convert('RGB'))."
        )
    demand_tiles(tile, overlap)
    demand_pixel_size(pixel_um)
    demand_count("preview_px", preview_px)
    if name is not None:
        demand_name(name)


def demand_name(name: Any) -> None:
    """Raise a UserError for a name under which outputs would lie outside of their folder."""
    folders = name.replace("\\", "/").split("/")[:-1] if isinstance(name, str) else []
    outside = any(part in ("", ".", "..") for part in folders)
    if not isinstance(name, str) or outside or PurePath(name).anchor or name[-1:] in ("", "/"):
        raise UserError(
            f"The name is {name!r}; wanted that of the outputs in their folder, such as 'section' "
            "or 'brain/section'."
        )


def demand_tiles(tile: Any, overlap: Any) -> None:
    """Raise a UserError for tiles that cannot be, and for an overlap without tiles."""
    if tile is None and overlap is not None:
        raise UserError("An overlap is that of tiles: give their side too (tile, --tile).")
    if tile is not None:
        demand_count("tile", tile)
        overlap = tile // 4 if overlap is None else overlap
        demand_count("overlap", overlap, least=0)
        tile_boxes((tile, tile), tile, overlap)  # may refuse


def demand_count(name: str, value: Any, least: int = 1) -> None:
    """Raise a UserError unless an option is a whole number of at least `least`."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least:
        raise UserError(f"{name} is {value!r}; wanted a whole number of px, at least {least}.")


def demand_pixel_size(pixel_um: Any) -> None:
    """Raise a UserError unless the size of a pixel is None, or a number of um above 0."""
    if pixel_um is None:
        return
    number = isinstance(pixel_um, numbers.Real) and not isinstance(pixel_um, bool)
    if not number or not 0 < pixel_um < math.inf:
        raise UserError(
            f"pixel_um is {pixel_um!r}; wanted one number above 0, um from one pixel to the next."
        )


def demand_outputs(formats: Any, shapes: Any) -> None:
    """Raise a UserError for formats of other programs, or a form of shapes, that there are not."""
    listed = isinstance(formats, Sequence | set | frozenset) and not isinstance(formats, str)
    unknown = [one for one in formats if one not in FORMATS] if listed else [formats]
    if unknown:
        raise UserError(
            f"formats is {formats!r}; wanted a list of some of {', '.join(FORMATS)}, such as "
            "['geojson']."
        )
    if shapes is not None and shapes not in SHAPES:
        raise UserError(f"shapes is {shapes!r}; wanted {' or '.join(map(repr, SHAPES))}.")
