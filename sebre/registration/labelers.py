"""Labelers of sections: an atlas that is registered on the section, or a network.

`sebre.registration.scoring` compares them.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mrcnn.structures.masks import extract_bboxes
from sebre.data.dataset import SectionDataset
from sebre.data.regions import RegionSet
from sebre.drawing.overlay import drawn_labels
from sebre.evaluation.scores import NETWORK
from sebre.registration.atlas_choice import RULE, choose_atlas, near, positions
from sebre.registration.methods import RegistrationError
from sebre.registration.transform import register, settings

if TYPE_CHECKING:
    from sebre.networks.segmenter import Segmenter

LABELED = "train"  # the part of a data set that atlases are of


@dataclass(frozen=True)
class Labeled:
    """The labels of a section.

    Attributes:
        result: as `MaskRCNN.detect` gives it; masks are [H, W, N] of the size of the section.
        seconds: processor seconds, of all threads; None without labels.
        facts: for the record of the section; "failed" says why there are no labels.
    """

    result: Mapping[str, Any]
    seconds: float | None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Labeler(Protocol):
    """Puts labels on sections."""

    def label(self, name: str, picture: np.ndarray) -> Labeled:
        """Label a section by its name ("val/3") and picture, uint8 [H, W, 3], at any angle."""

    def facts(self) -> dict[str, Any]:
        """What a result file says of it: "method", "parameters", "threads", "atlas", ..."""


class AtlasLabeler:
    """Lays the labels of one training section on a section, by registration.

    Args:
        root: folder of a prepared data set; atlases are of its training part.
        regions: the region set.
        method: one of `sebre.registration.transform.METHODS`.
        seed: of elastix.
        threads: of elastix.
    """

    def __init__(
        self, root: str | Path, regions: RegionSet, method: str, seed: int = 0, threads: int = 1
    ):
        self.method, self.seed = method, seed
        self.parameters, self.threads = settings(method, threads)
        self.sections = SectionDataset(regions).load(root, LABELED)
        self.sections.prepare()
        self.positions = positions(root)
        self.names = [self.sections.image_reference(i) for i in self.sections.image_ids]
        # Small enough to be kept: every test section is compared with many of them.
        self.pictures = [self.sections.load_image(i) for i in self.sections.image_ids]

    def label(self, name: str, picture: np.ndarray) -> Labeled:
        """See `Labeler`. The choice of the atlas is not timed."""
        atlas = choose_atlas(picture, self.pictures, near(name, self.names, self.positions))
        facts = {"atlas": self.names[atlas.index], "similarity": atlas.similarity}
        try:
            transform = register(
                self.method, self.pictures[atlas.index], picture, self.seed, self.threads
            )
        except RegistrationError as error:
            nothing = np.zeros(picture.shape[:2], np.uint8)
            return Labeled(_as_result(nothing), None, {**facts, "failed": str(error)})
        masks, class_ids = self.sections.load_mask(self.sections.image_ids[atlas.index])
        labels = transform.labels(drawn_labels(class_ids, masks))
        return Labeled(_as_result(labels), transform.seconds, facts)

    def facts(self) -> dict[str, Any]:
        """See `Labeler`; "atlas" says how atlases are chosen."""
        return {
            "method": self.method,
            "parameters": self.parameters,
            "threads": self.threads,
            "atlas": {"subset": LABELED, "rule": RULE},
        }


class NetworkLabeler:
    """Lets a network find the regions of a section.

    Its masks are taken as it gives them: they may overlap, and one region may have several.
    """

    def __init__(self, segmenter: "Segmenter"):
        self.segmenter = segmenter
        # The first call compiles, which is not to be timed.
        segmenter.detect([np.zeros((64, 64, 3), np.uint8)])

    def label(self, name: str, picture: np.ndarray) -> Labeled:
        """See `Labeler`. Timed is `detect`, from the picture to masks of its size."""
        del name
        start = time.process_time()
        result = self.segmenter.detect([picture])[0]
        return Labeled(result, time.process_time() - start)

    def facts(self) -> dict[str, Any]:
        """See `Labeler`. "threads" is None: the backend decides."""
        weights = self.segmenter.weights
        return {
            "method": NETWORK,
            "network": self.segmenter.network,
            "weights": weights.name or weights.path.name,
            "weights_sha256": weights.sha256,
            "parameters": {},
            "threads": None,
            "atlas": None,
        }


def _as_result(labels: np.ndarray) -> dict[str, Any]:
    """A label map as `MaskRCNN.detect` gives it, every region with the score 1."""
    class_ids = np.unique(labels[labels > 0]).astype(np.int32)
    masks = labels[..., None] == class_ids
    return {
        "rois": extract_bboxes(masks),
        "class_ids": class_ids,
        "scores": np.ones(len(class_ids), np.float32),
        "masks": masks,
    }
