"""A network made fit for a volume that it was not trained on and that has no labels.

Three small ways, from the least to the most work: gray values matched to those of the training
volume, statistics of batch normalization taken from the new volume (Li et al. 2016, "Revisiting
batch normalization for practical domain adaptation"), and training on the segments that the
network itself finds there (self-training).
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from skimage.exposure import match_histograms

from sebre.neurites.affinity_prediction import AffinityNetwork, GrayValues
from sebre.neurites.affinity_unet import build_network
from sebre.neurites.cells import MemoryStore
from sebre.neurites.learning.neurite_training import TrainSettings, train
from sebre.neurites.volume_files import EmVolume
from sebre.neurites.whole_volumes import Decoding, segment

_MOMENTUM = 0.9  # of the statistics while they are taken
_SURE_VOXELS = 500  # of a segment that is learned from


def match_histogram(raw: np.ndarray, to: np.ndarray) -> np.ndarray:
    """A volume whose gray values are as often as those of another one.

    Args:
        raw: uint8 [z, y, x].
        to: uint8 [z, y, x], the other one, of any size.
    """
    return np.rint(match_histograms(raw, to)).astype(np.uint8)


def with_own_statistics(
    network: AffinityNetwork, raw: np.ndarray, tiles: int = 60, seed: int = 0
) -> AffinityNetwork:
    """The network with the statistics of batch normalization of a volume.

    Args:
        network: it is not changed.
        raw: uint8 [z, y, x].
        tiles: that the statistics are taken from, 48 x 80 x 80 voxels at most.
        seed: of their places.
    """
    made = _copy(network)
    for layer in made.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _MOMENTUM
    gray, rng = GrayValues.of(raw).standardized(raw), np.random.default_rng(seed)
    sizes = zip((48, 80, 80), raw.shape, network.step, strict=True)
    sides = [min(most, size) // step * step for most, size, step in sizes]
    for _ in range(tiles):
        corner = [int(rng.integers(n - side + 1)) for n, side in zip(raw.shape, sides, strict=True)]
        tile = tuple(slice(low, low + side) for low, side in zip(corner, sides, strict=True))
        made.model(gray[tile][None, ..., None], training=True)
    return made


def self_trained(
    network: AffinityNetwork,
    raw: np.ndarray,
    decoding: Decoding,
    steps: int = 200,
    learning_rate: float = 5e-4,
    **settings: Any,
) -> AffinityNetwork:
    """The network after training on its own segments of a volume.

    Args:
        network: it is not changed.
        raw: uint8 [z, y, x].
        decoding: how the segments are made; nothing is taken to be known of small ones.
        steps: of the training.
        learning_rate: the highest.
        **settings: others of `TrainSettings`.
    """
    sure = replace(decoding, min_voxels=max(decoding.min_voxels, _SURE_VOXELS))
    labels = segment(network, raw, sure, MemoryStore())
    volume = EmVolume("own segments", raw, network.voxel_nm, labels)
    made = _copy(network)
    how = TrainSettings(
        network.voxel_nm,
        widths=_widths(network),
        long_range=-network.offsets[4][1] if len(network.offsets) > 3 else 0,
        steps=steps,
        learning_rate=learning_rate,
        severity="harsh",
        **settings,
    )
    with tempfile.TemporaryDirectory() as folder:
        trained = train([volume], [], Path(folder) / "run", how, begin=network.model)
    keras.mixed_precision.set_global_policy("float32")
    made.model.set_weights(trained.get_weights())
    return made


def _copy(network: AffinityNetwork) -> AffinityNetwork:
    keras.mixed_precision.set_global_policy("float32")
    model = build_network(len(network.offsets), network.voxel_nm, _widths(network))
    model.set_weights(network.model.get_weights())
    return replace(network, model=model)


def _widths(network: AffinityNetwork) -> tuple[int, ...]:
    levels = range(network.levels)
    return tuple(network.model.get_layer(f"down{number}a").filters for number in levels)
