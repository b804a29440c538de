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
    python samples/ibsr.py predict my_section.png --out mine
"""

import sys

from sebre.cli import main
from sebre.experiments.ibsr import EXPERIMENT, IBSRDataset


def train(options):
    """What the command `train` does, for options of `sebre.networks.train.TrainingOptions`."""
    from mrcnn.model import MaskRCNN  # here, as the other commands start faster without it

    # Settings (sebre/experiments/ibsr.py): IBSRConfig, the paper's ResNet-101 at
    # 384 px; IBSRFromScratch, the same from random weights; IBSRSmall, a
    # ResNet-18 at 256 px for a CPU.
    variant = options.variant_of(EXPERIMENT)
    config = options.configure(variant)  # with --seed, --steps and --set

    sections, held_out = options.load(IBSRDataset)  # of the training part alone
    model = MaskRCNN("training", config, options.logs)
    options.begin(model, variant, sections)  # loads --weights; writes how the run is trained
    reports = options.reports(model, variant, held_out)  # Dice of what is held out, time left

    # Schedule: the paper's 6,000 steps of the heads, then 9,000 of all layers at a tenth of the
    # rate; from random weights 15,000 of all layers; of the small network 2,000.
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
    sys.exit(main(experiment="ibsr", train=train))
