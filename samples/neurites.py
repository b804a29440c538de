r"""Neurites in electron microscopy: a network of affinities, its segments, their scores.

The whole experiment in Python, on FIB-25 training sample 2 as an npz file of `raw`, `labels` and
`voxel_nm`: trained on sections 0-149, thresholds chosen on 152-167, tested on 170-209.

    python samples/neurites.py fib25_sample2.npz --out runs/neurites

The same by commands:

    sebre neurites train fib25_sample2.npz --out runs/neurites --sections 0:150 --check 152:168
    sebre neurites evaluate fib25_sample2.npz --weights runs/neurites --sections 170:210 \
        --choose 152:168 --out scores.json
    sebre neurites predict my_volume.npz --weights runs/neurites --out segments.npz
"""

import argparse
import logging
import sys
from pathlib import Path

TRAINED, CHOSEN, TESTED = (0, 150), (152, 168), (170, 210)


def main(argv=None) -> int:
    """Train, choose thresholds, test; prints a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("volume", type=Path, help="npz file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--patch", type=int, nargs=3, default=(48, 80, 80))
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    from sebre.neurites.affinity_prediction import load_network  # TensorFlow takes its time
    from sebre.neurites.learning.neurite_training import TrainSettings, train
    from sebre.neurites.scoring.choosing import choose_threshold, score_volume
    from sebre.neurites.volume_files import open_volume
    from sebre.neurites.whole_volumes import Decoding

    volume = open_volume(args.volume)
    settings = TrainSettings(volume.voxel_nm, patch=tuple(args.patch), steps=args.steps)
    train([volume.sections(*TRAINED)], [volume.sections(*CHOSEN)], args.out, settings)

    network = load_network(args.out)
    for method in ("watershed", "components"):
        chosen, _ = choose_threshold(network, [volume.sections(*CHOSEN)], Decoding(method))
        scores = score_volume(network, volume.sections(*TESTED), Decoding(method, chosen))
        print(f"{method:12} VI {scores.vi:.2f}  adapted Rand error {scores.rand_error:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
