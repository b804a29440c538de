r"""Eight regions in sagittal sections of the P14 mouse brain.

The experiment of the paper: your sections with colour-coded overlays, in 20 rotated versions each,
split by section; from COCO weights, 6,000 steps of the heads, then 9,000 of all layers:

    python samples/p14_mouse.py prepare --source colour-code --raw raw/p14 --downsample 4 \
        --rotations --out datasets/p14
    python samples/p14_mouse.py train --dataset datasets/p14 --weights coco --logs logs --seed 0
    python samples/p14_mouse.py evaluate --dataset datasets/p14 --weights logs/<run>/<file>.h5 \
        --out results/p14_mouse.json
    python samples/p14_mouse.py detect my_section.jpg --weights logs/<run>/<file>.h5 --out mine

On a CPU, with the four sections in a figure of the released code as a stand-in:

    python samples/p14_mouse.py prepare --raw raw/sebre_figures --out datasets/sebre_figures
    python samples/p14_mouse.py train --small --dataset datasets/sebre_figures \
        --weights slicemap --steps 200 --logs logs
"""

import sys

from sebre.cli import main

if __name__ == "__main__":
    sys.exit(main(experiment="p14_mouse"))
