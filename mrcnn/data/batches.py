"""From a `Dataset` to what training takes: a generator, or seeded and cached batches."""

import logging
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.data.augment import SideFlipError, as_generator
from mrcnn.data.cache import Sample
from mrcnn.data.dataset import Dataset
from mrcnn.data.sampled_rois import build_detection_targets, generate_random_rois
from mrcnn.data.samples import (
    BatchRows,
    UnreadableImageError,
    check_dataset,
    finish_sample,
    load_image_gt,
    sample_cache,
    source_augmentation,
    stack_rows,
    warn_of_augment,
)
from mrcnn.errors import UserError

__all__ = ["Batches", "UnreadableImageError", "data_generator", "load_image_gt"]

logger = logging.getLogger(__name__)

_MAX_ERRORS = 5  # images that data_generator skips before it gives up
_ORDER, _CONTENT = 0, 1  # separate streams of random numbers


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

    `MaskRCNN.train` uses `Batches`. Images without a positive class id are left out. Randomness
    comes from NumPy's global generator. Errors of single images are logged and the image skipped;
    the sixth one is raised.

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
    targets = BatchRows(config)
    cache = sample_cache(dataset, config)
    errors, rows, outputs = 0, [], []
    while True:
        image_ids = dataset.image_ids
        image_ids = np.random.permutation(image_ids) if shuffle else image_ids
        found = False
        for image_id in map(int, image_ids):
            try:
                rng = as_generator(None)
                augmenter = source_augmentation(
                    dataset, image_id, augmentation, no_augmentation_sources
                )
                sample = cache.get(image_id)
                image, meta, class_ids, boxes, masks = finish_sample(
                    sample, dataset, config, image_id, augment, augmenter, config.USE_MINI_MASK, rng
                )
                if not (class_ids > 0).any():
                    continue
                row, heads = targets.rows(image, meta, class_ids, boxes, masks, rng), []
                if random_rois:
                    rois = generate_random_rois(image.shape, random_rois, class_ids, boxes)
                    row.append(rois)
                    if detection_targets:
                        parts = build_detection_targets(rois, class_ids, boxes, masks, config)
                        row.append(parts[0])
                        heads = [parts[1][:, None], *parts[2:]]
            except SideFlipError:  # a wrong setting, not a bad image
                raise
            except Exception:
                errors += 1
                logger.exception("Error processing image %s", dataset.image_info[image_id])
                if errors > _MAX_ERRORS:
                    raise
                continue
            found = True
            rows.append(row)
            outputs.append(heads)
            if len(rows) == batch_size:
                yield stack_rows(rows), stack_rows(outputs) if heads else []
                rows, outputs = [], []
        if not found:
            raise UserError("No image of the dataset has an object of a positive class id.")


class Batches(keras.utils.PyDataset):
    """Seeded, cached batches that threads prepare ahead; what `MaskRCNN.train` is fed.

    The content of a batch depends on (seed, epoch, index) alone, so neither the number of threads
    nor an interruption changes it. Images without objects take part. `dataset`, `augmentation` and
    the like as of `data_generator`; WORKERS, CACHE_* and SKIP_CORRUPT_IMAGES are used too.

    `seed` None takes config.SEED, and if that is None a new one. `steps` is batches an epoch, where
    passes go on where the epoch before ended; None: every image once, the last batch filled up from
    the next pass. `training` False stays at the same epoch, so that each one gives the same
    batches.

    Attributes:
        epoch: number of the epoch to be read; it may be set.
        error: what the last failed read raised, or None. TensorFlow hides it in an
            InvalidArgumentError of its own; `mrcnn.training.fitting.fit` raises this instead.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: Config,
        shuffle: bool = True,
        augmentation: Any = None,
        augment: bool = False,
        no_augmentation_sources: Sequence[str] | None = None,
        seed: int | None = None,
        steps: int | None = None,
        training: bool = True,
    ):
        # One worker: the queue of Keras hands batches of a stopped run to the next one.
        super().__init__(workers=1, use_multiprocessing=False)
        warn_of_augment(augment)
        check_dataset(dataset)
        if dataset.num_classes != config.NUM_CLASSES:
            raise UserError(
                f"The dataset has {dataset.num_classes} classes with the background, but "
                f"NUM_CLASSES is {config.NUM_CLASSES}. Set NUM_CLASSES to "
                f"{dataset.num_classes}."
            )
        self.dataset, self.config, self.shuffle = dataset, config, shuffle
        self.augmentation, self.augment = augmentation, augment
        self.no_augmentation_sources = no_augmentation_sources
        seed = config.SEED if seed is None else seed
        self.seed = np.random.SeedSequence().entropy if seed is None else seed % 2**64
        # A division may have made it a float; Config.validate sees to its being whole.
        self.steps, self.training = steps and int(steps), training
        self.epoch = 0
        self.error: Exception | None = None
        self._epoch_begun = False
        self._targets = BatchRows(config)
        self._cache = sample_cache(dataset, config)
        self._corrupt: set[int] = set()
        self._lock = threading.Lock()
        self._pending: dict[tuple[int, int], Future] = {}
        self._pool = None
        if config.WORKERS > 0:
            self._pool = ThreadPoolExecutor(config.WORKERS, "batches")
            weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)

    @property
    def skipped(self) -> int:
        """Number of unreadable images found so far (SKIP_CORRUPT_IMAGES)."""
        return len(self._corrupt)

    def __len__(self) -> int:
        """Batches an epoch."""
        return self.steps or -(-len(self.dataset.image_ids) // self.config.BATCH_SIZE)

    def on_epoch_begin(self) -> None:
        """Called by Keras."""
        self._epoch_begun = True

    def on_epoch_end(self) -> None:
        """Called by Keras; goes on to the next epoch."""
        # Keras calls it once before the first epoch as well.
        if self._epoch_begun and self.training:
            self.epoch += 1
        self._epoch_begun = False

    def __getitem__(self, index: int) -> tuple[tuple[np.ndarray, ...]]:
        """Batch `index` of the current epoch, see `read`."""
        return self.read(self.epoch, index)

    def read(self, epoch: int, index: int) -> tuple[tuple[np.ndarray, ...]]:
        """Batch `index` of an epoch, as the one element of a tuple.

        Its arrays are the inputs of the training model: those of `data_generator`, with meta,
        rpn_bbox and boxes as float32, and if not USE_RPN_ROIS random regions int32
        [B, POST_NMS_ROIS_TRAINING, 4] px.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} of {len(self)}.")
        try:
            return self._next((epoch, index))
        except Exception as error:
            self.error = error
            raise

    def _next(self, key: tuple[int, int]) -> tuple[tuple[np.ndarray, ...]]:
        """The batch of a key, and have the threads prepare those after it."""
        if self._pool is None:
            return self._make(*key)
        with self._lock:
            future = self._pending.pop(key, None)
            ahead = [self._after(key, n) for n in range(1, 2 * self.config.WORKERS + 1)]
            for stale in self._pending.keys() - set(ahead):
                self._pending.pop(stale).cancel()
            for wanted in ahead:
                if wanted not in self._pending:
                    self._pending[wanted] = self._pool.submit(self._make, *wanted)
        return self._make(*key) if future is None else future.result()

    def _after(self, key: tuple[int, int], count: int) -> tuple[int, int]:
        passed, index = divmod(key[1] + count, len(self))
        return (key[0] + passed if self.training else key[0]), index

    def _make(self, epoch: int, index: int) -> tuple[tuple[np.ndarray, ...]]:
        size = self.config.BATCH_SIZE
        images = len(self.dataset.image_ids)
        start = epoch * (self.steps * size if self.steps else images) + index * size
        rows = [self._row(epoch, position) for position in range(start, start + size)]
        inputs = stack_rows(rows)
        for i in (1, 3, 5):  # meta, rpn_bbox, boxes
            inputs[i] = inputs[i].astype(np.float32)
        return (tuple(inputs),)

    def _row(self, epoch: int, position: int) -> list[np.ndarray]:
        config = self.config
        image_id, sample = self._sample(position)
        rng = np.random.default_rng([self.seed, _CONTENT, epoch, position, image_id])
        image, meta, class_ids, boxes, masks = finish_sample(
            sample,
            self.dataset,
            config,
            image_id,
            self.augment,
            source_augmentation(
                self.dataset, image_id, self.augmentation, self.no_augmentation_sources
            ),
            config.USE_MINI_MASK,
            rng,
        )
        path = self.dataset.image_info[image_id]["path"]
        if np.abs(class_ids).max(initial=0) >= config.NUM_CLASSES or (class_ids == 0).any():
            raise UserError(
                f"Image {image_id} ({path}) has class ids {np.unique(class_ids).tolist()}; they "
                f"must lie between 1 and {config.NUM_CLASSES - 1} (NUM_CLASSES - 1)."
            )
        if image.shape[-1] != config.IMAGE_CHANNEL_COUNT:
            raise UserError(
                f"Image {image_id} ({path}) has {image.shape[-1]} channels; "
                f"IMAGE_CHANNEL_COUNT is {config.IMAGE_CHANNEL_COUNT}."
            )
        row = self._targets.rows(image, meta, class_ids, boxes, masks, rng)
        if not config.USE_RPN_ROIS:
            count = config.POST_NMS_ROIS_TRAINING
            row.append(generate_random_rois(image.shape, count, class_ids, boxes, rng))
        return row

    def _sample(self, position: int) -> tuple[int, Sample]:
        """The image at a position of the endless sequence, or the next one readable."""
        image_ids = np.asarray(self.dataset.image_ids)
        number, offset = divmod(position, len(image_ids))
        if self.shuffle:
            order = np.random.default_rng([self.seed, _ORDER, number])
            image_ids = order.permutation(image_ids)
        first_error = None
        for image_id in map(int, np.roll(image_ids, -offset)):
            if image_id in self._corrupt:
                continue
            try:
                return image_id, self._cache.get(image_id)
            except UnreadableImageError as error:
                if not self.config.SKIP_CORRUPT_IMAGES:
                    raise
                first_error = first_error or error
                logger.warning("Skipped: %s", error)
                self._corrupt.add(image_id)
        raise UnreadableImageError(
            f"None of the {len(image_ids)} images can be read."
        ) from first_error
