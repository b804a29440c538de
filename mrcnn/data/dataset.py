"""`Dataset`: the images that a network is trained or scored on (Matterport's `utils.Dataset`)."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError, reading
from mrcnn.imageio.contrast import BITS
from mrcnn.imageio.reading import open_source, read_whole
from mrcnn.imageio.reduced import ReducedPicture, read_reduced

logger = logging.getLogger(__name__)

_LOADERS = ("load_image", "load_mask", "load_reduced", "load_mask_at")


class Dataset:
    """Images with their classes and masks; subclass it for a data set of your own.

    Call `add_class` and `add_image` for everything, then `prepare()`. Override `load_mask`
    and, if the images are not files, `load_image`. Class 0 is the background.

    A class that overrides them may make two promises, `thread_safe = True` and `cacheable = True`.
    Without the first its loaders run one at a time, without the second they are called anew for
    every batch, as Matterport's package does. Both make training faster.

    Attributes:
        contrast: how files of more than 8 bits are read; training sets it to CONTRAST.
        thread_safe: whether several threads may call the loaders of this class at once: they do
            not share an open file, and leave the working directory alone.
        cacheable: whether the loaders of this class give the same at every call: they do not draw
            random numbers.
        image_info: list of dicts with id, source, path and what `add_image` was given.
        class_info: list of dicts with source, id and name; row 0 is the background.
        num_classes, class_ids, class_names, num_images, sources, source_class_ids,
        class_from_source_map, image_from_source_map: set by `prepare`.

    Source: Matterport `utils.Dataset`.
    """

    contrast = BITS
    thread_safe = True
    cacheable = True
    _told_of_scaling = False

    def __init__(self, class_map: Any = None):
        """`class_map` is not used; it is part of Matterport's signature."""
        self._image_ids = np.arange(0)
        self.image_info: list[dict[str, Any]] = []
        self.class_info: list[dict[str, Any]] = [{"source": "", "id": 0, "name": "BG"}]
        self.source_class_ids: dict[str, list[int]] = {}

    def add_class(self, source: str, class_id: int, class_name: str) -> None:
        """Add a class; a second one of the same source and id is ignored.

        `source` names the collection the class belongs to, without a full stop; `class_id` is its
        number there. Of `class_name` the text before a first comma is shown.
        """
        if "." in source:
            raise UserError(f"Source name {source!r} contains a full stop; choose another one.")
        if any(c["source"] == source and c["id"] == class_id for c in self.class_info):
            return
        self.class_info.append({"source": source, "id": class_id, "name": class_name})

    def add_image(self, source: str, image_id: Any, path: str | Path | None, **kwargs: Any) -> None:
        """Add an image; keyword arguments are kept in its `image_info`."""
        self.image_info.append({"id": image_id, "source": source, "path": path, **kwargs})

    def image_reference(self, image_id: int) -> str:
        """Text that helps to find the image, for messages; "" unless overridden."""
        return ""

    def prepare(self, class_map: Any = None) -> None:
        """Number classes and images, after the last `add_class` and `add_image`; `class_map` is not
        used."""
        self.num_classes = len(self.class_info)
        self.class_ids = np.arange(self.num_classes)
        self.class_names = [c["name"].split(",")[0] for c in self.class_info]
        self.num_images = len(self.image_info)
        self._image_ids = np.arange(self.num_images)
        self.class_from_source_map = {
            f"{c['source']}.{c['id']}": i for i, c in enumerate(self.class_info)
        }
        self.image_from_source_map = {
            f"{image['source']}.{image['id']}": i for i, image in enumerate(self.image_info)
        }
        self.sources = list(dict.fromkeys(c["source"] for c in self.class_info))
        # The background belongs to every source.
        self.source_class_ids = {
            source: [i for i, c in enumerate(self.class_info) if i == 0 or c["source"] == source]
            for source in self.sources
        }

    @property
    def image_ids(self) -> np.ndarray:
        """Internal ids 0 .. N-1; empty before `prepare`."""
        return self._image_ids

    def map_source_class_id(self, source_class_id: str) -> int:
        """Internal id of a class such as "coco.12"."""
        return self.class_from_source_map[source_class_id]

    def get_source_class_id(self, class_id: int, source: str) -> int:
        """Number that the class has in its source, which must be `source`."""
        info = self.class_info[class_id]
        if info["source"] != source:
            raise UserError(
                f"Class {class_id} ({info['name']!r}) belongs to source {info['source']!r}, "
                f"not to {source!r}."
            )
        return info["id"]

    def source_image_link(self, image_id: int) -> Any:
        """Path of the image; override it to give a link."""
        return self.image_info[image_id]["path"]

    def load_image(self, image_id: int) -> np.ndarray:
        """Read an image as uint8 [H, W, 3].

        The picture comes upright. Gray becomes RGB, other color models are converted, an alpha
        channel is dropped, and deeper values are scaled by `contrast` (see
        `mrcnn.imageio.contrast`). A file with further channels or pages is refused.
        A warning tells programs that scale 16-bit pictures themselves: Matterport's package gives
        uint16.
        """
        path = self.image_info[image_id]["path"]
        if path is None:
            raise UserError(
                f"Image {image_id} has no path. Give add_image a path, or override load_image."
            )
        with reading(path, "this image", "Replace the file, or take it out of the data set."):
            with open_source(path, rule=self.contrast) as source:
                image, header, contrast = read_whole(source), source.header, source.contrast()
        scaled = contrast is not None and contrast.shift != 0 and header.dtype.kind in "iu"
        if scaled and not self._told_of_scaling:
            self._told_of_scaling = True
            logger.warning(
                "%s: %s values are scaled to 0..255 (%s); Matterport's package does not scale them."
                " Override load_image for another scale.",
                *(path, header.dtype, contrast),
            )
        return image

    def load_reduced(self, image_id: int, max_side: int | None) -> ReducedPicture:
        """Read an image at reduced scale; see `mrcnn.imageio.reduced.read_reduced`.

        Where `load_image` is overridden, what it gives is taken, not reduced.
        """
        path = self.image_info[image_id]["path"]
        if path is None or type(self).load_image is not Dataset.load_image:
            image = np.asarray(self.load_image(image_id))
            return ReducedPicture(image, image.shape)
        return read_reduced(path, max_side, rule=self.contrast)

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Masks bool [H, W, N] of an image and class ids int32 [N]; override it.

        A negative id marks a crowd. This one warns and returns arrays of shape (0, 0, 0) and (0,).
        """
        logger.warning(
            "%s does not define load_mask: image %s has no masks.", type(self).__name__, image_id
        )
        return np.empty((0, 0, 0), bool), np.empty(0, np.int32)

    def load_mask_at(
        self, image_id: int, shape: Sequence[int], rows: np.ndarray, columns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Some rows [h], in rising order, and columns [w] of the masks of an image (H, W, ...) px.

        As of `load_mask`; override it where they can be read without all masks in memory at once.
        """
        masks, class_ids = fitting_masks(shape, *self.load_mask(image_id))
        return masks[rows[:, None], columns[None, :]], class_ids


def promised(dataset: Any, promise: str) -> bool:
    """Whether `thread_safe` or `cacheable` holds for the loaders of a data set.

    A class speaks for the loaders that it defines or inherits, so a promise does not hold for what
    a subclass overrides unless that makes it again.
    """
    spaces = [vars(dataset), *map(vars, type(dataset).__mro__)]

    def first(name: str) -> int:
        return next((i for i, names in enumerate(spaces) if name in names), len(spaces))

    return bool(getattr(dataset, promise, False)) and first(promise) <= min(map(first, _LOADERS))


def fitting_masks(
    shape: Sequence[int], masks: np.ndarray, class_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What `Dataset.load_mask` gave, as bool [H, W, N] and int32 [N] that fit an image (H, W,
    ...)."""
    masks, class_ids = np.asarray(masks), np.asarray(class_ids, np.int32)
    if masks.shape[-1] == 0:
        masks = np.zeros((*shape[:2], 0), bool)
    if masks.shape != (*shape[:2], len(class_ids)):
        raise UserError(
            f"the image has shape {tuple(shape)}, but its masks {masks.shape}, and there are "
            f"{len(class_ids)} class ids; masks must be [H, W, N] with N class ids."
        )
    return masks.astype(bool, copy=False), class_ids
