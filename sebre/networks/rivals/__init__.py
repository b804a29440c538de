"""Networks that the paper compares itself with, made anew from their papers' descriptions.

Each has a file with its source, its size, and what differs. `PIXEL_KINDS` are those that label the
pixels of one section, the U-Net among them: `sebre train --network NAME` trains them on the same
pictures as Mask R-CNN, and their weights serve wherever a network is named. nnU-Net is trained by
the same command, by its own package (`nnunet_train`).
"""

from sebre.networks.rivals.brainsegnet import BRAINSEGNET
from sebre.networks.rivals.fcnn import FCNN
from sebre.networks.rivals.nnunet import NNUNET
from sebre.networks.rivals.quicknat import QUICKNAT
from sebre.networks.unet import UNET

PIXEL_KINDS = {kind.name: kind for kind in (UNET, FCNN, BRAINSEGNET, QUICKNAT)}
# All that load from a weights file with settings of their own.
LOADED_KINDS = {**PIXEL_KINDS, NNUNET.name: NNUNET}
