"""All scores of the network of neurites, as they stand in RESULTS.md.

    python -m sebre.neurites.scoring.measure_neurites --data DIR --network RUN --plain STEP.keras \
        --alike STEP.keras --out results/neurites.json

`--network` is what ships; `--plain` and `--alike` are networks of the same number of steps, without
and with section defects in their training. Sections 0-149 of FIB-25 sample 2 are trained on,
152-167 choose the thresholds, 170-209 and two volumes of another place are tested on, once.
"""

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.ndimage

from mrcnn.io.own_files import demand_own, replace_own_text
from sebre.networks.environment import environment
from sebre.neurites.affinity_prediction import AffinityNetwork, load_network
from sebre.neurites.cells import Lattice, MemoryStore
from sebre.neurites.growing import grow
from sebre.neurites.learning.section_defects import DEFECTS, damage_sections
from sebre.neurites.scoring.bad_sections import degraded
from sebre.neurites.scoring.choosing import choose_threshold, score_volume
from sebre.neurites.scoring.segment_scores import SegmentScores, score_segments, scored_bodies
from sebre.neurites.volume_files import EmVolume, open_volume
from sebre.neurites.whole_volumes import (
    METHODS,
    Decoding,
    Workshop,
    read_segments,
    run_here,
    run_stages,
    segment,
)

logger = logging.getLogger(__name__)

CHOOSE, TEST = (152, 168), (170, 210)
_BAD_SEEDS = (0, 1)
_DEFECT_SEED = 7
_EVERY = 4  # sections, of the anisotropic case
_JITTER_PX = 1
_SINGLE_DEPTH, _SINGLE_SECTIONS = 16, 5
_RAW_LEVELS = tuple(range(100, 190, 10))


def sample(data: Path, name: str = "fib25_sample2") -> EmVolume:
    """A volume of the folder."""
    return open_volume(data / f"{name}.npz")


def slabs_to_choose_on(volume: EmVolume) -> list[EmVolume]:
    """The slab that thresholds are chosen on, clean and with the defects of the training."""
    slab = volume.sections(*CHOOSE)
    gray = (slab.raw.astype(np.float32) - slab.raw.mean()) / slab.raw.std()
    damage_sections(gray, np.random.default_rng(_DEFECT_SEED), frozenset(DEFECTS))
    raw = np.clip(np.rint(gray * slab.raw.std() + slab.raw.mean()), 0, 255).astype(np.uint8)
    return [slab, replace(slab, raw=raw)]


def choose_all(
    network: AffinityNetwork, slabs: Sequence[EmVolume], methods: Sequence[str] = METHODS
) -> dict[str, Any]:
    """For each method the threshold chosen and the scores of those that were tried."""
    chosen = {}
    for method in methods:
        threshold, tried = choose_threshold(network, slabs, Decoding(method))
        chosen[method] = {"threshold": threshold, "vi_by_threshold": tried}
        logger.info("%s: %s of %s", method, threshold, tried)
    network.thresholds = {method: found["threshold"] for method, found in chosen.items()}
    return chosen


def rows_of(
    name: str,
    network: AffinityNetwork,
    volume: EmVolume,
    what: str,
    methods: Sequence[str] = METHODS,
) -> Iterator[dict[str, Any]]:
    """Scores of a volume by each method, as rows of the record."""
    store = MemoryStore()
    for method in methods:
        scores = score_volume(network, volume, Decoding.of(network, method), store)
        logger.info("%s, %s, %s: %s", name, what, method, scores)
        yield row(name, what, method, scores)


def row(name: str, what: str, method: str, scores: SegmentScores) -> dict[str, Any]:
    """A row of the record."""
    return {"network": name, "volume": what, "method": method, **scores.facts()}


def _by_brightness(volume: EmVolume, level: int) -> np.ndarray:
    """Segments without a network: components of what is bright, grown like those of affinities."""
    raw = volume.raw
    near = np.zeros((3, *raw.shape), np.uint8)
    for axis in range(3):
        part = near[axis].swapaxes(0, axis)
        gray = raw.swapaxes(0, axis)
        part[1:] = np.minimum(gray[1:], gray[:-1])
    lattice, store = Lattice(raw.shape, raw.shape), MemoryStore()
    store.put("affinities", (0, 0, 0), near)
    shop = Workshop(lattice, store, Decoding("components", level / 255))
    run_stages(shop, run_here(shop))
    return read_segments(shop, tuple(slice(0, n) for n in raw.shape))


def anchors(data: Path, volume: EmVolume) -> list[dict[str, Any]]:
    """What others get on the test sections: brightness, and the published flood-filling result."""
    slab, test = volume.sections(*CHOOSE), volume.sections(*TEST)
    bodies = scored_bodies(slab.labels)
    tried = {n: score_segments(bodies, _by_brightness(slab, n)).vi for n in _RAW_LEVELS}
    level = min(tried, key=tried.get)
    bodies = scored_bodies(test.labels)
    bright = score_segments(bodies, _by_brightness(test, level))
    with np.load(data / "fib25_sample2_ffn.npz") as file:
        found = file["labels"][slice(*TEST)].astype(np.uint32)
    flat = np.stack([test.raw] * 3)
    flooded = score_segments(bodies, grow(found, flat, steps=40))
    what = "sample2 170-209"
    return [
        row("none", what, f"gray values from {level}, components", bright),
        row("published flood-filling result", what, "grown to fill", flooded),
    ]


def every_fourth(volume: EmVolume) -> tuple[EmVolume, np.ndarray]:
    """Every fourth section, moved by up to 1 px, with sections in between made up again by
    interpolation; and the labels of the sections that are real."""
    rng = np.random.default_rng(0)
    raw, labels = volume.raw[::_EVERY], volume.labels[::_EVERY]
    moves = rng.integers(-_JITTER_PX, _JITTER_PX + 1, (len(raw), 2))
    moved = np.stack([np.roll(s, m, (0, 1)) for s, m in zip(raw, moves, strict=True)])
    labels = np.stack([np.roll(s, m, (0, 1)) for s, m in zip(labels, moves, strict=True)])
    depth = (len(raw) - 1) * _EVERY + 1
    zoom = (depth / len(raw), 1, 1)
    between = scipy.ndimage.zoom(moved.astype(np.float32), zoom, order=1)
    filled = np.clip(np.rint(between), 0, 255).astype(np.uint8)
    return replace(volume, raw=filled, labels=None), labels


def single_sections(data: Path, network: AffinityNetwork) -> Iterator[dict[str, Any]]:
    """ssTEM, section by section: every section is repeated, as the network sees volumes."""
    for name, inside_of in (
        ("isbi2012", lambda file: file["inside"]),
        ("vnc_sstem", lambda file: ~np.isin(file["classes"], (0, 32, 64, 96, 128, 159))),
    ):
        with np.load(data / f"{name}.npz") as file:
            raw, inside = file["raw"], inside_of(file)
            scale = float(file["voxel_nm"][1]) / network.voxel_nm[1]
        found, wanted = [], []
        for number in range(0, len(raw), max(1, len(raw) // _SINGLE_SECTIONS)):
            small = cv2.resize(raw[number], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            depth = np.repeat(small[None], _SINGLE_DEPTH, axis=0)
            decoding = replace(Decoding.of(network, "watershed"), flat=True, min_voxels=20)
            segments = _segment(network, depth, decoding)[_SINGLE_DEPTH // 2]
            size = raw.shape[:0:-1]
            found.append(cv2.resize(segments.astype(np.float32), size, interpolation=0))
            wanted.append(scipy.ndimage.label(inside[number])[0] + 10_000 * number * inside[number])
        segments = np.stack(found).astype(np.int64)
        segments += 1_000_000 * np.arange(len(segments))[:, None, None]
        scores = score_segments(scored_bodies(np.stack(wanted), flat=True), segments)
        logger.info("%s: %s", name, scores)
        yield row("neurites", f"{name}, {len(found)} sections", "watershed, flat", scores)


def _segment(network: AffinityNetwork, raw: np.ndarray, decoding: Decoding) -> np.ndarray:
    return segment(network, raw, decoding, MemoryStore())


def measure(data: Path, networks: dict[str, AffinityNetwork]) -> dict[str, Any]:
    """All scores.

    Args:
        data: folder of the volumes.
        networks: "neurites", and the two of the lesson on section defects.
    """
    volume = sample(data)
    slabs, test = slabs_to_choose_on(volume), volume.sections(*TEST)
    two = METHODS[:2]
    chosen = {
        name: choose_all(network, slabs, METHODS if name == "neurites" else two)
        for name, network in networks.items()
    }
    rows = anchors(data, volume)
    for name, network in networks.items():
        methods = METHODS if name == "neurites" else two
        rows += rows_of(name, network, test, "sample2 170-209", methods)
        for seed in _BAD_SEEDS:
            bad = replace(test, raw=degraded(test.raw, seed)[0])
            rows += rows_of(name, network, bad, f"sample2 170-209, bad sections {seed}", two)
    shipped = networks["neurites"]
    for name in ("fib25_gala_a", "fib25_gala_c"):
        rows += rows_of("neurites", shipped, sample(data, name), name)
    thin, labels = every_fourth(test)
    for method in two:
        segments = _segment(shipped, thin.raw, Decoding.of(shipped, method))[::_EVERY]
        scores = score_segments(scored_bodies(labels), segments)
        rows.append(row("neurites", "sample2 170-209, every 4th section", method, scores))
    rows += single_sections(data, shipped)
    return {"chosen": chosen, "rows": rows}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, measure, and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the volumes")
    parser.add_argument("--network", required=True, help="that ships")
    parser.add_argument("--plain", required=True, help="trained without section defects")
    parser.add_argument("--alike", required=True, help="of as many steps, with them")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    demand_own([args.out])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = {
        "neurites": args.network,
        "without section defects": args.plain,
        "with section defects": args.alike,
    }
    networks = {name: load_network(path) for name, path in given.items()}
    record = {
        "command": "python -m sebre.neurites.scoring.measure_neurites --data DIR --network RUN "
        "--plain STEP.keras --alike STEP.keras --out results/neurites.json",
        "choose": list(CHOOSE),
        "test": list(TEST),
        "networks": {name: network.sha256 for name, network in networks.items()},
        **measure(args.data, networks),
        "environment": environment(),
    }
    replace_own_text(args.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
