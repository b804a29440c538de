r"""Six regions in sagittal mouse brain sections, in any orientation.

    python samples/slicemap.py train --dataset datasets/slicemap --weights none --logs logs --seed 0
    python samples/slicemap.py evaluate --dataset datasets/slicemap --out results/slicemap.json
    python samples/slicemap.py predict my_section.png --out results/mine

To choose settings without looking at the test part, hold out a share of the training part:

    python samples/slicemap.py train --dataset datasets/slicemap --logs logs --inner-validation 0.2
    python samples/slicemap.py evaluate --dataset datasets/slicemap --inner-validation 0.2 \
        --weights logs/<run>/mask_rcnn_slicemap_0012.h5 --out inner.json
"""

import sys

from sebre.cli import main
from sebre.experiments.slicemap import EXPERIMENT, SlicemapDataset


def train(options):
    """What the command `train` does, for options of `sebre.networks.train.TrainingOptions`."""
    from mrcnn.model import MaskRCNN  # here, as the other commands start faster without it

    # Settings (sebre/experiments/slicemap.py): SlicemapConfig, a ResNet-18 at 128 px for a CPU.
    variant = options.variant_of(EXPERIMENT)
    config = options.configure(variant)  # with --seed, --steps and --set

    sections, held_out = options.load(SlicemapDataset)  # of the training part alone
    model = MaskRCNN("training", config, options.logs)
    options.begin(model, variant, sections)  # loads --weights; writes how the run is trained
    reports = options.reports(model, variant, held_out)  # Dice of what is held out, time left

    # Schedule: 2,400 steps of all layers.
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
    sys.exit(main(experiment="slicemap", train=train))
