"""What the network says of the cells of a picture, looked at from all sides.

The picture is turned by quarters and mirrored; since no side is told apart, a place is the same in
all eight views, and where they differ the network is not sure.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from sebre.networks.any_section import (
    AnySectionSegmenter,
    Frame,
    prepared,
    small_gray,
    view,
    viewed_back,
)
from sebre.networks.halves.completion import completed
from sebre.place.atlas_frame import CENTER_MM, UNIT_MM
from sebre.place.place_network import PLACE, SPREAD, TISSUE
from sebre.place.plane_fit import FlatPlane, fit_plane

VIEWS = 8
_LEAST_SPREAD_MM = 0.05


@dataclass(frozen=True)
class CellPlaces:
    """Places of the cells of the square around the tissue of a picture.

    Attributes:
        frame: the square, px of the picture.
        places: float64 [V, n, n, 3]. ap, dv, ml in mm by each view, turned back.
        spread: float64 [V, n, n, 3]. Scale of the errors that the network expects, mm.
        tissue: float64 [V, n, n]. Chance of tissue.
        ages: float64 [V, 2]. Logarithm of the age in days, and of its spread.
    """

    frame: Frame
    places: np.ndarray
    spread: np.ndarray
    tissue: np.ndarray
    ages: np.ndarray

    def plane(self, chosen: Any = slice(None)) -> FlatPlane | None:
        """The plane through the mean of some views; None where there is hardly any tissue."""
        sure = 1 / self.spread[chosen]
        places = (self.places[chosen] * sure).sum(0) / sure.sum(0)
        return fit_plane(places, 1 / sure.mean(0), self.tissue[chosen].mean(0))


def cell_places(
    segmenter: AnySectionSegmenter, network: keras.Model, picture: np.ndarray
) -> CellPlaces:
    """Ask the network.

    Args:
        segmenter: whose frame the network sees.
        network: from pictures to what `place_network.build_head` answers.
        picture: uint8 [H, W, 3], or gray values [H, W].
    """
    size = network.input_shape[1]
    gray = small_gray(picture, size)
    cut = segmenter.cut(gray)  # of a half, which is looked at as a whole
    whole, corner = (gray, (0, 0)) if cut is None else completed(gray, cut)
    frame = segmenter.frame(whole)
    square = prepared(whole, size, frame)
    views = np.stack([view(square, turn) for turn in range(VIEWS)])[..., None]
    cells, ages = network.predict_on_batch(np.ascontiguousarray(views))
    back = np.stack([viewed_back(cells[turn], turn) for turn in range(VIEWS)]).astype(float)
    return CellPlaces(
        frame.moved(corner).scaled(picture.shape[0] / gray.shape[0]),
        back[..., PLACE] * UNIT_MM + CENTER_MM,
        np.maximum(np.exp(np.clip(back[..., SPREAD], -4, 2)) * UNIT_MM, _LEAST_SPREAD_MM),
        1 / (1 + np.exp(-back[..., TISSUE][..., 0])),
        np.asarray(ages, float),
    )
