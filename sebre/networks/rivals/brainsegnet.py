"""BrainSegNet: pixels told by what is around them at four sizes, and by where they lie.

Source: Mehta, Majumdar and Sivaswamy, "BrainSegNet: a convolutional neural network architecture for
automated segmentation of human brain structures", Journal of Medical Imaging 4, 2017. A voxel is
classified by patches of four kinds, from near to wide, each seen by convolutions of its own; what
they say is joined before fully connected layers. Where the voxel lies in the brain is given
beside them, as in the network it continues (de Brebisson and Montana 2015).

Size: 0.6 million weights (BRAINSEGNET_WIDTH 24), for nine classes and a picture of three channels.

What differs here: all pixels of a section are classified at once, with dilated convolutions in
place of patches that are cut out one by one, which gives the same for each pixel and shares the
work; the patches are of one plane at four scales (the paper: of three planes, and of volumes), as
sections come one by one; sizes and filters are ours, as the paper's table of them was not at hand;
pictures, augmentation, optimizer and steps are those of the other networks, so that the methods
can be compared.
"""

from typing import Any, ClassVar

import keras
from keras import ops

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.modeling.layers import LayerStyle
from sebre.networks.unet import GRAY_UNIT, DiceCrossEntropy, PixelKind, UNetSegmenter

_SCALES = (1, 2, 4, 8)  # of the picture, whose patch of 29 px each kind looks at
# Side of the kernel, filters in units of BRAINSEGNET_WIDTH, dilation: 29 px in all.
_LAYERS = ((5, 1, 1), (3, 2, 2), (3, 2, 4), (3, 4, 6))
_HIDDEN = 16  # units of each of two connected layers, in units of BRAINSEGNET_WIDTH
_DROPOUT = 0.5  # before the last layer
_LEAST = 1e-3  # of a spread, in shares of a side, and of all weights of a picture


class BrainSegNetSettings:
    """Settings of BrainSegNet; the rest are those of an experiment's small variant."""

    BRAINSEGNET_WIDTH = 24
    BRAINSEGNET_DICE_WEIGHT = 0.0  # cross-entropy alone
    BRAINSEGNET_SPECK = 0.0  # share of the picture; the paper drops no parts


@keras.saving.register_keras_serializable(package="sebre")
class TissuePosition(keras.layers.Layer):
    """Where each pixel lies: rows and columns from the middle of the tissue, in its spreads.

    Tissue is what differs from the border of the picture; a pixel weighs as much as it does.

    Call arguments:
        inputs: pictures [B, h, w, C].

    Returns:
        float32 [B, h, w, 2].
    """

    def call(self, inputs: Any) -> Any:
        gray = ops.mean(ops.cast(inputs, "float32"), axis=-1)
        sides = gray[:, 0], gray[:, -1], gray[:, :, 0], gray[:, :, -1]
        ground = ops.mean(ops.concatenate(sides, axis=-1), axis=-1)
        weights = ops.abs(gray - ground[:, None, None]) + _LEAST
        found = [_spread_out(ops.sum(weights, axis=2)), _spread_out(ops.sum(weights, axis=1))]
        rows = ops.broadcast_to(found[0][:, :, None], ops.shape(gray))
        columns = ops.broadcast_to(found[1][:, None, :], ops.shape(gray))
        return ops.stack([rows, columns], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], 2)


def _spread_out(weights: Any) -> Any:
    """Places along a side [B, n] from the mean of weights [B, n], in their deviations."""
    weights = weights / ops.sum(weights, axis=-1, keepdims=True)
    places = ops.arange(weights.shape[-1], dtype="float32") / weights.shape[-1]
    away = places - ops.sum(weights * places, axis=-1, keepdims=True)
    spread = ops.sqrt(ops.sum(weights * away**2, axis=-1, keepdims=True))
    return away / ops.maximum(spread, _LEAST)


def build_brainsegnet(config: Config) -> keras.Model:
    """The network, with random weights.

    Returns:
        Molded images float32 [B, h, w, C] -> logits float32 [B, h, w, NUM_CLASSES].
    """
    style, width = LayerStyle.of(config), config.BRAINSEGNET_WIDTH
    shape = tuple(int(side) for side in config.IMAGE_SHAPE)
    if width < 1 or any(side % _SCALES[-1] for side in shape[:2]):
        raise UserError(
            f"A BrainSegNet of width {width} (BRAINSEGNET_WIDTH) for images of {shape[0]} x "
            f"{shape[1]} px: the width must be at least 1, and the sides multiples of "
            f"{_SCALES[-1]}."
        )

    def learned(x: Any, filters: int, side: int, name: str, dilation: int = 1) -> Any:
        how = {"padding": "same", "dilation_rate": dilation, "use_bias": False}
        x = style.conv(filters * width, side, name, **how)(x)
        return style.relu(f"{name}_relu")(style.norm(f"{name}_bn")(x))

    def patches(x: Any, scale: int) -> Any:
        name = f"scale{scale}"
        if scale > 1:
            x = keras.layers.AveragePooling2D(scale, name=f"{name}_shrunk")(x)
        for number, (side, filters, dilation) in enumerate(_LAYERS, start=1):
            x = learned(x, filters, side, f"{name}_conv{number}", dilation)
        if scale > 1:
            how = {"interpolation": "bilinear", "name": f"{name}_enlarged", "dtype": style.policy}
            x = keras.layers.UpSampling2D(scale, **how)(x)
        return x

    image = keras.Input(shape, name="image")
    x = keras.layers.Rescaling(1 / GRAY_UNIT, name="rescale")(image)
    parts = [*(patches(x, scale) for scale in _SCALES), TissuePosition(name="position")(x)]
    x = keras.layers.Concatenate(name="joined", dtype=style.policy)(parts)
    for name in ("hidden1", "hidden2"):
        x = learned(x, _HIDDEN, 1, name)
    x = keras.layers.Dropout(_DROPOUT, seed=config.SEED, name="dropout", dtype=style.policy)(x)
    logits = style.conv(config.NUM_CLASSES, 1, "logits", dtype="float32")(x)
    return keras.Model(image, logits, name="brainsegnet")


class BrainSegNetSegmenter(UNetSegmenter):
    """A BrainSegNet ready to segment sections."""

    network: ClassVar[str] = "BrainSegNet"
    speck: ClassVar[str] = "BRAINSEGNET_SPECK"


BRAINSEGNET = PixelKind(
    name="brainsegnet",
    settings=BrainSegNetSettings,
    build=build_brainsegnet,
    segmenter=BrainSegNetSegmenter,
    loss=lambda config, shares: DiceCrossEntropy(config.BRAINSEGNET_DICE_WEIGHT),
    words=lambda c: f"patches at {len(_SCALES)} scales, {c.BRAINSEGNET_WIDTH} filters at first",
)
