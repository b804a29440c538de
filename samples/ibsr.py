r"""Caudate, putamen, pallidum and thalamus, left and right, in human MRI.

The experiment of the paper: 557 horizontal sections of IBSR 18, 372 for training and 185 held out
at random, which puts neighboring sections of one person on both sides; `subject:1/3` does not:

    python samples/ibsr.py prepare --source ibsr --raw raw/ibsr --split image:1/3 \
        --out datasets/ibsr
    python samples/ibsr.py train --dataset datasets/ibsr --weights coco --logs logs
    python samples/ibsr.py evaluate --dataset datasets/ibsr --weights logs/<run>/<file>.h5 \
        --out results/ibsr.json

On a CPU, with the scans of the MICCAI 2012 challenge as a stand-in, split by subject:

    python samples/ibsr.py prepare --raw raw/malc2012 --out datasets/malc2012
    python samples/ibsr.py train --small --dataset datasets/malc2012 --weights slicemap \
        --logs logs --seed 0
    python samples/ibsr.py evaluate --dataset datasets/malc2012 --out results/ibsr.json
    python samples/ibsr.py detect my_section.png --out mine
"""

import sys

from sebre.cli import main

if __name__ == "__main__":
    sys.exit(main(experiment="ibsr"))
