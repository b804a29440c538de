"""One image with its ground truth, and its row in a batch."""

import functools
import logging
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from mrcnn.config import Config
from mrcnn.data.augment import as_generator, augment_image_and_masks, flip_left_right
from mrcnn.data.cache import Sample, SampleCache
from mrcnn.data.dataset import Dataset, fitting_masks
from mrcnn.data.molding import compose_image_meta, fit_image, mold_image
from mrcnn.data.resizing import nearest_pixels, reduced_side, resize_mask
from mrcnn.errors import UserError
from mrcnn.modeling.anchors import config_anchors
from mrcnn.modeling.rpn_targets import build_rpn_targets
from mrcnn.structures.masks import extract_bboxes, minimize_mask

logger = logging.getLogger(__name__)

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


def load_sample(dataset: Dataset, config: Config, image_id: int) -> Sample:
    """Decode and resize one image and its masks; in mode "crop" before the crop."""
    dataset.contrast = config.CONTRAST
    with _saying_which(dataset, image_id):
        if config.REDUCED_DECODE:
            image = dataset.load_reduced(image_id, reduced_side(config))
        else:
            image = np.asarray(dataset.load_image(image_id))
            masks, class_ids = fitting_masks(image.shape, *dataset.load_mask(image_id))
    # "pad64" follows the same rule of scaling as "crop".
    crop = config.IMAGE_RESIZE_MODE == "crop"
    resized, window, scale, padding, _ = fit_image(image, config, "pad64" if crop else None)
    if config.REDUCED_DECODE:
        with _saying_which(dataset, image_id):
            places = (nearest_pixels(length, scale) for length in image.shape[:2])
            masks, class_ids = dataset.load_mask_at(image_id, image.shape, *places)
        masks = np.pad(masks, padding)
    else:
        masks = resize_mask(masks, scale, padding)
    if crop:
        y1, x1, y2, x2 = window
        resized, masks = resized[y1:y2, x1:x2], masks[y1:y2, x1:x2]
    return Sample(
        resized, masks, class_ids, np.array(image.shape), np.array(window), np.array(scale)
    )


def sample_cache(dataset: Dataset, config: Config) -> SampleCache:
    """What `load_sample` gives, kept as the CACHE_* settings say."""
    load = functools.partial(load_sample, dataset, config)
    return SampleCache(load, config.CACHE_MEMORY_MB, config.CACHE_DIR)


@contextmanager
def _saying_which(dataset: Dataset, image_id: int) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        path = dataset.image_info[image_id]["path"]
        where = "" if str(path) in str(error) else f" ({path})"
        raise UnreadableImageError(
            f"Cannot load image {image_id}{where}: {error} Mend or remove the file, or set "
            "SKIP_CORRUPT_IMAGES = True to train without such images."
        ) from error


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
