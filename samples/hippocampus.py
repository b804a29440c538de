r"""CA1, CA2, CA3 and dentate gyrus in coronal sections.

The experiment of the paper: 27 sections, mirrored and in 20 rotated versions each, 20 sections for
training and 7 held out:

    python samples/hippocampus.py prepare --raw raw/ara_nissl --split section:7 --rotations \
        --out datasets/hippocampus
    python samples/hippocampus.py train --dataset datasets/hippocampus --weights coco --logs logs
    python samples/hippocampus.py evaluate --dataset datasets/hippocampus \
        --weights logs/<run>/<file>.h5 --out results/hippocampus.json

On a CPU, held out in blocks of neighboring plates:

    python samples/hippocampus.py prepare --raw raw/ara_nissl --out datasets/ara_nissl
    python samples/hippocampus.py train --small --dataset datasets/ara_nissl \
        --weights slicemap --logs logs --seed 0
    python samples/hippocampus.py evaluate --dataset datasets/ara_nissl \
        --out results/hippocampus.json
    python samples/hippocampus.py detect my_section.png --out mine
"""

import sys

from sebre.cli import main

if __name__ == "__main__":
    sys.exit(main(experiment="hippocampus"))
