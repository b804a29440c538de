"""Scores of the shipped network on volumes of another place and contrast, adapted to them or not.

    python -m sebre.neurites.scoring.measure_adaptation --data DIR \
        --out results/neurites/adaptation.json

Nothing is chosen by the scores: thresholds are those of the network, and what an adaptation takes
(steps, rate, tiles) was set before. Labels of the volumes are used to score, and for nothing else.
"""

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.io.own_files import demand_own, replace_own_text
from sebre.networks.environment import environment
from sebre.neurites.affinity_prediction import NAME, AffinityNetwork, GrayValues, load_network
from sebre.neurites.cells import MemoryStore
from sebre.neurites.learning.adaptation import (
    match_histogram,
    self_trained,
    with_own_statistics,
)
from sebre.neurites.scoring.measure_neurites import row, sample
from sebre.neurites.scoring.segment_scores import score_segments, scored_bodies
from sebre.neurites.volume_files import EmVolume
from sebre.neurites.whole_volumes import (
    Decoding,
    Workshop,
    as_facts,
    read_segments,
    run_here,
    run_stages,
)
from sebre.program import run_module

logger = logging.getLogger(__name__)

VOLUMES = ("fib25_gala_a", "fib25_gala_c")
_METHODS = ("watershed", "components")
_TRAINED = (0, 150)  # sections that the network learned from
_STEPS, _RATE, _SEED = 150, 5e-4, 0  # of the self-training
_LEARNED = Decoding("watershed", 0.35)  # the segments that it learns from: rather split than merged


def adaptations(
    network: AffinityNetwork, volume: EmVolume, trained: np.ndarray
) -> Iterator[tuple[str, AffinityNetwork, np.ndarray, GrayValues]]:
    """Each adaptation to a volume: its name, the network, gray values, and how to standardize them.

    Args:
        network: that is adapted.
        volume: to adapt to; its labels are not looked at.
        trained: uint8 [z, y, x], gray values that the network learned from.
    """
    own, usual = GrayValues.of(volume.raw), GrayValues.of(trained)
    yield "none: gray values as in training", network, volume.raw, usual
    yield "mean and deviation of the volume, as always", network, volume.raw, own
    matched = match_histogram(volume.raw, trained)
    yield "histogram of the training", network, matched, usual
    counted = with_own_statistics(network, volume.raw, seed=_SEED)
    yield "batch statistics of the volume", counted, volume.raw, own
    how = {"steps": _STEPS, "learning_rate": _RATE, "seed": _SEED, "precision": "mixed_bfloat16"}
    learned = self_trained(network, volume.raw, _LEARNED, **how)
    yield f"self-training, {_STEPS} steps", learned, volume.raw, own


def rows_of(data: Path, name: str, network: AffinityNetwork) -> Iterator[dict[str, Any]]:
    """Rows of the record: scores of a volume by adaptation and method."""
    volume = sample(data, name)
    trained = sample(data).sections(*_TRAINED).raw
    bodies = scored_bodies(volume.labels)
    for how, adapted, raw, gray in adaptations(network, volume, trained):
        store = MemoryStore()
        for method in _METHODS:
            decoding = Decoding.of(network, method)
            lattice = adapted.lattice(raw.shape)
            shop = Workshop(lattice, store.sharing("affinities"), decoding, raw, adapted, gray)
            run_stages(shop, run_here(shop))
            segments = read_segments(shop, tuple(slice(0, n) for n in raw.shape))
            scores = score_segments(bodies, segments)
            logger.info("%s, %s, %s: %s", name, how, method, scores)
            yield {**row(NAME, name, method, scores), "adaptation": how}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, measure, and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the volumes")
    parser.add_argument("--network", default=NAME, help="name, or folder of a run")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    demand_own([args.out])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    network = load_network(args.network)
    record = {
        "command": "python -m sebre.neurites.scoring.measure_adaptation --data DIR "
        f"--out {args.out.name}",
        "network": network.sha256,
        "self_training": {
            "steps": _STEPS,
            "learning_rate": _RATE,
            "seed": _SEED,
            "segments": as_facts(_LEARNED),
        },
        "adaptation": [r for name in VOLUMES for r in rows_of(args.data, name, network)],
        "environment": environment(),
    }
    replace_own_text(args.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    run_module(main)
