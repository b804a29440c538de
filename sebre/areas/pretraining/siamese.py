"""Learning without labels: an encoder that tells how far apart patches of the cortex lie.

After Spitzer et al. 2018 (arXiv 1806.05104): the codes of two patches give their distance along
the cortex, and each code the place of its patch in the stack. A step takes all pairs of a batch
rather than single pairs. Its detail encoder is that of the network of areas, which can start from
it (`sebre.areas.area_training`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from mrcnn.errors import MissingFileError, reading
from mrcnn.io.files import arrays_sha256
from mrcnn.weights.loading import quiet_keras
from sebre.areas.area_runs import LAST_FILE, compiled, run_training
from sebre.areas.area_samples import Augmentation, looked_up, square, standardized
from sebre.areas.area_unet import DETAIL_WIDTHS, encode_detail
from sebre.areas.pretraining.ribbon import Points
from sebre.areas.stacks import Stack

CODE = 64  # numbers of a code


@dataclass(frozen=True)
class SiameseSettings:
    """Settings of a training without labels, which stay the same when it goes on.

    Attributes:
        steps: of the optimizer.
        batch: patches a step; all their pairs are learned.
        side: of a patch in pixels.
        window: sections that the patches of a batch may be apart.
        detail_widths: of the encoder.
        learning_rate: the highest.
        augmentation: of the patches; the prior has no part in it.
        precision: of the arithmetic: float32 or mixed_bfloat16.
        seed: of weights and patches.
    """

    steps: int = 1200
    batch: int = 24
    side: int = 128
    window: int = 6
    detail_widths: tuple[int, ...] = DETAIL_WIDTHS
    learning_rate: float = 3e-3
    augmentation: Augmentation = Augmentation(degrees=15, scale=0.05, elastic_um=20)
    precision: str = "float32"
    seed: int = 0


@keras.saving.register_keras_serializable("sebre")
class CodeDifferences(keras.layers.Layer):
    """|code - code| of all pairs of a batch: [B, n] -> [B, B, n]."""

    def call(self, codes: Any) -> Any:
        return ops.abs(ops.expand_dims(codes, 1) - ops.expand_dims(codes, 0))

    def compute_output_shape(self, shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (shape[0], shape[0], shape[1])


@keras.saving.register_keras_serializable("sebre")
class JoinedError(keras.losses.Loss):
    """Mean absolute error of distances [B, B], of those that are known (not negative)."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        known = ops.cast(y_true >= 0, "float32")
        errors = ops.abs(ops.cast(y_pred, "float32") - y_true)
        return ops.sum(known * errors) / ops.maximum(ops.sum(known), 1.0)


def build_siamese(side: int, detail_widths: Sequence[int] = DETAIL_WIDTHS) -> keras.Model:
    """The network with random weights.

    Returns:
        Patches float32 [B, side, side, 1] -> distances [B, B] and places [B, 3], in mm.
    """
    patch = keras.Input((side, side, 1), name="patch")
    deepest = encode_detail(patch, detail_widths)[-1]
    deepest = keras.layers.Conv2D(CODE, 3, 2, "same", activation="relu", name="pool")(deepest)
    # Where in the patch something lies counts: the place of the white matter, of the surface.
    small = keras.layers.AveragePooling2D(2, name="spread")(deepest)
    flat = keras.layers.Flatten(name="flat")(small)
    code = keras.layers.Dense(CODE, dtype="float32", name="code")(flat)
    apart = CodeDifferences(dtype="float32", name="differences")(code)
    apart = keras.layers.Dense(CODE, "relu", dtype="float32", name="compare")(apart)
    apart = keras.layers.Dense(1, "softplus", dtype="float32", name="distance")(apart)
    distances = keras.layers.Reshape((-1,), dtype="float32", name="distances")(apart)
    places = keras.layers.Dense(3, dtype="float32", name="places")(code)
    return keras.Model(patch, {"distances": distances, "places": places}, name="siamese")


class PatchMaker:
    """Draws patches of the cortex with the distances between them.

    Args:
        stack: the sections.
        points: where patches are taken.
        distances: float32 [points, points] in mm.
        side: of a patch in pixels.
    """

    def __init__(self, stack: Stack, points: Points, distances: np.ndarray, side: int):
        self.stack, self.points, self.distances, self.side = stack, points, distances, side
        used = np.unique(points.section).tolist()
        self._gray = {n: standardized(stack.images[n]) for n in used}
        self.center = points.position_mm.mean(axis=0)

    def patch(
        self,
        number: int,
        augmentation: Augmentation | None = None,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        """The patch at a point, float32 [side, side, 1]."""
        gray = self._gray[int(self.points.section[number])]
        where = square(
            self.points.place[number], self.side // 2, augmentation, self.stack.pixel_um, rng
        )
        found = looked_up(gray, where.detail)
        if augmentation is not None:
            low, high = -augmentation.gain, augmentation.gain
            found = found * (1 + rng.uniform(low, high)) + rng.uniform(low, high)
        return found[..., None]

    def batches(self, settings: SiameseSettings, step: int = 0) -> Iterator[tuple[Any, Any]]:
        """Patches and their distances and places, without end."""
        section = self.points.section
        while True:
            rng = np.random.default_rng([settings.seed, step])
            middle = rng.choice(np.unique(section))
            near = np.flatnonzero(np.abs(section - middle) <= settings.window / 2)
            chosen = rng.choice(near, settings.batch, replace=len(near) < settings.batch)
            patches = np.stack([self.patch(n, settings.augmentation, rng) for n in chosen])
            apart = self.distances[np.ix_(chosen, chosen)]
            apart = np.where(np.isfinite(apart), apart, -1).astype(np.float32)
            places = self.points.position_mm[chosen] - self.center
            yield patches, {"distances": apart, "places": places}
            step += 1


def pretrain(
    maker: PatchMaker,
    out: str | Path,
    settings: SiameseSettings,
    sections: Sequence[str] = (),
    check_s: float = 120.0,
) -> keras.Model:
    """Train the siamese network; the patches of `maker` are those to learn from.

    Args:
        maker: of the patches.
        out: folder of the run (`sebre.areas.area_runs`).
        settings: of the run.
        sections: names of the sections of the patches, for the record.
        check_s: seconds between checkpoints.
    """

    def build() -> keras.Model:
        model = build_siamese(settings.side, settings.detail_widths)
        losses = {"distances": JoinedError(name="joined_error"), "places": "mae"}
        model = compiled(model, losses, settings.learning_rate)
        return model

    facts = {**asdict(settings), "kind": "siamese", "sections": list(sections)}
    # A run goes on, or counts as done, for the same patches and distances alone.
    facts["learned_from"] = arrays_sha256(
        *(maker.stack.images, maker.points.position_mm, maker.distances),
        np.float64(maker.stack.pixel_um),
    )
    return run_training(
        out, facts, build, lambda step: maker.batches(settings, step), check_s=check_s
    )


def load_siamese(folder: str | Path) -> keras.Model:
    """The network of a run of `sebre areas pretrain`."""
    path = Path(folder) / LAST_FILE
    if not path.is_file():
        raise MissingFileError(
            f"{path}: is missing. Give the folder of a run of `sebre areas pretrain` that has made "
            "its first check."
        )
    with reading(path, "this network"), quiet_keras():
        model = keras.models.load_model(path, compile=False)
    if model.name != "siamese":
        raise MissingFileError(f"{path}: is a network of another kind; give one of pretrain.")
    return model


def codes_of(model: keras.Model, maker: PatchMaker, chosen: Sequence[int]) -> np.ndarray:
    """Codes of the patches at points, unmoved, float32 [n, 64]."""
    encoder = keras.Model(model.input, model.get_layer("code").output)
    parts = []
    for first in range(0, len(chosen), 64):
        patches = np.stack([maker.patch(n) for n in chosen[first : first + 64]])
        parts.append(keras.ops.convert_to_numpy(encoder(patches, training=False)))
    return np.concatenate(parts)


def distances_of(model: keras.Model, codes: np.ndarray) -> np.ndarray:
    """Distances that the network tells from codes, float32 [n, n], in mm."""
    apart = np.abs(codes[:, None] - codes[None])
    hidden = model.get_layer("compare")(apart)
    return keras.ops.convert_to_numpy(model.get_layer("distance")(hidden))[..., 0]
