"""A deeper residual network that starts as the shallower one whose weights it took."""

from collections import defaultdict
from collections.abc import Collection

import keras

from mrcnn.weights.layer_match import BLOCK, Slot, slots_of

_LAST = ("2c", "2b")  # the branch that ends a block: of bottlenecks, and of blocks of two


def begin_as_identity(model: keras.Model, loaded: Collection[str]) -> list[str]:
    """Let residual blocks that took no weights pass on what they get, until they learn otherwise.

    ResNet-101 has the blocks of ResNet-50 and 17 more. The scale of the last normalization of these
    becomes 0, so that a block adds nothing to what it gets (Goyal et al. 2017, section 5.1); its
    gradient is not 0. Blocks with a convolution in the shortcut, and those of a stage that took
    no weights at all, stay as they are.

    Args:
        model: the network, with weights loaded by name.
        loaded: names of the layers that took weights (`WeightReport.loaded`).

    Returns:
        The blocks, such as "4g", in order.
    """
    blocks: dict[str, dict[str, Slot]] = defaultdict(dict)
    for slot in slots_of(model):
        if found := BLOCK.fullmatch(slot.name):
            blocks[found[2] + found[3]][slot.name] = slot
    known = {block for block, layers in blocks.items() if not layers.keys().isdisjoint(loaded)}
    stages = {block[0] for block in known}
    added = [
        block
        for block, layers in blocks.items()
        if block not in known and block[0] in stages and f"res{block}_branch1" not in layers
    ]
    for block in added:
        last = next(name for end in _LAST if (name := f"bn{block}_branch{end}") in blocks[block])
        scale, *_ = blocks[block][last].variables
        scale.assign(keras.ops.zeros_like(scale))
    return added
