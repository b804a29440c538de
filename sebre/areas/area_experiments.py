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
from sebre.areas.area_measures import (
    NEAREST,
    OTHER,
    Split,
    measure,
    score_tested,
    split_of,
)
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
from sebre.evaluation.bootstrap import interval_of
from sebre.networks.environment import environment
from sebre.prepare.sources.ara_areas import LAYERS
from sebre.program import run_module

SPLIT = "every:4:2"
RANDOM, SIAMESE = "random", "siamese"  # what a training starts from
TRANSFER_STEPS, TRANSFER_SEEDS = 300, 3
CLUSTERS = 18
_COPIES = {"copy": NEAREST, "registered copy": f"registered {NEAREST}"}  # rows of `measure`
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
    stack: Stack, work: Path, network: Path, counts: Sequence[int], steps: int = TRANSFER_STEPS
) -> dict[str, Any]:
    """Networks without a prior, from random weights and from the siamese encoder, three seeds each,
    beside copies of the nearest annotated section.

    Args:
        stack: with labels.
        work: folder of runs.
        network: run of `sebre areas pretrain`.
        counts: of annotated sections, evenly spread.
        steps: of each training.
    """
    split = split_of(SPLIT, stack)
    neighbors = Neighbors(stack, Alignment(stack.images, work / "registration"))
    runs: list[dict[str, Any]] = []
    for count in counts:
        places = np.linspace(0, len(split.known) - 1, count + 2).round().astype(int)[1:-1]
        known = [split.known[n] for n in places]
        part = Split(tuple(known), split.tested)
        copies = measure(stack, part, neighbors)
        runs += [
            {"count": count, "start": start, "seed": None, **copies[name]}
            for start, name in _COPIES.items()
        ]
        for seed in range(TRANSFER_SEEDS):
            for start in (RANDOM, SIAMESE):
                encoder = load_siamese(network) if start == SIAMESE else None
                settings = AreaSettings(
                    steps=steps, batch=2, precision=PRECISIONS["bfloat16"], seed=seed
                )
                folder = work / f"transfer_{count}_{start}_{seed}"
                trained = train_areas(stack, known, folder, settings, None, encoder)
                labels = {n: trained.predict(stack.images[n]).argmax(-1) for n in split.tested}
                found = summary(score_tested(stack, part, labels))
                runs.append({"count": count, "start": start, "seed": seed, **found})
                _logger.info("%s", {k: runs[-1][k] for k in ("count", "start", "seed", "dice")})
    paired = [_paired(runs, count) for count in counts]
    return {"split": SPLIT, "steps": steps, "runs": runs, "paired": paired}


def _paired(runs: Sequence[dict[str, Any]], count: int) -> dict[str, Any]:
    """Difference in Dice of the siamese start from the random one, each the mean over the seeds;
    its interval is of draws of sections."""
    means = []
    for start in (RANDOM, SIAMESE):
        these = [
            run["by_section"] for run in runs if (run["count"], run["start"]) == (count, start)
        ]
        means.append({name: np.mean([run[name]["dice"] for run in these]) for name in these[0]})
    differences = np.array([means[1][name] - means[0][name] for name in means[0]])
    differences = differences[np.isfinite(differences)]
    rng = np.random.default_rng(0)
    draws = rng.choice(differences, (2000, len(differences))).mean(axis=1)
    return {
        "count": count,
        "more_dice": float(differences.mean()),
        "interval": interval_of(draws),
        "sections": len(differences),
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
    parser.add_argument("--counts", nargs="+", type=int, default=(2, 4, 8, 16), help="of transfer")
    parser.add_argument("--steps", type=int, default=TRANSFER_STEPS, help="of transfer")
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
        found = measure_transfer(stack, args.work, args.network, args.counts, args.steps)
    line = " ".join(["python -m sebre.areas.area_experiments", *(argv or sys.argv[1:])])
    record = {"command": line, "stack": args.stack.name, args.experiment: found}
    record |= {"cpu_s": time.process_time() - start, "environment": environment()}
    replace_own_text(args.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    run_module(main)
