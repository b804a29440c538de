"""Thresholds chosen on a volume that is not tested on, and scores of a method with them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.io.own_files import replace_own_text
from sebre.networks.environment import environment
from sebre.neurites.affinity_prediction import AffinityNetwork
from sebre.neurites.cells import MemoryStore
from sebre.neurites.scoring.segment_scores import SegmentScores, score_segments, scored_bodies
from sebre.neurites.volume_files import EmVolume
from sebre.neurites.whole_volumes import Decoding, segment

CHOICES = {
    "components": (0.8, 0.85, 0.9, 0.93, 0.95, 0.97),
    "watershed": (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5),
    "mutex": (0.4, 0.5, 0.6),
}


def choose_threshold(
    network: AffinityNetwork, volumes: Sequence[EmVolume], decoding: Decoding
) -> tuple[float, dict[float, float]]:
    """The threshold of least variation of information, mean over volumes.

    Args:
        network: of the affinities.
        volumes: with labels; not those that are tested on.
        decoding: the method; its threshold is not looked at.

    Returns:
        The threshold, and the mean variation of information of each that was tried.
    """
    found: dict[float, list[float]] = {t: [] for t in CHOICES[decoding.method]}
    for volume in volumes:
        bodies, store = scored_bodies(volume.labels, flat=decoding.flat), MemoryStore()
        for threshold, values in found.items():
            tried = replace(decoding, threshold=threshold)
            segments = segment(network, volume.raw, tried, store.sharing("affinities"))
            values.append(score_segments(bodies, segments).vi)
    means = {threshold: float(np.mean(values)) for threshold, values in found.items()}
    return min(means, key=means.get), means


def score_volume(
    network: AffinityNetwork, volume: EmVolume, decoding: Decoding, store: MemoryStore | None = None
) -> SegmentScores:
    """Scores of a volume with labels.

    Args:
        network: of the affinities.
        volume: to segment and score.
        decoding: how.
        store: with its affinities, to be used again; None predicts them.
    """
    store = MemoryStore() if store is None else store
    segments = segment(network, volume.raw, decoding, store.sharing("affinities"))
    return score_segments(scored_bodies(volume.labels, flat=decoding.flat), segments)


def evaluation_record(
    path: Path, command: str, facts: Mapping[str, Any], scores: SegmentScores
) -> None:
    """Write the scores of a volume with what they are of, as JSON."""
    record = {"command": command, **facts, "scores": scores.facts(), "environment": environment()}
    replace_own_text(path, json.dumps(record, indent=1) + "\n")
