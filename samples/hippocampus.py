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
    python samples/hippocampus.py predict my_section.png --out mine
"""

import sys

from sebre.cli import main
from sebre.experiments.hippocampus import EXPERIMENT, HippocampusDataset


def train(options):
    """What the command `train` does, for options of `sebre.networks.train.TrainingOptions`."""
    from mrcnn.model import MaskRCNN  # here, as the other commands start faster without it

    # Settings (sebre/experiments/hippocampus.py): HippocampusConfig, the paper's ResNet-101 at
    # 384 px; HippocampusFromScratch, the same from random weights; HippocampusSmall, a
    # ResNet-18 at 320 px for a CPU.
    variant = options.variant_of(EXPERIMENT)
    config = options.configure(variant)  # with --seed, --steps and --set

    sections, held_out = options.load(HippocampusDataset)  # of the training part alone
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
    sys.exit(main(experiment="hippocampus", train=train))
