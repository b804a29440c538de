"""Rows of pictures in one pyplot figure, with the regions named under them."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sebre.data.regions import RegionSet

DPI = 75
WIDTH_IN = 9.0
_LARGEST_IN = 2.8  # side of a picture


def grid(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    """A new figure and its axes [rows, columns], without ticks."""
    size = (WIDTH_IN, rows * (min(WIDTH_IN / columns, _LARGEST_IN) + 0.2) + 0.3)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, dpi=DPI, squeeze=False, layout="constrained"
    )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return figure, axes


def legend(figure: Figure, regions: RegionSet, values: Mapping[int, str]) -> None:
    """Name the regions in their colors under the pictures, with a value each, by id."""
    handles = [
        Patch(
            color=np.array(region.color) / 255,
            label=f"{region.name.replace('_', ' ')} {values.get(region.id, '')}".strip(),
        )
        for region in regions
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
