r"""Eight regions in the mouse brain from P4 to adult.

The experiment of the paper: nine brains, two markers for training and one held out:

    python samples/extended_mouse.py prepare --source colour-code --raw raw/extended \
        --downsample 16 --split marker=GAD1 --rotations --out datasets/extended
    python samples/extended_mouse.py train --dataset datasets/extended --weights coco --logs logs
    python samples/extended_mouse.py evaluate --dataset datasets/extended \
        --weights logs/<run>/<file>.h5 --out results/extended_mouse.json

On a CPU, with MRI of 20 mice, or templates from P4 to adult, as stand-ins:

    python samples/extended_mouse.py prepare --source mouse-mri --raw raw/mouse_mri \
        --out datasets/mouse_mri
    python samples/extended_mouse.py prepare --source demba --raw raw/demba_200um \
        --out datasets/demba
    python samples/extended_mouse.py train --small --dataset datasets/mouse_mri \
        --weights slicemap --logs logs --seed 0
    python samples/extended_mouse.py evaluate --dataset datasets/mouse_mri \
        --weights extended_mouse_mri --out results/extended_mouse_mri.json
    python samples/extended_mouse.py detect my_section.png --out mine
"""

import sys

from sebre.cli import main

if __name__ == "__main__":
    sys.exit(main(experiment="extended_mouse"))
