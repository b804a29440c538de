"""Augmentation of an image together with its masks.

An augmentation is an imgaug augmenter, or any callable `(image, masks) -> (image, masks)`. A
callable that has a parameter `rng` is given a `numpy.random.Generator`; with another source of
chance it cannot be repeated by a seed. Masks are bool [H, W, N] and may overlap; their order and
number must stay, and so must the shape of the image.

Where Config.SIDE_PAIRS names left and right classes that trade places in a mirror image, an
augmentation that mirrors is refused, or the class ids are exchanged (Config.ON_SIDE_FLIP).
"""

import copy
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.ndimage

from mrcnn.compat.imgaug import is_imgaug, prepare_imgaug
from mrcnn.config import Config
from mrcnn.errors import UserError

_MASKS_A_PASS = 16  # imgaug works on int32 copies: bounds its memory
_BEND_GRID = 5  # points a side that RandomRotateFlip's bending is drawn on
_BITS = 5  # the position planes divide each axis into 2 ** _BITS cells


class SideFlipError(UserError):
    """A mirroring augmentation met Config.SIDE_PAIRS with ON_SIDE_FLIP = "refuse"."""


def as_generator(rng: np.random.Generator | None) -> np.random.Generator:
    """`rng`, or one seeded from NumPy's global generator, so that `np.random.seed` rules."""
    return np.random.default_rng(np.random.randint(2**31)) if rng is None else rng


def augment_image_and_masks(
    image: np.ndarray,
    masks: np.ndarray,
    class_ids: np.ndarray,
    augmentation: Any,
    config: Config,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Apply one random draw of an augmentation to image [H, W, C], masks and class ids [N].

    Of an imgaug augmenter (most take uint8) the masks see the geometry alone, with nearest-neighbor
    sampling; color and noise change the image only. `augmentation` None changes nothing; `rng` None
    is seeded by NumPy's global generator.

    Returns:
        image, masks bool and class ids, in shapes as given. Masks may come back empty.

    Raises:
        SideFlipError: it mirrored, and ON_SIDE_FLIP is "refuse".
        ValueError: it changed a shape, or with SIDE_PAIRS cannot be told to mirror or not.
    """
    if augmentation is None:
        return image, masks, class_ids
    watch = len(config.SIDE_PAIRS) > 0
    given = masks
    if watch:
        given = np.concatenate([masks, _position_planes(*image.shape[:2])], axis=-1)
    run = _run_imgaug if is_imgaug(augmentation) else _run_callable
    new_image, new_masks = run(augmentation, image, given, as_generator(rng))
    if new_image.shape != image.shape or new_masks.shape != given.shape:
        raise UserError(
            f"The augmentation turned an image of shape {image.shape} and masks of shape "
            f"{given.shape} into {new_image.shape} and {new_masks.shape}. Shapes must not "
            "change: leave out resizing, or keep the size (keep_size=True in imgaug)."
        )
    new_masks = new_masks.astype(bool, copy=False)
    if watch:
        count = masks.shape[-1]
        new_masks, planes = new_masks[..., :count], new_masks[..., count:]
        if _is_mirrored(planes):
            class_ids = exchange_sides(class_ids, config)
    return new_image, new_masks, class_ids


def flip_left_right(
    image: np.ndarray, masks: np.ndarray, class_ids: np.ndarray, config: Config
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mirror image [H, W, C] and masks [H, W, N] under the rule for sides."""
    return image[:, ::-1], masks[:, ::-1], exchange_sides(class_ids, config)


def exchange_sides(class_ids: np.ndarray, config: Config) -> np.ndarray:
    """Class ids [N] as they are after a mirroring; crowds (negative ids) alike."""
    if not len(config.SIDE_PAIRS):
        return class_ids
    if config.ON_SIDE_FLIP == "refuse":
        raise SideFlipError(
            "The augmentation mirrored an image, but SIDE_PAIRS names left and right classes "
            f"{list(config.SIDE_PAIRS)}. Take flips out of the augmentation, or set "
            'ON_SIDE_FLIP = "swap" to exchange the class ids.'
        )
    class_ids = np.asarray(class_ids)
    swapped = class_ids.copy()
    for left, right in config.SIDE_PAIRS:
        for old, new in ((left, right), (right, left)):
            swapped[class_ids == old] = new
            swapped[class_ids == -old] = -new
    return swapped


def _run_imgaug(
    augmentation: Any, image: np.ndarray, masks: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    imgaug = prepare_imgaug()
    # A copy: threads share the augmenter, and drawing advances its random state.
    fixed = copy.deepcopy(augmentation)
    fixed.seed_(int(rng.integers(2**31)))
    fixed = fixed.to_deterministic()
    parts = []
    for start in range(0, masks.shape[-1], _MASKS_A_PASS):
        maps = imgaug.SegmentationMapsOnImage(
            np.ascontiguousarray(masks[..., start : start + _MASKS_A_PASS], bool), shape=image.shape
        )
        parts.append(fixed.augment_segmentation_maps([maps])[0].get_arr())
    new_masks = np.concatenate(parts, axis=-1) if parts else masks
    return fixed.augment_image(np.ascontiguousarray(image)), new_masks


def _run_callable(
    augmentation: Callable, image: np.ndarray, masks: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    # Copies: what is given may be cached, and callables may work in place.
    options = {"rng": rng} if _takes_rng(augmentation) else {}
    image, masks = augmentation(image.copy(), masks.copy(), **options)
    return np.asarray(image), np.asarray(masks)


def _takes_rng(function: Callable) -> bool:
    try:
        return "rng" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some compiled callables have no signature
        return False


@functools.lru_cache(maxsize=4)
def _position_planes(height: int, width: int) -> np.ndarray:
    """Masks that tell every pixel's position: bool [height, width, 1 + 2 * _BITS].

    The first is True all over; then come the bits of the row's and the column's cell, in
    Gray code, so that a blurred edge between two cells decodes to one of them.
    """
    planes = np.ones((height, width, 1 + 2 * _BITS), bool)
    for axis, length in enumerate((height, width)):
        cell = np.arange(length) * 2**_BITS // length
        bits = (cell ^ (cell >> 1))[:, None] >> np.arange(_BITS)[::-1] & 1
        planes[..., 1 + axis * _BITS : 1 + (axis + 1) * _BITS] = (
            bits[:, None, :] if axis == 0 else bits[None, :, :]
        )
    return planes


def _is_mirrored(planes: np.ndarray) -> bool:
    """Whether `_position_planes`, transformed, are a mirror image: handedness of the map."""
    step = max(1, min(planes.shape[:2]) // 64)  # a sample of the pixels is enough
    planes = planes[::step, ::step]
    pixels = np.argwhere(planes[..., 0])
    codes = planes[pixels[:, 0], pixels[:, 1], 1:].reshape(-1, 2, _BITS)
    bits = np.logical_xor.accumulate(codes, axis=-1)
    cells = bits @ (1 << np.arange(_BITS)[::-1])
    if len(pixels) > 2:
        system = np.column_stack([pixels, np.ones(len(pixels))])
        linear = np.linalg.lstsq(system, cells, rcond=None)[0][:2]
        sizes = np.linalg.svd(linear, compute_uv=False)
        if sizes[1] > 0.05 * sizes[0]:
            return bool(np.linalg.det(linear) < 0)
    raise UserError(
        "Too little of the image is left after the augmentation to tell whether it mirrors, "
        "which SIDE_PAIRS demands. Use a weaker augmentation."
    )


class RandomRotateFlip:
    """Augmentation for sections that lie at any angle: turn, mirror, scale, shift, bend, tone.

    One map a call, image bilinear, masks nearest. Integer images are taken as 0 .. the largest
    value of their dtype, floats as 0 .. 255.

    Args:
        max_angle: degrees; the angle is uniform in -max_angle .. max_angle.
        flip: mirror left-right with probability 0.5.
        scale: range of the magnification, drawn log-uniformly.
        shift: largest shift, as a fraction of each side.
        bend: deviation of a smooth random displacement, as a fraction of the longer side; 0 keeps
            lines straight. Above about 0.05 parts may fold over each other.
        gamma: range of the exponent on the image scaled to 0 .. 1, drawn log-uniformly; below 1 is
            brighter. Black and white stay.
        brightness: range of the factor on the image after gamma, drawn log-uniformly.
        fill: "zero" or "edge" (the nearest pixel of the border), for what comes from outside the
            image. Masks get zero.
    """

    def __init__(
        self,
        max_angle: float = 180.0,
        flip: bool = True,
        scale: tuple[float, float] = (0.9, 1.1),
        shift: float = 0.0,
        bend: float = 0.0,
        gamma: tuple[float, float] = (0.7, 1.4),
        brightness: tuple[float, float] = (1.0, 1.0),
        fill: str = "zero",
    ):
        for name, (low, high) in {"scale": scale, "gamma": gamma, "brightness": brightness}.items():
            if not 0 < low <= high:
                raise UserError(f"{name} is {(low, high)}; wanted (low, high), 0 < low <= high.")
        if fill not in ("zero", "edge"):
            raise UserError(f"fill is {fill!r}; it must be 'zero' or 'edge'.")
        self.max_angle, self.flip, self.scale, self.shift = max_angle, flip, scale, shift
        self.bend = bend
        self.gamma, self.brightness, self.fill = gamma, brightness, fill

    def __call__(
        self, image: np.ndarray, masks: np.ndarray, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augment one image [H, W, C] and its masks bool [H, W, N]; new arrays."""
        rng = as_generator(rng)
        angle = math.radians(rng.uniform(-self.max_angle, self.max_angle))
        factor = _log_uniform(rng, self.scale)
        mirror = self.flip and rng.random() < 0.5
        shape = np.array(image.shape[:2])
        shift = rng.uniform(-self.shift, self.shift, 2) * shape
        gamma, brightness = _log_uniform(rng, self.gamma), _log_uniform(rng, self.brightness)

        # From a pixel of the result to the point of the source.
        cos, sin = math.cos(angle) / factor, math.sin(angle) / factor
        matrix = np.array([[cos, sin], [-sin, cos]])
        if mirror:
            matrix[1] *= -1
        center = (shape - 1) / 2
        offset = center - matrix @ (center + shift)
        points = np.indices(shape, float)
        points = np.tensordot(matrix, points, 1) + offset[:, None, None]
        if self.bend:
            points += _displacement(shape, self.bend * max(shape), rng)
        moved = np.empty_like(image)
        for channel in range(image.shape[-1]):
            scipy.ndimage.map_coordinates(
                image[..., channel],
                points,
                output=moved[..., channel],
                order=1,
                mode="nearest" if self.fill == "edge" else "constant",
            )
        return _tone(moved, gamma, brightness), _nearest(masks, points)


def _displacement(shape: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth random field [2, H, W] in px, from normal values on a coarse grid."""
    grid = rng.normal(0, deviation, (2, _BEND_GRID, _BEND_GRID))
    lines = [np.linspace(0, _BEND_GRID - 1, side) for side in shape]
    at = np.stack(np.meshgrid(*lines, indexing="ij"))
    return np.stack([scipy.ndimage.map_coordinates(g, at, order=3, mode="nearest") for g in grid])


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return math.exp(rng.uniform(math.log(limits[0]), math.log(limits[1])))


def _nearest(masks: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Masks [H, W, N] at the source points [2, H, W] in px; False from outside."""
    height, width, count = masks.shape
    y, x = np.rint(points).astype(np.intp)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    moved = np.zeros((height, width, count), masks.dtype)
    moved[inside] = masks.reshape(height * width, count)[(y * width + x)[inside]]
    return moved


def _tone(image: np.ndarray, gamma: float, brightness: float) -> np.ndarray:
    if gamma == 1 and brightness == 1:
        return image
    whole = image.dtype.kind in "iu"
    top = np.iinfo(image.dtype).max if whole else 255.0

    def curve(values: np.ndarray) -> np.ndarray:
        toned = np.clip(values / top, 0, 1) ** gamma * (brightness * top)
        toned = np.clip(toned, 0, top)
        return (np.rint(toned) if whole else toned).astype(image.dtype)

    if image.dtype == np.uint8:
        return curve(np.arange(256))[image]
    return curve(image)
