"""Mask R-CNN on the stream of synthetic sections, beside the U-Net of `sebre.synthesis.learn`.

    python -m sebre.synthesis.mask_rcnn --data DATA --out DIR --steps 3000 --result result.json

trains the small Mask R-CNN of the experiments on the nine regions, or one with a larger backbone
(`--network resnet50 --backbone-width 1 --start resnet50_sections.h5`), goes on with the run in the
folder if there is one, and scores real sections as `sebre.synthesis.zeroshot` does. It is shown the
same square of a picture as the U-Net.
"""

import argparse
import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.io.own_files import replace_own_text
from mrcnn.model import MaskRCNN
from mrcnn.utils import Dataset
from sebre.data.regions import ANY_SECTION
from sebre.experiments.base import SeBReConfig, Small
from sebre.networks.any_section import AnySectionConfig, frame_of, placed_back, prepared
from sebre.networks.environment import environment
from sebre.networks.segmenter import best_labels
from sebre.networks.training_run import begin_or_go_on
from sebre.program import run_module
from sebre.synthesis import zeroshot
from sebre.synthesis.backbones import BACKBONES
from sebre.synthesis.curriculum import recipe_at
from sebre.synthesis.labeled_volume import Volume
from sebre.synthesis.sources import read_volumes
from sebre.synthesis.stream import SyntheticSection, make_section

logger = logging.getLogger(__name__)

_SOURCE = "stream"
_TOLD = (  # arguments that a record names
    *("steps", "seed", "network", "backbone_width", "size", "batch_size", "learning_rate"),
    *("precision", "start"),
)


class StreamConfig(Small, SeBReConfig):
    """A small Mask R-CNN for nine regions."""

    NAME = "any_section"
    NUM_CLASSES = ANY_SECTION.num_classes
    MAX_GT_INSTANCES = len(ANY_SECTION)  # both sides of a region are one
    DETECTION_MAX_INSTANCES = len(ANY_SECTION)
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    IMAGES_PER_GPU = 8
    LEARNING_RATE = 0.001


class StreamDataset(Dataset):
    """Sections of the stream as Mask R-CNN reads them.

    Section number i is always the same. A data set has no order, so that the difficulty, which
    grows in the training of the U-Net, is drawn for each.

    Args:
        volumes: to cut.
        count: of the sections.
        size: side of the pictures, px.
        seed: of the stream.
    """

    cacheable = False  # there are too many, and none is shown often

    def __init__(self, volumes: Sequence[Volume], count: int, size: int, seed: int):
        super().__init__()
        self._volumes, self._size, self._seed = volumes, size, seed
        self._last = threading.local()
        for region in ANY_SECTION:
            self.add_class(_SOURCE, region.id, region.name)
        for number in range(count):
            self.add_image(_SOURCE, number, None)

    def load_image(self, image_id: int) -> np.ndarray:
        """A section's picture, uint8 [size, size, 3]."""
        gray = np.rint(255 * self._section(image_id).picture).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=-1)

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Its regions: bool [size, size, N] and class ids int32 [N]."""
        labels = self._section(image_id).labels
        shown = np.intersect1d(labels, [region.id for region in ANY_SECTION])
        return labels[..., None] == shown, shown.astype(np.int32)

    def _section(self, image_id: int) -> SyntheticSection:
        """Made once for picture and masks, which are asked for one after the other."""
        if getattr(self._last, "number", None) != image_id:
            rng = np.random.default_rng((self._seed, image_id))
            recipe = recipe_at(rng.random(), ramp=(0, 1))
            self._last.section = make_section(self._volumes, rng, recipe, self._size)
            self._last.number = image_id
        return self._last.section


def train_on_stream(
    volumes: Sequence[Volume],
    out: Path,
    steps: int,
    seed: int = 0,
    start: Path | None = None,
    **settings: Any,
) -> MaskRCNN:
    """Train, or go on with the run in a folder.

    Args:
        volumes: to learn from.
        out: folder of the run.
        steps: of the optimizer, in all; a multiple of STEPS_PER_EPOCH.
        seed: of weights and sections.
        start: weights to start from, by the names of layers, such as those of a backbone.
        **settings: of StreamConfig, that differ.

    Raises:
        UserError: the folder holds a run of other volumes or settings.
    """
    config = StreamConfig().update(SEED=seed, **settings)
    count = steps * config.IMAGES_PER_GPU
    sections = StreamDataset(volumes, count, config.IMAGE_MAX_DIM, seed)
    sections.prepare()
    model = MaskRCNN("training", config, out)
    begun = any(out.rglob("*.h5"))
    learned = sorted(volume.name for volume in volumes)
    told = {"volumes": learned, "start": start and start.name, "seed": seed, **settings}
    begin_or_go_on(out, told, begun)
    if begun:
        model.load_weights(model.find_last())
    elif start is not None:
        model.load_weights(start, by_name=True)
    epochs = steps // config.STEPS_PER_EPOCH
    model.train(sections, None, config.LEARNING_RATE, epochs, "all", resume=begun, verbose=2)
    return model


def stream_labels(model: MaskRCNN, gray: np.ndarray) -> np.ndarray:
    """The regions that a trained network finds in a picture.

    Args:
        model: in inference mode.
        gray: [H, W]. Gray values of any range.

    Returns:
        uint8 [H, W]. Class ids.
    """
    frame = frame_of(gray, AnySectionConfig.SECTION_SHARE)
    square = np.rint(255 * prepared(gray, model.config.IMAGE_MAX_DIM, frame)).astype(np.uint8)
    (result,) = model.detect([np.repeat(square[..., None], 3, axis=-1)])
    return placed_back(best_labels(result, square.shape), gray.shape, frame)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, train, score, and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--result", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", nargs="*", default=[], help="sources or volumes left out")
    parser.add_argument("--network", default=StreamConfig.BACKBONE, choices=BACKBONES)
    parser.add_argument("--backbone-width", type=float, default=StreamConfig.BACKBONE_WIDTH)
    parser.add_argument("--size", type=int, default=StreamConfig.IMAGE_MAX_DIM)
    parser.add_argument("--batch-size", type=int, default=StreamConfig.IMAGES_PER_GPU)
    parser.add_argument("--learning-rate", type=float, default=StreamConfig.LEARNING_RATE)
    parser.add_argument("--precision", default=StreamConfig.PRECISION, help="float32 or bfloat16")
    parser.add_argument("--start", type=Path, help="weights to start from, such as a backbone")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    volumes = read_volumes(args.data, without=args.held_out)
    settings = {
        "BACKBONE": args.network,
        "BACKBONE_WIDTH": args.backbone_width,
        "IMAGE_MIN_DIM": args.size,
        "IMAGE_MAX_DIM": args.size,
        "IMAGES_PER_GPU": args.batch_size,
        "LEARNING_RATE": args.learning_rate,
        "PRECISION": args.precision,
    }
    trained = train_on_stream(volumes, args.out, args.steps, args.seed, args.start, **settings)
    settings["IMAGES_PER_GPU"] = 1
    model = MaskRCNN("inference", StreamConfig().update(**settings), args.out)
    model.load_weights(trained.find_last())
    scores = zeroshot.evaluate(lambda gray: stream_labels(model, gray), args.data)
    named = {**vars(args), "start": args.start and args.start.name}
    words = (f"--{name.replace('_', '-')} {named[name]}" for name in _TOLD if named[name])
    record = {
        "command": f"python -m sebre.synthesis.mask_rcnn {' '.join(words)}",
        "held_out": args.held_out,
        "n_sections_seen": args.steps * args.batch_size,
        "scores": {zeroshot.VARIANTS[0]: scores},
        "environment": environment(),
    }
    replace_own_text(args.result, json.dumps(record, indent=1) + "\n")
    logger.info("%s", scores)


if __name__ == "__main__":
    run_module(main)
