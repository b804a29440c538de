"""Residual networks (He et al. 2016) as feature extractors C1..C5.

The paper extracts features by "the first five stages of ResNet101" (section Methods). Old
weight files load by the layer names `res{stage}{block}_branch{2a,2b,2c,1}` and `bn...`.
"""

from typing import Any

from keras import layers

from mrcnn.errors import UserError
from mrcnn.modeling.layers import LayerStyle

# Blocks of the stages 2..5, and whether a block is a bottleneck (1x1, 3x3, 1x1).
_ARCHITECTURES = {
    "resnet18": ((2, 2, 2, 2), False),
    "resnet50": ((3, 4, 6, 3), True),
    "resnet101": ((3, 4, 23, 3), True),
}
_EXPANSION = 4  # a bottleneck's last convolution has four times the filters


def resnet_graph(
    input_image: Any,
    architecture: str,
    stage5: bool = False,
    train_bn: bool | None = True,
    width: float = 1.0,
    style: LayerStyle | None = None,
) -> list[Any]:
    """A residual network: [C1, C2, C3, C4, C5] with strides 4, 4, 8, 16, 32.

    Source: Matterport `model.resnet_graph`; resnet18 follows the same naming.

    Args:
        input_image: [B, H, W, channels], H and W multiples of 64.
        architecture: "resnet18", "resnet50", "resnet101".
        stage5: False stops after C4, and C5 is None.
        train_bn: see `mrcnn.modeling.layers.BatchNorm`; ignored when `style` is given.
        width: multiplies all filters.
        style: how layers are made; default: float32, reference initialization.
    """
    if architecture not in _ARCHITECTURES:
        raise UserError(
            f"Backbone {architecture!r} is unknown; use one of {', '.join(_ARCHITECTURES)}."
        )
    blocks, bottleneck = _ARCHITECTURES[architecture]
    style = style or LayerStyle(train_bn=train_bn)
    filters = [int(base * width) for base in (64, 128, 256, 512)]

    x = layers.ZeroPadding2D(3, dtype=style.policy)(input_image)
    x = style.conv(filters[0], 7, "conv1", strides=2)(x)
    x = style.norm("bn_conv1")(x)
    x = style.relu()(x)
    stages = [layers.MaxPooling2D(3, strides=2, padding="same", dtype=style.policy)(x)]
    for stage in range(2, 6 if stage5 else 5):
        x = stages[-1]
        for block in range(blocks[stage - 2]):
            name, project = f"{stage}{chr(ord('a') + block)}", block == 0
            stride = 2 if project and stage > 2 else 1
            x = _block(x, name, filters[stage - 2], bottleneck, project, stride, style)
        stages.append(x)
    return stages if stage5 else [*stages, None]


def _block(
    x: Any, name: str, filters: int, bottleneck: bool, project: bool, stride: int, style: LayerStyle
) -> Any:
    """The residual block of a name such as "3a"; its stride is that of the first convolution and of
    the shortcut."""
    conv, norm = f"res{name}_branch", f"bn{name}_branch"
    if bottleneck:
        plan = [("2a", filters, 1), ("2b", filters, 3), ("2c", filters * _EXPANSION, 1)]
    else:
        plan = [("2a", filters, 3), ("2b", filters, 3)]
    shortcut = x
    for number, (branch, outputs, size) in enumerate(plan):
        strides = stride if number == 0 else 1
        x = style.conv(outputs, size, conv + branch, strides=strides, padding="same")(x)
        x = style.norm(norm + branch)(x)
        if number < len(plan) - 1:
            x = style.relu()(x)
    if project:
        shortcut = style.conv(plan[-1][1], 1, conv + "1", strides=stride)(shortcut)
        shortcut = style.norm(norm + "1")(shortcut)
    x = style.add()([x, shortcut])
    return style.relu(f"res{name}_out")(x)
