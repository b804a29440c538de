r"""Cytoarchitectonic areas: a network with an atlas prior, and a gap between annotated sections.

The whole experiment in Python, on the Nissl plates of the Allen Reference Atlas: trained with every
fourth plate left out, tested on those; then the plates between 70 and 82 filled from these two.

    python samples/areas.py ara_nissl_hippocampus --out runs/areas

The same by commands:

    sebre areas prepare ara_nissl_hippocampus --out stack.npz
    sebre areas train stack.npz --out runs/areas/network --split every:4:2 --precision bfloat16
    sebre areas evaluate stack.npz --weights runs/areas/network --split every:4:2 --out scores.json
    sebre areas fill stack.npz --annotated 70 82 --out runs/areas/filled
"""

import argparse
import logging
import sys
from pathlib import Path

SPLIT, GAP = "every:4:2", ("70", "82")


def main(argv=None) -> int:
    """Train, test, fill a gap; prints a line for each way to find areas."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("raw", type=Path, help="folder of the plates, or npz file of a stack")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--split", default=SPLIT)
    parser.add_argument("--gap", nargs=2, default=GAP)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    from sebre.areas.alignment import Alignment  # TensorFlow takes its time
    from sebre.areas.area_measures import measure, split_of
    from sebre.areas.area_training import AreaSettings, train_areas
    from sebre.areas.atlas_prior import Neighbors
    from sebre.areas.filled_files import write_filled
    from sebre.areas.filling import FillSettings, fill
    from sebre.areas.nissl_stack import nissl_stack
    from sebre.areas.stacks import open_stack

    stack = open_stack(args.raw) if args.raw.is_file() else nissl_stack(args.raw)
    kept = args.out / "registration"
    neighbors = Neighbors(stack, Alignment(stack.images, kept))
    split = split_of(args.split, stack)
    settings = AreaSettings(steps=args.steps, batch=2)
    network = train_areas(stack, split.known, args.out / "network", settings, neighbors)
    for name, row in measure(stack, split, neighbors, network).items():
        print(f"{name:48} Dice {row['dice']:.3f}  right area {row['accuracy']:.3f}")

    gap = stack.numbers_of(args.gap)
    filled = fill(stack, gap, args.out / "filled", FillSettings(), registrations=kept)
    write_filled(filled, args.out / "filled")
    return 0


if __name__ == "__main__":
    sys.exit(main())
