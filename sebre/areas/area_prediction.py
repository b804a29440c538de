"""Trained networks of areas, and what they find on a section."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import scipy.special

from mrcnn.errors import MissingFileError, UserError, reading
from mrcnn.io.files import file_sha256
from mrcnn.weights.loading import quiet_keras
from sebre.areas.area_runs import LAST_FILE
from sebre.areas.area_samples import (
    CONTEXT_STEP,
    OUTPUT_STEP,
    coarse,
    looked_up,
    looked_up_many,
    square,
    standardized,
)
from sebre.areas.area_unet import build_area_network
from sebre.areas.atlas_prior import BLUR_UM, blurred
from sebre.areas.stacks import Stack
from sebre.networks.training_run import SETTINGS_FILE

_SAME_PIXELS = 0.01  # share of their size that they may differ by


@dataclass
class AreaNetwork:
    """A network, or several that are asked together, with what it needs to be used.

    Attributes:
        models: as `sebre.areas.area_unet.build_area_network` makes them; the mean of their
            probabilities counts.
        areas: names of classes 1, 2, ...
        pixel_um: side of a pixel of its sections.
        patch: side of its output.
        sha256: of the file of each model; empty for one that is in training.
    """

    models: tuple[keras.Model, ...]
    areas: tuple[str, ...]
    pixel_um: float
    patch: int
    sha256: tuple[str, ...] = ()

    def singly(self) -> list["AreaNetwork"]:
        """Each of several networks alone; of one, none."""
        if len(self.models) == 1:
            return []
        return [
            replace(self, models=(model,), sha256=(sha256,))
            for model, sha256 in zip(self.models, self.sha256, strict=True)
        ]

    def predict(self, image: np.ndarray, prior: np.ndarray | None = None) -> np.ndarray:
        """Probability of each class on a section.

        The squares overlap by half; where several see a pixel, the mean of their logits counts,
        the middle of a square more than its border.

        Args:
            image: uint8 [y, x].
            prior: float32 [y, x, classes], not yet blurred; None for none.

        Returns:
            float32 [y, x, classes].
        """
        gray = standardized(image)
        around, classes = coarse(gray), len(self.areas) + 1
        side = OUTPUT_STEP * self.patch
        bump = np.hanning(self.patch + 2)[1:-1]
        window = np.outer(bump, bump)[..., None].astype(np.float32) + 1e-3
        shape = [-(-size // OUTPUT_STEP) for size in image.shape]
        tops, lefts = (_corners(size, self.patch) for size in shape)
        places = [(top, left) for top in tops for left in lefts]
        inputs: list[list[np.ndarray]] = [[], [], []]
        for place in places:
            where = square(np.array(place) * OUTPUT_STEP + (side - 1) / 2, self.patch)
            expected = np.zeros((self.patch, self.patch, classes), np.float32)
            if prior is not None:
                sigma = BLUR_UM / self.pixel_um / CONTEXT_STEP
                expected = blurred(looked_up_many(prior, where.context), sigma)
            inputs[0].append(looked_up(gray, where.detail)[..., None])
            inputs[1].append(looked_up(around, where.context)[..., None])
            inputs[2].append(expected)
        stacked = [np.stack(part) for part in inputs]
        shares = [
            _joined(keras.ops.convert_to_numpy(model(stacked, training=False)), places, window)
            for model in self.models
        ]
        mean = np.mean(shares, axis=0, dtype=np.float32)[: shape[0], : shape[1]]
        return enlarged(mean, image.shape)


def _joined(
    logits: np.ndarray, places: Sequence[tuple[int, int]], window: np.ndarray
) -> np.ndarray:
    """Probabilities [y, x, classes] of logits [squares, patch, patch, classes] at their places."""
    patch = logits.shape[1]
    shape = [max(place[axis] for place in places) + patch for axis in (0, 1)]
    total = np.zeros((*shape, logits.shape[-1]), np.float32)
    weight = np.zeros((*shape, 1), np.float32)
    for (top, left), found in zip(places, logits, strict=True):
        here = np.s_[top : top + patch, left : left + patch]
        total[here] += window * found
        weight[here] += window
    return scipy.special.softmax(total / weight, axis=-1)


def demand_stack(network: AreaNetwork, stack: Stack) -> None:
    """That a network knows sections and areas such as those of a stack.

    Raises:
        UserError: other areas, or pixels of another size.
    """
    if network.areas != stack.areas:
        raise UserError(
            f"The network finds {', '.join(network.areas)}; the stack has "
            f"{', '.join(stack.areas)}. Give a network that was trained on these areas."
        )
    if abs(network.pixel_um / stack.pixel_um - 1) > _SAME_PIXELS:
        raise UserError(
            f"The network learned from pixels of {network.pixel_um:g} um, the stack has "
            f"{stack.pixel_um:g} um. Give sections of that size."
        )


def enlarged(shares: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Shares [h, w, classes] of the output at the pixels of the section, [y, x, classes]."""
    rows, columns = ((np.arange(size) - (OUTPUT_STEP - 1) / 2) / OUTPUT_STEP for size in shape)
    points = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).astype(np.float32)
    return looked_up_many(shares, points)


def _corners(size: int, patch: int) -> list[int]:
    if size <= patch:
        return [0]
    count = -(-(size - patch) // (patch // 2)) + 1
    return np.linspace(0, size - patch, count).round().astype(int).tolist()


def load_area_network(*folders: str | Path) -> AreaNetwork:
    """The network of a run of `sebre areas train`, or of `sebre areas fill` (its folder `network`);
    of several runs, all of them together.

    Raises:
        UserError: there is none, it is of another kind, or they find other areas or see pixels of
            other sizes.
    """
    first, *others = (_loaded(Path(folder)) for folder in folders)
    for other, folder in zip(others, folders[1:], strict=True):
        theirs = (other.areas, other.pixel_um, other.patch)
        if theirs != (first.areas, first.pixel_um, first.patch):
            raise UserError(
                f"{folder}: finds {len(other.areas)} areas at {other.pixel_um:g} um in squares of "
                f"{other.patch}, {folders[0]} {len(first.areas)} at {first.pixel_um:g} um in "
                f"squares of {first.patch}. Give runs of one stack and one --patch."
            )
        first = replace(
            first, models=first.models + other.models, sha256=first.sha256 + other.sha256
        )
    return first


def _loaded(path: Path) -> AreaNetwork:
    for needed in (path / SETTINGS_FILE, path / LAST_FILE):
        if not needed.is_file():
            raise MissingFileError(
                f"{needed}: is missing. Give the folder of a run of `sebre areas train` that has "
                "made its first check."
            )
    settings = json.loads((path / SETTINGS_FILE).read_text("utf-8"))
    network = network_of(settings, (file_sha256(path / LAST_FILE),))
    with reading(path / LAST_FILE, "this network"), quiet_keras():
        stored = keras.models.load_model(path / LAST_FILE, compile=False)
        network.models[0].set_weights(stored.get_weights())
    return network


def network_of(settings: Mapping[str, Any], sha256: tuple[str, ...] = ()) -> AreaNetwork:
    """A network of these settings, with random weights, in full precision."""
    if "areas" not in settings:
        raise UserError("This run is of another kind than `sebre areas train`. Give its folder.")
    keras.mixed_precision.set_global_policy("float32")
    areas = tuple(settings["areas"])
    widths = settings["detail_widths"], settings["context_widths"]
    model = build_area_network(len(areas) + 1, *widths, settings["patch"])
    return AreaNetwork((model,), areas, settings["pixel_um"], settings["patch"], sha256)
