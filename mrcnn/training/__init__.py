"""Training: the loop, optimizers, checkpoints. `MaskRCNN.train` calls `train`."""

from mrcnn.training.loop import Checkpoints, EpochLog, train

__all__ = ["Checkpoints", "EpochLog", "train"]
