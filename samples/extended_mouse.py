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
    python samples/extended_mouse.py predict my_section.png --out mine
"""

import sys

from sebre.cli import main
from sebre.experiments.extended_mouse import EXPERIMENT, ExtendedMouseDataset


def train(options):
    """What the command `train` does, for options of `sebre.networks.train.TrainingOptions`."""
    from mrcnn.model import MaskRCNN  # here, as the other commands start faster without it

    # Settings (sebre/experiments/extended_mouse.py): ExtendedMouseConfig, the paper's ResNet-101 at
    # 384 px; ExtendedMouseFromScratch, the same from random weights; ExtendedMouseSmall, a
    # ResNet-18 at 128 px for a CPU.
    variant = options.variant_of(EXPERIMENT)
    config = options.configure(variant)  # with --seed, --steps and --set

    sections, held_out = options.load(ExtendedMouseDataset)  # of the training part alone
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
    sys.exit(main(experiment="extended_mouse", train=train))
