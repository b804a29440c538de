"""Scores of networks of neurites, as they stand in RESULTS.md; a file for each network.

    python -m sebre.neurites.scoring.measure_neurites --data DIR --out results/neurites/others.json
    python -m sebre.neurites.scoring.measure_neurites --data DIR --network RUN --name neurites \
        --out results/neurites/neurites.json
    python -m sebre.neurites.scoring.measure_neurites --data DIR --network STEP.keras \
        --name "without section defects" --out results/neurites/without_defects.json
    python -m sebre.neurites.scoring.measure_neurites --data DIR --network RUN \
        --name "kernels within sections" --out results/neurites/far_sections.json

Sections 0-149 of FIB-25 sample 2 are trained on, 152-167 choose the thresholds, 170-209 and two
volumes of another place are tested on, once. Without a network: what others get there. Under
another name than `neurites`: clean and bad sections alone, or, for a network of sections that are
far apart, every fourth section.
"""

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.ndimage

from mrcnn.io.own_files import demand_own, replace_own_text
from sebre.networks.environment import environment
from sebre.neurites.affinity_graph import is_coarse
from sebre.neurites.affinity_prediction import NAME, AffinityNetwork, load_network
from sebre.neurites.cells import Lattice, MemoryStore
from sebre.neurites.growing import grow
from sebre.neurites.scoring.bad_sections import degraded
from sebre.neurites.scoring.choosing import choose_threshold, score_volume
from sebre.neurites.scoring.far_sections import EVERY, filled_between, thinned
from sebre.neurites.scoring.segment_scores import (
    SegmentScores,
    pieces,
    score_segments,
    scored_bodies,
)
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
from sebre.program import run_module

logger = logging.getLogger(__name__)

CHOOSE, TEST = (152, 168), (170, 210)
KEPT = f"{NAME}, bad sections kept"
_CHOOSE_SEEDS = (0, 1)  # of the bad sections that thresholds are chosen with
_FAR = "every 4th section"
_APART = (2, 8, 8)  # of sections that are four times as far apart as pixels
_SINGLE_DEPTH, _SINGLE_SECTIONS = 16, 3
_BETWEEN = (0, 32, 64, 96, 128, 159)  # classes of vnc_sstem that are no inside of a cell
TESTS = (
    *("clean", "bad sections 0", "bad sections 1", "fib25_gala_a", "fib25_gala_c"),
    *("kept bad sections 0", "kept bad sections 1", _FAR, "isbi2012", "vnc_sstem"),
)
_RAW_LEVELS = tuple(range(100, 190, 10))


def sample(data: Path, name: str = "fib25_sample2") -> EmVolume:
    """A volume of the folder."""
    return open_volume(data / f"{name}.npz")


def slabs_to_choose_on(volume: EmVolume, far: bool = False) -> list[EmVolume]:
    """The slab that thresholds are chosen on, clean and with two draws of bad sections, of other
    faults than those of the tests; or every fourth section of it, from each of the first four."""
    slab = volume.sections(*CHOOSE)
    if far:
        return [thinned(slab, first, seed=first) for first in range(EVERY)]
    bad = [degraded(slab.raw, seed, faults="choose")[0] for seed in _CHOOSE_SEEDS]
    return [slab, *(replace(slab, raw=raw) for raw in bad)]


def rows_of(
    name: str,
    network: AffinityNetwork,
    volume: EmVolume,
    what: str,
    methods: Sequence[str] = METHODS,
    **how: Any,
) -> Iterator[dict[str, Any]]:
    """Scores of a volume by each method, as rows of the record."""
    store = MemoryStore()
    for method in methods:
        scores = score_volume(network, volume, Decoding.of(network, method, **how), store)
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
    flooded = score_segments(bodies, pieces(grow(found, flat, steps=40)))
    what = "sample2 170-209"
    return [
        row("none", what, f"gray values from {level}, components", bright),
        row("published flood-filling result", what, "grown to fill", flooded),
    ]


def far_rows(
    name: str, network: AffinityNetwork, volume: EmVolume, what: str, methods: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Scores of every fourth section: for a network of such sections as they are, for one of even
    voxels with those in between made up again."""
    thin = thinned(volume)
    bodies, far, store = scored_bodies(thin.labels), is_coarse(network.voxel_nm), MemoryStore()
    seen = thin if far else filled_between(thin)
    for method in methods:
        decoding = Decoding.of(network, method, make_up=False)
        segments = segment(network, seen.raw, decoding, store.sharing("affinities"))
        scores = score_segments(bodies, segments[:: 1 if far else EVERY], _APART)
        logger.info("%s, %s, %s: %s", name, what, method, scores)
        yield row(name, what, method, scores)


def single_sections(data: Path, network: AffinityNetwork, name: str) -> dict[str, Any]:
    """ssTEM, section by section: every section is repeated, as the network sees volumes."""
    with np.load(data / f"{name}.npz") as file:
        raw = file["raw"]
        inside = file["inside"] if "inside" in file else ~np.isin(file["classes"], _BETWEEN)
        scale = float(file["voxel_nm"][1]) / network.voxel_nm[1]
    decoding = replace(Decoding.of(network, "watershed"), flat=True, min_voxels=20)
    found, wanted = [], []
    for number in range(0, len(raw), -(-len(raw) // _SINGLE_SECTIONS)):
        small = cv2.resize(raw[number], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        depth = np.repeat(small[None], _SINGLE_DEPTH, axis=0)
        segments = _segment(network, depth, decoding)[_SINGLE_DEPTH // 2].astype(np.float32)
        size = raw.shape[:0:-1]
        found.append(cv2.resize(segments, size, interpolation=cv2.INTER_NEAREST))
        wanted.append(scipy.ndimage.label(inside[number])[0])
    segments, bodies = (_apart(np.stack(part).astype(np.int64)) for part in (found, wanted))
    scores = score_segments(scored_bodies(bodies, flat=True), segments)
    logger.info("%s: %s", name, scores)
    return row(NAME, f"{name}, {len(found)} sections", "watershed, flat", scores)


def _apart(labels: np.ndarray) -> np.ndarray:
    """Labels [z, y, x] that no two sections share; 0 stays."""
    first = np.arange(len(labels))[:, None, None] * (labels.max() + 1)
    return np.where(labels > 0, labels + first, 0)


def _segment(network: AffinityNetwork, raw: np.ndarray, decoding: Decoding) -> np.ndarray:
    return segment(network, raw, decoding, MemoryStore())


def choose(data: Path, given: str, method: str) -> dict[str, Any]:
    """The threshold of a method that is best on the slabs to choose on, and those tried."""
    network = load_network(given)
    slabs = slabs_to_choose_on(sample(data), is_coarse(network.voxel_nm))
    threshold, tried = choose_threshold(network, slabs, Decoding(method))
    logger.info("%s: %s of %s", method, threshold, tried)
    return {"threshold": threshold, "vi_by_threshold": tried}


def run_test(
    data: Path, given: str, name: str, thresholds: dict[str, float], test: str
) -> list[dict[str, Any]]:
    """Rows of one test.

    Args:
        data: folder of the volumes.
        given: the network, as `load_network` takes it.
        name: of the network.
        thresholds: by method; the mutex watershed has rows on clean volumes only.
        test: of `TESTS`.
    """
    network = load_network(given)
    network.thresholds = thresholds
    what = "sample2 170-209"
    methods, two = tuple(thresholds), tuple(m for m in thresholds if m != "mutex")
    if test in ("isbi2012", "vnc_sstem"):
        return [single_sections(data, network, test)]
    if test.startswith("fib25"):
        return list(rows_of(name, network, sample(data, test), test, methods))
    block = sample(data).sections(*TEST)
    if test == _FAR:
        return list(far_rows(name, network, block, f"{what}, {test}", two))
    kind, bad, seed = test.partition("bad sections ")
    if bad:
        found = replace(block, raw=degraded(block.raw, int(seed))[0])
        who, how = (KEPT, {"make_up": False}) if kind else (name, {})
        rows = list(rows_of(who, network, found, f"{what}, {bad}{seed}", two, **how))
        if kind and seed == "0":
            rows += rows_of(who, network, block, what, two, **how)
        return rows
    return list(rows_of(name, network, block, what, methods))


def measure(data: Path, given: str, name: str, workers: int = 1) -> dict[str, Any]:
    """All scores of a network.

    Args:
        data: folder of the volumes.
        given: the network, as `load_network` takes it.
        name: of the network; that which ships has all tests and methods.
        workers: processes.
    """
    far = is_coarse(load_network(given).voxel_nm)
    methods = METHODS if name == NAME else METHODS[:2]
    tests = TESTS if name == NAME else (_FAR,) if far else TESTS[:3]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        found = pool.map(choose, *zip(*((data, given, m) for m in methods), strict=True))
        chosen = dict(zip(methods, found, strict=True))
        limits = {method: facts["threshold"] for method, facts in chosen.items()}
        jobs = [pool.submit(run_test, data, given, name, limits, test) for test in tests]
        rows = [row for job in jobs for row in job.result()]
    return {"network": load_network(given).sha256, "chosen": chosen, "rows": rows}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, measure, and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the volumes")
    parser.add_argument("--network", help="folder of a run, or a network that it kept")
    parser.add_argument("--name", default=NAME, help="of the network")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    demand_own([args.out])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = f' --network PATH --name "{args.name}"' if args.network else ""
    record = {
        "command": "python -m sebre.neurites.scoring.measure_neurites --data DIR"
        f"{given} --out {args.out.name}",
        "name": args.name if args.network else "",
        "choose": list(CHOOSE),
        "test": list(TEST),
    }
    if args.network:
        record |= measure(args.data, args.network, args.name, args.workers)
    else:
        record["rows"] = anchors(args.data, sample(args.data))
    record["environment"] = environment()
    replace_own_text(args.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    run_module(main)
