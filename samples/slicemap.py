r"""Six regions in sagittal mouse brain sections, in any orientation.

    python samples/slicemap.py train --dataset datasets/slicemap --weights none --logs logs --seed 0
    python samples/slicemap.py evaluate --dataset datasets/slicemap --out results/slicemap.json
    python samples/slicemap.py detect my_section.png --out results/mine

To choose settings without looking at the test part, hold out a share of the training part:

    python samples/slicemap.py train --dataset datasets/slicemap --logs logs --inner-validation 0.2
    python samples/slicemap.py evaluate --dataset datasets/slicemap --inner-validation 0.2 \
        --weights logs/<run>/mask_rcnn_slicemap_0012.h5 --out inner.json
"""

import sys

from sebre.cli import main

if __name__ == "__main__":
    sys.exit(main(experiment="slicemap"))
