"""Rotated and mirrored versions of a section and its masks (paper, Methods)."""

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np

from mrcnn.errors import UserError

# The paper turns each section from -20 to 20 degrees in steps of 2, which would make 21 versions.
# Its counts (30 sections -> 600 images, 27 x 2 -> 1,080) and the released validation picture,
# whose element 10 of 20 lies upright, say 20: with 0 and -20, without +20.
ANGLES = tuple(range(-20, 20, 2))

_LONGEST_PX = 32766  # sides that cv2.warpAffine takes


def rotated_versions(
    image: np.ndarray,
    masks: Mapping[int, np.ndarray],
    flips: bool = False,
    background: int | Sequence[int] | None = None,
    enlarge: bool = False,
    angles: Sequence[float] = ANGLES,
) -> Iterator[tuple[float, bool, np.ndarray, dict[int, np.ndarray]]]:
    """Versions of a section turned by each of some angles, then those of its mirror image.

    The image, uint8 [H, W] or [H, W, 3], is interpolated linearly; masks, bool [H, W] by class id,
    take the nearest pixel. At angle 0 both are those given, or mirrored, unchanged. Mirroring
    changes left for right and leaves class ids: it is not for region sets that tell the sides
    apart. What the turned image does not cover gets the background, 0..255, one value or one per
    channel, or the median of the border of the image. The canvas keeps its size; `enlarge` widens
    it for each angle so that nothing is cut off.

    Yields:
        (angle in degrees, positive turns counter-clockwise as seen; mirrored before turning;
        image; masks that still have a pixel).
    """
    _check(image, masks)
    fill = _background(image, background)
    for flipped in (False, True) if flips else (False,):
        if flipped:
            image = np.ascontiguousarray(image[:, ::-1])
            masks = {i: mask[:, ::-1] for i, mask in masks.items()}
        for angle in angles:
            if angle == 0:
                turned, turned_masks = image, masks
            else:
                matrix, size = turn_matrix(image.shape[:2], angle, enlarge)
                turned = cv2.warpAffine(
                    image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=fill
                )
                turned_masks = {
                    i: cv2.warpAffine(
                        np.ascontiguousarray(mask).view(np.uint8),
                        matrix,
                        size,
                        flags=cv2.INTER_NEAREST,
                    ).view(bool)
                    for i, mask in masks.items()
                }
            yield angle, flipped, turned, {i: m for i, m in turned_masks.items() if m.any()}


def _check(image: np.ndarray, masks: Mapping[int, np.ndarray]) -> None:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise UserError(
            f"The image is {image.dtype} {image.shape}; rotation wants uint8 [H, W] or [H, W, 3]."
        )
    if not 0 < min(image.shape[:2]) <= max(image.shape[:2]) <= _LONGEST_PX:
        raise UserError(
            f"The image has {image.shape[0]} x {image.shape[1]} px; rotation takes sides of 1 to "
            f"{_LONGEST_PX} px. Downsample it first."
        )
    for class_id, mask in masks.items():
        if mask.dtype != bool or mask.shape != image.shape[:2]:
            raise UserError(
                f"The mask of class {class_id} is {mask.dtype} {mask.shape}; rotation wants bool "
                f"{image.shape[:2]}, the size of its image."
            )


def border_median(image: np.ndarray) -> np.ndarray:
    """Median along the border of a picture [H, W] or [H, W, 3], of each channel."""
    border = (image[0], image[-1], image[1:-1, 0], image[1:-1, -1])
    return np.median(np.concatenate(border), axis=0)


def _background(image: np.ndarray, background: int | Sequence[int] | None) -> tuple[int, ...]:
    channels = 1 if image.ndim == 2 else 3
    if background is None:
        values = np.rint(border_median(image)).astype(int)
    else:
        values = np.asarray(background)
    values = np.atleast_1d(values)
    if (
        values.ndim != 1
        or len(values) not in (1, channels)
        or not np.all((0 <= values) & (values <= 255))
    ):
        raise UserError(
            f"The background is {background!r}; wanted one value from 0 to 255, or one per channel "
            f"of the image ({channels})."
        )
    return tuple(int(v) for v in np.broadcast_to(values, channels))


def turn_matrix(
    shape: Sequence[int], angle: float, enlarge: bool = True
) -> tuple[np.ndarray, tuple[int, int]]:
    """A turn about the middle of a picture.

    Args:
        shape: (height, width) of the picture.
        angle: degrees, positive turns counter-clockwise as seen.
        enlarge: make the canvas so large that nothing is cut off.

    Returns:
        Matrix float64 [2, 3] of `cv2.warpAffine`, and (width, height) of the canvas.
    """
    height, width = shape
    middle = ((width - 1) / 2, (height - 1) / 2)  # pixel centers are whole numbers
    matrix = cv2.getRotationMatrix2D(middle, angle, 1.0)
    if not enlarge:
        return matrix, (width, height)
    # The cosine of 90 degrees is not quite 0, and must not cost a pixel.
    cos, sin = np.abs(matrix[0, :2]).round(12)
    size = (int(np.ceil(width * cos + height * sin)), int(np.ceil(width * sin + height * cos)))
    matrix[:, 2] += ((size[0] - 1) / 2 - middle[0], (size[1] - 1) / 2 - middle[1])
    return matrix, size
