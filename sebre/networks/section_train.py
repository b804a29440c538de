"""The network of any section on a few sections of one's own, from what it knows or from nothing.

All layers start from the weights of any section, or of an earlier run. Where the regions are
others, each begins as that region of the weights which it overlaps most on the sections. The
network sees what it sees when it predicts: the square around the tissue of each section, gray,
between its percentiles 1 and 99. Files of a run are those of `sebre.networks.unet_train`.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.weights.loading import load_weights
from sebre.data.dataset import SectionDataset
from sebre.data.region_names import in_words
from sebre.drawing.overlay import drawn_labels
from sebre.experiments.base import Experiment, Stage, Variant
from sebre.experiments.custom import SECTION_STEPS
from sebre.networks.any_section import (
    STEP,
    AnySectionSegmenter,
    SectionSettings,
    build_network,
    frame_of,
    normalized,
    prepared,
    squared,
)
from sebre.networks.region_match import stored_regions
from sebre.networks.training_run import START, read_run, weights_of_run
from sebre.networks.unet import DiceCrossEntropy
from sebre.networks.unet_train import LabelBatches, PixelNetwork, last_run, train_pixels
from sebre.networks.weights_store import WeightsFile, find_weights, network_of, stored_settings

logger = logging.getLogger(__name__)

NAME = "any_section"  # of this kind of network, and of the weights that it usually starts from
_LOGITS = "logits"  # the layer that names the regions
_TAKEN = ("IMAGE_MIN_DIM", "IMAGE_MAX_DIM", "SECTION_WIDTHS", "SECTION_SHARE")  # of the weights
_TURNED = 45.0  # degrees; who knows sections turned farther than this looks at all their turns
# Statistics of batch normalization follow the sections within a few dozen steps.
_NORM_MOMENTUM = 0.9
_LOOKED_AT = 50  # training sections, for which region is like which


class _Training(SectionSettings):
    MEAN_PIXEL = np.zeros(3)
    IMAGES_PER_GPU = 8
    STEPS_PER_EPOCH = 50  # at most
    LEARNING_RATE = 0.005
    WARMUP_STEPS = 10


def train_section(
    experiment: Experiment,
    dataset: str | Path,
    logs: str | Path,
    weights: str = NAME,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    **options: Any,
) -> AnySectionSegmenter:
    """Train on the training part of a prepared data set, 2 sections or more.

    Args:
        experiment: with the regions, any number of them.
        dataset: folder of the prepared data set; its test part is not looked at.
        logs: folder of all runs.
        weights: to start from: a name, a file or the folder of a run; "none" for random ones;
            "last", to go on with the last run, for those that it began with.
        settings: that differ, also those of `SectionSettings`.
        resume: go on with the last run of the experiment in `logs`.
        **options: steps, seed, inner_validation, verbose and callbacks, as of
            `sebre.networks.unet_train.train_pixels`.

    Returns:
        The trained network; the folder of its `weights.path` holds the files of the run.

    Raises:
        FileNotFoundError: no such weights, or nothing to resume.
        UserError: weights of another kind of network, or what `train_unet` refuses.
    """
    if weights == "last":
        if not resume:
            raise UserError("weights last: goes on with the last run; give --resume, too.")
        weights = str(read_run(last_run(logs, f"{NAME}_{experiment.name}")).get(START, "none"))
    taken: dict[str, Any] = {}
    begin = _from_nothing
    if weights != "none":
        found = find_weights(weights_of_run(weights))
        if (kind := network_of(found)) != NAME:
            raise UserError(
                f"{found.path}: the weights of another kind of network ({kind}); wanted those of "
                f"{NAME}, or of a run that started from it. Give --network {kind} for a training "
                "of that kind."
            )
        stored = stored_settings(found)
        taken = {name: stored[name] for name in _TAKEN if name in stored}
        begin = partial(_begin, found, experiment)
    settings = {**taken, **(settings or {})}
    more = {"settings": settings, "resume": resume, "start": str(weights), "begin": begin}
    return train_pixels(_KIND, experiment, dataset, logs, **more, **options)


def _from_nothing(model: keras.Model, sections: SectionDataset) -> None:
    pass


def _begin(
    found: WeightsFile, experiment: Experiment, model: keras.Model, sections: SectionDataset
) -> None:
    """Load weights; where they are of other regions, the last layer begins as `_likest` says."""
    names, count = stored_regions(found)
    if names == experiment.regions.names:
        load_weights(model, found.path)
        return
    load_weights(model, found.path, exclude=_LOGITS)
    widths = stored_settings(found)["SECTION_WIDTHS"]
    before = build_network(model.input_shape[1], widths, count + 1)
    load_weights(before, found.path)
    likest = _likest(before, model.output_shape[-1], sections)
    for new, old in zip(
        model.get_layer(_LOGITS).weights, before.get_layer(_LOGITS).weights, strict=True
    ):
        new.assign(keras.ops.convert_to_numpy(old)[..., likest])
    pairs = zip(experiment.regions.names, likest[1:], strict=True)
    logger.info(
        "%s: of other regions (%s). Each of this training begins as the one that it overlaps most "
        "on its sections: %s.",
        found.path,
        in_words(names),
        ", ".join(f"{name} as {names[k - 1] if k else 'background'}" for name, k in pairs),
    )


def _likest(before: keras.Model, num_classes: int, sections: SectionDataset) -> list[int]:
    """For every class of a training, the background first, that class of a network with which it
    has the highest Dice over the sections; background stays background."""
    counts = np.zeros((num_classes, before.output_shape[-1]))
    rows = np.linspace(0, sections.num_images - 1, min(_LOOKED_AT, sections.num_images))
    for row in rows.round().astype(int):
        square = sections.load_image(row)[..., 0].astype(np.float32) / 255
        masks, class_ids = sections.load_mask(row)
        drawn = _as_answered(drawn_labels(class_ids, masks))
        logits = before.predict_on_batch(square[None, ..., None])[0]
        np.add.at(counts, (drawn.ravel(), logits.argmax(-1).ravel()), 1)
    both = counts.sum(1)[:, None] + counts.sum(0)[None]
    return [0, *(2 * counts / np.maximum(both, 1))[1:].argmax(1).tolist()]


def _as_answered(labels: np.ndarray) -> np.ndarray:
    """Labels [..., n, n] at the places of the network's answer."""
    first = STEP // 2
    return labels[..., first::STEP, first::STEP]


class FramedSections(SectionDataset):
    """Sections as the network of any section sees them: the squares around their tissue, gray.

    Args:
        sections: of a prepared data set.
        config: of the network.
    """

    thread_safe = True
    cacheable = True

    def __init__(self, sections: SectionDataset, config: Config):
        vars(self).update(vars(sections))  # classes, images and regions
        self._whole = sections
        self._side, self._share = config.IMAGE_MAX_DIM, config.SECTION_SHARE

    def load_image(self, image_id: int) -> np.ndarray:
        """The square of a section, uint8 [n, n, 3]."""
        gray = self._gray(image_id)
        square = prepared(gray, self._side, frame_of(gray, self._share))
        return np.repeat(np.rint(square * 255).astype(np.uint8)[..., None], 3, axis=-1)

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Masks of the square, bool [n, n, N], and class ids; those outside of it are left out."""
        masks, class_ids = self._whole.load_mask(image_id)
        frame = frame_of(self._gray(image_id), self._share)
        masks = squared(masks, self._side, frame)
        shown = masks.any(axis=(0, 1))
        return masks[..., shown], class_ids[shown]

    def _gray(self, image_id: int) -> np.ndarray:
        self._whole.contrast = self.contrast
        return self._whole.load_image(image_id).mean(axis=-1, dtype=np.float32)


class SectionBatches(LabelBatches):
    """Pictures float32 [B, n, n, 1], 0..1, and class ids [B, n / 2, n / 2]."""

    def read(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """See `LabelBatches.read`."""
        images, labels = super().read(epoch, index)
        squares = np.stack([normalized(image[..., 0]) for image in images])
        return squares[..., None], _as_answered(labels)


def section_config(experiment: Experiment) -> type[Config]:
    """The class of settings of an experiment's network of this kind."""
    base, turn = experiment.variant("small").config, experiment.turn
    turns = 1 if turn.max_angle < _TURNED else 8 if turn.flip else 4
    own = {"SECTION_TURNS": turns, "__doc__": SectionSettings.__doc__}
    return type(f"{base.__name__}Section", (_Training, base), own)


def _variant(experiment: Experiment) -> Variant:
    small = experiment.variant("small")

    def augmentation() -> Any:
        drawn = small.augmentation()
        drawn.fill = "edge"  # of the square, which is glass of any color
        return drawn

    return replace(
        small,
        config=section_config(experiment),
        schedule=(Stage("all", SECTION_STEPS),),
        augmentation=augmentation,
    )


def _build(config: Config) -> keras.Model:
    model = build_network(config.IMAGE_MAX_DIM, config.SECTION_WIDTHS, config.NUM_CLASSES)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _NORM_MOMENTUM
    return model


_KIND = PixelNetwork(
    name=NAME,
    variant=_variant,
    config=section_config,
    build=_build,
    segmenter=AnySectionSegmenter,
    loss=lambda config, shares: DiceCrossEntropy(config.SECTION_DICE_WEIGHT),
    shown=FramedSections,
    batches=SectionBatches,
)
