"""Feature pyramid (Lin et al. 2017): C2..C5 -> P2..P6."""

from typing import Any

from keras import layers

from mrcnn.modeling.layers import LayerStyle


def build_fpn(
    stages: list[Any], pyramid_size: int = 256, style: LayerStyle | None = None
) -> list[Any]:
    """Build the pyramid on [C2, C3, C4, C5].

    Returns [P2, P3, P4, P5, P6], strides 4..64, [B, h, w, pyramid_size]; P6 is P5 at half
    resolution and serves the RPN alone.
    """
    style = style or LayerStyle()
    c2, c3, c4, c5 = stages
    levels = {5: style.conv(pyramid_size, 1, "fpn_c5p5")(c5)}
    for level, lateral in ((4, c4), (3, c3), (2, c2)):
        above = layers.UpSampling2D(2, name=f"fpn_p{level + 1}upsampled", dtype=style.policy)(
            levels[level + 1]
        )
        side = style.conv(pyramid_size, 1, f"fpn_c{level}p{level}")(lateral)
        levels[level] = style.add(f"fpn_p{level}add")([above, side])
    # The 3x3 convolution removes the aliasing of the upsampling.
    smooth = [
        style.conv(pyramid_size, 3, f"fpn_p{level}", padding="same")(levels[level])
        for level in (2, 3, 4, 5)
    ]
    p6 = layers.MaxPooling2D(1, strides=2, name="fpn_p6", dtype=style.policy)(smooth[-1])
    return [*smooth, p6]
