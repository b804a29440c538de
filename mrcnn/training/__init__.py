"""Training: the loop, optimizers, checkpoints. `MaskRCNN.train` calls `train`."""

from mrcnn.training.loop import Checkpoints, EpochFiles, EpochLog, StopOnBadLoss, train

__all__ = ["Checkpoints", "EpochFiles", "EpochLog", "StopOnBadLoss", "train"]
