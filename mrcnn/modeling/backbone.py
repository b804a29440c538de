"""Residual networks (He et al. 2016) as feature extractors C1..C5.

The paper extracts features by "the first five stages of ResNet101" (section Methods). Old
weight files load by the layer names `res{stage}{block}_branch{2a,2b,2c,1}` and `bn...`.
"""

from collections.abc import Sequence
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
        base, first = filters[stage - 2], 2 if stage > 2 else 1
        plan = [("2a", base, 3), ("2b", base, 3)]
        if bottleneck:
            plan = [("2a", base, 1), ("2b", base, 3), ("2c", base * _EXPANSION, 1)]
        for block in range(blocks[stage - 2]):
            name, strides = f"{stage}{chr(ord('a') + block)}", first if block == 0 else None
            x = residual_block(x, name, plan, style, strides)
        stages.append(x)
    return stages if stage5 else [*stages, None]


def residual_block(
    x: Any,
    name: str,
    plan: Sequence[tuple[str, int, int]],
    style: LayerStyle,
    strides: Any = None,
    **options: Any,
) -> Any:
    """A residual block.

    Args:
        x: [B, h, w, channels].
        name: such as "3a".
        plan: name, filters and side of each convolution.
        style: how layers are made.
        strides: of the first convolution, and of one in the shortcut; None for a shortcut without.
        options: of all convolutions.
    """
    conv, norm = f"res{name}_branch", f"bn{name}_branch"
    shortcut = x
    for number, (branch, filters, size) in enumerate(plan):
        steps = strides if strides is not None and number == 0 else 1
        x = style.conv(filters, size, conv + branch, strides=steps, padding="same", **options)(x)
        x = style.norm(norm + branch)(x)
        if number < len(plan) - 1:
            x = style.relu()(x)
    if strides is not None:
        shortcut = style.conv(plan[-1][1], 1, conv + "1", strides=strides, **options)(shortcut)
        shortcut = style.norm(norm + "1")(shortcut)
    x = style.add()([x, shortcut])
    return style.relu(f"res{name}_out")(x)
