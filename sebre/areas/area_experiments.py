r"""Experiments on the stack of the Nissl plates, as results of `results/areas`.

    python -m sebre.areas.area_experiments gaps STACK.npz --out gaps.json --work RUNS \
        --gaps 70-82 82-94
    python -m sebre.areas.area_experiments pretraining STACK.npz --out pretraining.json \
        --work RUNS --network DIR
    python -m sebre.areas.area_experiments transfer STACK.npz --out transfer.json --work RUNS \
        --network DIR

`sebre areas evaluate` gives the scores of networks on sections left out.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.io.own_files import replace_own_text
from sebre.areas.alignment import Alignment
from sebre.areas.area_measures import OTHER, Split, split_of
from sebre.areas.area_runs import PRECISIONS
from sebre.areas.area_scores import AreaScore, score_areas, summary
from sebre.areas.area_training import AreaSettings, train_areas
from sebre.areas.atlas_prior import Neighbors
from sebre.areas.filling import METHODS, FillSettings, fill
from sebre.areas.pretraining.embedding import (
    border_scores,
    clusters,
    distance_scores,
    probe,
    random_codes,
    shared_information,
)
from sebre.areas.pretraining.ribbon import Points, geodesic_distances, middle_points
from sebre.areas.pretraining.siamese import (
    PatchMaker,
    SiameseSettings,
    codes_of,
    distances_of,
    load_siamese,
)
from sebre.areas.stacks import Stack, open_stack
from sebre.networks.environment import environment
from sebre.prepare.sources.ara_areas import LAYERS
from sebre.program import run_module

SPLIT = "every:4:2"
TRANSFER_STEPS, TRANSFER_SEEDS = 150, 3
CLUSTERS = 18
_logger = logging.getLogger(__name__)


def gap_rows(
    stack: Stack, gap: str, work: Path, methods: Sequence[str] = METHODS
) -> dict[str, Any]:
    """Scores of all ways to fill a gap, "70-82" by names of its annotated sections.

    Only areas that are drawn on at least one of the two have a Dice: others cannot be found.
    """
    first, last = stack.numbers_of(gap.split("-"))
    there = {stack.areas[n - 1] for k in (first, last) for n in np.unique(stack.labels[k]) if n}
    counted = there - {OTHER}
    places, inside = stack.z_mm, range(first + 1, last)

    def scored(labels: Sequence[np.ndarray]) -> list[AreaScore]:
        return [
            score_areas(
                found,
                stack.labels[n],
                stack.areas,
                stack.names[n],
                float(min(places[n] - places[first], places[last] - places[n])),
                counted,
            )
            for n, found in zip(inside, labels, strict=True)
        ]

    nearer = [
        first if places[n] - places[first] <= places[last] - places[n] else last for n in inside
    ]
    copy = scored([stack.labels[n] for n in nearer])
    rows = {"copy of the nearer": summary(copy)}
    for method in methods:
        start = time.process_time()
        settings = FillSettings(method=method)
        filled = fill(stack, [first, last], work, settings, None, work.with_name("registration"))
        rows[method] = summary(scored(filled.stack.labels[1:-1]), copy)
        rows[method]["cpu_s"] = time.process_time() - start
        right = [row["dice"] for row in rows[method]["by_section"].values()]
        rows[method]["expected_dice"] = [float(v) for v in filled.confidence[1:-1]]
        rows[method]["measured_dice"] = right
    return {"gap": gap, "mm": float(places[last] - places[first]), "rows": rows}


def measure_gaps(
    stack: Stack, gaps: Sequence[str], work: Path, layers: bool, methods: Sequence[str]
) -> dict[str, Any]:
    """`gap_rows` of several gaps; with `layers` of the layers of the cortex."""
    if layers:
        stack = replace(stack, labels=stack.layers, areas=LAYERS, layers=None)
    kind = "layers" if layers else "areas"
    return {"kind": kind, "gaps": [gap_rows(stack, g, work / f"{kind}_{g}", methods) for g in gaps]}


def measure_pretraining(stack: Stack, work: Path, network: Path) -> dict[str, Any]:
    """What a siamese network that was trained on the known sections of the split learned."""
    split = split_of(SPLIT, stack)
    cortex = stack.labels > 0
    points = middle_points(stack, cortex)
    neighbors = Neighbors(stack, Alignment(stack.images, work / "registration"))
    distances = geodesic_distances(stack, cortex, points, neighbors)
    model, settings = load_siamese(network), SiameseSettings()
    maker = PatchMaker(stack, points, distances, settings.side)
    codes = codes_of(model, maker, range(len(points)))
    drawn = stack.labels[(points.section, *points.place.astype(int).T)].astype(int)
    areas = np.where(drawn == stack.areas.index(OTHER) + 1, 0, drawn)
    tested = np.isin(points.section, split.tested)
    told, found = distances_of(model, codes), {}
    for name, chosen in (("held_out", tested), ("learned", ~tested)):
        true = distances[np.ix_(chosen, chosen)]
        section = points.section[chosen]
        found[name] = distance_scores(told[np.ix_(chosen, chosen)], true, section, settings.window)
    by_chance = [
        probe(random_codes(maker, settings.detail_widths, n), areas, ~tested, tested)
        for n in range(3)
    ]
    grouped = clusters(codes, CLUSTERS)
    return {
        "split": SPLIT,
        "patches": len(points),
        "longest_mm": float(distances[np.isfinite(distances)].max()),
        "distances": found,
        "probe": probe(codes, areas, ~tested, tested),
        "probe_random_encoder": by_chance,
        "clusters": {
            "count": CLUSTERS,
            "shared_information": shared_information(grouped[areas > 0], areas[areas > 0]),
        },
        "borders": {
            "learned": border_scores(codes, areas, distances, points),
            "random_encoder": border_scores(
                random_codes(maker, settings.detail_widths), areas, distances, points
            ),
        },
        "map": _map(points, grouped),
    }


def _map(points: Points, grouped: np.ndarray, count: int = 5) -> dict[str, Any]:
    """Clusters of the patches of some sections, to be drawn."""
    numbers = np.unique(points.section)
    chosen = numbers[np.linspace(0, len(numbers) - 1, count).round().astype(int)]
    shown = np.isin(points.section, chosen)
    part = points.of(shown)
    return {
        "section": part.section.tolist(),
        "place": part.place.round().astype(int).tolist(),
        "cluster": grouped[shown].tolist(),
    }


def measure_transfer(
    stack: Stack, work: Path, network: Path, counts: Sequence[int]
) -> dict[str, Any]:
    """Networks without a prior, from random weights and from the siamese encoder, three seeds.

    Args:
        stack: with labels.
        work: folder of runs.
        network: run of `sebre areas pretrain`.
        counts: of annotated sections, evenly spread.
    """
    split = split_of(SPLIT, stack)
    runs = []
    for count in counts:
        places = np.linspace(0, len(split.known) - 1, count + 2).round().astype(int)[1:-1]
        known = [split.known[n] for n in places]
        for seed in range(TRANSFER_SEEDS):
            for start in ("random", "siamese"):
                runs.append(_transferred(stack, split, known, start, seed, work, network))
                _logger.info("%s", {k: runs[-1][k] for k in ("count", "start", "seed", "dice")})
    return {
        "split": SPLIT,
        "steps": TRANSFER_STEPS,
        "runs": runs,
        "paired": _paired(runs, counts[0]),
    }


def _transferred(
    stack: Stack,
    split: Split,
    known: Sequence[int],
    start: str,
    seed: int,
    work: Path,
    network: Path,
) -> dict[str, Any]:
    settings = AreaSettings(
        steps=TRANSFER_STEPS, batch=2, precision=PRECISIONS["bfloat16"], seed=seed
    )
    folder = work / f"transfer_{len(known)}_{start}_{seed}"
    encoder = load_siamese(network) if start == "siamese" else None
    trained = train_areas(stack, known, folder, settings, None, encoder)
    counted = set(stack.areas) - {OTHER}
    scores = [
        score_areas(
            trained.predict(stack.images[n]).argmax(-1),
            stack.labels[n],
            stack.areas,
            stack.names[n],
            counted=counted,
        )
        for n in split.tested
    ]
    found = {"count": len(known), "start": start, "seed": seed, **summary(scores)}
    return found


def _paired(runs: Sequence[dict[str, Any]], count: int) -> dict[str, Any]:
    """Difference of the siamese start from the random one, over sections and seeds."""
    differences = []
    for run in runs:
        if run["count"] == count and run["start"] == "siamese":
            (other,) = (
                r
                for r in runs
                if (r["count"], r["seed"], r["start"]) == (count, run["seed"], "random")
            )
            differences += [
                row["dice"] - other["by_section"][name]["dice"]
                for name, row in run["by_section"].items()
            ]
    values = np.array([d for d in differences if np.isfinite(d)])
    rng = np.random.default_rng(0)
    means = rng.choice(values, (2000, len(values))).mean(axis=1)
    interval = [float(v) for v in np.percentile(means, (2.5, 97.5))]
    return {
        "count": count,
        "more_dice": float(values.mean()),
        "interval": interval,
        "pairs": len(values),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line and run an experiment."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiment", choices=("gaps", "pretraining", "transfer"))
    parser.add_argument("stack", type=Path, help="npz of `sebre areas prepare`")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--work", type=Path, required=True, help="folder of runs")
    parser.add_argument("--network", type=Path, help="run of `sebre areas pretrain`")
    parser.add_argument("--gaps", nargs="+", default=(), help="as 70-82")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS, help="of gaps")
    parser.add_argument("--counts", nargs="+", type=int, default=(4,), help="of transfer")
    parser.add_argument("--layers", action="store_true", help="gaps: layers in place of areas")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stack, start = open_stack(args.stack).drawn(), time.process_time()
    if args.experiment == "gaps":
        found = measure_gaps(stack, args.gaps, args.work, args.layers, args.methods)
    elif args.network is None:
        parser.error("--network is needed")
    elif args.experiment == "pretraining":
        found = measure_pretraining(stack, args.work, args.network)
    else:
        found = measure_transfer(stack, args.work, args.network, args.counts)
    line = " ".join(["python -m sebre.areas.area_experiments", *(argv or sys.argv[1:])])
    record = {"command": line, "stack": args.stack.name, args.experiment: found}
    record |= {"cpu_s": time.process_time() - start, "environment": environment()}
    replace_own_text(args.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    run_module(main)
