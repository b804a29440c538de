"""A U-Net for the same sections, to answer whether Mask R-CNN was needed.

It labels every pixel with a region or the background, where Mask R-CNN finds boxes first.
Shape: Ronneberger et al. 2015, "U-Net", Fig. 1 (two 3 x 3 convolutions per level, pooling by 2,
transposed convolutions up, skips). Different here: convolutions keep the size, so that no
border is lost; batch normalization; fewer filters; no dropout.

`sebre.networks.unet_train` trains it. `UNetSegmenter` is a
`sebre.networks.segmenter.Segmenter`, so it serves wherever sections are segmented or scored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
import scipy.ndimage
import scipy.special
from keras import ops

from mrcnn.config import Config
from mrcnn.data.molding import mold_inputs
from mrcnn.errors import UserError
from mrcnn.modeling.layers import LayerStyle
from mrcnn.structures.mask_formats import (
    demand_format,
    enlarged_rle,
    mask_to_contours,
    mask_to_rle,
    rle_box,
    rle_to_contours,
    rle_to_mask,
)
from mrcnn.structures.masks import extract_bboxes
from mrcnn.structures.resampling import resize
from mrcnn.weights.loading import load_weights, reorder_classes
from sebre.data.regions import RegionSet
from sebre.experiments.base import Experiment
from sebre.networks.weights_store import WeightsFile

_MASK_FORMS = {"full": lambda mask: mask, "rle": mask_to_rle, "contours": mask_to_contours}
_ENLARGED_FORMS = {"full": rle_to_mask, "rle": lambda rle: rle, "contours": rle_to_contours}
_LABELED_PX = 2**25  # larger pictures are labeled at a smaller size, and the masks enlarged
SPECKS = "specks"  # key of a result
GRAY_UNIT = 64.0  # gray values: about their deviation after MEAN_PIXEL is subtracted


class UNetSettings:
    """Settings of the U-Net; the rest are those of an experiment's small variant."""

    UNET_WIDTH = 16  # filters of the first level, doubled at every further one
    UNET_LEVELS = 5  # Ronneberger et al. 2015
    UNET_DICE_WEIGHT = 1.0  # of the Dice loss, beside the cross-entropy
    # Share of the picture. Connected parts below it are dropped. In the training parts of
    # slicemap and ara_nissl drawn parts have at least 0.0022 of the picture, but for specks
    # of the drawing of at most 0.00001.
    UNET_SPECK = 0.001


def unet_config(experiment: Experiment) -> type[Config]:
    """The class of settings of an experiment's U-Net: its small variant, and `UNetSettings`."""
    return UNET.config(experiment)


def build_unet(config: Config) -> keras.Model:
    """The network, with random weights, for settings of `unet_config`.

    Returns:
        Molded images float32 [B, h, w, C] -> logits float32 [B, h, w, NUM_CLASSES].
    """
    style = LayerStyle.of(config)
    shape, levels = tuple(int(side) for side in config.IMAGE_SHAPE), config.UNET_LEVELS
    step = 2 ** (levels - 1)
    if levels < 1 or config.UNET_WIDTH < 1 or any(side % step for side in shape[:2]):
        raise UserError(
            f"A U-Net of {levels} levels (UNET_LEVELS) and width {config.UNET_WIDTH} (UNET_WIDTH) "
            f"for images of {shape[0]} x {shape[1]} px: both must be at least 1, and the sides "
            f"multiples of 2 ** (levels - 1)."
        )

    def double_conv(x: Any, filters: int, name: str) -> Any:
        for part in "ab":
            x = style.conv(filters, 3, f"{name}{part}", padding="same", use_bias=False)(x)
            x = style.relu(f"{name}{part}_relu")(style.norm(f"{name}{part}_bn")(x))
        return x

    widths = [config.UNET_WIDTH * 2**level for level in range(levels)]
    image = keras.Input(shape, name="image")
    x = keras.layers.Rescaling(1 / GRAY_UNIT, name="rescale")(image)
    skips = []
    for level, width in enumerate(widths):
        x = double_conv(x, width, f"down{level}")
        if level < levels - 1:
            skips.append(x)
            x = keras.layers.MaxPooling2D(name=f"pool{level}", dtype=style.policy)(x)
    for level in reversed(range(levels - 1)):
        how = {"kernel_initializer": style.kernel(), "dtype": style.policy}
        x = keras.layers.Conv2DTranspose(widths[level], 2, 2, name=f"rise{level}", **how)(x)
        x = keras.layers.Concatenate(name=f"skip{level}", dtype=style.policy)([skips[level], x])
        x = double_conv(x, widths[level], f"up{level}")
    logits = style.conv(config.NUM_CLASSES, 1, "logits", dtype="float32")(x)
    return keras.Model(image, logits, name="unet")


@keras.saving.register_keras_serializable(package="sebre")
class DiceCrossEntropy(keras.losses.Loss):
    """Cross-entropy of the softmax, and a soft Dice loss of the regions.

    Cross-entropy: mean over pixels. Dice loss: 1 - (2 * sum(p t) + 1) / (sum(p) + sum(t) + 1)
    with probability p and truth t (0 or 1), sums over all pixels of the batch, mean over the
    regions that it shows; 0 if it shows none. The background has no part in the Dice loss.

    Args:
        dice_weight: float. Of the Dice loss. Defaults to `1.0`.

    Call arguments:
        y_true: class ids [B, h, w].
        y_pred: logits [B, h, w, classes].

    Reference: Milletari et al. 2016 (V-Net), section 3; Isensee et al. 2021 (nnU-Net), who add
    the two.
    """

    def __init__(self, dice_weight: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.dice_weight = dice_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_pred = ops.cast(y_pred, "float32")
        truth = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1], dtype="float32")
        entropy = ops.mean(ops.categorical_crossentropy(truth, y_pred, from_logits=True))
        pixels = (0, 1, 2)
        found, drawn = ops.softmax(y_pred)[..., 1:], truth[..., 1:]
        both = ops.sum(found * drawn, axis=pixels)
        area = ops.sum(drawn, axis=pixels)
        shown = ops.cast(area > 0, "float32")
        losses = 1 - (2 * both + 1) / (ops.sum(found, axis=pixels) + area + 1)
        dice = ops.sum(shown * losses) / ops.maximum(ops.sum(shown), 1)
        return entropy + self.dice_weight * dice

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dice_weight": self.dice_weight}


@dataclass
class UNetSegmenter:
    """A U-Net ready to segment sections: a `sebre.networks.segmenter.Segmenter`."""

    keras_model: keras.Model
    config: Config
    regions: RegionSet
    weights: WeightsFile
    network: ClassVar[str] = "U-Net"
    speck: ClassVar[str] = "UNET_SPECK"  # the setting that says which parts are dropped

    def detect(self, images: Sequence[Any], masks: str = "full") -> list[dict[str, Any]]:
        """Segment sections of any size.

        Probabilities are resized bilinearly to the size of the section; the most probable
        class takes the pixel. All parts of a region make one mask, but for specks
        (UNET_SPECK). Masks do not overlap.

        Args:
            images: uint8 [H, W, 3] each, or read at a reduced scale.
            masks: "full", "rle" or "contours"; see `mrcnn.structures.mask_formats`.

        Returns:
            As `MaskRCNN.detect`, one row for each region found, in the order of the class
            ids. The score is the mean probability of the region inside its mask.
        """
        demand_format(masks)
        return [self._detect(image, masks) for image in images]

    def probabilities(self, image: Any) -> np.ndarray:
        """Of each class at each pixel of a section [H, W, 3]: float32 [h, w, classes], at the size
        that the network sees it in."""
        molded, _, windows = mold_inputs([image], self.config)
        y1, x1, y2, x2 = windows[0]
        logits = self.keras_model.predict_on_batch(molded)[0, y1:y2, x1:x2]
        return self.refined(scipy.special.softmax(logits, -1))

    def _detect(self, image: Any, form: str) -> dict[str, Any]:
        found = self.probabilities(image)
        labels, probability = most_probable(found, labeled_shape(image.shape))
        classes, speck = self.config.NUM_CLASSES, getattr(self.config, self.speck)
        return result_of_labels(labels, probability, image.shape, classes, form, speck)

    def refined(self, probabilities: np.ndarray) -> np.ndarray:
        """What is made of the network's probabilities [h, w, classes]: here they stay."""
        return probabilities


def labeled_shape(image_shape: Sequence[int]) -> tuple[int, int]:
    """Size (h, w) px of the label map of a picture (H, W): its own up to 2**25 px, which a whole
    slide has many times, and smaller above."""
    height, width = (int(side) for side in image_shape[:2])
    factor = min(1.0, (_LABELED_PX / (height * width)) ** 0.5)
    return max(1, round(height * factor)), max(1, round(width * factor))


def most_probable(probabilities: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Labels uint16 [H, W] and their probabilities float32 [H, W], of probabilities
    [h, w, classes]."""
    labels = np.zeros(shape, np.uint16)
    best = np.full(shape, -1, np.float32)
    for class_id in range(probabilities.shape[-1]):  # one by one: sections may be large
        values = resize(probabilities[..., class_id], shape, mode="edge")
        better = values > best
        labels[better], best[better] = class_id, values[better]
    return labels, best


def result_of_labels(
    labels: np.ndarray,
    probability: np.ndarray,
    image_shape: Sequence[int],
    num_classes: int,
    form: str,
    speck: float,
) -> dict[str, Any]:
    """A label map as a result of `detect`.

    Args:
        labels: class ids [h, w], of `labeled_shape`.
        probability: float32 [h, w], of the label of each pixel.
        image_shape: (H, W) px of the picture.
        num_classes: with the background.
        form: of the masks, "full", "rle" or "contours".
        speck: connected parts below this share of the picture are dropped.

    Returns:
        As `MaskRCNN.detect`, one row for each region found, in the order of the class ids. SPECKS
        has the ids of those of which nothing was left, where there are any.
    """
    size = tuple(int(side) for side in image_shape[:2])
    ids, boxes, scores, masks, specks = [], [], [], [], []
    for class_id in range(1, num_classes):  # one by one: sections may be large
        own = labels == class_id
        mask = _without_specks(own, speck)
        if own.any() and not mask.any():
            specks.append(class_id)
        if mask.any():
            ids.append(class_id)
            scores.append(probability[mask].mean())
            if mask.shape == size:
                boxes.append(extract_bboxes(mask[..., None])[0])
                masks.append(_MASK_FORMS[form](mask))
            else:
                rle = enlarged_rle(mask, size)
                boxes.append(rle_box(rle))
                masks.append(_ENLARGED_FORMS[form](rle))
    if form == "full":
        masks = np.stack(masks, axis=-1) if masks else np.zeros((*size, 0), bool)
    found = {
        "rois": np.array(boxes, np.int32).reshape(-1, 4),
        "class_ids": np.array(ids, np.int32),
        "scores": np.array(scores, np.float32),
        "masks": masks,
    }
    return {**found, SPECKS: specks} if specks else found


def _without_specks(mask: np.ndarray, speck: float) -> np.ndarray:
    parts, _ = scipy.ndimage.label(mask)
    large = np.bincount(parts.ravel()) >= speck * mask.size
    large[0] = False
    return large[parts]


def settings_class(own: type, experiment: Experiment) -> type[Config]:
    """The class of settings of a kind of network: its own, and those of an experiment's small
    variant."""
    base = experiment.variant("small").config
    name = f"{base.__name__}{own.__name__.removesuffix('Settings')}"
    return type(name, (own, base), {"__doc__": own.__doc__})


@dataclass(frozen=True)
class PixelKind:
    """A kind of network that labels every pixel of a section.

    Attributes:
        name: on the command line and of files.
        settings: class of its own settings; the rest are those of an experiment's small variant.
        build: the network with random weights, of its settings; its last layer is "logits".
        segmenter: what finds regions with it.
        loss: of its settings, and of a function that gives the share of each class among the
            pixels of the training sections, the background first.
        words: its size, of its settings.
    """

    name: str
    settings: type
    build: Callable[[Config], keras.Model]
    segmenter: type[UNetSegmenter]
    loss: Callable[[Config, Callable[[], np.ndarray]], keras.losses.Loss]
    words: Callable[[Config], str]

    def config(self, experiment: Experiment) -> type[Config]:
        """The class of settings for an experiment."""
        return settings_class(self.settings, experiment)

    def load(
        self,
        found: WeightsFile,
        config: Config,
        regions: RegionSet,
        order: Sequence[int] | None = None,
    ) -> UNetSegmenter:
        """Build the network of a weights file that `sebre.networks.unet_train` wrote, and load it.

        `sebre.networks.segmenter.load_segmenter` calls it.

        Args:
            found: the file.
            config: of `config`.
            regions: that it finds.
            order: for every class id, from the background on, that of the file; None for the same.
        """
        model = self.build(config)
        load_weights(model, found.path)
        if order is not None:
            reorder_classes(model, order, layers=("logits",))
        return self.segmenter(model, config, regions, found)


UNET = PixelKind(
    name="unet",
    settings=UNetSettings,
    build=build_unet,
    segmenter=UNetSegmenter,
    loss=lambda config, shares: DiceCrossEntropy(config.UNET_DICE_WEIGHT),
    words=lambda c: f"{c.UNET_LEVELS} levels, {c.UNET_WIDTH} filters at the first",
)
