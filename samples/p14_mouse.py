r"""Eight regions in sagittal sections of the P14 mouse brain.

The experiment of the paper: your sections with colour-coded overlays, in 20 rotated versions each,
split by section; from COCO weights, 6,000 steps of the heads, then 9,000 of all layers:

    python samples/p14_mouse.py prepare --source colour-code --raw raw/p14 --downsample 4 \
        --rotations --out datasets/p14
    python samples/p14_mouse.py train --dataset datasets/p14 --weights coco --logs logs --seed 0
    python samples/p14_mouse.py evaluate --dataset datasets/p14 --weights logs/<run>/<file>.h5 \
        --out results/p14_mouse.json
    python samples/p14_mouse.py predict my_section.jpg --weights logs/<run>/<file>.h5 --out mine

On a CPU, with the four sections in a figure of the released code as a stand-in:

    python samples/p14_mouse.py prepare --raw raw/sebre_figures --out datasets/sebre_figures
    python samples/p14_mouse.py train --small --dataset datasets/sebre_figures \
        --weights slicemap --steps 200 --logs logs
"""

import sys

from sebre.cli import main
from sebre.experiments.p14_mouse import EXPERIMENT, P14MouseDataset


def train(options):
    """What the command `train` does, for options of `sebre.networks.train.TrainingOptions`."""
    from mrcnn.model import MaskRCNN  # here, as the other commands start faster without it

    # Settings (sebre/experiments/p14_mouse.py): P14MouseConfig, the paper's ResNet-101 at
    # 384 px; P14MouseFromScratch, the same from random weights; P14MouseSmall, a
    # ResNet-18 at 256 px for a CPU.
    variant = options.variant_of(EXPERIMENT)
    config = options.configure(variant)  # with --seed, --steps and --set

    sections, held_out = options.load(P14MouseDataset)  # of the training part alone
    model = MaskRCNN("training", config, options.logs)
    options.begin(model, variant, sections)  # loads --weights; writes how the run is trained
    reports = options.reports(model, variant, held_out)  # Dice of what is held out, time left

    # Schedule: the paper's 6,000 steps of the heads, then 9,000 of all layers at a tenth of the
    # rate; from random weights 15,000 of all layers; of the small network 1,600.
    for stage, epochs in options.stages(variant, config):
        model.train(
            sections,
            held_out,
            learning_rate=config.LEARNING_RATE * stage.rate,
            epochs=epochs,
            layers=stage.layers,
            augmentation=variant.augmentation(),
            custom_callbacks=reports,
            resume=options.resume,
            verbose=options.verbose,
        )
    return model


if __name__ == "__main__":
    sys.exit(main(experiment="p14_mouse", train=train))
