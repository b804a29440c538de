"""Masks and label maps from picture files: values that mean something, not colors to look at."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from mrcnn.errors import UserError, reading
from mrcnn.imageio.color_models import split
from mrcnn.imageio.header import Choice, PictureHeader
from mrcnn.imageio.reading import count_pictures, open_source
from mrcnn.imageio.windows import PictureSource

logger = logging.getLogger(__name__)

_JPEG_MIDDLE = 127  # values of a mask in a JPEG or WebP are not exact


def is_lossy(header: PictureHeader) -> bool:
    """Whether values in the file are not exactly those that were saved."""
    said = f"{header.format} {header.compression}".lower()
    return "jpeg" in said or "webp" in said


def read_mask(path: str | Path) -> np.ndarray:
    """A mask, bool [H, W], upright.

    Inside is whatever is not black (in a JPEG: brighter than half) and not fully transparent. Where
    all colors are one, the shape is that of the opacity, if there is one. The sense of gray does
    not matter: stored zeros are outside, also where zero is shown white.
    """
    with reading(path), open_source(path) as source:
        return _whole(source)


def read_mask_at(path: str | Path, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Some rows [h], in rising order, and columns [w] of a mask, bool [h, w]; needs little memory
    where the mask has no opacity."""
    with reading(path), open_source(path) as source:
        if source.header.has_alpha:  # its meaning is seen from the whole mask
            return _whole(source)[rows[:, None], columns[None, :]]
        return _inside(source.values_at(rows, columns), source.header)


def _whole(source: PictureSource) -> np.ndarray:
    return _inside(source.read_values(0, 0, *source.shape[:2]), source.header)


def _inside(samples: np.ndarray, header: PictureHeader) -> np.ndarray:
    return inside(mask_values(samples, header), header)


def mask_values(samples: np.ndarray, header: PictureHeader) -> np.ndarray:
    """How much each pixel of a whole mask is inside, [H, W], from its stored samples."""
    as_stored = replace(header, color="gray") if header.color == "white is zero" else header
    colors, alpha = split(samples, as_stored)
    values = colors.max(axis=-1) if colors.ndim == 3 else colors
    if alpha is None:
        return values
    if values.min() == values.max() and alpha.min() != alpha.max():
        return alpha
    return np.where(alpha > 0, values, 0).astype(values.dtype)


def inside(values: np.ndarray, header: PictureHeader) -> np.ndarray:
    """Which values of a mask are inside: any above 0; in a JPEG, which is not exact, above half."""
    return values > (_JPEG_MIDDLE if is_lossy(header) else 0)


def read_labels(path: str | Path) -> np.ndarray:
    """A label map, int64 [H, W] of ids from 0 (background), upright.

    Integers of any type, whole-numbered floats and the indices of a palette; RGB only where the
    channels are equal. Of several pages each is one region: its id is the one value that the page
    has, or the number of the page where all have the same value.

    Raises:
        UserError: values that are no ids, a JPEG, or pages that are label maps of their own.
    """
    path = Path(path)
    with reading(path):
        count = count_pictures(path)
        if count == 1:
            return _page(path, None)
        return _joined(path, [_page(path, index) for index in range(count)])


def _page(path: Path, index: int | None) -> np.ndarray:
    with open_source(path, choice=Choice(index=index)) as source:
        header = source.header
        if is_lossy(header):
            raise UserError(
                f"{path}: JPEG does not keep exact values. Save label maps as PNG or TIFF."
            )
        values = source.read_stored(0, 0, *source.shape[:2])
    if values.ndim == 3:
        values = values[..., : 1 if values.shape[-1] == 2 else 3]
        if (values != values[..., :1]).any():
            raise UserError(
                f"{path}: has colors; wanted a label map: gray values, or a palette, that are ids. "
                "For painted colors use the source colour-code."
            )
        values = values[..., 0]
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and (values == np.rint(values)).all()):
            raise UserError(f"{path}: has values such as {_odd(values)}; ids are whole numbers.")
    elif values.dtype.kind not in "biu":
        raise UserError(f"{path}: {values.dtype} values; ids are whole numbers.")
    if values.min() < 0:
        raise UserError(f"{path}: has the value {values.min()}; ids are not negative.")
    return values.astype(np.int64)


def _odd(values: np.ndarray) -> float:
    return float(values[~np.isfinite(values) | (values != np.rint(values))][0])


def _joined(path: Path, pages: list[np.ndarray]) -> np.ndarray:
    ids = [[int(i) for i in np.unique(page) if i] for page in pages]
    several = next((i for i, found in enumerate(ids) if len(found) > 1), None)
    if several is not None:
        raise UserError(
            f"{path}: holds {len(pages)} pages, and page {several + 1} has the ids "
            f"{', '.join(map(str, ids[several][:5]))}. Wanted one label map, or one page a region."
        )
    used = [found[0] for found in ids if found]
    place = next((i + 1 for i, found in enumerate(ids) if found), 0)
    if len(used) == 1 and len(pages) > 1 and used[0] != place:
        raise UserError(
            f"{path}: of {len(pages)} pages one alone is drawn on, page {place}, with the value "
            f"{used[0]}: the id of the region may be either. Save one label map, with the ids."
        )
    if len(set(used)) == len(used):
        by_page = [found[0] if found else 0 for found in ids]
        rule = "each page has an id of its own"
    elif len(set(used)) == 1:
        by_page = [i + 1 for i in range(len(pages))]
        rule = "the number of a page is the id"
    else:
        raise UserError(
            f"{path}: holds {len(pages)} pages with the ids {', '.join(map(str, used))}; some "
            "twice. Wanted one id for all, or another one for each."
        )
    logger.info("%s: %d pages, one region each; %s.", path, len(pages), rule)
    twice = np.count_nonzero(sum((page > 0).astype(np.uint8) for page in pages) > 1)
    if twice:
        raise UserError(
            f"{path}: {twice} px are inside on more than one page. A pixel belongs to one region: "
            "mend the drawing."
        )
    return sum((page > 0) * np.int64(i) for page, i in zip(pages, by_page, strict=True))
