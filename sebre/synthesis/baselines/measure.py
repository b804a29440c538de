"""Scores of an atlas alone on the real sections that `any_section` is scored on.

    python -m sebre.synthesis.baselines.measure --data DATA --prepared datasets/ccf --out FILE

Two ways: *copied*, the labels of the nearest template plane as they lie, and *elastix*, the same
after a registration. `sebre.synthesis.release` sets the scores of a network beside them.
"""

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.io.files import replace_text
from sebre.networks.environment import environment
from sebre.program import run_module
from sebre.synthesis import zeroshot
from sebre.synthesis.baselines.nearest_plane import STEP_MM, Atlas, cuts_of
from sebre.synthesis.sources import read_volumes

logger = logging.getLogger(__name__)

FILE = "baselines.json"  # beside the scores of the network
MOST = 30  # sections of a prepared data set, here and of the network
TEMPLATES = ("ccf", "civm", "demba", "princeton")
WAYS = ("copied", "elastix")


def sections_of(
    data: Path, prepared: Sequence[Path], most: int
) -> dict[str, list[zeroshot.RealSection]]:
    """All real sections by source: those of `real_sections`, and of prepared data sets."""
    found: dict[str, list[zeroshot.RealSection]] = {}
    for section in zeroshot.real_sections(data):
        found.setdefault(section.source, []).append(section)
    for root in prepared:
        found.setdefault(root.name, []).extend(zeroshot.prepared_sections(root, most))
    return found


def measure(
    atlas: Atlas, by_source: dict[str, list[zeroshot.RealSection]], registered: int
) -> dict[str, Any]:
    """Mean Dice and number of sections of each way and source, as plain JSON values.

    Args:
        atlas: to search in.
        by_source: sections.
        registered: sections of a source at most that are registered, spread evenly; the copied
            labels of these alone are scored too, as "copied_same".
    """
    record: dict[str, Any] = {}
    for source, sections in by_source.items():
        some = min(registered, len(sections))
        few = [sections[i] for i in np.linspace(0, len(sections) - 1, some).round().astype(int)]
        ways: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Any]] = {
            "copied": (atlas.copied, sections),
            "copied_same": (atlas.copied, few),
            "elastix": (atlas.registered, few),
        }
        record[source] = {}
        for way, (label, chosen) in ways.items():
            score = zeroshot.score_sections(label, chosen)
            if source in score:
                record[source][way] = asdict(score[source])
        logger.info("%s: %s", source, record[source])
    return record


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, score, and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--prepared", type=Path, nargs="*", default=[], help="data sets")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--templates", nargs="+", default=list(TEMPLATES))
    parser.add_argument("--registered", type=int, default=12, help="sections of a source at most")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    volumes = read_volumes(args.data, args.templates)
    atlas = Atlas([cut for volume in volumes for cut in cuts_of(volume)])
    logger.info("%d cuts of %d templates", len(atlas.cuts), len(volumes))
    by_source = sections_of(args.data, args.prepared, MOST)
    command = "python -m sebre.synthesis.baselines.measure --data DATA --prepared "
    record = {
        "command": command + " ".join(f"datasets/{root.name}" for root in args.prepared),
        "templates": [volume.name for volume in volumes],
        "step_mm": STEP_MM,
        "n_cuts": len(atlas.cuts),
        "scores": measure(atlas, by_source, args.registered),
        "environment": environment(),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    replace_text(args.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    run_module(main)
