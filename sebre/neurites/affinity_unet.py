"""The network of affinities: a 3-D U-Net that is cheap on a CPU, and its loss.

Çiçek et al. 2016, with these differences: a learned convolution halves the volume at once, as the
level of full resolution is most of the work of a plain one; what comes back to full resolution is
repeated, then convolved, as a transposed convolution leaves a checkerboard; batch normalization,
which with its frozen statistics makes a voxel depend on what is around it and on nothing else:
tiles agree with the whole up to the margin. Where sections are far apart, kernels and steps stay
within a section until voxels are even.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from sebre.neurites.affinity_graph import UNKNOWN, is_coarse

WIDTHS = (24, 48, 96)
_MOMENTUM = 0.98  # of the statistics of batch normalization
_EPSILON = 1e-6


@dataclass(frozen=True)
class Level:
    """How one level of the network looks at its voxels, along z, y, x.

    Attributes:
        strides: from the level above to this one.
        kernel: of its convolutions.
    """

    strides: tuple[int, int, int]
    kernel: tuple[int, int, int]


def plan_levels(voxel_nm: Sequence[float], count: int) -> list[Level]:
    """Levels for a voxel size: in the plane only, while sections are twice as far apart or more.

    Args:
        voxel_nm: along z, y, x.
        count: of the levels.
    """
    levels, size = [], [float(s) for s in voxel_nm]
    for _ in range(count):
        strides = (1, 2, 2) if is_coarse(size) else (2, 2, 2)
        kernel = (1, 3, 3) if is_coarse(size) else (3, 3, 3)
        levels.append(Level(strides, kernel))
        size = [s * step for s, step in zip(size, strides, strict=True)]
    return levels


def network_step(levels: Sequence[Level]) -> tuple[int, int, int]:
    """What the sides of a volume must be multiples of, along z, y, x."""
    return tuple(int(n) for n in np.prod([level.strides for level in levels], axis=0))


def receptive_margin(levels: Sequence[Level]) -> tuple[int, int, int]:
    """Voxels around one that its affinities may depend on, along z, y, x, rounded up to steps.

    Inside such a margin, the affinities of a tile whose corner is at a multiple of
    `network_step` are those of the whole volume.
    """
    margins = []
    for axis, step in enumerate(network_step(levels)):
        reach, scale = 1, 1  # the last convolution, at full resolution
        for number, level in enumerate(levels):
            reach += scale * level.strides[axis]  # way down, and the block that is repeated
            scale *= level.strides[axis]
            last = number == len(levels) - 1
            reach += (2 if last else 4) * (level.kernel[axis] // 2) * scale
        margins.append(-(-reach // step) * step)
    return tuple(margins)


def build_network(
    edges: int, voxel_nm: Sequence[float] = (1, 1, 1), widths: Sequence[int] = WIDTHS
) -> keras.Model:
    """The network with random weights.

    Args:
        edges: affinities of a voxel.
        voxel_nm: along z, y, x; only its proportions matter.
        widths: filters of each level.

    Returns:
        Standardized gray values float32 [B, z, y, x, 1] -> logits float32 [B, z, y, x, edges].
        Sides must be multiples of `network_step`.
    """
    levels = plan_levels(voxel_nm, len(widths))
    volume = keras.Input((None, None, None, 1), name="volume")
    x, skips = volume, []
    for number, (level, width) in enumerate(zip(levels, widths, strict=True)):
        if number:
            skips.append(x)
            x = keras.layers.MaxPooling3D(level.strides, name=f"pool{number}")(x)
        else:
            # Twice the step, so that neighboring answers overlap.
            kernel = [2 * step if step > 1 else 1 for step in level.strides]
            x = _conv(x, width, kernel, "stem", level.strides)
        x = _block(x, width, level.kernel, f"down{number}")
    for number in reversed(range(len(skips))):
        x = keras.layers.Conv3D(widths[number], 1, use_bias=False, name=f"narrow{number}")(x)
        x = keras.layers.UpSampling3D(levels[number + 1].strides, name=f"up{number}")(x)
        x = keras.layers.Add(name=f"join{number}")([x, skips[number]])
        x = _block(x, widths[number], levels[number].kernel, f"up{number}_")
    x = keras.layers.Conv3D(2 * edges, 1, name="narrow")(x)
    x = keras.layers.UpSampling3D(levels[0].strides, name="up")(x)
    last = {"kernel_size": levels[0].kernel, "padding": "same"}
    # What is lost by the first step is looked up in the volume itself.
    fine = keras.layers.Conv3D(edges, **last, use_bias=False, name="fine")(volume)
    coarse = keras.layers.Conv3D(edges, **last, name="coarse")(x)
    logits = keras.layers.Add(dtype="float32", name="logits")([fine, coarse])
    return keras.Model(volume, logits, name="affinities")


def _block(x: keras.KerasTensor, width: int, kernel: Sequence[int], name: str) -> keras.KerasTensor:
    return _conv(_conv(x, width, kernel, f"{name}a"), width, kernel, f"{name}b")


def _conv(
    x: keras.KerasTensor,
    width: int,
    kernel: Sequence[int],
    name: str,
    strides: Sequence[int] = (1, 1, 1),
) -> keras.KerasTensor:
    x = keras.layers.Conv3D(width, kernel, strides, "same", use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


@keras.saving.register_keras_serializable("sebre")
class BalancedCrossEntropy(keras.losses.Loss):
    """Cross entropy of affinities, in which edges of 0 weigh more, as they are few.

    Args:
        zero_weights: for each kind of edge, what an edge of 0 weighs beside one of 1.
        name: of the loss.
    """

    def __init__(self, zero_weights: Sequence[float], name: str = "balanced_cross_entropy"):
        super().__init__(name=name)
        self.zero_weights = [float(weight) for weight in zero_weights]

    def call(self, y_true, y_pred):
        """Weighted mean over the known edges; scalar.

        Args:
            y_true: uint8 [B, z, y, x, edges]. 0, 1 or `UNKNOWN`.
            y_pred: float32, the same shape. Logits.
        """
        y_pred = ops.cast(y_pred, "float32")
        joined = ops.cast(ops.equal(y_true, 1), "float32")
        known = ops.cast(ops.not_equal(y_true, UNKNOWN), "float32")
        weights = known * (joined + (1.0 - joined) * ops.convert_to_tensor(self.zero_weights))
        losses = ops.softplus(y_pred) - y_pred * joined  # cross entropy of logits
        return ops.sum(weights * losses) / (ops.sum(weights) + _EPSILON)

    def get_config(self):
        return {"zero_weights": self.zero_weights, "name": self.name}


def zero_weights(affinities: np.ndarray, most: float = 10.0) -> list[float]:
    """For each kind of edge, the weight at which edges of 0 and of 1 count as much in all.

    Args:
        affinities: uint8 [edges, z, y, x]. 0, 1 or `UNKNOWN`.
        most: the highest weight, so that single edges do not count for all.
    """
    weights = []
    for edges in affinities:
        ones, zeros = np.count_nonzero(edges == 1), np.count_nonzero(edges == 0)
        weights.append(round(float(np.clip(ones / max(zeros, 1), 1.0, most)), 3))
    return weights
