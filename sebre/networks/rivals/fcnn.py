"""F-CNN: a fully convolutional network for subcortical structures, and its Markov random field.

Source: Shakeri et al., "Sub-cortical brain structure segmentation using F-CNNs", ISBI 2016. Seven
blocks of one convolution each, the first two pooled by 2, the later ones dilated in place of
pooling, so that the answer has a quarter of the picture's side; it is enlarged bilinearly. What
the network says of the pixels is the unary term of a Markov random field with a Potts term between
neighbors, solved by alpha-expansion (`sebre.networks.rivals.markov_field`).

Size: 12.5 million weights at the paper's filters (FCNN_WIDTH 64), for nine classes and a picture of
three channels.

What differs here: pictures, augmentation, optimizer and steps are those of the other networks, so
that the methods can be compared (the paper: plain SGD); batch normalization behind each
convolution, without which it does not learn from random weights in the same number of steps; the
field spans one section, as sections come one by one (the paper: the volume), and its Potts term
does not weigh how alike neighbors are.
"""

from typing import Any, ClassVar

import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.modeling.layers import LayerStyle
from sebre.networks.rivals.markov_field import most_probable_field
from sebre.networks.unet import GRAY_UNIT, DiceCrossEntropy, PixelKind, UNetSegmenter

# Side of the kernel, filters in units of FCNN_WIDTH, dilation, stride of the pooling behind it (0:
# none).
_BLOCKS = (
    (7, 1, 1, 2),
    (5, 2, 1, 2),
    (3, 4, 2, 1),
    (3, 8, 2, 1),
    (3, 8, 2, 1),
    (4, 16, 4, 0),
)
_SHRUNK = 4  # of the side of the picture
_DROPOUT = 0.5  # before the last block


class FCNNSettings:
    """Settings of F-CNN; the rest are those of an experiment's small variant."""

    FCNN_WIDTH = 64  # filters of the first block
    FCNN_DICE_WEIGHT = 0.0  # paper: cross-entropy alone
    FCNN_POTTS = 0.5  # cost of two neighbors with different labels, in units of -log(probability)
    FCNN_SPECK = 0.0  # share of the picture; the paper drops no parts


def build_fcnn(config: Config) -> keras.Model:
    """The network, with random weights.

    Returns:
        Molded images float32 [B, h, w, C] -> logits float32 [B, h, w, NUM_CLASSES].
    """
    style = LayerStyle.of(config)
    shape = tuple(int(side) for side in config.IMAGE_SHAPE)
    if config.FCNN_WIDTH < 1 or any(side % _SHRUNK for side in shape[:2]):
        raise UserError(
            f"An F-CNN of width {config.FCNN_WIDTH} (FCNN_WIDTH) for images of {shape[0]} x "
            f"{shape[1]} px: the width must be at least 1, and the sides multiples of {_SHRUNK}."
        )
    image = keras.Input(shape, name="image")
    x = keras.layers.Rescaling(1 / GRAY_UNIT, name="rescale")(image)
    for number, (side, filters, dilation, stride) in enumerate(_BLOCKS, start=1):
        name = f"block{number}"
        x = style.conv(
            filters * config.FCNN_WIDTH,
            side,
            name,
            padding="same",
            dilation_rate=dilation,
            use_bias=False,
        )(x)
        x = style.relu(f"{name}_relu")(style.norm(f"{name}_bn")(x))
        if stride:
            pool = keras.layers.MaxPooling2D(3, stride, "same", name=f"{name}_pool")
            x = pool(x)
    x = keras.layers.Dropout(_DROPOUT, seed=config.SEED, name="dropout")(x)
    x = style.conv(config.NUM_CLASSES, 1, "logits", dtype="float32")(x)
    logits = keras.layers.UpSampling2D(_SHRUNK, interpolation="bilinear", name="enlarged")(x)
    return keras.Model(image, logits, name="fcnn")


class FCNNSegmenter(UNetSegmenter):
    """An F-CNN ready to segment sections."""

    network: ClassVar[str] = "F-CNN"
    speck: ClassVar[str] = "FCNN_SPECK"

    def refined(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities [h, w, classes] that are highest for the labels of the Markov random field.

        The label that it chooses gets what the most probable one had.
        """
        if not self.config.FCNN_POTTS:
            return probabilities
        labels = most_probable_field(probabilities, self.config.FCNN_POTTS)[..., None]
        best = probabilities.argmax(-1)[..., None]
        high = np.take_along_axis(probabilities, best, -1)
        low = np.take_along_axis(probabilities, labels, -1)
        changed: Any = probabilities.copy()
        np.put_along_axis(changed, best, low, -1)
        np.put_along_axis(changed, labels, high, -1)
        return changed


FCNN = PixelKind(
    name="fcnn",
    settings=FCNNSettings,
    build=build_fcnn,
    segmenter=FCNNSegmenter,
    loss=lambda config, shares: DiceCrossEntropy(config.FCNN_DICE_WEIGHT),
    words=lambda c: f"{c.FCNN_WIDTH} filters at the first block, Potts term {c.FCNN_POTTS:g}",
)
