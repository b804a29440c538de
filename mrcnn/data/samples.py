"""One image with its ground truth, and its row in a batch."""

import functools
import logging
import os
import random
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from mrcnn.config import Config
from mrcnn.data.augment import as_generator, augment_image_and_masks, flip_left_right
from mrcnn.data.cache import Sample, SampleCache
from mrcnn.data.dataset import Dataset, fitting_masks, promised
from mrcnn.data.molding import compose_image_meta, fit_image, mold_image
from mrcnn.data.resizing import nearest_pixels, reduced_side, resize_mask
from mrcnn.errors import UserError
from mrcnn.modeling.anchors import config_anchors
from mrcnn.modeling.rpn_targets import build_rpn_targets
from mrcnn.structures.masks import extract_bboxes, minimize_mask

logger = logging.getLogger(__name__)

# Of all data sets together: the working directory and the global random numbers are the process's.
_TURN = threading.RLock()
_MOVING: set[type] = set()  # data sets that were found to change the working directory
NOTHING_TO_LEARN = (
    "No image of the dataset has an object of a positive class id that crop and augmentation leave "
    "in it. See what load_mask gives, or set SKIP_EMPTY_IMAGES = False to train on images without "
    "objects."
)
_UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error)


class UnreadableImageError(UserError):
    """An image or its masks cannot be read."""


def load_image_gt(
    dataset: Dataset,
    config: Config,
    image_id: int,
    augment: bool = False,
    augmentation: Any = None,
    use_mini_mask: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Load one image with its ground truth, resized, and augmented if asked for.

    Args:
        dataset: prepared Dataset.
        config: its IMAGE_*, MINI_MASK_SHAPE and SIDE_PAIRS settings are used.
        image_id: internal id.
        augment: deprecated, use `augmentation`: mirror left-right with probability 0.5.
        augmentation: imgaug augmenter or callable, see `mrcnn.data.augment`.
        use_mini_mask: give masks cut to their boxes, at MINI_MASK_SHAPE.

    Returns:
        image [h, w, C]; image meta float64 [12 + classes of the dataset]; class ids int32 [N];
        boxes int32 [N, (y1, x1, y2, x2)] px; masks bool [h, w, N], or mini masks. Instances without
        a pixel left are dropped; N may be 0.

    Source: Matterport `model.load_image_gt`.
    """
    warn_of_augment(augment)
    sample = load_sample(dataset, config, image_id)
    return finish_sample(sample, dataset, config, image_id, augment, augmentation, use_mini_mask)


def warn_of_augment(augment: bool) -> None:
    """Log that `augment=True` is deprecated."""
    if augment:
        logger.warning("'augment' is deprecated. Use 'augmentation' instead.")


def load_sample(
    dataset: Dataset, config: Config, image_id: int, seed: Sequence[int] | None = None
) -> Sample:
    """Decode and resize one image and its masks; in mode "crop" before the crop.

    `seed` decides what the loaders of the data set draw with `random` and `numpy.random`, and
    leaves the numbers of the program alone; None lets them draw from those.
    """
    dataset.contrast = config.CONTRAST
    read = _read_reduced if config.REDUCED_DECODE else _read_whole
    shape, (resized, window, scale, _, _), masks, class_ids = read(dataset, config, image_id, seed)
    if config.IMAGE_RESIZE_MODE == "crop":
        y1, x1, y2, x2 = window
        resized, masks = resized[y1:y2, x1:x2], masks[y1:y2, x1:x2]
    return Sample(resized, masks, class_ids, np.array(shape), np.array(window), np.array(scale))


def _read_whole(dataset: Dataset, config: Config, image_id: int, seed: Any) -> tuple:
    """Shape of an image, what `fit_image` makes of it, its resized masks and their class ids."""
    with _in_turn(dataset, seed):
        with _saying_which(dataset, image_id, "load_image"):
            image = np.asarray(dataset.load_image(image_id))
        with _saying_which(dataset, image_id, "load_mask"):
            masks, class_ids = fitting_masks(image.shape, *dataset.load_mask(image_id))
    fitted = _uncropped(image, config)
    _, _, scale, padding, _ = fitted
    return image.shape, fitted, resize_mask(masks, scale, padding), class_ids


def _read_reduced(dataset: Dataset, config: Config, image_id: int, seed: Any) -> tuple:
    """The same, decoded at a fraction of its size."""
    with _in_turn(dataset, seed):
        with _saying_which(dataset, image_id, "load_image"):
            image = dataset.load_reduced(image_id, reduced_side(config))
        fitted = _uncropped(image, config)
        _, _, scale, padding, _ = fitted
        with _saying_which(dataset, image_id, "load_mask"):
            places = (nearest_pixels(length, scale) for length in image.shape[:2])
            masks, class_ids = dataset.load_mask_at(image_id, image.shape, *places)
    return image.shape, fitted, np.pad(masks, padding), class_ids


def _uncropped(image: Any, config: Config) -> tuple:
    # "pad64" follows the same rule of scaling as "crop".
    return fit_image(image, config, "pad64" if config.IMAGE_RESIZE_MODE == "crop" else None)


def sample_reader(dataset: Dataset, config: Config) -> Callable[..., Sample]:
    """`load_sample` as a function of image id and seed. What a data set promises to be always the
    same is read once, and kept as the CACHE_* settings say."""
    load = functools.partial(load_sample, dataset, config)
    if not promised(dataset, "cacheable"):
        logger.info("%s: each batch reads its images anew; see Dataset.", type(dataset).__name__)
        return load
    cache = SampleCache(load, config.CACHE_MEMORY_MB, config.CACHE_DIR)
    return lambda image_id, seed=None: cache.get(image_id)


@contextmanager
def _in_turn(dataset: Dataset, seed: Sequence[int] | None) -> Iterator[None]:
    """Context for an image and its masks, which alone may be read then, unless the data set is
    thread-safe and draws nothing."""
    if seed is None and promised(dataset, "thread_safe"):
        yield
        return
    with _TURN, _seeded(seed):
        folder = os.getcwd()
        yield
        if os.getcwd() != folder and type(dataset) not in _MOVING:
            _MOVING.add(type(dataset))
            text = "%s leaves the working directory changed: relative paths now start at %s."
            logger.warning(text, type(dataset).__name__, os.getcwd())


@contextmanager
def _seeded(seed: Sequence[int] | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    from mrcnn.backend import numbers_kept  # with Keras, which takes seconds to load

    (number,) = np.random.SeedSequence(seed).generate_state(1).tolist()
    with numbers_kept():
        random.seed(number)
        np.random.seed(number)
        yield


@contextmanager
def _saying_which(dataset: Dataset, image_id: int, loader: str) -> Iterator[None]:
    """Errors inside name the image and, unless they are clear without it, the loader."""
    path = dataset.image_info[image_id]["path"]
    name = f"{type(dataset).__name__}.{loader}"
    try:
        yield
    except _UNREADABLE as error:
        where = "" if str(path) in str(error) else f" ({path})"
        reason = f"{error} Mend"
        if not isinstance(error, UserError):
            reason = f"{name} raised {type(error).__name__}: {error}."
            file = getattr(error, "filename", None)
            if isinstance(file, str) and not os.path.isabs(file):
                reason += f" The working directory was {os.getcwd()}."
            reason += " If a file is damaged, mend"
        raise UnreadableImageError(
            f"Cannot load image {image_id}{where}: {reason} or remove the file, or set "
            "SKIP_CORRUPT_IMAGES = True to train without such images."
        ) from error
    except Exception as error:
        error.add_note(f"Raised by {name} for image {image_id} ({path}).")
        raise


def finish_sample(
    sample: Sample,
    dataset: Dataset,
    config: Config,
    image_id: int,
    augment: bool,
    augmentation: Any,
    use_mini_mask: bool,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `load_image_gt` does after resizing."""
    rng = as_generator(rng)
    image, masks, class_ids, window = (sample.image, sample.masks, sample.class_ids, sample.window)
    if config.IMAGE_RESIZE_MODE == "crop":
        side = config.IMAGE_MIN_DIM
        y, x = (rng.integers(0, length - side + 1) for length in image.shape[:2])
        image, masks = image[y : y + side, x : x + side], masks[y : y + side, x : x + side]
        window = (0, 0, side, side)
    if augment:
        mirrored = flip_left_right(image, masks, class_ids, config)  # may refuse
        if rng.random() < 0.5:
            image, masks, class_ids = mirrored
    image, masks, class_ids = augment_image_and_masks(
        image, masks, class_ids, augmentation, config, rng
    )
    left = masks.any(axis=(0, 1))
    masks, class_ids = masks[..., left], class_ids[left]
    boxes = extract_bboxes(masks)

    active = np.zeros(dataset.num_classes, np.int32)
    active[dataset.source_class_ids[dataset.image_info[image_id]["source"]]] = 1
    if use_mini_mask:
        masks = minimize_mask(boxes, masks, config.MINI_MASK_SHAPE)
    meta = compose_image_meta(
        image_id, sample.original_shape, image.shape, window, float(sample.scale), active
    )
    return image, meta, class_ids, boxes, masks


class BatchRows:
    """Makes the rows of a batch; keeps the anchors of each image shape."""

    def __init__(self, config: Config):
        self.config = config
        self._anchors: dict[tuple[int, ...], np.ndarray] = {}

    def rows(
        self,
        image: np.ndarray,
        meta: np.ndarray,
        class_ids: np.ndarray,
        boxes: np.ndarray,
        masks: np.ndarray,
        rng: np.random.Generator,
    ) -> list[np.ndarray]:
        """Molded image, meta, RPN targets, and ground truth padded to MAX_GT_INSTANCES."""
        config = self.config
        shape = image.shape[:2]
        if shape not in self._anchors:
            self._anchors[shape] = np.asfortranarray(config_anchors(config, shape))
        match, deltas = build_rpn_targets(
            image.shape, self._anchors[shape], class_ids, boxes, config, rng
        )
        limit = config.MAX_GT_INSTANCES
        if len(class_ids) > limit:
            some = rng.choice(len(class_ids), limit, replace=False)
            class_ids, boxes, masks = class_ids[some], boxes[some], masks[..., some]
        missing = limit - len(class_ids)
        return [
            mold_image(image, config).astype(np.float32),
            meta,
            match[:, None],
            deltas,
            np.pad(class_ids, (0, missing)).astype(np.int32),
            np.pad(boxes, ((0, missing), (0, 0))),
            np.pad(masks, ((0, 0), (0, 0), (0, missing))),
        ]


def stack_rows(rows: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Rows to arrays with a leading batch dimension."""
    shapes = {row[0].shape for row in rows}
    if len(shapes) > 1:
        raise UserError(
            f"Images of one batch have different shapes: {sorted(shapes)}. Use "
            "IMAGE_RESIZE_MODE 'square' or 'crop', or batches of one image."
        )
    return [np.stack(column) for column in zip(*rows, strict=True)]


def source_augmentation(
    dataset: Dataset, image_id: int, augmentation: Any, excepted: Sequence[str] | None
) -> Any:
    """The augmentation, or None for an image of an excepted source."""
    return None if dataset.image_info[image_id]["source"] in (excepted or ()) else augmentation


def check_dataset(dataset: Dataset) -> None:
    """Raise an error if there are no images."""
    if not len(dataset.image_ids):
        raise UserError("The dataset has no images. Call add_image for each, then prepare().")
