"""Reading pictures at reduced scale, for what makes them small anyway."""

from pathlib import Path

from mrcnn.config import Config
from mrcnn.pictures import read_picture, to_rgb8, unreadable
from mrcnn.resizing import FITTING_MODES, ReducedPicture
from mrcnn.sources import open_source


def read_reduced(path: str | Path, max_side: int | None) -> ReducedPicture:
    """Read a picture at a whole fraction of its size, with little memory.

    JPEG is decoded at 1/2, 1/4 or 1/8 (libjpeg), JPEG 2000 at the halvings it holds; of a TIFF
    pyramid a level is read, and a plain TIFF strip by strip or tile by tile; all other files
    are decoded whole. What is still twice too large is averaged over whole blocks.

    Against `Dataset.load_image` and bilinear resizing, which takes 4 neighbouring pixels of
    the original for each pixel: pixels are means over about the area that they cover, so that
    fine texture is averaged and not sampled. Positions are the same.

    Args:
        path: file.
        max_side: the longer side is not made shorter than this, px; None reduces nothing.

    Returns:
        uint8 RGB `pixels`, the shape of the original, and where the pixels lie in it.

    Raises:
        ValueError: the file is missing, cannot be decoded, or is no such picture.
    """
    try:
        if max_side is None:
            pixels = to_rgb8(read_picture(path), path)
            return ReducedPicture(pixels, pixels.shape)
        with open_source(path, max_side) as source:
            block = max(1, max(source.shape[:2]) // max_side)
            pixels = to_rgb8(source.block_means(block), path, source.largest())
            step, first = (
                tuple(s * block for s in source.step),
                tuple(
                    f + s * (block - 1) / 2 for f, s in zip(source.first, source.step, strict=True)
                ),
            )
            return ReducedPicture(pixels, (*source.original, 3), step, first)
    except Exception as error:
        if isinstance(error, ValueError) and str(path) in str(error):  # of `to_rgb8`
            raise
        raise unreadable(path, error) from error


def read_for(path: str | Path, config: Config) -> ReducedPicture:
    """`read_reduced` as far as the settings make the picture small."""
    return read_reduced(path, reduced_side(config))


def reduced_side(config: Config) -> int | None:
    """Length that the longer side is reduced to, px; None where the network takes any size.

    Twice the network's, as means over blocks and resizing both soften a picture. Enlarged
    sections that were averaged right down to the network's size cost the shipped network of
    slicemap 0.01 of its Dice on training sections; at twice the size it kept it.
    """
    return 2 * config.IMAGE_MAX_DIM if config.IMAGE_RESIZE_MODE in FITTING_MODES else None
