"""From a `Dataset` to what `MaskRCNN.train` takes: seeded batches, prepared by threads."""

import logging
import math
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.data.cache import Sample
from mrcnn.data.dataset import Dataset
from mrcnn.data.sampled_rois import generate_random_rois
from mrcnn.data.samples import (
    NOTHING_TO_LEARN,
    BatchRows,
    UnreadableImageError,
    check_dataset,
    finish_sample,
    sample_reader,
    source_augmentation,
    stack_rows,
    warn_of_augment,
)
from mrcnn.errors import UserError

logger = logging.getLogger(__name__)

_ORDER, _CONTENT, _LOADING = 0, 1, 2  # separate streams of random numbers
_TURNS = 50  # through all images, for one with an object that crop and augmentation leave in it


class Batches(keras.utils.PyDataset):
    """Seeded batches that threads prepare ahead; what `MaskRCNN.train` is fed.

    The content of a batch depends on (seed, epoch, index) alone, so neither the number of threads
    nor an interruption changes it; that includes what the loaders of the data set draw with
    `random` and `numpy.random`. An image without objects gives its place to the next one of the
    pass, unless SKIP_EMPTY_IMAGES is False. `dataset`, `augmentation` and the like as of
    `data_generator`; WORKERS, CACHE_* and SKIP_CORRUPT_IMAGES are used too.

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
        # A division may have made it a fraction.
        self.steps, self.training = steps and math.ceil(steps), training
        self.epoch = 0
        self.error: Exception | None = None
        self._epoch_begun = False
        self._targets = BatchRows(config)
        self._samples = sample_reader(dataset, config)
        self._corrupt: set[int] = set()
        self._lock = threading.Lock()
        self._pending: dict[tuple[int, int], Future] = {}
        self._pool: ThreadPoolExecutor | None = None

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

    def rest(self) -> None:
        """Wait until no thread reads ahead; the next `read` begins anew."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._pending.clear()
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _next(self, key: tuple[int, int]) -> tuple[tuple[np.ndarray, ...]]:
        """The batch of a key, and have the threads prepare those after it."""
        if not self.config.WORKERS:
            return self._make(*key)
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.config.WORKERS, "batches")
                weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)
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
        """The row of the image at a position of the endless sequence, or of the next one that can
        be read and has objects."""
        for turn in range(_TURNS):
            lost = False
            for image_id in self._order(position):
                key = [epoch, position, image_id, *filter(None, [turn])]
                sample = self._sample(image_id, key)
                if sample is None:
                    continue
                rng = np.random.default_rng([self.seed, _CONTENT, *key])
                image, meta, class_ids, boxes, masks = self._truth(image_id, sample, rng)
                if self.config.SKIP_EMPTY_IMAGES and not (class_ids > 0).any():
                    lost = lost or sample.masks[..., sample.class_ids > 0].any()
                    continue
                row = self._targets.rows(image, meta, class_ids, boxes, masks, rng)
                if not self.config.USE_RPN_ROIS:
                    count = self.config.POST_NMS_ROIS_TRAINING
                    row.append(generate_random_rois(image.shape, count, class_ids, boxes, rng))
                return row
            if not lost:  # by a crop or an augmentation, which may keep some the next time
                break
        images = len(self.dataset.image_ids)
        if self.skipped < images:
            raise UserError(NOTHING_TO_LEARN)
        raise UnreadableImageError(f"None of the {images} images can be read.")

    def _sample(self, image_id: int, key: Sequence[int]) -> Sample | None:
        """An image; None for one that cannot be read, with SKIP_CORRUPT_IMAGES."""
        if image_id in self._corrupt:
            return None
        try:
            return self._samples(image_id, seed=[self.seed, _LOADING, *key])
        except UnreadableImageError as error:
            if not self.config.SKIP_CORRUPT_IMAGES:
                raise
            logger.warning("Skipped: %s", error)
            self._corrupt.add(image_id)
            return None

    def _order(self, position: int) -> list[int]:
        """The images from a position of the endless sequence on, each once."""
        image_ids = np.asarray(self.dataset.image_ids)
        number, offset = divmod(position, len(image_ids))
        if self.shuffle:
            order = np.random.default_rng([self.seed, _ORDER, number])
            image_ids = order.permutation(image_ids)
        return np.roll(image_ids, -offset).tolist()

    def _truth(
        self, image_id: int, sample: Sample, rng: np.random.Generator
    ) -> tuple[np.ndarray, ...]:
        """What `load_image_gt` gives, which must fit the network."""
        config = self.config
        augmentation = source_augmentation(
            self.dataset, image_id, self.augmentation, self.no_augmentation_sources
        )
        options = self.augment, augmentation, config.USE_MINI_MASK, rng
        truth = finish_sample(sample, self.dataset, config, image_id, *options)
        image, _, class_ids, _, _ = truth
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
        return truth
