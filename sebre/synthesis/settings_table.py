"""Settings of the network of any section, compared on synthetic sections of left-out volumes.

    python -m sebre.synthesis.settings_table --network last.keras --data DIR --volumes princeton
        --out settings.json

Nothing may be chosen by real sections, of which all are for testing.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from itertools import islice, product
from pathlib import Path

import keras
import numpy as np

from mrcnn.io.own_files import replace_own_text
from sebre.networks.any_section import AnySectionSegmenter, any_section_segmenter
from sebre.networks.environment import environment
from sebre.program import run_module
from sebre.synthesis.classes import IGNORE, NUM_CLASSES
from sebre.synthesis.sources import read_volumes
from sebre.synthesis.stream import SyntheticSection, sections

logger = logging.getLogger(__name__)

VIEWS, SHARES = (1, 2, 4, 8), (0.85, 0.9, 0.95, 1.0)
_SEED = 2_000_003  # of sections that neither a training nor its checks see
_LEAST_PX = 100  # smaller regions are not scored
_SIDE_PX = 288


def mean_dice(network: AnySectionSegmenter, stream: Sequence[SyntheticSection]) -> float:
    """Mean over sections of the mean Dice of the regions that they show."""
    means = []
    for section in stream:
        found = network.labels(255 * section.picture)
        scored = section.labels != IGNORE
        dices = []
        for class_id in range(1, NUM_CLASSES):
            drawn, own = section.labels == class_id, (found == class_id) & scored
            if np.count_nonzero(drawn) >= _LEAST_PX:
                both = np.count_nonzero(drawn & own)
                dices.append(2 * both / (np.count_nonzero(drawn) + np.count_nonzero(own)))
        if dices:
            means.append(float(np.mean(dices)))
    return float(np.mean(means))


def compare(model: keras.Model, stream: Sequence[SyntheticSection]) -> list[dict[str, float]]:
    """The mean Dice for each number of views and each share of the square."""
    rows = []
    for views, share in product(VIEWS, SHARES):
        network = any_section_segmenter(model, views)
        network.config.update(SECTION_SHARE=share)
        rows.append({"views": views, "share": share, "dice": mean_dice(network, stream)})
        logger.info("%s", rows[-1])
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, compare, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", type=Path, required=True, help="file that a training wrote")
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--volumes", nargs="+", required=True, help="left out of the training")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--sections", type=int, default=150)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    names = set(args.volumes)
    volumes = [v for v in read_volumes(args.data) if {v.name, v.source} & names]
    stream = list(islice(sections(volumes, _SEED, size=_SIDE_PX), args.sections))
    # The loss is a class of the package, and is not needed to predict.
    model = keras.models.load_model(args.network, compile=False)
    record = {
        "command": f"python -m sebre.synthesis.settings_table --volumes {' '.join(args.volumes)} "
        f"--sections {args.sections}",
        "n_sections": len(stream),
        "seed": _SEED,
        "rows": compare(model, stream),
        "environment": environment(),
    }
    replace_own_text(args.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    run_module(main)
