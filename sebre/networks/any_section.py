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
from mrcnn.data.molding import demand_8_bit_values
from mrcnn.errors import UserError
from mrcnn.imageio.reduced import held_pixels
from mrcnn.structures.mask_formats import demand_format
from mrcnn.weights.loading import load_weights, reorder_classes
from sebre.data.regions import ANY_SECTION, RegionSet
from sebre.experiments.base import SeBReConfig
from sebre.networks.halves.completion import Cut, completed, find_cuts
from sebre.networks.tissue import small_tissue
from sebre.networks.unet import labeled_shape, result_of_labels
from sebre.networks.weights_store import WeightsFile

STEP = 2  # px of the picture for one of the network's answer
WIDTHS = (16, 32, 64, 128, 256)
# Whether a view is mirrored, and its quarter turns. Those with the longest axis level come first.
_VIEWS = (
    *((False, 0), (False, 2), (True, 0), (True, 2)),
    *((False, 1), (False, 3), (True, 1), (True, 3)),
)
HALF = "half"  # key of a result
_REDUCED = 8  # times the side of the network: larger pictures are reduced to this at first
_SAMPLED = 4096  # pixels, above which percentiles are taken of every ninth


class SectionSettings:
    """Settings of the network of any section alone."""

    IMAGE_MIN_DIM = 160
    IMAGE_MAX_DIM = 160
    DETECTION_MIN_CONFIDENCE = 0.0
    SECTION_DICE_WEIGHT = 1.0  # of the Dice loss beside the cross-entropy, on one's own sections
    SECTION_WIDTHS = (16, 40, 80, 160, 320)  # filters of each level
    # Views that are looked at, 1 to 8; the mean of their probabilities counts. The first 4 are the
    # picture, turned by 180 degrees, and both mirrored; the others are turned by a quarter.
    SECTION_TURNS = 8
    # Of the side of the square that the network sees, which the tissue fills; 0 takes the whole
    # picture.
    SECTION_SHARE = 1.0
    SECTION_SPECK = 0.001  # share of the picture; smaller parts of a region are dropped
    # How much surer the network must be of a section that ends in a straight line when its mirror
    # image lies beyond the line, to take it for a half, and label it so; None does not look. (What
    # was trained on halves knows them as they are.)
    SECTION_COMPLETION = None


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
            score is the mean probability of the region inside its mask. "half" is there, and True,
            where a section was taken for a half, and mirrored at its cut.
        """
        demand_format(masks)
        for number, image in enumerate(images):
            demand_8_bit_values(image if hasattr(image, "dtype") else np.asarray(image), number)
        return [self._detect(image, masks) for image in images]

    def _detect(self, image: Any, form: str) -> dict[str, Any]:
        gray = small_gray(held_pixels(image), self.config.IMAGE_MAX_DIM)
        answer = self.answer(gray)
        labels, probability = answer.placed(labeled_shape(image.shape))
        classes, speck = self.config.NUM_CLASSES, self.config.SECTION_SPECK
        result = result_of_labels(labels, probability, image.shape, classes, form, speck)
        return result if answer.cut is None else {**result, HALF: True}

    def labels(self, gray: np.ndarray) -> np.ndarray:
        """The most probable class of each pixel, uint8 [H, W], of a gray picture [H, W]."""
        return self.answer(gray).placed(gray.shape)[0]

    def answer(self, gray: np.ndarray) -> "Answer":
        """What the network says of a gray picture [H, W]: as it is, or of a half that is mirrored
        at its cut, where it is surer of that (SECTION_COMPLETION)."""
        return self._surest(gray, self._possible_cuts(gray))

    def cut(self, gray: np.ndarray) -> Cut | None:
        """Where a gray picture [H, W] shows a half that ends there; None of a whole section, or
        where the network does not look for halves."""
        cuts = self._possible_cuts(gray)
        return self._surest(gray, cuts).cut if cuts else None

    def _possible_cuts(self, gray: np.ndarray) -> list[Cut]:
        if self.config.SECTION_COMPLETION is None:
            return []
        return find_cuts(tissue_of_gray(gray), gray.shape)

    def _surest(self, gray: np.ndarray, cuts: Sequence[Cut]) -> "Answer":
        frame = self.frame(gray)
        best = Answer(self.probabilities(gray, frame), self._answered(frame), gray.shape)
        wanted = best.certainty + (self.config.SECTION_COMPLETION or 0)
        for cut in cuts:
            whole, corner = completed(gray, cut)
            frame = self.frame(whole)
            frame_of_answer = self._answered(frame).moved(corner)
            own = Answer(self.probabilities(whole, frame), frame_of_answer, gray.shape, cut)
            if own.certainty >= wanted:
                best, wanted = own, own.certainty
        return best

    def _answered(self, frame: "Frame") -> "Frame":
        """The square that the cells of an answer lie in: each is of the pixel STEP // 2 of its own,
        right of and below its middle. With several views, turned to all sides, that evens out."""
        if self.config.SECTION_TURNS > 1:
            return frame
        cell = STEP * frame.side / self.config.IMAGE_MAX_DIM
        away = cell * ((STEP // 2 + 0.5) / STEP - 0.5)
        cos, sin = np.cos(frame.turn), np.sin(frame.turn)
        return frame.moved((away * (cos + sin), away * (cos - sin)))

    def frame(self, gray: np.ndarray) -> "Frame":
        """The square that the network sees of a gray picture [H, W]."""
        return frame_of(gray, self.config.SECTION_SHARE)

    def probabilities(self, gray: np.ndarray, frame: "Frame") -> np.ndarray:
        """Probabilities of the classes, float32 [n, n, classes], of a square of a gray picture
        [H, W]."""
        return self.answers(prepared(gray, self.config.IMAGE_MAX_DIM, frame)).mean(axis=0)

    def answers(self, square: np.ndarray) -> np.ndarray:
        """What the network says of each view of a square that is `prepared`.

        Args:
            square: float32 [size, size], 0..1.

        Returns:
            Probabilities of the classes, float32 [views, n, n, classes], all turned back.
        """
        turns = range(self.config.SECTION_TURNS)
        views = np.stack([view(square, turn) for turn in turns])[..., None]
        logits = np.asarray(self.keras_model.predict_on_batch(np.ascontiguousarray(views)))
        found = scipy.special.softmax(logits.astype(np.float32), axis=-1)
        sides = list(range(found.shape[-1]))
        for left, right in getattr(self.config, "SIDE_PAIRS", None) or ():
            sides[left], sides[right] = right, left
        return np.stack(
            [
                viewed_back(found[turn][..., sides] if _VIEWS[turn][0] else found[turn], turn)
                for turn in turns
            ]
        )


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
class Answer:
    """What the network says of a picture.

    Attributes:
        found: probabilities of the classes, float32 [n, n, classes], of a square.
        frame: the square.
        shape: (H, W) of the picture that the square is told in px of.
        cut: where the picture was taken for a half, and mirrored; None if not.
    """

    found: np.ndarray
    frame: "Frame"
    shape: tuple[int, ...]
    cut: Cut | None = None

    @property
    def certainty(self) -> float:
        """Mean probability of the class of each pixel that has one; 0 where none has."""
        shown = self.found.argmax(axis=-1) > 0
        return float(self.found.max(axis=-1)[shown].mean()) if shown.any() else 0.0

    def placed(self, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Labels and their probabilities, both [H, W], of the picture at some size; beyond a cut
        there is no region."""
        factor = shape[0] / self.shape[0]
        labels, probability = placed(self.found, shape, self.frame.scaled(factor))
        if self.cut is not None:
            cut = self.cut.scaled(factor)
            columns = np.arange(shape[1]) + 0.5
            for row in range(shape[0]):  # one by one: sections may be large
                labels[row, cut.beyond(row + 0.5, columns) > 0] = 0
        return labels, probability


@dataclass(frozen=True)
class Frame:
    """A square of a picture, px of it; it may reach out of the picture, and lie at an angle.

    Attributes:
        middle: row and column of its middle, from the corner of the picture.
        side: length of a side.
        turn: angle of its rows against those of the picture, radians, from columns to rows.
    """

    middle: tuple[float, float]
    side: float
    turn: float = 0.0

    def moved(self, corner: Sequence[float]) -> "Frame":
        """The same square of a picture that this one is a part of, from a row and a column on; of
        one that is a part of this one, where they are negative."""
        middle = self.middle[0] + corner[0], self.middle[1] + corner[1]
        return Frame(middle, self.side, self.turn)

    def scaled(self, factor: float) -> "Frame":
        """The same square of the picture at another size."""
        middle = self.middle[0] * factor, self.middle[1] * factor
        return Frame(middle, self.side * factor, self.turn)

    def to_square(self) -> np.ndarray:
        """From px of the picture, x and y from its corner, to shares of the square, right and down
        from its corner: float64 [3, 3], for (x, y, 1)."""
        cos, sin = np.cos(self.turn) / self.side, np.sin(self.turn) / self.side
        turn = np.array([[cos, sin], [-sin, cos]])
        shift = 0.5 - turn @ self.middle[::-1]
        return np.vstack([np.column_stack([turn, shift]), (0, 0, 1)])


def frame_of(gray: np.ndarray, share: float) -> Frame:
    """The square around the tissue of a gray picture [H, W], which fills a share of it, 0..1.

    The longest axis of the tissue lies along its rows, so that the square turns with the tissue.
    The square around the whole picture where no tissue is seen, or with a share of 0.
    """
    height, width = gray.shape
    whole = Frame((height / 2, width / 2), float(max(height, width)))
    if not share:
        return whole
    tissue = tissue_of_gray(gray)
    places = np.argwhere(tissue)
    if not len(places):
        return whole
    places = (places + 0.5) * (height / tissue.shape[0], width / tissue.shape[1])
    return frame_of_places(places, share)


def small_gray(picture: np.ndarray, size: int) -> np.ndarray:
    """A picture as the network looks for its tissue: gray, and no larger than it needs.

    Args:
        picture: uint8 [H, W, 3], or gray values [H, W].
        size: side of the pictures that the network sees, px.

    Returns:
        float32 [h, w]; the longer side has at most 8 times the size.
    """
    # First without floats, of which a whole slide would be too many.
    factor = _REDUCED * size / max(picture.shape[:2])
    if factor < 1:
        small = [max(1, round(n * factor)) for n in picture.shape[1::-1]]
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    if picture.ndim == 2:
        return np.asarray(picture, np.float32)
    return picture.mean(axis=-1, dtype=np.float32)


def tissue_of_gray(gray: np.ndarray) -> np.ndarray:
    """`sebre.networks.tissue.small_tissue` of gray values [H, W] of any range, bool [h, w]."""
    low, high = float(gray.min()), float(gray.max())
    scaled = (gray - low) * (255 / max(high - low, 1e-6))
    return small_tissue(np.repeat(scaled.astype(np.uint8)[..., None], 3, axis=-1))


def frame_of_places(places: np.ndarray, share: float) -> Frame:
    """The square around places, as `frame_of`.

    Args:
        places: float64 [N, 2]. Rows and columns.
        share: of the square, which the places fill, 0..1.
    """
    turn = longest_axis(places)
    cos, sin = np.cos(turn), np.sin(turn)
    axes = np.array([[cos, -sin], [sin, cos]])  # of the square: down and right, as row, column
    along = places @ axes.T
    low, high = along.min(axis=0), along.max(axis=0)
    middle = (low + high) / 2 @ axes
    return Frame(tuple(middle.tolist()), float(max(high - low)) / share, turn)


def longest_axis(places: np.ndarray) -> float:
    """Angle of the longest axis of places [N, 2] (row, column), radians from columns to rows: from
    -pi / 4 to 3 pi / 4, so that what stands nearly upright is not turned upside down."""
    rows, columns = (places - places.mean(axis=0)).T
    angle = 0.5 * float(
        np.arctan2(2 * (rows * columns).mean(), (columns**2).mean() - (rows**2).mean())
    )
    return angle + np.pi if angle <= -np.pi / 4 else angle


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
    """From the pixels of a square of `size` px to those of the picture, x and y, [2, 3]."""
    step = frame.side / size
    cos, sin = step * np.cos(frame.turn), step * np.sin(frame.turn)
    turn = np.array([[cos, -sin], [sin, cos]])
    middle = np.array(frame.middle[::-1]) - 0.5
    return np.column_stack([turn, middle - turn @ np.full(2, (size - 1) / 2)])


def placed_back(labels: np.ndarray, shape: Sequence[int], frame: Frame) -> np.ndarray:
    """Labels uint8 [n, n] of a square as those of its picture [H, W]; 0 outside of the square."""
    one_hot = (labels[..., None] == np.arange(labels.max() + 1)).astype(np.float32)
    return placed(one_hot, shape, frame)[0]


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


def view(square: np.ndarray, number: int) -> np.ndarray:
    """A square [n, n, ...] mirrored and turned as `_VIEWS` say."""
    mirrored, turns = _VIEWS[number]
    return np.rot90(square[:, ::-1] if mirrored else square, turns)


def viewed_back(square: np.ndarray, number: int) -> np.ndarray:
    """Inverse of `view`."""
    mirrored, turns = _VIEWS[number]
    back = np.rot90(square, -turns)
    return back[:, ::-1] if mirrored else back


def placed(found: np.ndarray, shape: Sequence[int], frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Labels and their probabilities, both [H, W], of those [n, n, classes] of a square of the
    picture; outside of it there is no region."""
    back = cv2.invertAffineTransform(_place(frame, len(found)))
    labels = np.zeros(shape, np.min_scalar_type(found.shape[-1] - 1))
    best = np.full(shape, -1, np.float32)
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
