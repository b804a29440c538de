"""The network of any section: a U-Net that sees the whole picture and is cheap on a CPU.

Ronneberger et al. 2015, with these differences: the first convolution halves the picture, and
classes come at half its size, where one convolution on each side does; the last level is a few
pixels wide and adds the mean of the whole picture, so that plane and contrast are known
everywhere; batch normalization.

`sebre.synthesis.learn` trains it. `AnySectionSegmenter` is a `sebre.networks.segmenter.Segmenter`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import keras
import numpy as np
import scipy.special

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.imageio.reduced import held_pixels
from mrcnn.structures.mask_formats import demand_format
from mrcnn.weights.loading import load_weights, reorder_classes
from sebre.data.regions import ANY_SECTION, RegionSet
from sebre.experiments.base import SeBReConfig
from sebre.networks.tissue import small_tissue
from sebre.networks.unet import result_of_labels
from sebre.networks.weights_store import WeightsFile

STEP = 2  # px of the picture for one of the network's answer
WIDTHS = (16, 32, 64, 128, 256)
_REDUCED = 8  # times the side of the network: larger pictures are reduced to this at first
_SAMPLED = 4096  # pixels, above which percentiles are taken of every ninth


class SectionSettings:
    """Settings of the network of any section alone."""

    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    DETECTION_MIN_CONFIDENCE = 0.0
    SECTION_DICE_WEIGHT = 1.0  # of the Dice loss beside the cross-entropy, on one's own sections
    SECTION_WIDTHS = (16, 40, 80, 160, 320)  # filters of each level
    # Quarter turns and mirror images that are looked at, 1 to 8; the mean of their probabilities
    # counts.
    SECTION_TURNS = 8
    # Of the side of the square that the network sees, which the tissue fills; 0 takes the whole
    # picture.
    SECTION_SHARE = 0.95
    SECTION_SPECK = 0.001  # share of the picture; smaller parts of a region are dropped


class AnySectionConfig(SectionSettings, SeBReConfig):
    """Settings of the network of any section; those of Mask R-CNN have no effect on it."""

    NAME = ANY_SECTION.name
    NUM_CLASSES = ANY_SECTION.num_classes
    CONTRAST = "percentiles 0.5 99.5"  # of deep pictures; the network stretches them anyway


def build_network(
    size: int = 192, widths: Sequence[int] = WIDTHS, num_classes: int = ANY_SECTION.num_classes
) -> keras.Model:
    """The network with random weights.

    Args:
        size: side of the pictures, px; it must be divisible by 2 ** len(widths).
        widths: filters of each level.
        num_classes: with the outside.

    Returns:
        Pictures float32 [B, size, size, 1], 0..1 -> logits float32 [B, size / 2, size / 2,
        num_classes].

    Raises:
        UserError: the side does not fit the levels.
    """
    if not widths or size % 2 ** len(widths):
        raise UserError(
            f"Pictures of {size} px (size) cannot be halved {len(widths)} times, once a level "
            "(widths). Give a multiple of that power of 2."
        )
    picture = keras.Input((size, size, 1), name="picture")
    x = keras.layers.Rescaling(2.0, -1.0, name="rescale")(picture)
    x = _conv(x, widths[0], "stem", kernel=5, strides=STEP)
    skips = []
    for level, width in enumerate(widths):
        if level:
            skips.append(x)
            x = keras.layers.MaxPooling2D(name=f"pool{level}")(x)
            x = _conv(x, width, f"down{level}a")
            x = _conv(x, width, f"down{level}b")
    whole = keras.layers.GlobalAveragePooling2D(keepdims=True, name="whole")(x)
    whole = keras.layers.Conv2D(widths[-1], 1, activation="relu", name="whole_conv")(whole)
    x = _conv(keras.layers.Add(name="with_whole")([x, whole]), widths[-1], "bottom")
    for level in reversed(range(len(widths) - 1)):
        x = _conv(x, widths[level], f"narrow{level}", kernel=1)
        x = keras.layers.UpSampling2D(interpolation="bilinear", name=f"rise{level}")(x)
        x = keras.layers.Concatenate(name=f"skip{level}")([skips[level], x])
        x = _conv(x, widths[level], f"up{level}a")
        if level:
            x = _conv(x, widths[level], f"up{level}b")
    logits = keras.layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x)
    return keras.Model(picture, logits, name="any_section")


def _conv(x: Any, filters: int, name: str, kernel: int = 3, strides: int = 1) -> Any:
    """Convolution, batch normalization, ReLU."""
    x = keras.layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    x = keras.layers.BatchNormalization(momentum=0.98, epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


@dataclass
class AnySectionSegmenter:
    """The network of any section, ready to segment: a `sebre.networks.segmenter.Segmenter`."""

    keras_model: keras.Model
    config: Config
    regions: RegionSet
    weights: WeightsFile
    network: ClassVar[str] = "U-Net of any section"

    def detect(self, images: Sequence[Any], masks: str = "full") -> list[dict[str, Any]]:
        """Segment sections of any size, plane, angle, and stain.

        A picture is made gray, and square with the color of its border; the network sees it at
        IMAGE_MAX_DIM px, turned and mirrored (SECTION_TURNS). Probabilities are resized bilinearly;
        the most probable class takes the pixel.

        Args:
            images: uint8 [H, W, 3] each, or read at a reduced scale.
            masks: "full", "rle" or "contours"; see `mrcnn.structures.mask_formats`.

        Returns:
            As `MaskRCNN.detect`, one row for each region found, in the order of the class ids. The
            score is the mean probability of the region inside its mask.
        """
        demand_format(masks)
        return [self._detect(image, masks) for image in images]

    def _detect(self, image: Any, form: str) -> dict[str, Any]:
        pixels = held_pixels(image)
        # First without floats, of which a whole slide would be too many.
        most = _REDUCED * self.config.IMAGE_MAX_DIM / max(pixels.shape[:2])
        if most < 1:
            size = [max(1, round(n * most)) for n in pixels.shape[1::-1]]
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        gray = pixels.mean(axis=-1, dtype=np.float32)
        frame = self.frame(gray)
        found = self.probabilities(gray, frame)
        whole = frame.scaled(image.shape[0] / gray.shape[0])
        labels, probability = placed(found, image.shape[:2], whole)
        classes, speck = self.config.NUM_CLASSES, self.config.SECTION_SPECK
        return result_of_labels(labels, probability, classes, form, speck)

    def labels(self, gray: np.ndarray) -> np.ndarray:
        """The most probable class of each pixel, uint8 [H, W], of a gray picture [H, W]."""
        frame = self.frame(gray)
        return placed(self.probabilities(gray, frame), gray.shape, frame)[0]

    def frame(self, gray: np.ndarray) -> "Frame":
        """The square that the network sees of a gray picture [H, W]."""
        return frame_of(gray, self.config.SECTION_SHARE)

    def probabilities(self, gray: np.ndarray, frame: "Frame") -> np.ndarray:
        """Probabilities of the classes, float32 [n, n, classes], of a square of a gray picture
        [H, W]."""
        square = prepared(gray, self.config.IMAGE_MAX_DIM, frame)
        turns = range(self.config.SECTION_TURNS)
        views = np.stack([view(square, turn) for turn in turns])[..., None]
        logits = np.asarray(self.keras_model.predict_on_batch(np.ascontiguousarray(views)))
        found = scipy.special.softmax(logits.astype(np.float32), axis=-1)
        return np.mean([_viewed_back(found[turn], turn) for turn in turns], axis=0)


def any_section_segmenter(model: keras.Model, turns: int = 8) -> AnySectionSegmenter:
    """A network in training as a segmenter, that looks at so many turns of a picture."""
    config = AnySectionConfig()
    config.update(IMAGE_MAX_DIM=model.input_shape[1], IMAGE_MIN_DIM=model.input_shape[1])
    config.update(SECTION_TURNS=turns)
    return AnySectionSegmenter(model, config, ANY_SECTION, WeightsFile(Path(), ""))


def load_any_section(
    found: WeightsFile,
    config: Config,
    regions: RegionSet = ANY_SECTION,
    order: Sequence[int] | None = None,
) -> AnySectionSegmenter:
    """Build the network of a weights file, and load it.

    `sebre.networks.segmenter.load_segmenter` calls it. `order`: for every class id, from the
    background on, that of the file; None for the same.
    """
    model = build_network(config.IMAGE_MAX_DIM, config.SECTION_WIDTHS, config.NUM_CLASSES)
    load_weights(model, found.path)
    if order is not None:
        reorder_classes(model, order, layers=("logits",))
    return AnySectionSegmenter(model, config, regions, found)


@dataclass(frozen=True)
class Frame:
    """A square of a picture, px of it; it may reach out of the picture."""

    top: float
    left: float
    side: float

    def scaled(self, factor: float) -> "Frame":
        """The same square of the picture at another size."""
        return Frame(self.top * factor, self.left * factor, self.side * factor)


def frame_of(gray: np.ndarray, share: float) -> Frame:
    """The square around the tissue of a gray picture [H, W], which fills a share of it, 0..1.

    The square around the whole picture where no tissue is seen, or with a share of 0.
    """
    height, width = gray.shape
    if share:
        low, high = float(gray.min()), float(gray.max())
        scaled = (gray - low) * (255 / max(high - low, 1e-6))
        tissue = small_tissue(np.repeat(scaled.astype(np.uint8)[..., None], 3, axis=-1))
        ends = [np.flatnonzero(tissue.any(axis=axis)) for axis in (1, 0)]
        if len(ends[0]):
            steps = height / tissue.shape[0], width / tissue.shape[1]
            (top, bottom), (left, right) = (
                (used[0] * step, (used[-1] + 1) * step)
                for used, step in zip(ends, steps, strict=True)
            )
            side = max(bottom - top, right - left) / share
            return Frame((top + bottom - side) / 2, (left + right - side) / 2, side)
    side = max(height, width)
    return Frame((height - side) / 2, (width - side) / 2, side)


def prepared(picture: np.ndarray, size: int, frame: Frame) -> np.ndarray:
    """A square of a picture as the network wants it; outside of the picture it has the color of its
    border.

    Args:
        picture: [H, W]. Gray values.
        size: side of the result, px.
        frame: the square.

    Returns:
        float32 [size, size], 0..1.
    """
    picture = np.asarray(picture, np.float32)
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    ground = float(np.median(border))
    # A whole number of pixels for one of the result, so that all of them count.
    many = max(1, -(-round(frame.side) // size))
    place = _place(frame, size * many)
    square = cv2.warpAffine(
        picture,
        place,
        (size * many, size * many),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=ground,
    )
    return normalized(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA))


def squared(masks: np.ndarray, size: int, frame: Frame) -> np.ndarray:
    """Masks bool [H, W, N] in a square of a picture, bool [size, size, N]; False outside of the
    picture."""
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    place, found = _place(frame, size), np.zeros((size, size, masks.shape[-1]), bool)
    for k in range(masks.shape[-1]):
        mask = np.ascontiguousarray(masks[..., k], np.uint8)
        found[..., k] = cv2.warpAffine(mask, place, (size, size), flags=flags)
    return found


def _place(frame: Frame, size: int) -> np.ndarray:
    """From the pixels of a square of `size` px to those of the picture, [2, 3]."""
    step = frame.side / size
    left, top = ((0.5 * step + first) - 0.5 for first in (frame.left, frame.top))
    return np.array([[step, 0, left], [0, step, top]])


def normalized(picture: np.ndarray) -> np.ndarray:
    """A picture stretched between its percentiles 1 and 99, cut to 0..1.

    Training and prediction both do so.

    Args:
        picture: numbers [H, W].

    Returns:
        float32 [H, W].
    """
    picture = np.asarray(picture, np.float32)
    sampled = picture[::3, ::3] if picture.size > _SAMPLED else picture
    ordered = np.sort(sampled, axis=None)
    low, high = ordered[len(ordered) // 100], ordered[-1 - len(ordered) // 100]
    return np.clip((picture - low) / max(float(high - low), 1e-6), 0, 1)


def view(square: np.ndarray, turn: int) -> np.ndarray:
    """A square [n, n] mirrored (turns 4 to 7) and turned by quarters."""
    return np.rot90(square[:, ::-1] if turn >= 4 else square, turn % 4)


def _viewed_back(square: np.ndarray, turn: int) -> np.ndarray:
    back = np.rot90(square, -(turn % 4))
    return back[:, ::-1] if turn >= 4 else back


def placed(found: np.ndarray, shape: Sequence[int], frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Labels and their probabilities, both [H, W], of those [n, n, classes] of a square of the
    picture; outside of it there is no region."""
    back = cv2.invertAffineTransform(_place(frame, len(found)))
    labels, best = np.zeros(shape, np.uint8), np.full(shape, -1, np.float32)
    for class_id in range(found.shape[-1]):  # one by one: sections may be large
        values = cv2.warpAffine(
            np.ascontiguousarray(found[..., class_id], np.float32),
            back,
            tuple(shape[::-1]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=float(class_id == 0),
        )
        better = values > best
        labels[better], best[better] = class_id, values[better]
    return labels, best
