"""Batches to look at or for a training loop of one's own, as Matterport's package makes them."""

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.data.augment import SideFlipError, as_generator
from mrcnn.data.dataset import Dataset
from mrcnn.data.sampled_rois import build_detection_targets, generate_random_rois
from mrcnn.data.samples import (
    NOTHING_TO_LEARN,
    BatchRows,
    check_dataset,
    finish_sample,
    sample_reader,
    source_augmentation,
    stack_rows,
    warn_of_augment,
)
from mrcnn.errors import UserError

logger = logging.getLogger(__name__)

_MAX_ERRORS = 5  # images that data_generator skips before it gives up


def data_generator(
    dataset: Dataset,
    config: Config,
    shuffle: bool = True,
    augment: bool = False,
    augmentation: Any = None,
    random_rois: int = 0,
    batch_size: int = 1,
    detection_targets: bool = False,
    no_augmentation_sources: Sequence[str] | None = None,
) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Endless batches, to look at or for a training loop of one's own.

    `MaskRCNN.train` uses `mrcnn.data.batches.Batches`. Images without a positive class id are left
    out, unless SKIP_EMPTY_IMAGES is False. Randomness comes from NumPy's global generator. Errors
    of single images are logged and the image skipped; the sixth one is raised.

    Args:
        dataset: prepared Dataset.
        config: Config.
        shuffle: a new order in each pass.
        augment: deprecated, see `load_image_gt`.
        augmentation: see `mrcnn.data.augment`.
        random_rois: number of random regions to add, see `generate_random_rois`.
        batch_size: images a batch (B).
        detection_targets: with `random_rois`, add head targets, see `build_detection_targets`.
        no_augmentation_sources: sources whose images are not augmented.

    Yields:
        (inputs, outputs). Inputs: images float32 [B, h, w, C]; image metas float64
        [B, 12 + classes]; rpn_match int32 [B, A, 1]; rpn_bbox float64
        [B, RPN_TRAIN_ANCHORS_PER_IMAGE, 4]; class ids int32 [B, MAX_GT_INSTANCES] (M); boxes int32
        [B, M, 4] px; masks bool [B, h, w, M] (mini with USE_MINI_MASK); with `random_rois` regions
        int32 [B, random_rois, 4] px; with `detection_targets` also ROIs int32 [B, T, 4] px.
        Outputs: empty, or the head targets class ids [B, T, 1], deltas [B, T, classes, 4], masks
        [B, T, *MASK_SHAPE, classes].

    Source: Matterport `model.data_generator`.
    """
    warn_of_augment(augment)
    check_dataset(dataset)

    def passes() -> Iterator[np.ndarray]:
        while True:
            ids = dataset.image_ids
            yield np.random.permutation(ids) if shuffle else ids

    augmentations = augment, augmentation, no_augmentation_sources
    rows = _Rows(dataset, config, *augmentations, random_rois, detection_targets)
    return _batches(rows, passes(), batch_size)


class DataGenerator(keras.utils.PyDataset):
    """The batches of `data_generator` by number, BATCH_SIZE images each, as forks of Matterport's
    package for TensorFlow 2 have them; `shuffle` gives a new order after each epoch.

    `MaskRCNN.train` uses `mrcnn.data.batches.Batches`.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: Config,
        shuffle: bool = True,
        augment: bool = False,
        augmentation: Any = None,
        random_rois: int = 0,
        detection_targets: bool = False,
        no_augmentation_sources: Sequence[str] | None = None,
    ):
        super().__init__()
        warn_of_augment(augment)
        check_dataset(dataset)
        augmentations = augment, augmentation, no_augmentation_sources
        self._rows = _Rows(dataset, config, *augmentations, random_rois, detection_targets)
        self.shuffle, self.batch_size = shuffle, config.BATCH_SIZE
        self.image_ids = dataset.image_ids
        self.on_epoch_end()

    def __len__(self) -> int:
        """Batches an epoch; the last one is filled up."""
        return -(-len(self.image_ids) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Batch `index` of the current epoch; see `data_generator`."""
        order = np.roll(self.image_ids, -index * self.batch_size)
        return next(_batches(self._rows, itertools.repeat(order), self.batch_size))

    def on_epoch_end(self) -> None:
        """Called by Keras; makes a new order."""
        if self.shuffle:
            self.image_ids = np.random.permutation(self.image_ids)


class _Rows:
    """Makes the rows of single images; the last arguments are those of `data_generator`."""

    def __init__(
        self,
        dataset: Dataset,
        config: Config,
        augment: bool,
        augmentation: Any,
        no_augmentation_sources: Sequence[str] | None,
        random_rois: int,
        detection_targets: bool,
    ):
        self.dataset, self.config = dataset, config
        self._augment, self._augmentation = augment, augmentation
        self._excepted = no_augmentation_sources
        self._random_rois, self._detection_targets = random_rois, detection_targets
        self._targets, self._read = BatchRows(config), sample_reader(dataset, config)

    def of(self, image_id: int) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
        """Inputs and outputs of an image; None if it has no objects and shall be left out."""
        config = self.config
        rng = as_generator(None)
        augmenter = source_augmentation(self.dataset, image_id, self._augmentation, self._excepted)
        options = self._augment, augmenter, config.USE_MINI_MASK, rng
        sample = self._read(image_id)
        truth = finish_sample(sample, self.dataset, config, image_id, *options)
        image, _, class_ids, boxes, masks = truth
        if config.SKIP_EMPTY_IMAGES and not (class_ids > 0).any():
            return None
        row, heads = self._targets.rows(*truth, rng), []
        if self._random_rois:
            rois = generate_random_rois(image.shape, self._random_rois, class_ids, boxes)
            row.append(rois)
            if self._detection_targets:
                parts = build_detection_targets(rois, class_ids, boxes, masks, config)
                row.append(parts[0])
                heads = [parts[1][:, None], *parts[2:]]
        return row, heads


def _batches(
    rows: _Rows, passes: Iterable[np.ndarray], batch_size: int
) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Batches of the images of one pass after the other."""
    errors, batch = 0, []
    for image_ids in passes:
        found = False
        for image_id in map(int, image_ids):
            try:
                pair = rows.of(image_id)
            except SideFlipError:  # a wrong setting, not a bad image
                raise
            except Exception:
                errors += 1
                logger.exception("Error processing image %s", rows.dataset.image_info[image_id])
                if errors > _MAX_ERRORS:
                    raise
                continue
            if pair is None:
                continue
            found = True
            batch.append(pair)
            if len(batch) == batch_size:
                inputs, outputs = zip(*batch, strict=True)
                yield stack_rows(inputs), stack_rows(outputs) if outputs[0] else []
                batch = []
        if not found:
            raise UserError(NOTHING_TO_LEARN)
