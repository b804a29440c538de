"""How fast synthetic sections are made, and how fast the network that learned from them answers.

    python -m sebre.synthesis.stream_speed --data DATA --out results/synthesis/stream.json

Several short rounds of each. Seconds are those of the processor, of all threads together, so that
other work on the machine slows them little, and those of the clock, which it does.
"""

import argparse
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2

from mrcnn.errors import UserError
from mrcnn.io.own_files import demand_own, replace_own_text
from sebre.data.listing import visible
from sebre.data.regions import ANY_SECTION
from sebre.networks.environment import environment
from sebre.networks.segmenter import Segmenter, load_segmenter, read_image
from sebre.place.placer import Placer, load_placer, placer_sha256
from sebre.program import run_module
from sebre.synthesis.curriculum import EASY, HARD
from sebre.synthesis.labeled_volume import Volume
from sebre.synthesis.sources import read_volumes
from sebre.synthesis.stream import sections

logger = logging.getLogger(__name__)

SIZE = 192  # px, side of the sections
_RECIPES = {"easy": EASY, "hard": HARD}
_SEED = 4_000_037  # of sections that nothing else is made of
_WARM = 5  # sections before the first round
_SHIPPED = Path("datasets") / "any_section" / "images"


def timed(work: Callable[[int], object], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round of some work, which gets the number of the round: of the processor
    (`cpu_s`) and of the clock (`wall_s`)."""
    found: dict[str, list[float]] = {"cpu_s": [], "wall_s": []}
    for number in range(rounds):
        clock, processor = time.perf_counter(), time.process_time()
        work(number)
        found["cpu_s"].append(round(time.process_time() - processor, 4))
        found["wall_s"].append(round(time.perf_counter() - clock, 4))
    return found


def stream_speed(
    volumes: Sequence[Volume], rounds: int, count: int, size: int = SIZE
) -> dict[str, dict[str, list[float]]]:
    """Seconds of rounds that make sections one by one, in the order of a training, by recipe.

    Args:
        volumes: to cut.
        rounds: of each recipe.
        count: of the sections of a round.
        size: side of the pictures, px.
    """
    found = {}
    for name, recipe in _RECIPES.items():
        stream = sections(volumes, _SEED, recipe=recipe, size=size)
        for _ in islice(stream, _WARM):
            pass

        def make(_: int, stream=stream) -> None:
            for _ in islice(stream, count):
                pass

        found[name] = timed(make, rounds)
        logger.info("%s: %s", name, found[name])
    return found


def answer_speed(
    segmenter: Segmenter, placer: Placer, pictures: Sequence[Any], rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds of rounds that segment some pictures (`regions`), and that tell where they lie
    (`place`).

    Args:
        segmenter: the network of any section.
        placer: of it.
        pictures: uint8 [H, W, 3] each.
        rounds: of either; one before them, which compiles, does not count.
    """
    works = {"regions": lambda picture: segmenter.detect([picture]), "place": placer.place}
    found = {}
    for name, work in works.items():

        def all_of_them(_: int, work=work) -> None:
            for picture in pictures:
                work(picture)

        all_of_them(0)
        found[name] = timed(all_of_them, rounds)
        logger.info("%s: %s", name, found[name])
    return found


def shipped_speed(folder: Path, rounds: int) -> dict[str, Any]:
    """Size and speed of the network that ships, on the pictures of a folder.

    Raises:
        UserError: no pictures, or no place file beside the weights.
    """
    paths = list(visible(folder, "*.jpg")) if folder.is_dir() else []
    pictures = [read_image(path) for path in paths]
    if not pictures:
        raise UserError(f"{folder}: no *.jpg in it; wanted pictures of sections. Give --pictures.")
    segmenter, placer = load_segmenter(ANY_SECTION.name), load_placer()
    if placer is None:
        raise UserError(
            f"{segmenter.weights.path}: no place file beside it; wanted the network that ships, "
            "with its place file. Leave SEBRE_WEIGHTS unset."
        )
    place = segmenter.weights.path.with_suffix(".place.npz")
    return {
        "weights_sha256": segmenter.weights.sha256,
        "place_sha256": placer_sha256(),
        "bytes": {file.name: file.stat().st_size for file in (segmenter.weights.path, place)},
        "pictures": {p.name: list(a.shape[:2]) for p, a in zip(paths, pictures, strict=True)},
        "seconds": answer_speed(segmenter, placer, pictures, rounds),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, measure, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sections", type=int, default=100, help="of a round")
    parser.add_argument("--pictures", type=Path, default=_SHIPPED, help="real sections to segment")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.rounds < 1 or args.sections < 1:
        raise UserError("--rounds and --sections must be 1 or more.")
    demand_own([args.out])
    cv2.setNumThreads(1)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # Windows has none
    volumes = read_volumes(args.data)
    record = {
        "command": "python -m sebre.synthesis.stream_speed --data DATA --out "
        f"results/synthesis/stream.json --rounds {args.rounds} --sections {args.sections}",
        "size": SIZE,
        "n_volumes": len(volumes),
        "sections_a_round": args.sections,
        "stream": stream_speed(volumes, args.rounds, args.sections),
        "shipped": shipped_speed(args.pictures, args.rounds),
        "load_average": load,
        "environment": environment(),
    }
    replace_own_text(args.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    run_module(main)
